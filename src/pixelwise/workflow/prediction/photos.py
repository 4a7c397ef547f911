"""Predict, of whole-image classes: one table with a row per image."""

import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np

from pixelwise.atomic_write import commit
from pixelwise.datasets.dataset import read_pixels
from pixelwise.errors import BadOption, PixelwiseError
from pixelwise.inference.classification_model import PhotoModel, load_photo_model
from pixelwise.metrics.classification import most_probable
from pixelwise.parallel import parallel_map
from pixelwise.progress import Progress
from pixelwise.text import counted
from pixelwise.workflow.prediction.results import Predictions, Told, Wishes, check_free

TABLE = "predictions.csv"
SHOWN = 5  # classes told of each image
TOGETHER = 64  # images that are read and predicted at once: a bound on the memory

# What the network sees of a photo, with sentences about it; or why it cannot be predicted.
Seen = tuple[np.ndarray, tuple[str, ...]] | str


def predict_photos(
    model_file: Path, paths: Sequence[Path], folder: Path, wishes: Wishes, progress: Progress
) -> Predictions:
    """Tell the class of each path in one table in `folder`; see `predict`."""
    _refuse_masks(wishes)
    check_free(folder, (TABLE,), wishes)
    model = load_photo_model(
        model_file, device=wishes.device, runtime=wishes.runtime, mirrored=wishes.symmetries, progress=progress
    )
    paths = list(dict.fromkeys(paths))
    failed: list[tuple[Path, str]] = []
    found: list[tuple[Path, np.ndarray]] = []
    notes: Counter[str] = Counter()
    with progress.bar("predicting", len(paths)) as advance:
        for start in range(0, len(paths), TOGETHER):
            some = paths[start : start + TOGETHER]
            for path, result in _predict(model, some, wishes.pages, notes):
                if isinstance(result, str):
                    failed.append((path, result))
                    progress.tell(f"Left out: {result}")
                else:
                    found.append((path, result))
            advance(len(some), some[-1].name)
    progress.tell(*(f"{counted(count, 'image')}: {text}" for text, count in notes.items()))
    told = tuple(_tell(path, chances, model.recipe.classes) for path, chances in found)
    _write_table(folder / TABLE, told, found if wishes.probabilities else (), model.recipe.classes)
    return Predictions((folder / TABLE,), tuple(failed), told)


def _refuse_masks(wishes: Wishes) -> None:
    """Refuse what only masks have, instead of passing it over."""
    turns = "Leave it out; --symmetries averages each image with its mirror image."
    given = {
        "--overlays": wishes.overlays,
        "--confidence": wishes.confidence,
        "--turns": wishes.turns is not None,
        "--tile": wishes.tile is not None,
        "--tolerance": wishes.tolerance is not None,
        "--format": wishes.format is not None,
        "--compression": wishes.compression is not None,
        "--sampled-intensities": wishes.sampled_intensities,
    }
    for name in (name for name, there in given.items() if there):
        mend = turns if name == "--turns" else "Leave it out."
        raise BadOption("options of whole-image classes", f"{name}, which belongs to masks", mend)


def _predict(
    model: PhotoModel, paths: Sequence[Path], pages: int | None, notes: Counter[str]
) -> Iterator[tuple[Path, np.ndarray | str]]:
    """Yield the probabilities of each path, or why there are none; count the sentences about the images."""
    looks: list[tuple[Path, Seen]] = list(
        zip(paths, parallel_map(partial(_look, model=model, pages=pages), paths), strict=True)
    )
    good = [(path, seen) for path, seen in looks if not isinstance(seen, str)]
    yield from ((path, seen) for path, seen in looks if isinstance(seen, str))
    if good:
        notes.update(text for _, (_, told) in good for text in told)
        chances = model.predict_batch([look for _, (look, _) in good])
        yield from zip((path for path, _ in good), chances, strict=True)


def _look(path: Path, *, model: PhotoModel, pages: int | None) -> Seen:
    try:
        image = read_pixels(path, model.recipe.channels, pages)
        return model.look(image.pixels), (*image.warnings, *model.warnings(image.pixels))
    except PixelwiseError as error:
        return str(error)


def _tell(path: Path, chances: np.ndarray, classes: tuple[str, ...]) -> Told:
    first = most_probable(chances[None], SHOWN)[0].tolist()
    values = tuple(round(float(chances[index]), 6) for index in first)
    return Told(file=path, classes=tuple(classes[index] for index in first), probabilities=values)


def _write_table(
    path: Path, told: Sequence[Told], found: Sequence[tuple[Path, np.ndarray]], classes: Sequence[str]
) -> None:
    """Write a row per image: file, class, probability, the next classes; all probabilities where `found` is given."""
    shown = min(SHOWN, len(classes))
    names = ["file", "class", "probability"]
    names += [f"{kind}_{place}" for place in range(2, shown + 1) for kind in ("class", "probability")]
    # no class can be named so that its column reads like that of a place: probability_of_2, probability_2
    names += [f"probability_of_{name}" for name in classes] if found else []

    def write(file: BinaryIO) -> None:
        text = io.TextIOWrapper(file, "utf-8", "surrogateescape", newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(names)
        for index, row in enumerate(told):
            pairs = zip(row.classes, row.probabilities, strict=True)
            cells = [cell for name, chance in pairs for cell in (name, f"{chance:.6f}")]
            everything = [f"{chance:.6f}" for chance in found[index][1].tolist()] if found else []
            writer.writerow([str(row.file), *cells, *everything])
        text.detach()  # flushes, and leaves the file open for its keeper

    commit(path, write)
