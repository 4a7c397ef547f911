"""OpenVINO for exported .xml or .onnx files, without torch.

`import openvino` sends telemetry unless the package `openvino_telemetry` cannot be imported. This is the only module
that imports openvino, and it blocks that package first.
"""

import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from pixelwise.geometry.subgraphs import NetworkStages, Subgraph
from pixelwise.model_file.model_card import ModelCard, invalid_model, read_model_card_text
from pixelwise.parallel import usable_threads
from pixelwise.runtimes.base import (
    INPUTS,
    LOGITS,
    METADATA,
    Images,
    Outputs,
    PerChannel,
    RuntimeMemory,
    check_logits,
    computing,
    graph_inputs,
    refusing,
)
from pixelwise.runtimes.graph_memory import GraphOperation, MemoryCheck, peak_bytes
from pixelwise.runtimes.graph_stages import STAGES, inner_maps, map_name, read_stages_text, subgraph_inputs
from pixelwise.runtimes.malloc import release_memory

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None makes its import fail

import openvino  # noqa: E402
from openvino import opset13 as opset  # noqa: E402

Precision = Literal["fp32", "bf16"]
MAX_XML = 2**23  # bytes of a graph without weights; those of exports take less than a tenth
_WITHIN = {"If", "Loop", "TensorIterator"}  # operations with graphs of their own; exports of pixelwise have none
HELD = 192 * 2**20  # bytes of a compiled graph, and of inner values that it keeps beside those of the largest tile


class OpenVinoRuntime:
    """An exported graph on the CPU.

    Threads: one per core of this process, not pinned: pinning slows down torch in the same process more than tenfold
    and gains nothing here.

    Parameters
    ----------
    path : Path
        An .xml file with its .bin file in the same folder, or an .onnx file.
    precision : {"fp32", "bf16"}
        Precision of the convolutions; the int8 layers of a quantised graph are not affected.

    Raises
    ------
    BadModel
        The file is not a graph exported by pixelwise.
    """

    def __init__(self, path: Path, *, precision: Precision = "fp32", threads: int | None = None) -> None:
        core = openvino.Core()
        graph = read_graph(path)
        split_concatenated_convolutions(graph)
        self.model_card: ModelCard = read_model_card_text(model_card_text(graph, path), path)
        with refusing(path, "a graph that OpenVINO cannot load"):
            self._names = [name for name in INPUTS if name in {value.get_any_name() for value in graph.inputs}]
        self.memory, self.stages = RuntimeMemory(held=HELD), read_stages(graph, self.model_card, path)
        # of a subgraph, or None for the whole network: a compiled graph has a copy of its weights
        self._current: tuple[Subgraph | None, openvino.InferRequest] | None = None
        settings = {
            "ENABLE_CPU_PINNING": False,
            "INFERENCE_NUM_THREADS": threads or usable_threads(),
            "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[precision],
            "PERFORMANCE_HINT": "LATENCY",  # one batch at a time on all cores
        }
        self._core, self._graph, self._settings, self._path = core, graph, settings, path
        # without the softmax, for calls that need logits only
        whole: Any = openvino.Model([graph.output(LOGITS).get_node()], graph.get_parameters())  # type: ignore[reportGeneralTypeIssues]
        self._whole = whole
        self._check_memory = MemoryCheck(path, lambda shapes: graph_bytes(whole, shapes))
        self._check_memory({})
        self._checks: dict[Subgraph | None, MemoryCheck] = {None: self._check_memory}
        self._all_outputs: openvino.InferRequest | None = None

    def __call__(
        self, tiles: Float[np.ndarray, "batch channels *size"]
    ) -> Float[np.ndarray, "batch classes *output_size"]:
        """Return the logits, as float32."""
        inputs = graph_inputs(self._names, tiles)
        logits = np.array(self._infer(None, inputs), np.float32)
        return check_logits(logits, tiles, self.model_card, self._path)

    def run_subgraph(
        self, subgraph: Subgraph, *maps: Float[np.ndarray, "batch _ *_"]
    ) -> Float[np.ndarray, "batch out_channels *out_size"]:
        """Return the output of a subgraph, as float32; it is compiled when it differs from that of the call before."""
        if self.stages is None:
            raise ValueError("a network that cannot be cut")
        inputs = subgraph_inputs(subgraph, maps, self._names, self.stages, channels_last=True)
        output = self._infer(subgraph, inputs)
        return np.array(output) if subgraph.output == ("decoder", 0) else np.moveaxis(output, -1, 1)

    def _infer(self, subgraph: Subgraph | None, inputs: dict[str, np.ndarray]) -> Float[np.ndarray, "batch *_"]:
        """Return a view of the output, until the next call."""
        with computing(self._path, "OpenVINO"):
            request = self._request(subgraph, list(inputs))
            self._checks[subgraph]({name: value.shape for name, value in inputs.items()})
            request.infer(inputs, share_inputs=True)  # inputs are read before it returns
        return np.asarray(request.get_output_tensor(0).data, np.float32)

    def _request(self, subgraph: Subgraph | None, inputs: Sequence[str]) -> openvino.InferRequest:
        """Return the request for a subgraph; only one is compiled at a time.

        A compiled graph keeps memory for inner values of its largest tile, also after `release_memory`. Compiling again
        takes a tenth of a second, and images that are cut many seconds.
        """
        if self._current is not None and self._current[0] == subgraph:
            return self._current[1]
        self._current = None
        release_memory()  # what OpenVINO frees stays with the allocator, in blocks of other sizes
        graph = self._whole if subgraph is None else cut_graph(self._graph, inputs, map_name(subgraph.output))
        if subgraph not in self._checks:
            self._checks[subgraph] = MemoryCheck(self._path, lambda shapes: graph_bytes(graph, shapes))
        compiled = self._core.compile_model(graph, "CPU", self._settings)
        self._current = subgraph, compiled.create_infer_request()
        return self._current[1]

    def outputs(self, image: Images, mean: PerChannel, std: PerChannel) -> Outputs:
        """Return all outputs for images in file values, as other programs run the graph."""
        if self._all_outputs is None:
            self._all_outputs = self._core.compile_model(self._graph, "CPU", self._settings).create_infer_request()
        self._all_outputs.infer(graph_inputs(self._names, image, mean, std))
        return Outputs(*(np.array(self._all_outputs.get_tensor(name).data, np.float32) for name in Outputs._fields))


