"""Whole-image classification: scores from the probabilities of each image."""

import numpy as np
from jaxtyping import Float, Int64, Integer


def count_classes(
    truth: Integer[np.ndarray, " images"], predicted: Integer[np.ndarray, " images"], classes: int
) -> Int64[np.ndarray, "classes classes"]:
    """Count images: entry (i, j) is truth class i, predicted class j."""
    flat = truth.astype(np.int64) * classes + predicted
    return np.bincount(flat, minlength=classes * classes).reshape(classes, classes).astype(np.int64)


def rank_of_truth(
    truth: Integer[np.ndarray, " images"], probabilities: Float[np.ndarray, "images classes"]
) -> Int64[np.ndarray, " images"]:
    """Return how many classes stand before the true one in each image, 0 when it is the most probable.

    Of equally probable classes those with a smaller index stand first, as in `argmax`: an image is right when and only
    when its rank is 0.
    """
    own = np.take_along_axis(probabilities, truth[:, None].astype(np.int64), axis=1)
    earlier = np.arange(probabilities.shape[1]) < truth[:, None]
    return ((probabilities > own) | ((probabilities == own) & earlier)).sum(1).astype(np.int64)


def most_probable(
    probabilities: Float[np.ndarray, "images classes"], most: int = 5
) -> Int64[np.ndarray, "images shown"]:
    """Return the `most` most probable classes of each image, or all, the most probable first."""
    return np.argsort(-probabilities, axis=1, kind="stable")[:, :most].astype(np.int64)
