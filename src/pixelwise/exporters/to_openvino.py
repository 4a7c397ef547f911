"""OpenVINO: the graph as .xml with its weights beside it as .bin, in float32 or quantised to int8.

Int8 by post-training quantisation (NNCF): the ranges of all maps are observed on training images, weights get one scale
per channel. Jacob et al. 2018, "Quantization and training of neural networks for efficient integer-arithmetic-only
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
from pixelwise.runtimes.openvino import model_card_text, openvino

import nncf  # isort: skip  # after openvino, whose door keeps its telemetry out of nncf too
from nncf.quantization.range_estimator import RangeEstimatorParametersSet  # isort: skip

# The least and the greatest value of any tile: NNCF's own mean over the tiles clips a tile that differs from the rest.
EXTREMES = RangeEstimatorParametersSet.MINMAX


def write_openvino(path: Path, onnx_file: bytes, model_card: ModelCard) -> None:
    """Write `path` (.xml) and the .bin beside it in float32."""
    _write(path, openvino.Core().read_model(onnx_file, b""), model_card)


def write_openvino_int8(path: Path, onnx_file: bytes, model_card: ModelCard, feeds: Iterable[Feed]) -> int:
    """Write `path` (.xml) and the .bin beside it, quantised.

    Parameters
    ----------
    path : Path
    onnx_file : bytes
        The graph in float32.
    model_card : ModelCard
    feeds : iterable of dict
        Inputs of the graph from training images; all are used.

    Returns
    -------
    int
        Number of feeds.
    """
    given = list(feeds)
    graph = openvino.Core().read_model(onnx_file, b"")
    nncf.set_log_level(logging.ERROR)
    with redirect_stdout(sys.stderr):  # its bars; standard output belongs to results
        quantised = nncf.quantize(
            graph,
            nncf.Dataset(given),
            subset_size=len(given),
            preset=nncf.QuantizationPreset.MIXED,  # maps may lie beside zero; weights do not
            fast_bias_correction=True,
            ignored_scope=nncf.IgnoredScope(names=_before_convolutions(graph)),
            advanced_parameters=nncf.AdvancedQuantizationParameters(activations_range_estimator_params=EXTREMES),
        )
    _write(path, quantised, model_card)
    return len(given)


def _before_convolutions(graph: openvino.Model) -> list[str]:
    """Return the names of the steps that normalise.

    They stay in float32: their inputs are file values for a stranger, but normalised tiles with mean 0 and deviation 1
    for `predict`, and no 256 steps would do for both.
    """
    names: list[str] = []
    for step in graph.get_ordered_ops():
        if step.get_type_name() == "Convolution":
            break
        if step.get_type_name() not in ("Parameter", "Constant"):
            names.append(step.get_friendly_name())
    return names


def _write(path: Path, graph: openvino.Model, model_card: ModelCard) -> None:
    """Write the weights first: the .xml makes the pair whole."""
    graph.set_rt_info(write_model_card_text(model_card), [METADATA])
    model_card_text(graph, path)
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / path.name
        openvino.save_model(graph, made, compress_to_fp16=False)
        atomic_write_bytes(path.with_suffix(".bin"), made.with_suffix(".bin").read_bytes())
        atomic_write_bytes(path, made.read_bytes())
