"""Batches of tiles in OpenVINO, from an exported .xml or .onnx file; torch is not imported.

`import openvino` sends word of itself over the network. It does without where its telemetry cannot be imported, so
that is made so before, here, in the one place that imports it.
"""

import sys
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Float32

from pixelwise.model_file.model_card import ModelCard, broken, read_model_card_text
from pixelwise.parallel import usable_threads
from pixelwise.runtimes.base import INPUTS, LOGITS, METADATA, PROBABILITIES, Outputs, graph_inputs

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None: "there is no such module"

import openvino  # noqa: E402
from openvino import opset13 as steps  # noqa: E402

Precision = Literal["fp32", "bf16"]


class OpenVinoRuntime:
    """An exported graph on the processor, Winograd convolutions included.

    Threads: as many as this process has cores, not pinned to them, because pinning ones slow torch in the same process
    more than tenfold and gain nothing here.

    Parameters
    ----------
    path : Path
        An .xml file, whose weights lie beside it as .bin, or an .onnx file.
    precision : {"fp32", "bf16"}
        What convolutions compute in. A quantised graph computes in int8 where it says so, whatever stands here.
    threads : int, optional

    Raises
    ------
    BadModel
        The file is no graph, or none that pixelwise exported.
    """

    def __init__(self, path: Path, *, precision: Precision = "fp32", threads: int | None = None) -> None:
        core = openvino.Core()
        graph = read_graph(path)
        add_up_concatenations(graph)
        self.model_card: ModelCard = read_model_card_text(model_card_text(graph, path), path)
        self._names = [name for name in INPUTS if name in {value.get_any_name() for value in graph.inputs}]
        settings = {
            "ENABLE_CPU_PINNING": False,
            "INFERENCE_NUM_THREADS": threads or usable_threads(),
            "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[precision],
            "PERFORMANCE_HINT": "LATENCY",  # one batch at a time, all cores on it
        }
        # the soft-max is never computed where logits are wanted
        logits: Any = openvino.Model([graph.output(LOGITS).get_node()], graph.get_parameters())  # type: ignore[reportGeneralTypeIssues]
        self._core, self._graph, self._settings = core, graph, settings
        self._logits = core.compile_model(logits, "CPU", settings).create_infer_request()
        self._whole: openvino.InferRequest | None = None

    def __call__(
        self, tiles: Float[np.ndarray, "batch channels height width"]
    ) -> Float[np.ndarray, "batch classes *output_size"]:
        """Return the logits, as float32."""
        self._logits.infer(graph_inputs(self._names, tiles), share_inputs=True)  # they are read before it returns
        return np.array(self._logits.get_output_tensor(0).data, np.float32)

    def outputs(
        self,
        image: Float32[np.ndarray, "batch channels height width"],
        mean: Float32[np.ndarray, "batch channels"],
        std: Float32[np.ndarray, "batch channels"],
    ) -> Outputs:
        """Return all outputs for images in file values, as a stranger runs the graph."""
        if self._whole is None:
            self._whole = self._core.compile_model(self._graph, "CPU", self._settings).create_infer_request()
        self._whole.infer(graph_inputs(self._names, image, mean, std))
        found = [np.array(self._whole.get_tensor(name).data, np.float32) for name in (PROBABILITIES, LOGITS)]
        return Outputs(*found)


def read_graph(path: Path) -> openvino.Model:
    """Read an .xml or .onnx file.

    Raises
    ------
    BadModel
        It cannot be read.
    """
    try:
        return openvino.Core().read_model(path)
    except RuntimeError as error:
        raise broken(path, "a graph that OpenVINO refuses") from error


def add_up_concatenations(graph: openvino.Model) -> None:
    """Replace convolutions of concatenated maps by sums of convolutions of each map, in place.

    A decoder's first convolution reads the skip connection beside what comes from below. As a sum the two are never
    copied into one map, and the addition is done where the second convolution writes: 6 % of the time of a narrow
    U-Net. A quantised graph is left as it is: there the sum would be kept in float32 on the way, which gains nothing.
    """
    found: list[Any] = graph.get_ordered_ops()
    if any(step.get_type_name() == "FakeQuantize" for step in found):
        return
    for step in found:
        readers = [reader for output in step.outputs() for reader in output.get_target_inputs()]
        if step.get_type_name() != "Concat" or len(readers) != 1 or step.get_attributes()["axis"] != 1:
            continue
        convolution = readers[0].get_node()
        if convolution.get_type_name() != "Convolution":
            continue
        kernel = convolution.input_value(1).get_node()
        if kernel.get_type_name() == "Constant":
            total = _sum_of_convolutions(step, convolution, kernel.get_data())
            for reader in convolution.output(0).get_target_inputs():
                reader.replace_source_output(total.output(0))
    graph.validate_nodes_and_infer_types()


def _sum_of_convolutions(concatenation: Any, convolution: Any, kernel: np.ndarray) -> Any:
    how, total, first = convolution.get_attributes(), None, 0
    for number, part in enumerate(concatenation.input_values()):
        channels = part.get_partial_shape()[1].get_length()
        own = steps.constant(np.ascontiguousarray(kernel[:, first : first + channels]))
        one = steps.convolution(
            part, own, how["strides"], how["pads_begin"], how["pads_end"], how["dilations"], how["auto_pad"]
        )
        one.set_friendly_name(f"{convolution.get_friendly_name()}/{number}")
        total = one if total is None else steps.add(total, one)
        first += channels
    return total


def model_card_text(graph: openvino.Model, path: Path) -> str:
    """Return the JSON text of the recipe inside a graph.

    Raises
    ------
    BadModel
        There is none.
    """
    for place in ([METADATA], ["framework", METADATA]):  # as we write it into .xml; as it comes out of .onnx
        if graph.has_rt_info(place):
            return graph.get_rt_info(place).astype(str)
    raise broken(path, "a graph without a recipe of pixelwise")
