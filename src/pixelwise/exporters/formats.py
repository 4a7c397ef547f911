"""Export formats: their names, packages, and the runtimes that can run an exported file."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pixelwise.errors import BadOption
from pixelwise.exporters.comparison import PredictBatch
from pixelwise.exporters.description import Limits
from pixelwise.exporters.export_task import ExportTask, export_task_of
from pixelwise.exporters.samples import ParityBatch, normalised
from pixelwise.model_file.model_card import ModelCard
from pixelwise.runtimes.base import ExportedGraph, Outputs, Runtime, StagedRuntime
from pixelwise.runtimes.exported import EXTRAS, installed, packaged_graph
from pixelwise.runtimes.graph_stages import CutRuntime


@dataclass(frozen=True)
class Format:
    """An export format: its default file name, the extra to install, and its packages."""

    place: str
    extra: str
    packages: tuple[str, ...]


FORMATS = {
    "onnx": Format("model.onnx", "onnx", ("onnx", "onnxscript", "onnxruntime")),
    "openvino": Format("openvino/model.xml", "openvino", ("onnx", "onnxscript", "openvino")),
    "openvino-int8": Format("openvino-int8/model.xml", "openvino", ("onnx", "onnxscript", "openvino", "nncf")),
    "torch-export": Format("model.pt2", "", ()),
    "bioimageio": Format("model.bioimageio.zip", "onnx", ("onnx", "onnxscript", "onnxruntime")),
}


def check_installed(kind: str) -> None:
    """Check that the packages of a format are installed.

    Raises
    ------
    BadOption
        A package is missing.
    """
    missing = [name for name in FORMATS[kind].packages if not installed(name)]
    if missing:
        expected = f"{', '.join(missing)} for the format {kind}"
        raise BadOption(expected, "not installed", f'Run: pip install "pixelwise[{FORMATS[kind].extra}]".')


def limits_of(kind: str, export_task: ExportTask) -> Limits:
    """Return the limits of the parity check of a format."""
    return export_task.quantised if kind.endswith("int8") else export_task.exact


def runtimes_for(kind: str, path: Path, model_card: ModelCard) -> Iterator[tuple[str, PredictBatch]]:
    """Yield the name and the prediction function of each installed runtime that reads an exported file.

    Graphs run with file values, as in other programs, and with normalised tiles, as in `predict`. The graph of a
    bioimage.io package has no per-image normalisation, which its reader applies.
    """
    if kind == "torch-export":
        from pixelwise.exporters.to_torch import TorchExportGraph

        yield "torch.export", _on_file_values(TorchExportGraph(path, model_card).outputs)
        return
    if kind in ("onnx", "bioimageio") and installed(*EXTRAS["onnx"]):
        from pixelwise.runtimes.onnx import OnnxRuntime

        if kind == "onnx":
            yield from _both("onnxruntime", OnnxRuntime(path), model_card)
        else:
            yield "onnxruntime", _on_normalised_tiles(OnnxRuntime(packaged_graph(path), path=path), model_card)
    if kind.startswith(("onnx", "openvino")) and installed(*EXTRAS["openvino"]):
        from pixelwise.runtimes.openvino import OpenVinoRuntime

        yield from _both("openvino", OpenVinoRuntime(path), model_card)


def _both(name: str, runtime: ExportedGraph, model_card: ModelCard) -> Iterator[tuple[str, PredictBatch]]:
    """Yield the prediction functions for file values and, if they differ, for normalised tiles and the cut network."""
    yield name, _on_file_values(runtime.outputs)
    if model_card.normalisation.kind == "image":
        yield f"{name}, normalised tiles", _on_normalised_tiles(runtime, model_card)
    if isinstance(runtime, StagedRuntime) and runtime.stages is not None:
        yield f"{name}, cut", _on_normalised_tiles(CutRuntime(runtime, runtime.stages), model_card)


def _on_file_values(outputs: Callable[[np.ndarray, np.ndarray, np.ndarray], Outputs]) -> PredictBatch:
    """Run a graph on file values, as other programs do."""
    return lambda batch: outputs(
        batch.image.astype(np.float32), batch.mean.astype(np.float32), batch.std.astype(np.float32)
    )


def _on_normalised_tiles(runtime: Runtime, model_card: ModelCard) -> PredictBatch:
    """Normalise before the graph and apply the softmax after it, as readers of bioimage.io packages do."""
    export_task, raw = export_task_of(model_card), model_card.normalisation.kind == "dataset"

    def predict(batch: ParityBatch) -> Outputs:
        logits = runtime(batch.image.astype(np.float32) if raw else normalised(batch))
        return Outputs(export_task.probabilities(logits), logits)

    return predict