def read_graph(path: Path) -> openvino.Model:
    """Read an .xml or .onnx file.

    Raises
    ------
    BadModel
        It cannot be read.
    """
    if path.suffix == ".xml" and path.stat().st_size > MAX_XML:
        raise invalid_model(path, f"a graph of {path.stat().st_size:,} bytes without weights")
    try:
        graph = openvino.Core().read_model(path)
        kinds = {operation.get_type_name() for operation in graph.get_ordered_ops()}
    except RuntimeError as error:
        raise invalid_model(path, "a graph that OpenVINO cannot load") from error
    if found := kinds & _WITHIN:
        raise invalid_model(path, f"a graph with {', '.join(sorted(found))}, which may compute without end")
    return graph


def read_stages(graph: openvino.Model, model_card: ModelCard, path: Path) -> NetworkStages | None:
    """Return the stages of the network of a graph; None if it cannot be cut.

    Raises
    ------
    BadModel
        They are invalid, or the graph lacks a map.
    """
    text = text_in(graph, STAGES)
    if text is None:
        return None
    stages = read_stages_text(text, model_card.geometry, path)
    names = {name for operation in graph.get_ordered_ops() for output in operation.outputs() for name in output.names}
    if not all(map_name(key) in names for key in inner_maps(stages)):
        raise invalid_model(path, "a graph without the maps that its stages name")
    return stages


def cut_graph(graph: openvino.Model, inputs: Sequence[str], output: str) -> openvino.Model:
    """Return the part of a graph between named values; the weights are not copied.

    Inner values that it takes and returns are arrays (batch, *size, channels), the layout in which the CPU computes.

    Parameters
    ----------
    graph : openvino.Model
        Not modified.
    inputs : sequence of str
        Names of inputs of the graph, or of inner values.
    """
    graph = graph.clone()
    operations: list[Any] = graph.get_ordered_ops()
    ports = {name: port for operation in operations for port in operation.outputs() for name in port.names}
    parameters: list[Any] = []
    for name in inputs:
        port = ports[name]
        if port.get_node().get_type_name() == "Parameter":
            parameters.append(port.get_node())
            continue
        shape = port.get_partial_shape()
        sides = [-1] * (len(shape) - 2)  # tiles may be smaller than any image
        parameter = opset.parameter([-1, *sides, shape[1].get_length()], np.float32)
        values = opset.transpose(parameter, [0, len(shape) - 1, *range(1, len(shape) - 1)])
        for reader in port.get_target_inputs():
            reader.replace_source_output(values.output(0))
        port.set_names(set())
        parameter.output(0).set_names({name})
        parameters.append(parameter)
    result: Any = ports[output]
    if output != LOGITS:
        result = opset.transpose(result, [0, *range(2, len(result.get_partial_shape())), 1]).output(0)
    return openvino.Model([result], parameters)  # type: ignore[reportGeneralTypeIssues]


