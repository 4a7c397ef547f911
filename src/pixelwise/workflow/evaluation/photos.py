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
from pixelwise.inference.classification_model import PhotoModel
from pixelwise.metrics.calibration import tempered
from pixelwise.model_file.recipe import Recipe
from pixelwise.parallel import parallel_map
from pixelwise.progress import Progress
from pixelwise.sampling.resize_crop import View, fit
from pixelwise.workflow.evaluation.confidence import judge_photos, unscaled
from pixelwise.workflow.evaluation.photo_scores import summarise_photos

TOGETHER = 64  # images that are read and predicted at once: a bound on the memory


def score_photos(
    model: PhotoModel, dataset: Dataset, cases: Sequence[Case], *, pages: int | None, seed: int, progress: Progress
) -> dict[str, Any]:
    """Return the scores of a model of whole-image classes on cases with classes; see `evaluate`.

    Raises
    ------
    BadDataset
        There are masks instead of class folders, or folders that the model knows no class for.
    """
    truth = true_classes(model.recipe.classes, dataset, cases)
    recipe, raw = model.recipe, copy(model)
    raw.recipe = unscaled(recipe)
    chances = look_at_photos(raw, cases, pages=pages, progress=progress)
    scaled = tempered(chances, recipe.temperatures).astype(np.float32)
    scores = join_photos(scaled, truth, recipe.classes, cases, seed=seed)
    return judge_photos(scores, chances, truth, recipe.temperatures)


def look_at_photos(
    model: PhotoModel, cases: Sequence[Case], *, pages: int | None, progress: Progress
) -> Float32[np.ndarray, "images classes"]:
    """Return the probabilities of the classes for each case, in order."""
    look = partial(_look, model=model, pages=pages)
    chances: list[np.ndarray] = []
    with progress.bar("evaluating", len(cases)) as advance:
        for start in range(0, len(cases), TOGETHER):
            some = cases[start : start + TOGETHER]
            chances.append(model.predict_batch(list(parallel_map(look, some))))
            advance(len(some), "")
    return np.concatenate(chances)


def join_photos(
    chances: Float32[np.ndarray, "images classes"],
    truth: Int64[np.ndarray, " images"],
    classes: Sequence[str],
    cases: Sequence[Case],
    *,
    seed: int,
) -> dict[str, Any]:
    """Return the scores of the probabilities that were told of the cases, in their order."""
    names = [case.name for case in cases]
    scores: dict[str, Any] = {"task": "classification", **summarise_photos(names, truth, chances, classes, seed)}
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
        mend = "Rename these folders or take them out, or use another run."
        raise BadDataset(expected, ", ".join(strange), mend, dataset.root)
    return [list(classes).index(name) for name in labelling.classes]


def _look(case: Case, *, model: PhotoModel, pages: int | None) -> np.ndarray:
    return model.look(read_pixels(case.image, model.recipe.channels, pages).pixels)


def read_photo_samples(
    recipe: Recipe, view: View, dataset: Dataset, cases: Sequence[Case], pages: int | None
) -> Iterator[Sample]:
    """Read photos one by one.

    Raises
    ------
    BadDataset
        There are masks instead of class folders, or folders that the model knows no class for.
    BadImage
        A file cannot be read.
    """
    index = agree(recipe.classes, dataset)
    for case in cases:
        if case.class_index is not None:
            pixels = fit(read_pixels(case.image, recipe.channels, pages).pixels, view.shorter)
            yield Sample(pixels, np.array(index[case.class_index], np.int64))
