"""ONNX Runtime for exported .onnx files, without torch.

Since 2026 ONNX Runtime sends telemetry and stores an identifier in the user's cache, starting with its import. It reads
the variable that disables this once, at import (microsoft/onnxruntime pull request 27379).
"""

import os
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime  # isort: skip

from pixelwise.errors import PixelwiseError, printable
from pixelwise.geometry.subgraphs import NetworkStages, Subgraph
from pixelwise.model_file.model_card import ModelCard, invalid_model, read_model_card_text
from pixelwise.parallel import usable_threads
from pixelwise.runtimes.base import (
    LOGITS,
    METADATA,
    Images,
    Outputs,
    PerChannel,
    RuntimeMemory,
    check_logits,
    computing,
    graph_inputs,
)
from pixelwise.runtimes.graph_memory import Estimate, MemoryCheck
from pixelwise.runtimes.graph_stages import STAGES, map_name, read_stages_text, subgraph_inputs

if TYPE_CHECKING:
    from pixelwise.runtimes.onnx_shapes import OnnxShapes

ERRORS_ONLY = 3  # severity of onnxruntime: 2 would print warnings about optional hardware


class OnnxRuntime:
    """An exported graph on the CPU.

    Threads: one per core of this process. They do not spin while waiting: spinning slows down the next call of torch in
    the same process by 40 %, sleeping costs about 5 % here.

    Parameters
    ----------
    source : Path or bytes
        The .onnx file, or its contents.
    path : Path, optional
        Path for error messages; by default `source`.
    threads : int, optional

    Raises
    ------
    BadModel
        The file is not a graph exported by pixelwise.
    """

    def __init__(self, source: Path | bytes, *, path: Path | None = None, threads: int | None = None) -> None:
        path = path or (source if isinstance(source, Path) else Path("model.onnx"))
        onnxruntime.disable_telemetry_events()
        self._threads = threads or usable_threads()
        self._check_memory = MemoryCheck(path, _estimate_of(source))
        self._checks: dict[Subgraph, MemoryCheck] = {}
        try:
            self._check_memory({})
            self._session = _session(source if isinstance(source, bytes) else str(source), self._threads)
            texts = self._session.get_modelmeta().custom_metadata_map
            self._names = [value.name for value in self._session.get_inputs()]
        except PixelwiseError:
            raise
        except Exception as error:  # the errors of the library have no common base class
            reason = printable(str(error).splitlines()[0]) if str(error) else type(error).__name__
            raise invalid_model(path, f"a graph that ONNX Runtime cannot load ({reason})") from error
        text = texts.get(METADATA)
        if text is None:
            raise invalid_model(path, "an ONNX file without a pixelwise model card")
        self.model_card: ModelCard = read_model_card_text(text, path)
        self._path, self._source = path, source
        stages = texts.get(STAGES) if find_spec("onnx") else None  # which cuts the graph
        self._stages = stages and read_stages_text(stages, self.model_card.geometry, path)
        self._subgraphs: dict[Subgraph, onnxruntime.InferenceSession] = {}
        self._run_options = onnxruntime.RunOptions()
        self._run_options.only_execute_path_to_fetches = True

    def __call__(
        self, tiles: Float[np.ndarray, "batch channels *size"]
    ) -> Float[np.ndarray, "batch classes *output_size"]:
        """Return the logits as float32, without computing the softmax."""
        inputs = graph_inputs(self._names, tiles)
        with computing(self._path, "ONNX Runtime"):
            self._check_memory({name: value.shape for name, value in inputs.items()})
            logits = np.asarray(self._session.run([LOGITS], inputs, self._run_options)[0])
        return check_logits(logits, tiles, self.model_card, self._path)

    @property
    def stages(self) -> NetworkStages | None:
        """The stages of the network; None if it cannot be cut."""
        return self._stages or None

    @property
    def memory(self) -> RuntimeMemory:
        """What it holds, as measured."""
        return RuntimeMemory()

    def run_subgraph(
        self, subgraph: Subgraph, *maps: Float[np.ndarray, "batch _ *_"]
    ) -> Float[np.ndarray, "batch out_channels *out_size"]:
        """Return the output of a subgraph, as float32; it is prepared when it is first used.

        Raises
        ------
        ValueError
            The network cannot be cut.
        """
        if not self._stages:
            raise ValueError("a network that cannot be cut")
        inputs = subgraph_inputs(subgraph, maps, self._names, self._stages)
        output = map_name(subgraph.output)
        with computing(self._path, "ONNX Runtime"):
            if subgraph not in self._subgraphs:
                cut = self._cut(list(inputs), output)
                self._checks[subgraph] = MemoryCheck(self._path, _estimate_of(cut))
                self._subgraphs[subgraph] = _session(cut, self._threads)
            self._checks[subgraph]({name: value.shape for name, value in inputs.items()})
            return np.asarray(self._subgraphs[subgraph].run([output], inputs)[0])

    def _cut(self, inputs: list[str], output: str) -> bytes:
        """Return the part of the graph between named values, as the contents of a file."""
        import onnx
        from onnx.utils import Extractor

        source = self._source
        graph = onnx.load_from_string(source) if isinstance(source, bytes) else onnx.load(source)
        return Extractor(graph).extract_model(inputs, [output]).SerializeToString()

    def outputs(self, image: Images, mean: PerChannel, std: PerChannel) -> Outputs:
        """Return all outputs for images in file values, as other programs run the graph."""
        inputs = graph_inputs(self._names, image, mean, std)
        with computing(self._path, "ONNX Runtime"):
            values = self._session.run(list(Outputs._fields), inputs)
        return Outputs(*(np.asarray(value) for value in values))

    def all_outputs(self, image: Images) -> list[np.ndarray]:
        """Return all outputs of the file, in its order, for unscaled images."""
        return [np.asarray(value) for value in self._session.run(None, graph_inputs(self._names, image))]


def _estimate_of(source: Path | bytes) -> Estimate:
    """Return how the memory of a graph is estimated, which needs the package `onnx`; the graph is read when needed."""

    @cache
    def shapes() -> "OnnxShapes | None":
        if find_spec("onnx") is None:
            return None
        from pixelwise.runtimes.onnx_shapes import OnnxShapes

        return OnnxShapes(source)

    def estimate(inputs: Mapping[str, Sequence[int]]) -> int | None:
        graph = shapes()
        return None if graph is None else graph.bytes(inputs)

    return estimate


def _session(model: bytes | str, threads: int) -> onnxruntime.InferenceSession:
    """Return a session for a graph, or for the path of its file."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = ERRORS_ONLY
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # its second try with the same provider would print a banner
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"], enable_fallback=0)
