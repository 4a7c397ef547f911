"""Semantic segmentation metrics from a confusion matrix; undefined values are None, never 0, 1 or NaN."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64, Integer

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


def class_scores(matrix: Int64[np.ndarray, "classes classes"]) -> ClassScores:
    """Return IoU = TP / (TP + FP + FN), Dice = 2 TP / (2 TP + FP + FN), precision and recall of each class."""
    hits = np.diag(matrix)
    present, predicted = matrix.sum(1), matrix.sum(0)
    union = present + predicted - hits
    return ClassScores(
        iou=_ratios(hits, union),
        dice=_ratios(2 * hits, present + predicted),
        precision=_ratios(hits, predicted),
        recall=_ratios(hits, present),
    )


def mean_of(values: tuple[float | None, ...]) -> float | None:
    """Return the mean over the defined values; None without any."""
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else None


def _ratios(above: np.ndarray, below: np.ndarray) -> tuple[float | None, ...]:
    return tuple(float(a / b) if b else None for a, b in zip(above, below, strict=True))
