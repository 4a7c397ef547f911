"""Export: a run becomes a file that other programs run, proven on images that the run was not trained on."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from pixelwise.datasets.dataset import DataOptions
from pixelwise.errors import BadDataset, BadOption, nearest
from pixelwise.exporters.export import ExportImages, ExportResult, export_model
from pixelwise.exporters.export_task import export_task_of
from pixelwise.exporters.formats import FORMATS
from pixelwise.exporters.samples import Sample
from pixelwise.exporters.to_bioimage import About
from pixelwise.model_file.model_card import ModelCard
from pixelwise.model_file.model_file import find_model_file, load_model
from pixelwise.progress import Console, Progress
from pixelwise.text import pluralise
from pixelwise.workflow.evaluation.masks import read_mask_samples
from pixelwise.workflow.evaluation.parts import divide, joined, understand
from pixelwise.workflow.evaluation.photos import read_photo_samples
from pixelwise.workflow.run import Run

Item = TypeVar("Item")
MOST_PIXELS = 400_000_000  # of the images that are held at once for a proof


def export(
    run: Path | str,
    data: Path | str | None = None,
    *,
    kind: str = "onnx",
    out: Path | str | None = None,
    about: About | None = None,
    options: DataOptions | None = None,
    progress: Progress | None = None,
) -> ExportResult:
    """Export a run.

    Parameters
    ----------
    run : path
        A run folder.
    data : path, optional
        The labelled images for the proof, and for int8 those whose intensities are observed; by default the folder
        that the run was trained on, of which the validation images prove and the training images are observed.
    kind : str
        A key of `exporters.formats.FORMATS`.
    out : path, optional
        The file; by default in the run's folder `export`.
    about : About, optional
        What a bioimage.io package says of itself.
    options : DataOptions, optional
        Answers to what would otherwise be guessed from the folder.
    progress : Progress, optional

    Returns
    -------
    Exported

    Raises
    ------
    ExportFailed
        What was written says something else than the run; nothing is left.
    BadOption
        No such format, or its libraries are not installed.
    BadRun, BadModel, BadDataset, OutputFailed
        The run, its model, the data or the place cannot be used.
    """
    progress = progress or Console()
    if kind not in FORMATS:
        raise BadOption("a format of export", f"`{kind}`", nearest(kind, list(FORMATS)))
    opened = Run.open(run)
    path = Path(out) if out is not None else opened.folder / "export" / FORMATS[kind].place
    if path.suffix != Path(FORMATS[kind].place).suffix:
        raise BadOption(f"a file {Path(FORMATS[kind].place).suffix} for {kind}", path.name, "Change --out.")
    network, model_card = load_model(find_model_file(opened.folder))
    material = _material(opened, Path(data) if data is not None else None, options, model_card, progress)
    progress.message(f"Exporting {kind}; it is compared with the run on {pluralise(len(material.proof), 'image')}.")
    return export_model(network, model_card, kind, path, material, about)


def _material(
    run: Run, data: Path | None, given: DataOptions | None, model_card: ModelCard, progress: Progress
) -> ExportImages:
    folder = str(run.understood.get("folder", ""))
    if data is None and not folder:
        raise BadDataset("the folder of labelled images for the proof", "none", "Give it behind the run.", run.folder)
    root = data if data is not None else Path(folder)
    config, subject = run.config, export_task_of(model_card)
    options = joined(config.data, given or DataOptions())
    dataset = understand(root, options, config.training.seed, progress)
    parts = divide(dataset, run)
    unseen = _evenly(parts["val"] or parts["test"], subject.most_samples)
    if not unseen:
        raise BadDataset("images that the run was not trained on", "none", "Give another folder.", root)
    read = read_mask_samples if model_card.view is None else partial(read_photo_samples, view=model_card.view)
    proof = list(_few(read(model_card, dataset=dataset, cases=unseen, pages=options.pages), progress, len(unseen)))
    observed = _evenly(parts["train"] or unseen, subject.observed)
    training = partial(read, model_card, dataset=dataset, cases=observed, pages=options.pages)
    return ExportImages(proof=proof, training=training)


def _evenly(items: Sequence[Item], most: int) -> Sequence[Item]:
    """Return at most `most`, evenly spread: folders of classes lie one behind the other."""
    count = min(most, len(items))
    return [items[index * len(items) // count] for index in range(count)]


def _few(samples: Iterator[Sample], progress: Progress, total: int) -> Iterator[Sample]:
    """Yield samples until they are many pixels; at least one."""
    pixels = 0
    for sample in progress.track(samples, "reading", total):
        yield sample
        pixels += sample.pixels[0].size
        if pixels > MOST_PIXELS:
            return
