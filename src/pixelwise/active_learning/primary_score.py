"""The score that a forecast is made of: the one that `evaluate` names first, with what each image adds to it."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from pixelwise.datasets.dataset import Labelling
from pixelwise.datasets.records import has_background
from pixelwise.metrics.instance import mean_average_precision
from pixelwise.metrics.semantic import class_scores, mean_of
from pixelwise.workflow.evaluation.mask_scores import CaseResult


@dataclass(frozen=True, kw_only=True)
class PrimaryMetric:
    """Mean AP, the mean over images, for objects; else the mean Dice over all pixels of all images.

    `classes` are those of the masks, `first` the first one in the mean.
    """

    name: str
    classes: int
    first: int

    def row(self, result: CaseResult) -> list[float]:
        """Return what an image adds: its confusion matrix in a row; or its mean AP, and whether it has one."""
        if result.matching is None:
            return result.matrix.astype(float).ravel().tolist()
        value = mean_average_precision(result.matching)
        return [value or 0.0, float(value is not None)]

    def score(self, total: Float64[np.ndarray, " numbers"]) -> float | None:
        """Return the score of the summed rows; None where nothing is defined."""
        if self.name == "mean_ap":
            return float(total[0] / total[1]) if total[1] else None
        matrix = np.rint(total).astype(np.int64).reshape(self.classes, self.classes)
        return mean_of(class_scores(matrix).dice[self.first :])


def primary_metric_of(labelling: Labelling) -> PrimaryMetric:
    """Return the score of a task with masks."""
    if labelling.task == "instance":
        return PrimaryMetric(name="mean_ap", classes=2, first=1)
    first = int(has_background(labelling.task, labelling.classes))
    return PrimaryMetric(name="mean_dice", classes=len(labelling.classes), first=first)