def graph_bytes(graph: openvino.Model, shapes: Mapping[str, Sequence[int]]) -> int:
    """Return the bytes of the values alive at once for inputs of these shapes (see `graph_memory`)."""
    graph = graph.clone()
    graph.reshape({name: list(shape) for name, shape in shapes.items()})
    operations: list[GraphOperation] = []
    sizes: dict[str, int] = {}
    for operation in graph.get_ordered_ops():
        outputs = [f"{operation.get_name()}:{port.get_index()}" for port in operation.outputs()]
        sources = [port.get_source_output() for port in operation.inputs()]
        inputs = [f"{source.get_node().get_name()}:{source.get_index()}" for source in sources]
        if operation.get_type_name() != "Constant":  # weights are in memory already
            for name, port in zip(outputs, operation.outputs(), strict=True):
                known = port.get_partial_shape()
                if known.is_static:
                    sizes[name] = math.prod(known.to_shape()) * port.get_element_type().size
        operations.append(GraphOperation(inputs, outputs))
    return peak_bytes(operations, sizes, (), ())


def split_concatenated_convolutions(graph: openvino.Model) -> None:
    """Replace convolutions of concatenated maps by sums of convolutions of each map, in place.

    The first convolution of a decoder block reads the concatenation of the skip connection and the upsampled map. As a
    sum the two are not copied into one map, and the second convolution adds to the output of the first: 6 % of the time
    of a narrow U-Net. Quantised graphs are not changed, because there the sum would need a float32 intermediate.
    """
    operations: list[Any] = graph.get_ordered_ops()
    if any(operation.get_type_name() == "FakeQuantize" for operation in operations):
        return
    for operation in operations:
        readers = [reader for output in operation.outputs() for reader in output.get_target_inputs()]
        concatenates = operation.get_type_name() == "Concat"
        if not concatenates or len(readers) != 1 or operation.get_attributes()["axis"] != 1:
            continue
        convolution = readers[0].get_node()
        if convolution.get_type_name() != "Convolution":
            continue
        kernel = convolution.input_value(1).get_node()
        if kernel.get_type_name() == "Constant":
            total = _sum_of_convolutions(operation, convolution, kernel.get_data())
            names = convolution.output(0).names
            for reader in convolution.output(0).get_target_inputs():
                reader.replace_source_output(total.output(0))
            convolution.output(0).set_names(set())
            total.output(0).set_names(names)
    graph.validate_nodes_and_infer_types()


def _sum_of_convolutions(concatenation: Any, convolution: Any, kernel: np.ndarray) -> Any:
    attributes, total, first = convolution.get_attributes(), None, 0
    options = {name: attributes[name] for name in ("strides", "pads_begin", "pads_end", "dilations", "auto_pad")}
    for number, features in enumerate(concatenation.input_values()):
        channels = features.get_partial_shape()[1].get_length()
        weights = opset.constant(np.ascontiguousarray(kernel[:, first : first + channels]))
        term = opset.convolution(features, weights, **options)
        term.set_friendly_name(f"{convolution.get_friendly_name()}/{number}")
        total = term if total is None else opset.add(total, term)
        first += channels
    return total


def model_card_text(graph: openvino.Model, path: Path) -> str:
    """Return the JSON text of the model card in a graph.

    Raises
    ------
    BadModel
        The graph has no model card.
    """
    text = text_in(graph, METADATA)
    if text is None:
        raise invalid_model(path, "a graph without a pixelwise model card")
    return text


def text_in(graph: openvino.Model, key: str) -> str | None:
    """Return a text that is stored in a graph under a key."""
    for place in ([key], ["framework", key]):  # in .xml files; in .onnx files
        if graph.has_rt_info(place):
            return graph.get_rt_info(place).astype(str)
    return None
