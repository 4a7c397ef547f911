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

from pixelwise.atomic_write import commit_bytes
from pixelwise.exporters.samples import Feed
from pixelwise.model_file.recipe import Recipe, write_recipe_text
from pixelwise.runtimes.base import METADATA
from pixelwise.runtimes.openvino import openvino, recipe_text

import nncf  # isort: skip  # after openvino, whose door keeps its telemetry out of nncf too
from nncf.quantization.range_estimator import RangeEstimatorParametersSet  # isort: skip

# The least and the greatest value of any tile: NNCF's own mean over the tiles clips a tile that differs from the rest.
EXTREMES = RangeEstimatorParametersSet.MINMAX


def write_openvino(path: Path, onnx_file: bytes, recipe: Recipe) -> None:
    """Write `path` (.xml) and the .bin beside it in float32."""
    _write(path, openvino.Core().read_model(onnx_file, b""), recipe)


def write_openvino_int8(path: Path, onnx_file: bytes, recipe: Recipe, feeds: Iterable[Feed]) -> int:
    """Write `path` (.xml) and the .bin beside it, quantised.

    Parameters
    ----------
    path : Path
    onnx_file : bytes
        The graph in float32.
    recipe : Recipe
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
    _write(path, quantised, recipe)
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


def _write(path: Path, graph: openvino.Model, recipe: Recipe) -> None:
    """Write the weights first: the .xml makes the pair whole."""
    graph.set_rt_info(write_recipe_text(recipe), [METADATA])
    recipe_text(graph, path)
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / path.name
        openvino.save_model(graph, made, compress_to_fp16=False)
        commit_bytes(path.with_suffix(".bin"), made.with_suffix(".bin").read_bytes())
        commit_bytes(path, made.read_bytes())
