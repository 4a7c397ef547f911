"""Predict, of masks: an indexed PNG per image, or a label image and a table of objects."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import Num, UInt8
from skimage.segmentation import find_boundaries

from pixelwise.commit import commit, commit_json
from pixelwise.engine.model import Model, load_model_for_prediction
from pixelwise.errors import BadOption, OutputFailed, PixelwiseError
from pixelwise.images.cases import read_pixels
from pixelwise.images.files import probe, write_image, write_labels, write_mask
from pixelwise.labels.measuring import ObjectRow, ObjectTable, measure
from pixelwise.progress import Advance, Progress
from pixelwise.workflow.prediction.results import Predictions, Wishes, check_free, name_images

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


def predict_masks(
    model_file: Path, paths: Sequence[Path], folder: Path, wishes: Wishes, progress: Progress
) -> Predictions:
    """Predict a mask or a label image of each path into `folder`; see `predict`."""
    if wishes.symmetries and wishes.turns not in (None, 4):
        raise BadOption("--symmetries or --turns", f"both, with {wishes.turns} turns", "Leave one of them out.")
    named = name_images(paths)
    check_free(folder, [f"{name}.{ending}" for name in named for ending in ("png", "tif")], wishes)
    turns = 4 if wishes.symmetries else wishes.turns
    model = load_model_for_prediction(model_file, device=wishes.device, tile=wishes.tile, turns=turns)
    _write_classes(folder, model)
    outputs: list[Path] = []
    failed: list[tuple[Path, str]] = []
    tables: list[tuple[str, ObjectTable]] = []
    tiles = {name: _tiles(model, path) for name, path in named.items()}
    with progress.bar("predicting", sum(tiles.values())) as advance:
        for name, path in named.items():
            done = Steps(advance, path.name, tiles[name])
            try:
                written, objects, notes = _predict_file(model, path, folder, name, wishes, done)
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
    model: Model, path: Path, folder: Path, name: str, wishes: Wishes, done: Steps
) -> tuple[list[Path], list[ObjectTable], tuple[str, ...]]:
    image = read_pixels(path, model.recipe.channels, wishes.pages)
    result = model.predict_pixels(image.pixels, probabilities=wishes.probabilities, advance=done.take)
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
    if wishes.overlays:
        target = folder / f"{name}.overlay.png"
        drawn = overlay(image.pixels, result.labels, recipe.colours, objects=recipe.task == "instance")
        write_image(target, drawn)
        written.append(target)
    notes = tuple(f"{path.name}: {text}" for text in result.warnings)
    return written, objects, (*image.warnings, *notes)


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
