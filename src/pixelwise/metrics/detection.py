"""Image-level detection metrics: image score, area under the ROC curve and average precision.

As in anomaly detection (MVTec AD: Bergmann et al. 2021, section 6.2), image scores are evaluated over all thresholds by
the area under the ROC curve; average precision is added because positive images may be rare.
"""

import numpy as np
from jaxtyping import Bool, Float, Float64

TOP = 100  # pixels: compared with maximum, mean and smoothed maxima on validation images of steel defects


def image_score(probabilities: Float[np.ndarray, "..."]) -> float:
    """Return the image score of a class: the mean of its `TOP` highest probabilities.

    A single pixel is noisy, and the mean of all pixels misses small objects. The score ranks images; it is not the
    probability that an image contains the class.
    """
    flat = probabilities.astype(np.float32).ravel()
    return float(np.partition(flat, -TOP)[-TOP:].mean(dtype=np.float64)) if len(flat) > TOP else float(flat.mean())


def area_under_roc(scores: Float64[np.ndarray, " images"], positive: Bool[np.ndarray, " images"]) -> float | None:
    """Return the area under the ROC curve; None without positive or without negative images.

    It is the probability that a positive image scores higher than a negative one, with ties counted as one half (Hanley
    and McNeil 1982).
    """
    positives, negatives = int(positive.sum()), int((~positive).sum())
    if not positives or not negatives:
        return None
    others = np.sort(scores[~positive])
    below, at_most = (np.searchsorted(others, scores[positive], side).sum() for side in ("left", "right"))
    return float(below + at_most) / 2 / (positives * negatives)


def average_precision(scores: Float64[np.ndarray, " images"], positive: Bool[np.ndarray, " images"]) -> float | None:
    """Return the average precision: precision at each threshold weighted by the gain in recall; None without positives.

    Images with equal scores share a threshold.
    """
    positives = int(positive.sum())
    if not positives:
        return None
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)  # last image of each score
    hits = np.cumsum(positive[order])[last]
    return float((hits / (last + 1) * np.diff(hits, prepend=0)).sum()) / positives
