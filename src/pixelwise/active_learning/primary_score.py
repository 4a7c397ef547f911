"""The primary metric of `evaluate` as a sum of contributions per image, which a bootstrap can resample."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from pixelwise.datasets.dataset import Labelling
from pixelwise.metrics.instance import mean_average_precision
from pixelwise.metrics.semantic import class_scores, mean_of
from pixelwise.workflow.evaluation.mask_scores import CaseResult


@dataclass(frozen=True, kw_only=True)
class PrimaryMetric:
    """Mean AP over images for objects, else mean Dice over all pixels of all images.

    `classes` counts the classes of the masks, `first` is the first one in the mean.
    """

    name: str
    classes: int
    first: int

    def row(self, result: CaseResult) -> list[float]:
        """Return the contribution of an image: its flattened confusion matrix, or its mean AP and whether defined."""
        if result.matching is None:
            return result.matrix.astype(float).ravel().tolist()
        value = mean_average_precision(result.matching)
        return [value or 0.0, float(value is not None)]

    def score(self, total: Float64[np.ndarray, " numbers"]) -> float | None:
        """Return the score of the summed rows; None if undefined."""
        if self.name == "mean_ap":
            return float(total[0] / total[1]) if total[1] else None
        matrix = np.rint(total).astype(np.int64).reshape(self.classes, self.classes)
        return mean_of(class_scores(matrix).dice[self.first :])


def primary_metric_of(labelling: Labelling) -> PrimaryMetric:
    """Return the primary metric of a segmentation task."""
    if labelling.task == "instance":
        return PrimaryMetric(name="mean_ap", classes=2, first=1)
    first = labelling.first_class
    return PrimaryMetric(name="mean_dice", classes=len(labelling.classes), first=first)
