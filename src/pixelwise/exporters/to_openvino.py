"""OpenVINO export: .xml and .bin files, in float32 or quantised to int8.

Post-training quantisation with NNCF: activation ranges are calibrated on training images, weights have one scale per
channel. Jacob et al. 2018, "Quantization and training of neural networks for efficient integer-arithmetic-only
inference", arXiv 1712.05877.
"""

import logging
import sys
import tempfile
from collections.abc import Iterable
from contextlib import redirect_stdout
from pathlib import Path

from pixelwise.atomic_write import atomic_write_bytes
from pixelwise.exporters.samples import Feed
from pixelwise.model_file.model_card import ModelCard, write_model_card_text
from pixelwise.runtimes.base import METADATA
from pixelwise.runtimes.graph_stages import STAGES
from pixelwise.runtimes.openvino import model_card_text, openvino, text_in

import nncf  # isort: skip  # after pixelwise.runtimes.openvino, which disables telemetry
from nncf.quantization.range_estimator import RangeEstimatorParametersSet  # isort: skip

# Minimum and maximum over all tiles: NNCF's default, a mean over the tiles, clips unusual tiles.
RANGE_ESTIMATOR = RangeEstimatorParametersSet.MINMAX


def write_openvino(path: Path, onnx_file: bytes, model_card: ModelCard) -> None:
    """Write `path` (.xml) and its .bin file in float32."""
    graph = openvino.Core().read_model(onnx_file, b"")
    _write(path, graph, model_card, text_in(graph, STAGES))


def write_openvino_int8(path: Path, onnx_file: bytes, model_card: ModelCard, inputs: Iterable[Feed]) -> int:
    """Write `path` (.xml) and its .bin file, quantised to int8.

    Parameters
    ----------
    onnx_file : bytes
        The graph in float32.
    inputs : iterable of dict
        Calibration inputs of the graph; all are used.

    Returns
    -------
    int
        Number of calibration inputs.
    """
    inputs = list(inputs)
    graph = openvino.Core().read_model(onnx_file, b"")
    nncf.set_log_level(logging.ERROR)
    with redirect_stdout(sys.stderr):  # progress bars; standard output is reserved for results
        quantised = nncf.quantize(
            graph,
            nncf.Dataset(inputs),
            subset_size=len(inputs),
            preset=nncf.QuantizationPreset.MIXED,  # asymmetric ranges for activations, symmetric ones for weights
            fast_bias_correction=True,
            ignored_scope=nncf.IgnoredScope(names=_before_convolutions(graph)),
            advanced_parameters=nncf.AdvancedQuantizationParameters(activations_range_estimator_params=RANGE_ESTIMATOR),
        )
    _write(path, quantised, model_card, text_in(graph, STAGES))
    return len(inputs)


def _before_convolutions(graph: openvino.Model) -> list[str]:
    """Return the names of the operations of the normalisation.

    They stay in float32: their inputs are file values in other programs, but normalised tiles in `predict`, and 256
    quantisation levels cannot represent both ranges.
    """
    names: list[str] = []
    for operation in graph.get_ordered_ops():
        if operation.get_type_name() == "Convolution":
            break
        if operation.get_type_name() not in ("Parameter", "Constant"):
            names.append(operation.get_friendly_name())
    return names


def _write(path: Path, graph: openvino.Model, model_card: ModelCard, stages: str | None) -> None:
    """Write the weights first, so that an .xml file always has its weights."""
    graph.set_rt_info(write_model_card_text(model_card), [METADATA])
    model_card_text(graph, path)
    if stages is not None:
        graph.set_rt_info(stages, [STAGES])
    with tempfile.TemporaryDirectory() as folder:
        temporary = Path(folder) / path.name
        openvino.save_model(graph, temporary, compress_to_fp16=False)
        atomic_write_bytes(path.with_suffix(".bin"), temporary.with_suffix(".bin").read_bytes())
        atomic_write_bytes(path, temporary.read_bytes())
