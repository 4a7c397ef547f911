"""Export a run as a file for other programs, with a parity check on images that the run was not trained on."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

from pixelwise.datasets.dataset import DataOptions
from pixelwise.datasets.splitting.subsets import evenly_spaced
from pixelwise.errors import BadDataset, BadOption, nearest
from pixelwise.exporters.export import ExportImages, ExportResult, export_model
from pixelwise.exporters.export_task import export_task_of
from pixelwise.exporters.formats import FORMATS
from pixelwise.exporters.samples import Sample
from pixelwise.exporters.to_bioimage import PackageInfo
from pixelwise.model_file.model_card import ModelCard
from pixelwise.model_file.model_file import find_model_file, load_model
from pixelwise.progress import Console, Progress
from pixelwise.text import pluralise
from pixelwise.workflow.evaluation.splits import labelled_by_split, merge_options, read_evaluation_data
from pixelwise.workflow.run import Run
from pixelwise.workflow.tasks.choose import check_task, task_of

Item = TypeVar("Item")
MAX_PIXELS = 400_000_000  # of all parity images in memory


def export(
    run: Path | str,
    data: Path | str | None = None,
    *,
    format: str = "onnx",
    out: Path | str | None = None,
    about: PackageInfo | None = None,
    options: DataOptions | None = None,
    progress: Progress | None = None,
) -> ExportResult:
    """Export a run for another program.

    Parameters
    ----------
    run : path
        A run folder, or a model file in one, such as that of a training that was stopped.
    data : path, optional
        The labelled images for the parity check and for int8 calibration; by default the folder that the run was
        trained on: its validation images for the parity check, its training images for the calibration.
    format : str
        A key of `exporters.formats.FORMATS`.
    out : path, optional
        The file; by default in the run's folder `export`.
    about : PackageInfo, optional
        Metadata of a bioimage.io package.
    options : DataOptions, optional
        Options that override what is detected in the folder.
    progress : Progress, optional

    Returns
    -------
    ExportResult

    Raises
    ------
    ExportFailed
        The exported model does not reproduce the run; its files are removed.
    BadOption
        The format is unknown, or its libraries are not installed.
    BadRun, BadModel, BadDataset, OutputFailed
        The run, its model, the data or the output path cannot be used.
    """
    progress = progress or Console()
    if format not in FORMATS:
        raise BadOption("an export format", f"`{format}`", nearest(format, list(FORMATS)))
    model = Path(run)
    opened = Run.open(model.parent if model.suffix == ".safetensors" else model)
    path = Path(out) if out is not None else opened.folder / "export" / FORMATS[format].place
    if path.suffix != Path(FORMATS[format].place).suffix:
        raise BadOption(f"a file {Path(FORMATS[format].place).suffix} for {format}", path.name, "Change --out.")
    network, model_card = load_model(find_model_file(model))
    images = _read_images(opened, Path(data) if data is not None else None, options, model_card, progress)
    progress.message(f"Exporting {format}; parity check with the run on {pluralise(len(images.parity), 'image')}.")
    return export_model(network, model_card, format, path, images, about)


def _read_images(
    run: Run, data: Path | None, user_options: DataOptions | None, model_card: ModelCard, progress: Progress
) -> ExportImages:
    folder = str(run.understood.get("folder", ""))
    if data is None and not folder:
        raise BadDataset("a folder of labelled images for the parity check", "none", "Give DATA after RUN.", run.folder)
    root = data if data is not None else Path(folder)
    config, export_task = run.config, export_task_of(model_card)
    options = merge_options(config.data, user_options or DataOptions())
    dataset = read_evaluation_data(root, options, config.training.seed, progress)
    check_task(model_card, dataset)
    splits = labelled_by_split(dataset, run)
    unseen = evenly_spaced(splits["val"] or splits["test"], export_task.most_samples)
    if not unseen:
        raise BadDataset("images that the run was not trained on", "none", "Give another folder.", root)
    read = partial(task_of(model_card).read_samples, model_card, dataset)
    parity = list(_limit(read(cases=unseen), progress, len(unseen)))
    calibration = evenly_spaced(splits["train"] or unseen, export_task.calibration_images)
    training = partial(read, cases=calibration)
    return ExportImages(parity=parity, training=training)


def _limit(samples: Iterator[Sample], progress: Progress, total: int) -> Iterator[Sample]:
    """Yield samples until they exceed `MAX_PIXELS`; at least one."""
    pixels = 0
    for sample in progress.track(samples, "reading", total):
        yield sample
        pixels += sample.pixels[0].size
        if pixels > MAX_PIXELS:
            return
