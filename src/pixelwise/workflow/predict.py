"""Predict: images in, masks out. Needs a model alone: no training data, no Lightning."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import Num, UInt8
from skimage.segmentation import find_boundaries

from pixelwise.commit import commit, commit_json, refused
from pixelwise.engine.allocator import keep_large_blocks
from pixelwise.engine.model import Model, load_model_for_prediction
from pixelwise.errors import BadImage, BadOption, OutputFailed, PixelwiseError
from pixelwise.images.cases import find_images, read_pixels
from pixelwise.images.files import probe, write_image, write_labels, write_mask
from pixelwise.labels.measuring import ObjectRow, ObjectTable, measure
from pixelwise.progress import Advance, Console, Progress

OVERLAY_SIDE = 2048  # pixels; larger overlays are thinned out
_TABLE = (
    "image",
    "id",
    "class",
    "area",
    "centroid_row",
    "centroid_col",
    "box",
    "perimeter",
    "mean_intensity",
)


@dataclass(frozen=True)
class Predictions:
    """The files written, and for each file that could not be predicted, why."""

    outputs: tuple[Path, ...]
    failed: tuple[tuple[Path, str], ...]


@dataclass(frozen=True, kw_only=True)
class Extras:
    """What to write besides the masks."""

    probabilities: bool = False
    overlays: bool = False
    overwrite: bool = False
    pages: int | None = None


def load(path: Path | str, device: str = "auto") -> Model:
    """Load a run folder or a model file for prediction in Python: `load("runs/x").predict(array)`."""
    return load_model_for_prediction(path, device=device)


def predict(
    run: Path | str,
    inputs: Sequence[Path | str],
    out: Path | str,
    *,
    probabilities: bool = False,
    overlays: bool = False,
    symmetries: bool = False,
    turns: int | None = None,
    device: str = "auto",
    overwrite: bool = False,
    tile: int | None = None,
    pages: int | None = None,
    progress: Progress | None = None,
) -> Predictions:
    """Predict image files.

    Parameters
    ----------
    run : path
        A run folder or a model file.
    inputs : sequence of path
        Image files, or folders of them.
    out : path
        The folder of the results: an indexed PNG per image, or a label image and `objects.csv` for objects.
    probabilities, overlays : bool
        Also write 8-bit probabilities (a TIFF channel per class), or pictures with outlines.
    symmetries : bool
        Average over the four flips: `turns=4`.
    turns : int, optional
        Average over 1, 4, 7 or 8 turned inputs; 7 is the average of the 2015 paper. By default what the model says.
    device, tile : optional
        As in `load_model_for_prediction`.
    overwrite : bool
        Replace results that are there already.
    pages : int, optional
        Take stacks of this many pages as channels.
    progress : Progress, optional

    Returns
    -------
    Predictions
        A bad image is named in `failed`; the others are predicted all the same.

    Raises
    ------
    OutputFailed
        `out` cannot be written, is where the images lie, or holds results already.
    BadModel, BadImage, BadOption
        The model, the inputs or the options cannot be used at all.
    """
    progress = progress or Console()
    keep_large_blocks()
    if symmetries and turns not in (None, 4):
        raise BadOption("--symmetries or --turns", f"both, with {turns} turns", "Leave one of them out.")
    folder = Path(out)
    named = _name([image for path in inputs for image in find_images(Path(path))])
    _check_place(folder, [Path(path) for path in inputs], list(named), overwrite)
    model = load_model_for_prediction(run, device=device, tile=tile, turns=4 if symmetries else turns)
    extras = Extras(probabilities=probabilities, overlays=overlays, overwrite=overwrite, pages=pages)
    _write_classes(folder, model)
    outputs: list[Path] = []
    failed: list[tuple[Path, str]] = []
    tables: list[tuple[str, ObjectTable]] = []
    tiles = {name: _tiles(model, path) for name, path in named.items()}
    with progress.bar("predicting", sum(tiles.values())) as advance:
        for name, path in named.items():
            done = Steps(advance, path.name, tiles[name])
            try:
                written, objects, notes = _predict_file(model, path, folder, name, extras, done)
                outputs += written
                tables += [(path.name, table) for table in objects]
                progress.tell(*notes)
            except OutputFailed:
                raise
            except PixelwiseError as error:
                failed.append((path, str(error)))
                progress.tell(f"Left out: {error}")
            done.finish()
    if model.recipe.task == "instance":
        _write_table(folder / "objects.csv", tables, model.recipe.classes)
        outputs.append(folder / "objects.csv")
    return Predictions(tuple(outputs), tuple(failed))


def overlay(
    pixels: Num[np.ndarray, "channels height width"],
    labels: np.ndarray,
    colours: Sequence[tuple[int, int, int]],
    *,
    objects: bool,
) -> UInt8[np.ndarray, "3 shown_height shown_width"]:
    """Draw outlines of classes or objects over a picture, which is stretched to its percentiles 0.5 and 99.5."""
    step = max(1, -(-max(pixels.shape[1:]) // OVERLAY_SIDE))
    view, labels = pixels[:, ::step, ::step].astype(np.float32), labels[::step, ::step]
    low, high = np.percentile(view, (0.5, 99.5))
    grey = np.clip((view - low) / max(float(high - low), 1e-6), 0, 1)
    picture = np.repeat(grey[:1], 3, axis=0) if len(grey) < 3 else grey[:3]
    picture = (picture * 255).astype(np.uint8)
    edges = find_boundaries(labels, mode="inner")
    tones = np.array([(255, 200, 0)] if objects else [c if any(c) else (255, 200, 0) for c in colours], np.uint8)
    index = np.zeros(labels.shape, int) if objects else labels
    picture[:, edges] = tones[index[edges]].T
    return picture


@dataclass
class Steps:
    """The share of the bar that belongs to one image: a step per tile, all of it when the image is done or refused."""

    advance: Advance
    note: str
    left: int

    def take(self, count: int) -> None:
        """Advance by finished tiles."""
        self.left -= count
        self.advance(count, self.note)

    def finish(self) -> None:
        """Advance by whatever is left."""
        self.take(self.left)


def _tiles(model: Model, path: Path) -> int:
    """Count the tiles of an image from its header; an unreadable one counts as one and is told later."""
    try:
        info = probe(path)
    except PixelwiseError:
        return 1
    return model.tiles((info.height, info.width))


def _predict_file(
    model: Model, path: Path, folder: Path, name: str, extras: Extras, done: "Steps"
) -> tuple[list[Path], list[ObjectTable], tuple[str, ...]]:
    image = read_pixels(path, model.recipe.channels, extras.pages)
    result = model.predict_pixels(image.pixels, probabilities=extras.probabilities, advance=done.take)
    recipe = model.recipe
    objects: list[ObjectTable] = []
    if recipe.task == "instance":
        written = [write_labels(folder / f"{name}.png", result.labels, image.spacing)]
        objects = [measure(result.labels, image.pixels)]
    else:
        written = [folder / f"{name}.png"]
        write_mask(written[0], result.labels.astype(np.uint8), recipe.colours)
    if result.probabilities is not None:
        target = folder / f"{name}.probabilities.tif"
        write_image(target, np.round(result.probabilities.astype(np.float32) * 255).astype(np.uint8))
        written.append(target)
    if extras.overlays:
        target = folder / f"{name}.overlay.png"
        drawn = overlay(image.pixels, result.labels, recipe.colours, objects=recipe.task == "instance")
        write_image(target, drawn)
        written.append(target)
    notes = tuple(f"{path.name}: {text}" for text in result.warnings)
    return written, objects, (*image.warnings, *notes)


def _name(paths: Sequence[Path]) -> dict[str, Path]:
    """Give each image a name for its results: its stem, with folder or suffix where stems are shared."""
    names: dict[str, Path] = {}
    stems = [path.stem.lower() for path in paths]
    for path, stem in zip(paths, stems, strict=True):
        name = path.stem if stems.count(stem) == 1 else f"{path.parent.name}_{path.stem}_{path.suffix[1:]}"
        if name in names:
            mend = "Predict them into two folders, one after the other."
            raise BadImage("a different name for every image", f"{name} twice", mend, path)
        names[name] = path
    return names


def _check_place(folder: Path, inputs: Sequence[Path], names: Sequence[str], overwrite: bool) -> None:
    """Refuse a place that cannot be written, before any work."""
    sources = {(path if path.is_dir() else path.parent).resolve() for path in inputs}
    if folder.resolve() in sources:
        mend = "Choose another --out: nothing is ever written beside your images."
        raise OutputFailed("a folder of its own for the results", "the folder of the images", mend, folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise refused(folder, error) from error
    there = sorted(_existing(folder, names))
    if there and not overwrite:
        mend = "Replace them with --overwrite, or choose another --out."
        raise OutputFailed("a folder without these results", f"{len(there)}, such as {there[0]}", mend, folder)


def _existing(folder: Path, names: Sequence[str]) -> Iterator[str]:
    present = {path.name for path in folder.iterdir()}
    for name in names:
        yield from ({f"{name}.png", f"{name}.tif"} & present)


def _write_classes(folder: Path, model: Model) -> None:
    """Write what the numbers in the masks mean."""
    recipe = model.recipe
    values = recipe.values or tuple(range(len(recipe.classes)))
    rows = zip(recipe.classes, values, recipe.colours, strict=False)
    kind = "object numbers, 0 is background" if recipe.task == "instance" else "class indices"
    entries = [
        {"index": index, "name": name, "value_in_your_masks": value, "colour": list(colour)}
        for index, (name, value, colour) in enumerate(rows)
    ]
    commit_json(folder / "classes.json", {"pixels_hold": kind, "classes": entries})


def _write_table(path: Path, tables: Sequence[tuple[str, ObjectTable]], classes: Sequence[str]) -> None:
    """Write a row per object; areas in pixels, positions (row, column) from the top left corner."""
    name = classes[-1] if classes else "object"

    def write(file: BinaryIO) -> None:
        text = io.TextIOWrapper(file, "utf-8", "surrogateescape", newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(_TABLE)
        for image, table in tables:
            writer.writerows(_cells(image, name, row) for row in table)
        text.detach()  # flushes, and leaves the file open for its keeper

    commit(path, write)


def _cells(image: str, name: str, row: ObjectRow) -> tuple[str | int, ...]:
    box = " ".join(str(value) for value in row.box)
    intensity = "" if row.mean_intensity is None else f"{row.mean_intensity:.4f}"
    centroid = f"{row.centroid_row:.2f}", f"{row.centroid_column:.2f}"
    return image, row.id, name, row.area, *centroid, box, f"{row.perimeter:.2f}", intensity
