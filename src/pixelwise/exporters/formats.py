"""The formats of export: what they are called, what they need, and how a written file is asked."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from pixelwise.errors import BadOption
from pixelwise.exporters.comparison import Answer
from pixelwise.exporters.export_task import export_task_of
from pixelwise.exporters.samples import ParityBatch, scaled
from pixelwise.model_file.model_card import ModelCard
from pixelwise.runtimes.base import Outputs, Runtime
from pixelwise.runtimes.exported import installed, packaged_graph


@dataclass(frozen=True)
class Format:
    """A format of export: how its file is called in the folder of exports, the extra it needs, and its packages."""

    place: str
    extra: str
    packages: tuple[str, ...]


@runtime_checkable
class ExportedModel(Protocol):
    """An exported graph that gives all its outputs for images in file values."""

    def outputs(self, image: np.ndarray, mean: np.ndarray, std: np.ndarray) -> Outputs:
        """Return probabilities and logits."""
        ...


@runtime_checkable
class Computing(Runtime, ExportedModel, Protocol):
    """A graph that is asked by `predict` too."""


FORMATS = {
    "onnx": Format("model.onnx", "onnx", ("onnx", "onnxscript", "onnxruntime")),
    "openvino": Format("openvino/model.xml", "openvino", ("onnx", "onnxscript", "openvino")),
    "openvino-int8": Format("openvino-int8/model.xml", "openvino", ("onnx", "onnxscript", "openvino", "nncf")),
    "torch-export": Format("model.pt2", "", ()),
    "bioimageio": Format("model.bioimageio.zip", "onnx", ("onnx", "onnxscript", "onnxruntime")),
}


def needed(kind: str) -> None:
    """Refuse a format whose libraries are not installed.

    Raises
    ------
    BadOption
        With the line that installs them.
    """
    missing = [name for name in FORMATS[kind].packages if not installed(name)]
    if missing:
        expected = f"{', '.join(missing)} for the format {kind}"
        raise BadOption(expected, "not installed", f'Run: pip install "pixelwise[{FORMATS[kind].extra}]".')


def answers(kind: str, path: Path, model_card: ModelCard) -> Iterator[tuple[str, Answer]]:
    """Yield each runtime here that can read a written file, by name, and how it answers a trial.

    A graph is asked as a stranger asks it, with file values, and as `predict` does, with tiles that are normalised by
    the numbers of their image. A bioimage.io package holds a graph without the normalisation, which its reader does.
    """
    if kind == "torch-export":
        from pixelwise.exporters.to_torch import WrittenGraph

        yield "torch.export", _whole(WrittenGraph(path, model_card))
        return
    if kind in ("onnx", "bioimageio") and installed("onnxruntime"):
        from pixelwise.runtimes.onnx import OnnxRuntime

        if kind == "onnx":
            yield from _both("onnxruntime", OnnxRuntime(path), model_card)
        else:
            yield "onnxruntime", _scaled(OnnxRuntime(packaged_graph(path), path=path), model_card)
    if kind.startswith(("onnx", "openvino")) and installed("openvino"):
        from pixelwise.runtimes.openvino import OpenVinoRuntime

        yield from _both("openvino", OpenVinoRuntime(path), model_card)


def _both(name: str, runtime: Computing, model_card: ModelCard) -> Iterator[tuple[str, Answer]]:
    """Ask in both ways, where there are two."""
    yield name, _whole(runtime)
    if model_card.normalisation.kind == "image":
        yield f"{name}, normalised tiles", _scaled(runtime, model_card)


def _whole(graph: ExportedModel) -> Answer:
    """Ask with file values, as a stranger does."""
    return lambda trial: graph.outputs(
        trial.image.astype(np.float32), trial.mean.astype(np.float32), trial.std.astype(np.float32)
    )


def _scaled(runtime: Runtime, model_card: ModelCard) -> Answer:
    """Ask as a reader of a bioimage.io package does, which normalises before and takes the soft-max after."""
    export_task, raw = export_task_of(model_card), model_card.normalisation.kind == "dataset"

    def answer(trial: ParityBatch) -> Outputs:
        logits = runtime(trial.image.astype(np.float32) if raw else scaled(trial))
        return Outputs(export_task.probabilities(logits), logits)

    return answer
