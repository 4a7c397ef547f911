"""Evaluation of classification models: predicted and true classes are compared."""

from collections.abc import Iterator, Sequence
from copy import copy
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64

from pixelwise.datasets.dataset import Case, Dataset
from pixelwise.errors import BadDataset
from pixelwise.exporters.samples import Sample
from pixelwise.inference.classification_model import ClassificationModel
from pixelwise.metrics.calibration import scale_probabilities
from pixelwise.model_file.model_card import ModelCard
from pixelwise.parallel import parallel_map
from pixelwise.progress import Progress
from pixelwise.sampling.resize_crop import resize_shorter_side
from pixelwise.workflow.evaluation.classification_scores import summarise_classification
from pixelwise.workflow.evaluation.confidence import add_image_confidence, unscaled
from pixelwise.workflow.evaluation.splits import ScoreRequest

BATCH_SIZE = 64  # images that are read and predicted at once: a bound on the memory


def score_classification(model: ClassificationModel, request: ScoreRequest) -> dict[str, Any]:
    """Return the scores of a classification model on labelled cases; see `evaluate`.

    Raises
    ------
    BadDataset
        There are classes that are unknown to the model.
    """
    cases = request.cases
    truth = true_classes(model.model_card.classes, request.dataset, cases)
    model_card, raw = model.model_card, copy(model)
    raw.model_card = unscaled(model_card)
    probabilities = predict_probabilities(raw, request.dataset, cases, progress=request.progress)
    scaled = scale_probabilities(probabilities, model_card.temperatures).astype(np.float32)
    scores = summarise_images(scaled, truth, model_card.classes, cases, seed=request.seed)
    return add_image_confidence(scores, probabilities, truth, model_card.temperatures)


def predict_probabilities(
    model: ClassificationModel, dataset: Dataset, cases: Sequence[Case], *, progress: Progress
) -> Float32[np.ndarray, "images classes"]:
    """Return the class probabilities of each case, in order."""
    read = partial(_read_view, model=model, dataset=dataset.with_channels(model.model_card.channels))
    probabilities: list[np.ndarray] = []
    with progress.bar("evaluating", len(cases)) as advance:
        for start in range(0, len(cases), BATCH_SIZE):
            batch = cases[start : start + BATCH_SIZE]
            probabilities.append(model.predict_batch(list(parallel_map(read, batch))))
            advance(len(batch), "")
    return np.concatenate(probabilities)


def summarise_images(
    probabilities: Float32[np.ndarray, "images classes"],
    truth: Int64[np.ndarray, " images"],
    classes: Sequence[str],
    cases: Sequence[Case],
    *,
    seed: int,
) -> dict[str, Any]:
    """Return the scores for the predicted probabilities of the cases."""
    names = [case.name for case in cases]
    scores: dict[str, Any] = {
        "task": "classification",
        **summarise_classification(names, truth, probabilities, classes, seed),
    }
    for row, case in zip(scores["cases"], cases, strict=True):
        row["files"] = [str(case.image.resolve())]  # for the report
    return scores


def true_classes(classes: Sequence[str], dataset: Dataset, cases: Sequence[Case]) -> Int64[np.ndarray, " images"]:
    """Return the index of the class of each case among the classes of the model."""
    index = class_indices(classes, dataset)
    return np.array([index[case.class_index or 0] for case in cases], np.int64)


def class_indices(classes: Sequence[str], dataset: Dataset) -> list[int]:
    """Return the model's index of each class of the data, which may have fewer classes than the model.

    Raises
    ------
    BadDataset
        There are classes that are unknown to the model.
    """
    expected = f"folders named as the model's classes ({', '.join(classes)})"
    unknown = [name for name in dataset.labelling.classes if name not in classes]
    if unknown:
        hint = "Rename or remove these folders, or use another run."
        raise BadDataset(expected, ", ".join(unknown), hint, dataset.root)
    return [list(classes).index(name) for name in dataset.labelling.classes]


def _read_view(case: Case, *, model: ClassificationModel, dataset: Dataset) -> np.ndarray:
    return model.look(dataset.read_image(case).pixels)


def read_classification_samples(model_card: ModelCard, dataset: Dataset, cases: Sequence[Case]) -> Iterator[Sample]:
    """Yield classification images.

    Raises
    ------
    BadDataset
        There are classes that are unknown to the model.
    BadImage
        A file cannot be read.
    """
    if (view := model_card.view) is None:
        raise TypeError("expected a classification model")
    index = class_indices(model_card.classes, dataset)
    dataset = dataset.with_channels(model_card.channels)
    for case in cases:
        if case.class_index is not None:
            pixels = resize_shorter_side(dataset.read_image(case).pixels, view.shorter)
            yield Sample(pixels, np.array(index[case.class_index], np.int64))
