"""Stages of a network as JSON text in an exported graph, so that its subgraphs can run without torch.

The graph names the maps at which it can be cut (`map_name`). What a file says about its stages is checked like its
model card: numbers in range, and maps that fit together.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from pixelwise.geometry.layer_graph import Branch, Kind, LayerGraph, LayerSpec, Merge, MergeMode, Save
from pixelwise.geometry.sizes import Geometry
from pixelwise.geometry.subgraphs import MapKey, NetworkStages, Subgraph, subgraphs_at
from pixelwise.model_file.model_card import invalid_model, no_duplicates
from pixelwise.runtimes.base import LOGITS, StagedRuntime, graph_inputs

STAGES = "pixelwise_stages"  # key of the text in an exported file
MAX_TEXT = 4 * 2**20  # characters; a ResNet-152 has about 100,000
MAX_LEVELS, MAX_STRIDE, MAX_EXTENT = 12, 4096, 1024

Extent = Annotated[int, Field(ge=0, le=MAX_EXTENT)]
Positive = Annotated[int, Field(ge=1, le=MAX_EXTENT)]
Channels = Annotated[int, Field(ge=0, le=2**20)]
Name = Annotated[str, Field(max_length=200)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Layer(_Strict):
    element: Literal["layer"] = "layer"
    name: Name
    kind: Kind
    kernel: Positive
    stride: Positive
    padding: Extent
    dilation: Positive
    in_channels: Channels
    channels: Channels
    parameters: Annotated[int, Field(ge=0)]
    ceil: bool

    def build(self) -> LayerSpec:
        return LayerSpec(**self.model_dump(exclude={"element"}))


class _Save(_Strict):
    element: Literal["save"] = "save"
    name: Name

    def build(self) -> Save:
        return Save(self.name)


class _Branch(_Strict):
    element: Literal["branch"] = "branch"
    name: Name

    def build(self) -> Branch:
        return Branch(self.name)


class _Merge(_Strict):
    element: Literal["merge"] = "merge"
    name: Name
    how: MergeMode

    def build(self) -> Merge:
        return Merge(self.name, self.how)


_Element = Annotated[_Layer | _Save | _Branch | _Merge, Field(discriminator="element")]
_Graph = Annotated[list[_Element], Field(max_length=2000)]
_Graphs = Annotated[list[_Graph], Field(min_length=2, max_length=MAX_LEVELS)]
_Numbers = Annotated[list[Annotated[int, Field(ge=1, le=2**20)]], Field(min_length=3, max_length=MAX_LEVELS + 1)]


class _Stages(_Strict):
    dimensions: Literal[2, 3]
    strides: _Numbers
    channels: _Numbers
    decoder_channels: _Numbers
    encoder: _Graphs
    decoder: _Graphs
    start: _Graph
    skips: Annotated[list[Name], Field(max_length=MAX_LEVELS + 1)]
    cuts_bottom: bool = False

    def consistent(self) -> bool:
        """Return whether there is one entry per level, and strides grow by whole factors."""
        deepest = len(self.strides) - 1
        per_level = (self.channels, self.decoder_channels, self.skips)
        return (
            all(len(values) == deepest + 1 for values in per_level)
            and len(self.encoder) == len(self.decoder) == deepest
            and self.strides[0] == 1
            and self.strides[-1] <= MAX_STRIDE
            and all(b % a == 0 for a, b in zip(self.strides, self.strides[1:], strict=False))
        )


def map_name(key: MapKey) -> str:
    """Return the name of a map in an exported graph.

    Examples
    --------
    >>> map_name(("encoder", 0)), map_name(("encoder", 2)), map_name(("decoder", 0))
    ('image', 'encoder_map_2', 'logits')
    """
    path, level = key
    if level == 0:
        return "image" if path == "encoder" else LOGITS
    return f"{path}_map_{level}"


def stored_key(stages: NetworkStages, key: MapKey) -> MapKey:
    """Return the map that a graph names in place of one that has no name: the coarsest map without a centre block."""
    bottom = Subgraph(stages.deepest, stages.deepest)
    return bottom.inputs[0] if key == bottom.output and stages.is_identity(bottom) else key


def subgraph_inputs(
    subgraph: Subgraph,
    maps: Sequence[np.ndarray],
    names: Sequence[str],
    stages: NetworkStages,
    *,
    channels_last: bool = False,
) -> dict[str, np.ndarray]:
    """Return the inputs of a subgraph by name; `names` are the inputs of the whole graph.

    With `channels_last`, maps other than the image are arrays (batch, *size, channels).
    """
    inputs: dict[str, np.ndarray] = {}
    for key, value in zip(subgraph.inputs, maps, strict=True):
        if key == ("encoder", 0):
            inputs |= graph_inputs(names, value)
        else:
            values = np.moveaxis(value, 1, -1) if channels_last else value
            inputs[map_name(stored_key(stages, key))] = np.ascontiguousarray(values, np.float32)
    return inputs


def inner_maps(stages: NetworkStages) -> list[MapKey]:
    """Return the maps at which a network can be cut, each once."""
    paths: tuple[Literal["encoder", "decoder"], ...] = ("encoder", "decoder")
    keys: list[MapKey] = [(path, level) for path in paths for level in stages.cut_levels]
    return [key for key in keys if key == stored_key(stages, key)]


def write_stages_text(stages: NetworkStages) -> str:
    """Return stages as JSON text."""
    record = _Stages(
        dimensions=3 if stages.dimensions == 3 else 2,
        strides=list(stages.strides),
        channels=list(stages.channels),
        decoder_channels=list(stages.decoder_channels),
        encoder=[_elements(graph) for graph in stages.encoder],
        decoder=[_elements(graph) for graph in stages.decoder],
        start=_elements(stages.start),
        skips=list(stages.skips),
        cuts_bottom=stages.cuts_bottom,
    )
    return record.model_dump_json()


def read_stages_text(text: str, geometry: Geometry, path: Path) -> NetworkStages:
    """Parse the stages in the exported file at `path`, whose network has this geometry.

    Raises
    ------
    BadModel
        The text is damaged, or describes no network that can be cut.
    """
    try:
        if len(text) > MAX_TEXT:
            raise ValueError(f"more than {MAX_TEXT} characters")
        values: Any = json.loads(text, object_pairs_hook=no_duplicates)
        record = TypeAdapter(_Stages).validate_python(values)
        stages = NetworkStages(
            geometry=geometry,
            strides=tuple(record.strides),
            channels=tuple(record.channels),
            decoder_channels=tuple(record.decoder_channels),
            encoder=tuple(_graph(elements) for elements in record.encoder),
            decoder=tuple(_graph(elements) for elements in record.decoder),
            start=_graph(record.start),
            skips=tuple(record.skips),
            dimensions=record.dimensions,
            cuts_bottom=record.cuts_bottom,
        )
        if not record.consistent() or stages.strides[-1] != geometry.total_stride or not stages.aligned:
            raise ValueError("its maps do not fit together")
    except ValidationError as error:
        where = ".".join(str(key) for key in error.errors()[0]["loc"])
        raise invalid_model(path, f"stages of the network with an invalid {where}") from error
    except (ValueError, KeyError, RecursionError) as error:
        raise invalid_model(path, f"damaged stages of the network ({error})") from error
    return stages


class CutRuntime:
    """A staged runtime that computes whole tiles subgraph by subgraph, cut at every level: for parity checks."""

    def __init__(self, runtime: StagedRuntime, stages: NetworkStages) -> None:
        self._runtime, self._stages, self._subgraphs = runtime, stages, subgraphs_at(stages.cut_levels)

    def __call__(self, tiles: Float[np.ndarray, "batch channels *size"]) -> Float[np.ndarray, "batch classes *size"]:
        """Return the logits."""
        maps: dict[MapKey, np.ndarray] = {("encoder", 0): tiles}
        for subgraph in self._subgraphs:
            inputs = [maps[key] for key in subgraph.inputs]
            identity = self._stages.is_identity(subgraph)
            # copied: the next call may overwrite it
            maps[subgraph.output] = inputs[0] if identity else np.array(self._runtime.run_subgraph(subgraph, *inputs))
        return maps["decoder", 0]


def _elements(graph: LayerGraph) -> list[Any]:
    records = {LayerSpec: _Layer, Save: _Save, Branch: _Branch, Merge: _Merge}
    fields = ({name: value for name, value in asdict(element).items() if name != "axes"} for element in graph)
    return [records[type(element)](**values) for element, values in zip(graph, fields, strict=True)]


def _graph(elements: list[Any]) -> LayerGraph:
    return [element.build() for element in elements]
