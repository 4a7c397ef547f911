"""Subgraphs of an encoder-decoder network that are tiled one after the other, each with its own halo.

The receptive field of a deep network grows in its coarse stages, which are the cheap ones; the fine stages need a few
pixels. Tiles of the whole network read the halo of the coarse stages at full resolution. Cut at encoder maps, the
network becomes a sequence of subgraphs instead:

    image -> map 2 -> map 4           encoder subgraphs
    map 4 -> decoder map 4            the bottom: the rest of the encoder and the first decoder stages
    decoder map 4, map 2 -> ... -> logits    decoder subgraphs

Maps at cuts are kept for a region of the image. Skips between cuts are computed again from the map at the finer cut.

Levels: 0 is the image and the logits, i the i-th map of the encoder and the output of the decoder stage of its size.
Networks treat all axes alike, so that strides and halos count for each axis of an image or a volume.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal

from pixelwise.geometry.layer_graph import MAIN, Branch, LayerGraph, LayerSpec, Merge, Save, input_spans, sizes_along
from pixelwise.geometry.sizes import Geometry

COARSE = "decoder map"  # name of the second input of decoder subgraphs
VALUE_WORK = 32  # multiply-adds in the time in which a processor moves one value to or from memory

Size = tuple[int | float, int]  # stride and channels of a map
MapKey = tuple[Literal["encoder", "decoder"], int]  # which path, and the level


@dataclass(frozen=True)
class Subgraph:
    """A part of a network between levels.

    Attributes
    ----------
    source : int
        Level of the encoder map that it reads; 0 for the image.
    target : int
        Level of its output.
    coarse : int or None
        Level of the decoder map that it also reads.

    Examples
    --------
    >>> Subgraph(0, 2).output, Subgraph(2, 2).output, Subgraph(0, 0, 2).inputs
    (('encoder', 2), ('decoder', 2), (('encoder', 0), ('decoder', 2)))
    """

    source: int
    target: int
    coarse: int | None = None

    @property
    def output(self) -> MapKey:
        """The map that it computes."""
        return ("encoder" if self.source < self.target else "decoder"), self.target

    @property
    def inputs(self) -> tuple[MapKey, ...]:
        """The maps that it reads."""
        source: MapKey = ("encoder", self.source)
        return (source,) if self.coarse is None else (source, ("decoder", self.coarse))


@dataclass(frozen=True)
class Cost:
    """Per pixel of the image: work in multiply-adds (see `VALUE_WORK`), and the most values alive at once."""

    work: float
    values: float


@dataclass(frozen=True, kw_only=True, eq=False)
class NetworkStages:
    """The stages of an encoder-decoder network, by level.

    Attributes
    ----------
    geometry : Geometry
        Of the whole network.
    strides : tuple of int
        Pixels of the image per pixel of the maps of each level.
    channels, decoder_channels : tuple of int
        Of the map of the encoder and of the decoder at each level.
    encoder, decoder : tuple of LayerGraph
        encoder[i - 1] computes map i from map i - 1; decoder[i] the decoder map i from that of level i + 1, with the
        map `skips[i]`. Level 0 includes the head.
    start : LayerGraph
        Between the coarsest map and the decoder.
    skips : tuple of str
        Name by which the decoder uses the map of each level.
    dimensions : {2, 3}
        Spatial axes of the maps.
    cuts_bottom : bool
        Whether the network can also be cut at its coarsest map, which older exported graphs do not name.
    """

    geometry: Geometry
    strides: tuple[int, ...]
    channels: tuple[int, ...]
    decoder_channels: tuple[int, ...]
    encoder: tuple[LayerGraph, ...]
    decoder: tuple[LayerGraph, ...]
    start: LayerGraph
    skips: tuple[str, ...]
    dimensions: int = 2
    cuts_bottom: bool = False

    @property
    def cut_levels(self) -> range:
        """The levels at which the network can be cut."""
        return range(1, self.deepest + self.cuts_bottom)

    @property
    def deepest(self) -> int:
        """The coarsest level."""
        return len(self.strides) - 1

    @cached_property
    def aligned(self) -> bool:
        """Whether every map of a valid image has exactly 1 / stride of its size, as tiles at all levels need."""
        if not self.geometry.exact or self.geometry.margin or self.geometry.legal_first % self.geometry.total_stride:
            return False
        size = 4 * self.geometry.total_stride
        graph = self.layer_graph(Subgraph(0, 0))
        sizes = sizes_along(graph, size)
        if sizes is None or sizes[-1] != size:
            return False
        levels = {name: level for level, name in enumerate(self.skips)}
        saved = [(levels.get(e.name), n) for e, n in zip(graph, sizes, strict=True) if isinstance(e, Save)]
        return all(level is None or n * self.strides[level] == size for level, n in saved)

    def channels_of(self, key: MapKey) -> int:
        """Return the channels of a map."""
        return (self.channels if key[0] == "encoder" else self.decoder_channels)[key[1]]

    def layer_graph(self, subgraph: Subgraph) -> LayerGraph:
        """Return the layers of a subgraph; its second input is named `COARSE`."""
        graph: list[LayerSpec | Save | Branch | Merge] = [Save(self.skips[subgraph.source])]
        if subgraph.output[0] == "encoder":
            levels = range(subgraph.source + 1, subgraph.target + 1)
            return [*graph, *(element for level in levels for element in self.encoder[level - 1])]
        stop = self.deepest + 1 if subgraph.coarse is None else subgraph.coarse
        for level in range(subgraph.source + 1, stop):
            graph += [*self.encoder[level - 1], Save(self.skips[level])]
        graph += self.start if subgraph.coarse is None else [Branch(COARSE)]
        first = self.deepest if subgraph.coarse is None else subgraph.coarse
        for level in reversed(range(subgraph.target, first)):
            graph += self.decoder[level]
        return graph

    def is_identity(self, subgraph: Subgraph) -> bool:
        """Return whether a subgraph has no layers: a cut at the coarsest map of a network without a centre block."""
        return not any(isinstance(element, LayerSpec) for element in self.layer_graph(subgraph))

    def step_of(self, subgraph: Subgraph) -> int:
        """Return the stride of the coarsest map of a subgraph: its tiles start at multiples of it."""
        if subgraph.output[0] == "encoder":
            return self.strides[subgraph.target]
        return self.strides[-1 if subgraph.coarse is None else subgraph.coarse]

    def halo(self, subgraph: Subgraph) -> int:
        """Return how many pixels of the image a tile reads beyond its valid region: a multiple of `step_of`."""
        step, stride = self.step_of(subgraph), self.strides[subgraph.target]
        strides = {MAIN: self.strides[subgraph.source], COARSE: self.strides[subgraph.coarse or 0]}
        graph = self.layer_graph(subgraph)
        need = 0
        for pixel in range(step // stride):
            for name, (low, high) in input_spans(graph, pixel).items():
                need = max(need, -low * strides[name], (high + 1) * strides[name] - step)
        return -(-need // step) * step

    def cost(self, subgraph: Subgraph) -> Cost:
        """Return the work and the memory of a subgraph per pixel of the image."""
        inputs = {MAIN: (self.strides[subgraph.source], self.channels[subgraph.source])}
        if subgraph.coarse is not None:
            inputs[COARSE] = (self.strides[subgraph.coarse], self.decoder_channels[subgraph.coarse])
        return count_cost(self.layer_graph(subgraph), inputs, self.dimensions)


def subgraphs_at(cuts: Sequence[int]) -> list[Subgraph]:
    """Return the subgraphs of a network that is cut at these levels, in the order of computation.

    Examples
    --------
    >>> [(part.source, part.target, part.coarse) for part in subgraphs_at([2])]
    [(0, 2, None), (2, 2, None), (0, 0, 2)]
    >>> subgraphs_at([])
    [Subgraph(source=0, target=0, coarse=None)]
    """
    pairs = list(pairwise([0, *cuts]))
    down = [Subgraph(fine, coarse) for fine, coarse in pairs]
    up = [Subgraph(fine, fine, coarse) for fine, coarse in reversed(pairs)]
    last = cuts[-1] if cuts else 0
    return [*down, Subgraph(last, last), *up]


def count_cost(layer_graph: LayerGraph, inputs: Mapping[str, Size], dimensions: int = 2) -> Cost:
    """Count the work and the most values alive at once, per pixel of the image.

    Parameters
    ----------
    inputs : mapping
        (stride, channels) of each input by name, as in `layer_graph.input_spans`.
    dimensions : {2, 3}
        Spatial axes of the maps.

    Examples
    --------
    >>> conv = LayerSpec(name="conv", kind="convolution", kernel=3, in_channels=2, channels=4)
    >>> count_cost([conv], {"": (1, 2)}).values
    6.0
    """
    sizes: list[Size] = list(inputs.values())
    maps = {name: number for number, name in enumerate(inputs)}  # by number: one map may have several names
    current = maps.get(MAIN, -1)
    last_use = {e.name: index for index, e in enumerate(layer_graph) if isinstance(e, Branch | Merge)}
    work = peak = 0.0
    for index, element in enumerate(layer_graph):
        if isinstance(element, Save):
            maps[element.name] = current
        elif isinstance(element, Branch):
            current = maps[element.name]
        else:
            known = {name: sizes[number] for name, number in maps.items()}
            result, products = _result(element, sizes[current], known, dimensions)
            moved = _values([sizes[current], result], dimensions)
            waiting = {number for name, number in maps.items() if last_use.get(name, -1) >= index} - {current}
            work += products + VALUE_WORK * moved
            peak = max(peak, _values((sizes[number] for number in waiting), dimensions) + moved)
            sizes.append(result)
            current = len(sizes) - 1
    return Cost(work, peak)


def _result(
    element: LayerSpec | Merge, current: Size, maps: Mapping[str, Size], dimensions: int
) -> tuple[Size, int | float]:
    """Return stride and channels after a layer, and its multiply-adds per pixel of the image."""
    stride, channels = current
    if isinstance(element, Merge):
        return (stride, channels + maps[element.name][1] if element.how == "concatenated" else channels), 0.0
    result = stride / element.stride if element.up else stride * element.stride
    places = 1 / (stride if element.kind == "transposed" else result) ** dimensions
    weighted = element.kind in ("convolution", "transposed")
    products = element.kernel**dimensions * element.in_channels * element.channels * places if weighted else 0.0
    return (result, element.channels or channels), products


def _values(shapes: Iterable[Size], dimensions: int) -> float:
    return sum((channels / stride**dimensions for stride, channels in shapes), 0.0)
