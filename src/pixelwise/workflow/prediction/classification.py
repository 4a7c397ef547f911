"""Prediction of classification models: one table with a row per image."""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from pixelwise.csv_table import atomic_write_csv
from pixelwise.datasets.dataset import read_pixels
from pixelwise.errors import BadOption, PixelwiseError
from pixelwise.inference.classification_model import ClassificationModel, load_classification_model
from pixelwise.metrics.classification import most_probable
from pixelwise.model_file.model_card import with_nodata
from pixelwise.parallel import parallel_map
from pixelwise.progress import Progress
from pixelwise.text import pluralise
from pixelwise.workflow.prediction.options import PredictOptions
from pixelwise.workflow.prediction.results import ClassPrediction, Predictions, check_free

TABLE = "predictions.csv"
SHOWN = 5  # most probable classes in the table
BATCH_SIZE = 64  # images that are read and predicted at once: a bound on the memory

# the network input and its warnings, or an error message
LoadedView = tuple[np.ndarray, tuple[str, ...]] | str


def predict_classes(
    model_file: Path, paths: Sequence[Path], folder: Path, options: PredictOptions, progress: Progress
) -> Predictions:
    """Write the predicted class of each path to one table in `folder`; see `predict`."""
    check_class_options(options)
    check_free(folder, (TABLE,), options)
    model = open_classifier(model_file, options, progress)
    return classify_paths(model, list(dict.fromkeys(paths)), folder, options, progress)


def open_classifier(model_file: Path, options: PredictOptions, progress: Progress) -> ClassificationModel:
    """Load a classification model with the options of a prediction."""
    model = load_classification_model(
        model_file, device=options.device, runtime=options.runtime, mirrored=options.symmetries, progress=progress
    )
    model.model_card = with_nodata(model.model_card, options.nodata)
    return model


def classify_paths(
    model: ClassificationModel, paths: Sequence[Path], folder: Path, options: PredictOptions, progress: Progress
) -> Predictions:
    """Write the predicted class of each path to one table in `folder`; paths are unique."""
    failed: list[tuple[Path, str]] = []
    results: list[tuple[Path, np.ndarray]] = []
    notes: Counter[str] = Counter()
    with progress.bar("predicting", len(paths)) as advance:
        for start in range(0, len(paths), BATCH_SIZE):
            batch = paths[start : start + BATCH_SIZE]
            for path, result in _predict(model, batch, options.pages, notes):
                if isinstance(result, str):
                    failed.append((path, result))
                    progress.message(f"Skipped: {result}")
                else:
                    results.append((path, result))
            advance(len(batch), batch[-1].name)
    progress.message(*(f"{pluralise(count, 'image')}: {text}" for text, count in notes.items()))
    classes = model.model_card.classes
    predictions = tuple(_top_classes(path, probabilities, classes) for path, probabilities in results)
    all_probabilities = [probabilities for _, probabilities in results] if options.probabilities else ()
    _write_table(folder / TABLE, predictions, all_probabilities, classes)
    return Predictions((folder / TABLE,), tuple(failed), predictions)


def check_class_options(options: PredictOptions) -> None:
    """Reject options that apply to segmentation only."""
    tta = "Remove it; --symmetries averages each image with its mirror image."
    given = {
        "--overlays": options.overlays,
        "--confidence": options.confidence,
        "--save": bool(options.save),
        "--tta": options.tta is not None,
        "--tile": options.tile is not None,
        "--tolerance": options.tolerance is not None,
        "--format": options.format is not None,
        "--compression": options.compression is not None,
        "--sampled-intensities": options.sampled_intensities,
    }
    for name in (name for name, there in given.items() if there):
        hint = tta if name == "--tta" else "Remove it."
        raise BadOption("options of classification", f"{name}, which applies to segmentation only", hint)


def _predict(
    model: ClassificationModel, paths: Sequence[Path], pages: int | None, notes: Counter[str]
) -> Iterator[tuple[Path, np.ndarray | str]]:
    """Yield the probabilities or the error of each path; count the warnings in `notes`."""
    views: list[tuple[Path, LoadedView]] = list(
        zip(paths, parallel_map(partial(_read_view, model=model, pages=pages), paths), strict=True)
    )
    readable = [(path, view) for path, view in views if not isinstance(view, str)]
    yield from ((path, view) for path, view in views if isinstance(view, str))
    if readable:
        notes.update(text for _, (_, warnings) in readable for text in warnings)
        probabilities = model.predict_batch([pixels for _, (pixels, _) in readable])
        yield from zip((path for path, _ in readable), probabilities, strict=True)


def _read_view(path: Path, *, model: ClassificationModel, pages: int | None) -> LoadedView:
    try:
        image = read_pixels(path, model.model_card.channels, pages, model.model_card.reading)
        return model.look(image.pixels), (*image.warnings, *model.warnings(image.pixels))
    except PixelwiseError as error:
        return str(error)


def _top_classes(path: Path, probabilities: np.ndarray, classes: tuple[str, ...]) -> ClassPrediction:
    top = most_probable(probabilities[None], SHOWN)[0].tolist()
    values = tuple(round(float(probabilities[index]), 6) for index in top)
    return ClassPrediction(file=path, classes=tuple(classes[index] for index in top), probabilities=values)


def _write_table(
    path: Path, predictions: Sequence[ClassPrediction], all_probabilities: Sequence[np.ndarray], classes: Sequence[str]
) -> None:
    """Write a row per image: file, most probable classes with probabilities, and `all_probabilities` if given."""
    shown = min(SHOWN, len(classes))
    names = ["file", "class", "probability"]
    names += [f"{kind}_{rank}" for rank in range(2, shown + 1) for kind in ("class", "probability")]
    # "of": a class named "2" does not collide with rank 2
    names += [f"probability_of_{name}" for name in classes] if all_probabilities else []

    def cells() -> Iterator[list[str]]:
        for index, row in enumerate(predictions):
            pairs = zip(row.classes, row.probabilities, strict=True)
            top = [cell for name, value in pairs for cell in (name, f"{value:.6f}")]
            rest = [f"{value:.6f}" for value in all_probabilities[index].tolist()] if all_probabilities else []
            yield [str(row.file), *top, *rest]

    atomic_write_csv(path, names, cells())
