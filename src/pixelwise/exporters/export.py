"""Export of one model to one format, with a parity check before the file is moved to its final path."""

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
from pixelwise.exporters.export_task import export_task_of
from pixelwise.exporters.formats import FORMATS, check_installed, limits_of, runtimes_for
from pixelwise.exporters.package import check_package
from pixelwise.exporters.parity_report import parity_report_path, write_parity_data, write_parity_report
from pixelwise.exporters.samples import ParityBatch, Sample
from pixelwise.exporters.to_bioimage import PackageInfo, write_bioimage
from pixelwise.exporters.to_onnx import onnx_bytes
from pixelwise.model_file.model_card import ModelCard
from pixelwise.networks.models import AnyNetwork
from pixelwise.runtimes.exported import model_files
from pixelwise.runtimes.torch import TorchRuntime
from pixelwise.sampling.normalise import Normalisation, intensity_scale


@dataclass(frozen=True, kw_only=True)
class ExportResult:
    """Files of an export and results of its parity check.

    `files` are those of the model; parity report and parity data are in the same folder.
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
            "parity_report": str(self.parity_report),
            "results": [asdict(comparison) for comparison in self.comparisons],
        }

    def to_text(self) -> str:
        """Return the results and the files as text."""
        files = ", ".join(str(file) for file in self.files)
        return "\n".join([*(comparison.to_text() for comparison in self.comparisons), f"Written: {files}"])


@dataclass(frozen=True, kw_only=True)
class ExportImages:
    """Images for the parity check (not used in training) and training images for the int8 calibration."""

    parity: Sequence[Sample]
    training: Callable[[], Iterable[Sample]]


def export_model(
    network: AnyNetwork,
    model_card: ModelCard,
    kind: str,
    path: Path,
    material: ExportImages,
    about: PackageInfo | None = None,
) -> ExportResult:
    """Write a model in a format of `FORMATS` with its parity report; write nothing if the parity check fails.

    Parameters
    ----------
    network : AnyNetwork
        In evaluation mode; not modified.
    kind : str
        A key of `FORMATS`.
    path : Path
        The file of the model, with the suffix of the format.
    about : PackageInfo, optional
        For bioimage.io.

    Raises
    ------
    ExportFailed
        The export differs from PyTorch by more than the limits of the format.
    BadOption
        The format is unknown, or its libraries are not installed.
    OutputFailed
        The file cannot be written.
    """
    if kind not in FORMATS:
        raise BadOption("an export format", f"`{kind}`", nearest(kind, list(FORMATS)))
    check_installed(kind)
    reference, export_task = TorchRuntime(network), export_task_of(model_card)
    batches = export_task.make_parity_batches(material.parity, reference)
    with tempfile.TemporaryDirectory(prefix="pixelwise-export-") as folder:
        temporary = Path(folder) / path.name
        if kind == "bioimageio":
            _write_package(temporary, network, model_card, batches[0], reference, about or PackageInfo())
            check_package(temporary)
        else:
            _write(temporary, kind, network, model_card, material)
        runtimes = runtimes_for(kind, temporary, model_card)
        comparisons = [compare(name, predict, batches, export_task) for name, predict in runtimes]
        limits = limits_of(kind, export_task)
        check(comparisons, limits, path)
        exact = model_card.geometry.exact or model_card.view is not None
        return _publish(temporary, path, kind, comparisons, limits, batches, exact=exact)


def _write(path: Path, kind: str, network: AnyNetwork, model_card: ModelCard, material: ExportImages) -> None:
    """Write a model to a temporary path."""
    if kind == "torch-export":
        from pixelwise.exporters.to_torch import write_torch

        write_torch(path, network, model_card)
        return
    graph = onnx_bytes(network, model_card)
    if kind == "onnx":
        atomic_write_bytes(path, graph)
        return
    from pixelwise.exporters.to_openvino import write_openvino, write_openvino_int8

    if kind == "openvino":
        write_openvino(path, graph, model_card)
    else:
        inputs = export_task_of(model_card).calibration_inputs(material.training())
        write_openvino_int8(path, graph, model_card, inputs)


def _write_package(
    path: Path,
    network: AnyNetwork,
    model_card: ModelCard,
    batch: ParityBatch,
    reference: TorchRuntime,
    about: PackageInfo,
) -> None:
    """Write a bioimage.io package; per-image normalisation is left to its reader."""
    per_image = model_card.normalisation.kind == "image"
    in_graph = replace(model_card, normalisation=Normalisation(kind="none")) if per_image else model_card
    image = batch.image[:1]
    logits = reference(intensity_scale(image[0], model_card.normalisation).apply(image[0])[None])
    write_bioimage(path, onnx_bytes(network, in_graph, metadata=model_card), model_card, image, logits, about)


def _publish(
    temporary: Path,
    path: Path,
    kind: str,
    comparisons: Sequence[Comparison],
    limits: Limits,
    batches: Sequence[ParityBatch],
    *,
    exact: bool,
) -> ExportResult:
    """Write parity data and parity report, then move the checked files to their final paths, the main file last."""
    sources, targets = model_files(temporary), model_files(path)
    write_parity_data(path, batches)
    named = {target.name: source for source, target in zip(sources, targets, strict=True)}
    versions = {name: version(name) for name in ("torch", *FORMATS[kind].packages)}
    write_parity_report(path, kind, named, comparisons, limits, batches, versions, exact=exact)
    for source, target in zip(reversed(sources), reversed(targets), strict=True):
        atomic_write_bytes(target, source.read_bytes())
    return ExportResult(
        format=kind, files=tuple(targets), parity_report=parity_report_path(path), comparisons=tuple(comparisons)
    )
