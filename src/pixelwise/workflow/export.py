"""Export: a run becomes a file that other programs run, proven on images that the run was not trained on."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from pixelwise.engine.exporting.export import CALIBRATION_TILES, Exported, Material, export_model
from pixelwise.engine.exporting.formats import FORMATS
from pixelwise.engine.exporting.samples import MOST_SAMPLES, Sample
from pixelwise.engine.exporting.to_bioimage import About
from pixelwise.engine.modelfile import find_model_file, load_model
from pixelwise.engine.recipe import Recipe
from pixelwise.errors import BadDataset, BadModel, BadOption, nearest
from pixelwise.images.cases import Case, DataOptions, read_labels, read_pixels
from pixelwise.images.records import Labelling
from pixelwise.labels.targets import encode
from pixelwise.progress import Console, Progress
from pixelwise.wording import counted
from pixelwise.workflow.evaluation.masks import agree
from pixelwise.workflow.evaluation.parts import divide, joined, understand
from pixelwise.workflow.run import Run

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
) -> Exported:
    """Export a run of masks.

    Parameters
    ----------
    run : path
        A run folder.
    data : path, optional
        The images and masks for the proof, and for int8 those whose intensities are observed; by default the folder
        that the run was trained on, of which the validation images prove and the training images are observed.
    kind : str
        A key of `engine.exporting.formats.FORMATS`.
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
    network, recipe = load_model(find_model_file(opened.folder))
    if recipe.view is not None:
        raise BadModel("a model of masks", "one of whole-image classes", "Give another run.", opened.folder)
    material = _material(opened, Path(data) if data is not None else None, options, recipe, progress)
    progress.tell(f"Exporting {kind}; it is compared with the run on {counted(len(material.proof), 'image')}.")
    return export_model(network, recipe, kind, path, material, about)


def _material(run: Run, data: Path | None, given: DataOptions | None, recipe: Recipe, progress: Progress) -> Material:
    folder = str(run.understood.get("folder", ""))
    if data is None and not folder:
        raise BadDataset("the folder of images and masks for the proof", "none", "Give it behind the run.", run.folder)
    root = data if data is not None else Path(folder)
    config = run.config
    options = joined(config.data, given or DataOptions())
    dataset = understand(root, options, config.training.seed, progress)
    labelling = agree(recipe, dataset.labelling, root)
    parts = divide(dataset, run)
    unseen = parts["val"] or parts["test"]
    if not unseen:
        raise BadDataset("images that the run was not trained on", "none", "Give another folder.", root)
    proof = list(_few(_samples(unseen[:MOST_SAMPLES], labelling, recipe, options.pages), progress, len(unseen)))
    observed = parts["train"] or unseen
    every = max(1, len(observed) // CALIBRATION_TILES)
    return Material(proof=proof, training=lambda: _samples(observed[::every], labelling, recipe, options.pages))


def _samples(cases: Sequence[Case], labelling: Labelling, recipe: Recipe, pages: int | None) -> Iterator[Sample]:
    """Read labelled images one by one, with the class that the network should see at each pixel."""
    for case in cases:
        if case.mask is not None:
            truth = encode(read_labels(case.mask, labelling), recipe.target)
            yield Sample(read_pixels(case.image, recipe.channels, pages).pixels, truth)


def _few(samples: Iterator[Sample], progress: Progress, total: int) -> Iterator[Sample]:
    """Yield samples until they are many pixels; at least one."""
    pixels = 0
    for sample in progress.track(samples, "reading", min(total, MOST_SAMPLES)):
        yield sample
        pixels += sample.truth.size
        if pixels > MOST_PIXELS:
            return
