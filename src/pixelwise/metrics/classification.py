"""Classification metrics: confusion matrix and rank of the true class."""

import numpy as np
from jaxtyping import Float, Int64, Integer


def count_classes(
    truth: Integer[np.ndarray, " images"], predicted: Integer[np.ndarray, " images"], classes: int
) -> Int64[np.ndarray, "classes classes"]:
    """Return the confusion matrix of images: entry (i, j) is true class i, predicted class j."""
    flat = truth.astype(np.int64) * classes + predicted
    return np.bincount(flat, minlength=classes * classes).reshape(classes, classes).astype(np.int64)


def rank_of_truth(
    truth: Integer[np.ndarray, " images"], probabilities: Float[np.ndarray, "images classes"]
) -> Int64[np.ndarray, " images"]:
    """Return the rank of the true class in each image, 0 if it is the most probable.

    Equally probable classes are ordered by index, as in `argmax`: a prediction is correct if and only if the rank is 0.
    """
    true = np.take_along_axis(probabilities, truth[:, None].astype(np.int64), axis=1)
    earlier = np.arange(probabilities.shape[1]) < truth[:, None]
    return ((probabilities > true) | ((probabilities == true) & earlier)).sum(1).astype(np.int64)


def most_probable(
    probabilities: Float[np.ndarray, "images classes"], limit: int = 5
) -> Int64[np.ndarray, "images shown"]:
    """Return the `limit` most probable classes of each image, or all if fewer, in descending order."""
    return np.argsort(-probabilities, axis=1, kind="stable")[:, :limit].astype(np.int64)
