"""Semantic segmentation metrics from a confusion matrix; undefined values are None, never 0, 1 or NaN."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64, Integer

from pixelwise.labels.targets import IGNORE


@dataclass(frozen=True)
class ClassScores:
    """Scores of each class.

    None if the ratio is 0 / 0: the class is in neither mask; for precision, it was never predicted; for recall, it is
    not in the ground truth.
    """

    iou: tuple[float | None, ...]
    dice: tuple[float | None, ...]
    precision: tuple[float | None, ...]
    recall: tuple[float | None, ...]


def confusion(
    truth: Integer[np.ndarray, "*size"], predicted: Integer[np.ndarray, "*size"], classes: int
) -> Int64[np.ndarray, "classes classes"]:
    """Return the confusion matrix of pixels: entry (i, j) is true class i, predicted class j; true 255 is ignored.

    Both are images or volumes of one shape.
    """
    valid = truth != IGNORE
    flat = truth[valid].astype(np.int64) * classes + predicted[valid]
    return np.bincount(flat, minlength=classes * classes).reshape(classes, classes).astype(np.int64)


@dataclass(frozen=True)
class StackedScores:
    """Scores of each class for many confusion matrices: (matrices, classes), NaN where `ClassScores` has None."""

    iou: Float64[np.ndarray, "matrices classes"]
    dice: Float64[np.ndarray, "matrices classes"]
    precision: Float64[np.ndarray, "matrices classes"]
    recall: Float64[np.ndarray, "matrices classes"]


def stacked_scores(matrices: Int64[np.ndarray, "matrices classes classes"]) -> StackedScores:
    """Return IoU = TP / (TP + FP + FN), Dice = 2 TP / (2 TP + FP + FN), precision and recall of each class.

    Examples
    --------
    >>> stacked_scores(np.array([[[3, 1], [0, 0]]])).recall
    array([[0.75,  nan]])
    """
    hits = np.diagonal(matrices, axis1=1, axis2=2)
    present, predicted = matrices.sum(2), matrices.sum(1)
    return StackedScores(
        iou=_ratios(hits, present + predicted - hits),
        dice=_ratios(2 * hits, present + predicted),
        precision=_ratios(hits, predicted),
        recall=_ratios(hits, present),
    )


def class_scores(matrix: Int64[np.ndarray, "classes classes"]) -> ClassScores:
    """Return the scores of each class; see `stacked_scores`."""
    stacked = stacked_scores(matrix[None])
    return ClassScores(
        iou=_defined(stacked.iou),
        dice=_defined(stacked.dice),
        precision=_defined(stacked.precision),
        recall=_defined(stacked.recall),
    )


def mean_of(values: tuple[float | None, ...]) -> float | None:
    """Return the mean over the defined values; None without any."""
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else None


def means_of(values: Float64[np.ndarray, "rows columns"]) -> Float64[np.ndarray, " rows"]:
    """Return the mean of each row over its defined values; NaN for a row without any.

    Examples
    --------
    >>> means_of(np.array([[0.5, np.nan], [0.5, 1.0], [np.nan, np.nan]]))
    array([0.5 , 0.75,  nan])
    """
    known = ~np.isnan(values)
    return _ratios(np.where(known, values, 0.0).sum(1), known.sum(1))


def _ratios(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Return above / below; NaN where that is 0 / 0."""
    return np.divide(above, below, out=np.full(above.shape, np.nan), where=below != 0)


def _defined(row: Float64[np.ndarray, "1 classes"]) -> tuple[float | None, ...]:
    return tuple(None if np.isnan(value) else value for value in row[0].tolist())
