"""Export: one model in one format, proven before it gets its name."""

import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pixelwise.atomic_write import atomic_write_bytes
from pixelwise.errors import BadOption, nearest
from pixelwise.exporters.comparison import Comparison, check, compare
from pixelwise.exporters.description import Limits
from pixelwise.exporters.export_task import ExportTask, export_task_of
from pixelwise.exporters.formats import FORMATS, answers, needed
from pixelwise.exporters.package import check_package
from pixelwise.exporters.parity_report import parity_report_path, write_parity_data, write_parity_report
from pixelwise.exporters.samples import ParityBatch, Sample
from pixelwise.exporters.to_bioimage import About, write_bioimage
from pixelwise.exporters.to_onnx import onnx_bytes
from pixelwise.model_file.model_card import ModelCard
from pixelwise.networks.models import Trained
from pixelwise.runtimes.exported import files_of
from pixelwise.runtimes.torch import TorchRuntime
from pixelwise.sampling.normalise import Normalisation, intensity_scale


@dataclass(frozen=True, kw_only=True)
class ExportResult:
    """What an export has written, and what its proof said.

    `files` are the model's own; certificate and proof lie beside the first of them.
    """

    format: str
    files: tuple[Path, ...]
    parity_report: Path
    comparisons: tuple[Comparison, ...]

    def to_json(self) -> dict[str, Any]:
        """Return one JSON-ready object."""
        return {
            "format": self.format,
            "files": [str(file) for file in self.files],
            "certificate": str(self.parity_report),
            "results": [asdict(comparison) for comparison in self.comparisons],
        }

    def to_text(self) -> str:
        """Return the proof and the files as lines for people."""
        files = ", ".join(str(file) for file in self.files)
        return "\n".join([*(comparison.to_text() for comparison in self.comparisons), f"Written: {files}"])


@dataclass(frozen=True, kw_only=True)
class ExportImages:
    """Real images for the proof (never seen in training) and for a quantisation (seen in training)."""

    proof: Sequence[Sample]
    training: Callable[[], Iterable[Sample]]


def export_model(
    network: Trained, model_card: ModelCard, kind: str, path: Path, material: ExportImages, about: About | None = None
) -> ExportResult:
    """Write a model in a format of `FORMATS`, with its certificate, or fail and leave nothing.

    Parameters
    ----------
    network : Trained
        In evaluation mode; stays as it is.
    model_card : ModelCard
    kind : str
        A key of `FORMATS`.
    path : Path
        The model's file; its suffix is that of the format.
    material : Material
    about : About, optional
        For bioimage.io.

    Raises
    ------
    ExportFailed
        What was written says something else than torch, beyond the limits of the format.
    BadOption
        No such format, or its libraries are not installed.
    OutputFailed
        The place cannot be written.
    """
    if kind not in FORMATS:
        raise BadOption("a format of export", f"`{kind}`", nearest(kind, list(FORMATS)))
    needed(kind)
    reference, export_task = TorchRuntime(network), export_task_of(model_card)
    trials = export_task.make_trials(material.proof, reference)
    with tempfile.TemporaryDirectory(prefix="pixelwise-export-") as folder:
        made = Path(folder) / path.name
        if kind == "bioimageio":
            _write_package(made, network, model_card, trials[0], reference, about or About())
            check_package(made)
        else:
            _write(made, kind, network, model_card, material)
        comparisons = [compare(name, answer, trials, export_task) for name, answer in answers(kind, made, model_card)]
        limits = limits_of(kind, export_task)
        check(comparisons, limits, path)
        return _keep(made, path, kind, comparisons, limits, trials)


def limits_of(kind: str, export_task: ExportTask) -> Limits:
    """Return how far a format may be from torch."""
    return export_task.quantised if kind.endswith("int8") else export_task.exact


def _write(made: Path, kind: str, network: Trained, model_card: ModelCard, material: ExportImages) -> None:
    """Write a model into a folder of its own."""
    if kind == "torch-export":
        from pixelwise.exporters.to_torch import write_torch

        write_torch(made, network, model_card)
        return
    graph = onnx_bytes(network, model_card)
    if kind == "onnx":
        atomic_write_bytes(made, graph)
        return
    from pixelwise.exporters.to_openvino import write_openvino, write_openvino_int8

    if kind == "openvino":
        write_openvino(made, graph, model_card)
    else:
        write_openvino_int8(made, graph, model_card, export_task_of(model_card).feeds(material.training()))


def _write_package(
    made: Path, network: Trained, model_card: ModelCard, trial: ParityBatch, reference: TorchRuntime, about: About
) -> None:
    """Write a bioimage.io package, whose graph leaves to its reader what each image is normalised by."""
    from_outside = model_card.normalisation.kind == "image"
    inside = replace(model_card, normalisation=Normalisation(kind="none")) if from_outside else model_card
    image = trial.image[:1]
    scaled = intensity_scale(image[0], model_card.normalisation).apply(image[0])[None]
    write_bioimage(made, onnx_bytes(network, inside, metadata=model_card), model_card, image, reference(scaled), about)


def _keep(
    made: Path,
    path: Path,
    kind: str,
    comparisons: Sequence[Comparison],
    limits: Limits,
    trials: Sequence[ParityBatch],
) -> ExportResult:
    """Bring a proven model to its place: first its proof, last the file that makes it a model."""
    here, there = files_of(made), files_of(path)
    write_parity_data(path, trials)
    named = {place.name: source for source, place in zip(here, there, strict=True)}
    versions = {name: version(name) for name in ("torch", *FORMATS[kind].packages)}
    write_parity_report(path, kind, named, comparisons, limits, trials, versions)
    for source, place in zip(reversed(here), reversed(there), strict=True):
        atomic_write_bytes(place, source.read_bytes())
    return ExportResult(
        format=kind, files=tuple(there), parity_report=parity_report_path(path), comparisons=tuple(comparisons)
    )
