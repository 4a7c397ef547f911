"""Predict, of whole-image classes: one table with a row per image."""

import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np

from pixelwise.atomic_write import atomic_write
from pixelwise.datasets.dataset import read_pixels
from pixelwise.errors import BadOption, PixelwiseError
from pixelwise.inference.classification_model import ClassificationModel, load_classification_model
from pixelwise.metrics.classification import most_probable
from pixelwise.parallel import parallel_map
from pixelwise.progress import Progress
from pixelwise.text import pluralise
from pixelwise.workflow.prediction.options import PredictOptions
from pixelwise.workflow.prediction.results import ClassPrediction, Predictions, check_free

TABLE = "predictions.csv"
SHOWN = 5  # classes told of each image
TOGETHER = 64  # images that are read and predicted at once: a bound on the memory

# What the network sees of a photo, with sentences about it; or why it cannot be predicted.
Seen = tuple[np.ndarray, tuple[str, ...]] | str


def predict_photos(
    model_file: Path, paths: Sequence[Path], folder: Path, options: PredictOptions, progress: Progress
) -> Predictions:
    """Tell the class of each path in one table in `folder`; see `predict`."""
    _refuse_masks(options)
    check_free(folder, (TABLE,), options)
    model = load_classification_model(
        model_file, device=options.device, runtime=options.runtime, mirrored=options.symmetries, progress=progress
    )
    paths = list(dict.fromkeys(paths))
    failed: list[tuple[Path, str]] = []
    found: list[tuple[Path, np.ndarray]] = []
    notes: Counter[str] = Counter()
    with progress.bar("predicting", len(paths)) as advance:
        for start in range(0, len(paths), TOGETHER):
            some = paths[start : start + TOGETHER]
            for path, result in _predict(model, some, options.pages, notes):
                if isinstance(result, str):
                    failed.append((path, result))
                    progress.message(f"Left out: {result}")
                else:
                    found.append((path, result))
            advance(len(some), some[-1].name)
    progress.message(*(f"{pluralise(count, 'image')}: {text}" for text, count in notes.items()))
    messages = tuple(_tell(path, probabilities, model.model_card.classes) for path, probabilities in found)
    _write_table(folder / TABLE, messages, found if options.probabilities else (), model.model_card.classes)
    return Predictions((folder / TABLE,), tuple(failed), messages)


def _refuse_masks(options: PredictOptions) -> None:
    """Refuse what only masks have, instead of passing it over."""
    tta = "Leave it out; --symmetries averages each image with its mirror image."
    given = {
        "--overlays": options.overlays,
        "--confidence": options.confidence,
        "--tta": options.tta is not None,
        "--tile": options.tile is not None,
        "--tolerance": options.tolerance is not None,
        "--format": options.format is not None,
        "--compression": options.compression is not None,
        "--sampled-intensities": options.sampled_intensities,
    }
    for name in (name for name, there in given.items() if there):
        hint = tta if name == "--tta" else "Leave it out."
        raise BadOption("options of whole-image classes", f"{name}, which belongs to masks", hint)


def _predict(
    model: ClassificationModel, paths: Sequence[Path], pages: int | None, notes: Counter[str]
) -> Iterator[tuple[Path, np.ndarray | str]]:
    """Yield the probabilities of each path, or why there are none; count the sentences about the images."""
    looks: list[tuple[Path, Seen]] = list(
        zip(paths, parallel_map(partial(_look, model=model, pages=pages), paths), strict=True)
    )
    good = [(path, seen) for path, seen in looks if not isinstance(seen, str)]
    yield from ((path, seen) for path, seen in looks if isinstance(seen, str))
    if good:
        notes.update(text for _, (_, messages) in good for text in messages)
        probabilities = model.predict_batch([look for _, (look, _) in good])
        yield from zip((path for path, _ in good), probabilities, strict=True)


def _look(path: Path, *, model: ClassificationModel, pages: int | None) -> Seen:
    try:
        image = read_pixels(path, model.model_card.channels, pages)
        return model.look(image.pixels), (*image.warnings, *model.warnings(image.pixels))
    except PixelwiseError as error:
        return str(error)


def _tell(path: Path, probabilities: np.ndarray, classes: tuple[str, ...]) -> ClassPrediction:
    first = most_probable(probabilities[None], SHOWN)[0].tolist()
    values = tuple(round(float(probabilities[index]), 6) for index in first)
    return ClassPrediction(file=path, classes=tuple(classes[index] for index in first), probabilities=values)


def _write_table(
    path: Path, messages: Sequence[ClassPrediction], found: Sequence[tuple[Path, np.ndarray]], classes: Sequence[str]
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
        for index, row in enumerate(messages):
            pairs = zip(row.classes, row.probabilities, strict=True)
            cells = [cell for name, chance in pairs for cell in (name, f"{chance:.6f}")]
            everything = [f"{chance:.6f}" for chance in found[index][1].tolist()] if found else []
            writer.writerow([str(row.file), *cells, *everything])
        text.detach()  # flushes, and leaves the file open for its keeper

    atomic_write(path, write)
