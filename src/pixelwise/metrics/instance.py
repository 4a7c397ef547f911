"""Instance segmentation metrics: matching, average precision, panoptic quality and SEG.

A true and a predicted object match at a threshold t >= 0.5 if their IoU is above t; each object then has at most one
match, and no assignment problem has to be solved (Kirillov et al. 2019, Panoptic Segmentation, section 4.1).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Integer

from pixelwise.labels.label_image import overlap_table

THRESHOLDS = tuple(step / 20 for step in range(10, 20))  # 0.50, 0.55, ... 0.95, as in the 2018 Data Science Bowl


@dataclass(frozen=True)
class Matching:
    """Matched objects of one image, or of several joined by `pool`.

    Attributes
    ----------
    truths, predictions : int
        Objects in the ground truth and in the prediction.
    ious : float64 array (matches,)
        IoU of every pair with an IoU above 0.5.
    covers : float64 array (truths,)
        For each true object, the IoU with the object that covers more than half of it, else 0.
    """

    truths: int
    predictions: int
    ious: Float64[np.ndarray, " matches"]
    covers: Float64[np.ndarray, " truths"]

    @property
    def count_error(self) -> int:
        """Predicted minus true number of objects."""
        return self.predictions - self.truths

    @property
    def precision(self) -> float | None:
        """Fraction of the predicted objects that match one at IoU 0.5; None without predictions."""
        return len(self.ious) / self.predictions if self.predictions else None

    @property
    def recall(self) -> float | None:
        """Fraction of the true objects that match one at IoU 0.5; None without true objects."""
        return len(self.ious) / self.truths if self.truths else None


@dataclass(frozen=True)
class PanopticQuality:
    """PQ = SQ x RQ. All None without objects; `sq` alone is None without matches (`pq` is then 0)."""

    pq: float | None
    sq: float | None
    rq: float | None


def match(truth: Integer[np.ndarray, "*size"], predicted: Integer[np.ndarray, "*size"]) -> Matching:
    """Compare two label images or label volumes.

    Parameters
    ----------
    truth : int array (height, width) or (depth, height, width)
        0 is background; pixels below 0 are ignored: predictions there become background.
    predicted : int array of the same shape
    """
    table = overlap_table(truth, np.where(truth < 0, 0, predicted))
    ious = table.ious
    covers = np.zeros(len(table.truth_areas))
    covering = 2 * table.pixels > table.truth_areas[table.truth]
    covers[table.truth[covering]] = ious[covering]
    return Matching(len(table.truth_areas), len(table.predicted_areas), ious[ious > 0.5], covers)


def pool(matchings: Sequence[Matching]) -> Matching:
    """Join the objects of several images, so that every object has equal weight."""
    return Matching(
        sum(m.truths for m in matchings),
        sum(m.predictions for m in matchings),
        np.concatenate([m.ious for m in matchings] or [np.zeros(0)]),
        np.concatenate([m.covers for m in matchings] or [np.zeros(0)]),
    )


def average_precision(matching: Matching, threshold: float) -> float | None:
    """Return TP / (TP + FP + FN) at one threshold; None without objects in ground truth and prediction.

    Raises
    ------
    ValueError
        The threshold is below 0.5, where matches are not unique.
    """
    if not 0.5 <= threshold < 1:
        raise ValueError(f"expected a threshold in [0.5, 1), where matches are unique; got {threshold}")
    hits = int(np.count_nonzero(matching.ious > threshold))
    union = matching.truths + matching.predictions - hits
    return hits / union if union else None


def mean_average_precision(matching: Matching) -> float | None:
    """Return the mean of `average_precision` over `THRESHOLDS`; None without objects."""
    values = [average_precision(matching, threshold) for threshold in THRESHOLDS]
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else None


def panoptic_quality(matching: Matching) -> PanopticQuality:
    """Return SQ = mean IoU of the matches, RQ = TP / (TP + FP / 2 + FN / 2), and their product."""
    objects = matching.truths + matching.predictions
    if not objects:
        return PanopticQuality(None, None, None)
    hits = len(matching.ious)
    rq = 2 * hits / objects
    sq = float(matching.ious.mean()) if hits else None
    return PanopticQuality(sq * rq if sq is not None else 0.0, sq, rq)


def seg(matching: Matching) -> float | None:
    """Return SEG of the Cell Tracking Challenge: the mean of `covers` over the true objects; None without any."""
    return float(matching.covers.mean()) if matching.truths else None
