"""Evaluate, of whole-image classes: the class of each image is told and compared with its folder."""

from collections.abc import Iterator, Sequence
from copy import copy
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64

from pixelwise.datasets.dataset import Case, Dataset, read_pixels
from pixelwise.errors import BadDataset
from pixelwise.exporters.samples import Sample
from pixelwise.inference.classification_model import ClassificationModel
from pixelwise.metrics.calibration import tempered
from pixelwise.model_file.model_card import ModelCard
from pixelwise.parallel import parallel_map
from pixelwise.progress import Progress
from pixelwise.sampling.resize_crop import View, fit
from pixelwise.workflow.evaluation.confidence import judge_photos, unscaled
from pixelwise.workflow.evaluation.photo_scores import summarise_photos

TOGETHER = 64  # images that are read and predicted at once: a bound on the memory


def score_photos(
    model: ClassificationModel,
    dataset: Dataset,
    cases: Sequence[Case],
    *,
    pages: int | None,
    seed: int,
    progress: Progress,
) -> dict[str, Any]:
    """Return the scores of a model of whole-image classes on cases with classes; see `evaluate`.

    Raises
    ------
    BadDataset
        There are masks instead of class folders, or folders that the model knows no class for.
    """
    truth = true_classes(model.model_card.classes, dataset, cases)
    model_card, raw = model.model_card, copy(model)
    raw.model_card = unscaled(model_card)
    probabilities = look_at_photos(raw, cases, pages=pages, progress=progress)
    scaled = tempered(probabilities, model_card.temperatures).astype(np.float32)
    scores = join_photos(scaled, truth, model_card.classes, cases, seed=seed)
    return judge_photos(scores, probabilities, truth, model_card.temperatures)


def look_at_photos(
    model: ClassificationModel, cases: Sequence[Case], *, pages: int | None, progress: Progress
) -> Float32[np.ndarray, "images classes"]:
    """Return the probabilities of the classes for each case, in order."""
    look = partial(_look, model=model, pages=pages)
    probabilities: list[np.ndarray] = []
    with progress.bar("evaluating", len(cases)) as advance:
        for start in range(0, len(cases), TOGETHER):
            some = cases[start : start + TOGETHER]
            probabilities.append(model.predict_batch(list(parallel_map(look, some))))
            advance(len(some), "")
    return np.concatenate(probabilities)


def join_photos(
    probabilities: Float32[np.ndarray, "images classes"],
    truth: Int64[np.ndarray, " images"],
    classes: Sequence[str],
    cases: Sequence[Case],
    *,
    seed: int,
) -> dict[str, Any]:
    """Return the scores of the probabilities that were told of the cases, in their order."""
    names = [case.name for case in cases]
    scores: dict[str, Any] = {"task": "classification", **summarise_photos(names, truth, probabilities, classes, seed)}
    for row, case in zip(scores["cases"], cases, strict=True):
        row["files"] = [str(case.image.resolve())]  # the report shows some of them
    return scores


def true_classes(classes: Sequence[str], dataset: Dataset, cases: Sequence[Case]) -> Int64[np.ndarray, " images"]:
    """Return the index of the class of each case among the classes of the model."""
    index = agree(classes, dataset)
    return np.array([index[case.class_index or 0] for case in cases], np.int64)


def agree(classes: Sequence[str], dataset: Dataset) -> list[int]:
    """Return the model's index of each class of the data, which may show fewer classes than the model knows.

    Raises
    ------
    BadDataset
        There are masks instead of class folders, or folders that the model knows no class for.
    """
    expected = f"folders named as the model's classes ({', '.join(classes)})"
    labelling = dataset.labelling
    if labelling.task != "classification":
        raise BadDataset(expected, "images with masks", "Give such a folder, or use another run.", dataset.root)
    strange = [name for name in labelling.classes if name not in classes]
    if strange:
        hint = "Rename these folders or take them out, or use another run."
        raise BadDataset(expected, ", ".join(strange), hint, dataset.root)
    return [list(classes).index(name) for name in labelling.classes]


def _look(case: Case, *, model: ClassificationModel, pages: int | None) -> np.ndarray:
    return model.look(read_pixels(case.image, model.model_card.channels, pages).pixels)


def read_photo_samples(
    model_card: ModelCard, view: View, dataset: Dataset, cases: Sequence[Case], pages: int | None
) -> Iterator[Sample]:
    """Read photos one by one.

    Raises
    ------
    BadDataset
        There are masks instead of class folders, or folders that the model knows no class for.
    BadImage
        A file cannot be read.
    """
    index = agree(model_card.classes, dataset)
    for case in cases:
        if case.class_index is not None:
            pixels = fit(read_pixels(case.image, model_card.channels, pages).pixels, view.shorter)
            yield Sample(pixels, np.array(index[case.class_index], np.int64))
