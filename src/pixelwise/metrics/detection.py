"""Detection: whether an image shows a class at all, and how well a score per image tells.

As in anomaly detection (MVTec AD: Bergmann et al. 2021, section 6.2) a score per image is judged over all thresholds
by the area under the ROC curve; precision is averaged beside it, because images that show something may be rare.
"""

import numpy as np
from jaxtyping import Bool, Float, Float64

TOP = 100  # pixels: chosen on validation images of steel defects, beside the highest, the mean and smoothed maxima


def image_score(probabilities: Float[np.ndarray, "..."]) -> float:
    """Return how sure it is that an image shows something: the mean of its `TOP` highest probabilities of that.

    One pixel alone says little, and the mean of all forgets what is small. The score orders images; it is not itself
    the probability that the image shows something.
    """
    flat = probabilities.astype(np.float32).ravel()
    return float(np.partition(flat, -TOP)[-TOP:].mean(dtype=np.float64)) if len(flat) > TOP else float(flat.mean())


def area_under_roc(scores: Float64[np.ndarray, " images"], showing: Bool[np.ndarray, " images"]) -> float | None:
    """Return how often an image that shows something scores higher than one that does not; equals count one half.

    That is the area under the ROC curve (Hanley and McNeil 1982). None where there are no images of one kind.
    """
    positive, negative = int(showing.sum()), int((~showing).sum())
    if not positive or not negative:
        return None
    others = np.sort(scores[~showing])
    below, at_most = (np.searchsorted(others, scores[showing], side).sum() for side in ("left", "right"))
    return float(below + at_most) / 2 / (positive * negative)


def average_precision(scores: Float64[np.ndarray, " images"], showing: Bool[np.ndarray, " images"]) -> float | None:
    """Return the precision at each threshold, weighted with the recall that it adds; None where nothing is shown.

    Images of equal scores come together: their order says nothing.
    """
    positive = int(showing.sum())
    if not positive:
        return None
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)  # of images of one score
    hits = np.cumsum(showing[order])[last]
    return float((hits / (last + 1) * np.diff(hits, prepend=0)).sum()) / positive
