"""ONNX Runtime for exported .onnx files, without torch.

Since 2026 ONNX Runtime sends telemetry and stores an identifier in the user's cache, starting with its import. It reads
the variable that disables this once, at import (microsoft/onnxruntime pull request 27379).
"""

import os
from functools import cache
from pathlib import Path

import numpy as np
import onnx
from jaxtyping import Float

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime  # isort: skip

from pixelwise.errors import PixelwiseError, printable
from pixelwise.geometry.subgraphs import Subgraph
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
from pixelwise.runtimes.malloc import release_memory
from pixelwise.runtimes.onnx_shapes import OnnxShapes

ERRORS_ONLY = 3  # severity of onnxruntime: 2 would print warnings about optional hardware
HELD = 192 * 2**20  # bytes of a session besides values: its weights, in the graph and prepared for convolutions
FACTOR = 3.5  # memory of a tile relative to its values, as measured: the arena of a session grows by powers of two


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

    Raises
    ------
    BadModel
        The file is not a graph exported by pixelwise.
    """

    def __init__(self, source: Path | bytes, *, path: Path | None = None, threads: int | None = None) -> None:
        path = path or (source if isinstance(source, Path) else Path("model.onnx"))
        onnxruntime.disable_telemetry_events()
        self._path, self._source, self._threads = path, source, threads or usable_threads()
        self._check_memory = MemoryCheck(path, _estimate_of(source))
        self._checks: dict[Subgraph | None, MemoryCheck] = {None: self._check_memory}
        # of a subgraph, or None for the whole network: a session keeps the memory of its largest tile
        self._current: tuple[Subgraph | None, onnxruntime.InferenceSession] | None = None
        try:
            self._check_memory({})
            session = self._request(None, [])
            texts = session.get_modelmeta().custom_metadata_map
            self._names = [value.name for value in session.get_inputs()]
        except PixelwiseError:
            raise
        except Exception as error:  # the errors of the library have no common base class
            reason = printable(str(error).splitlines()[0]) if str(error) else type(error).__name__
            raise invalid_model(path, f"a graph that ONNX Runtime cannot load ({reason})") from error
        text = texts.get(METADATA)
        if text is None:
            raise invalid_model(path, "an ONNX file without a pixelwise model card")
        self.model_card: ModelCard = read_model_card_text(text, path)
        stages = texts.get(STAGES)
        self.stages = read_stages_text(stages, self.model_card.geometry, path) if stages else None
        self.memory = RuntimeMemory(held=HELD, factor=FACTOR)
        self._run_options = onnxruntime.RunOptions()
        self._run_options.only_execute_path_to_fetches = True

    def __call__(
        self, tiles: Float[np.ndarray, "batch channels *size"]
    ) -> Float[np.ndarray, "batch classes *output_size"]:
        """Return the logits as float32, without computing the softmax."""
        inputs = graph_inputs(self._names, tiles)
        with computing(self._path, "ONNX Runtime"):
            self._check_memory({name: value.shape for name, value in inputs.items()})
            logits = np.asarray(self._request(None, []).run([LOGITS], inputs, self._run_options)[0])
        return check_logits(logits, tiles, self.model_card, self._path)

    def run_subgraph(
        self, subgraph: Subgraph, *maps: Float[np.ndarray, "batch _ *_"]
    ) -> Float[np.ndarray, "batch out_channels *out_size"]:
        """Return the output of a subgraph, as float32; it is prepared when it differs from that of the call before."""
        if self.stages is None:
            raise ValueError("a network that cannot be cut")
        inputs = subgraph_inputs(subgraph, maps, self._names, self.stages)
        output = map_name(subgraph.output)
        with computing(self._path, "ONNX Runtime"):
            session = self._request(subgraph, list(inputs), output)
            self._checks[subgraph]({name: value.shape for name, value in inputs.items()})
            return np.asarray(session.run([output], inputs)[0])

    def _request(
        self, subgraph: Subgraph | None, inputs: list[str], output: str = LOGITS
    ) -> onnxruntime.InferenceSession:
        """Return the session of a subgraph; only one is in memory at a time.

        Preparing one takes a third of a second, and images that are cut many seconds.
        """
        if self._current is not None and self._current[0] == subgraph:
            return self._current[1]
        self._current = None
        release_memory()
        if subgraph is None:
            graph = self._source if isinstance(self._source, bytes) else str(self._source)
        else:
            graph = self._cut(inputs, output)
            self._checks[subgraph] = MemoryCheck(self._path, _estimate_of(graph))
        self._current = subgraph, _session(graph, self._threads)
        return self._current[1]

    def _cut(self, inputs: list[str], output: str) -> bytes:
        """Return the part of the graph between named values, as the contents of a file."""
        source = self._source
        model = onnx.load_from_string(source) if isinstance(source, bytes) else onnx.load(source)
        graph = model.graph
        values = {value.name: value for value in (*graph.value_info, *graph.input, *graph.output)}
        needed, nodes = {output}, []
        for node in reversed(graph.node):  # in the order of computation
            if needed.intersection(node.output) and not set(inputs).issuperset(node.output):
                nodes.insert(0, node)
                needed.update(node.input)
        cut = onnx.helper.make_graph(
            nodes,
            graph.name,
            [values[name] for name in inputs],
            [values[output]],
            [weights for weights in graph.initializer if weights.name in needed],
            value_info=[value for name, value in values.items() if name in needed - {output, *inputs}],
        )
        model.graph.Clear()  # the weights are in memory once
        model.graph.CopyFrom(cut)
        return model.SerializeToString()

    def outputs(self, image: Images, mean: PerChannel, std: PerChannel) -> Outputs:
        """Return all outputs for images in file values, as other programs run the graph."""
        inputs = graph_inputs(self._names, image, mean, std)
        with computing(self._path, "ONNX Runtime"):
            values = self._request(None, []).run(list(Outputs._fields), inputs)
        return Outputs(*(np.asarray(value) for value in values))

    def all_outputs(self, image: Images) -> list[np.ndarray]:
        """Return all outputs of the file, in its order, for unscaled images."""
        return [np.asarray(value) for value in self._request(None, []).run(None, graph_inputs(self._names, image))]


def _estimate_of(source: Path | bytes) -> Estimate:
    """Return how the memory of a graph is estimated; the graph is read when needed."""

    @cache
    def shapes() -> OnnxShapes:
        return OnnxShapes(source)

    return lambda inputs: shapes().bytes(inputs)


def _session(model: bytes | str, threads: int) -> onnxruntime.InferenceSession:
    """Return a session for a graph, or for the path of its file."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = ERRORS_ONLY
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # its second try with the same provider would print a banner
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"], enable_fallback=0)
