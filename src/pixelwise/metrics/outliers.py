"""Outliers among images: distances from reference images in feature space, and conformal p-values.

* **Distance**: Mahalanobis (Lee et al. 2018, arXiv 1807.03888, equation 2, with one class), with the covariance shrunk
  towards a multiple of the identity (Ledoit and Wolf 2004, doi 10.1016/S0047-259X(03)00096-4), because there may be
  fewer images than features.
* **p-value**: the rank of a distance among those of reference images that were left out of the statistics, fold by fold
  (Bates et al. 2023, arXiv 2104.08279, "Testing for outliers with conformal p-values"; left out as in Vovk
  2015, arXiv 1208.0806). Of images like the reference at most the fraction alpha has a p-value of at most alpha.
"""

import numpy as np
from jaxtyping import Float64

FOLDS = 10
FALSE_ALARMS = 0.05  # fraction of images like the reference that are taken for outliers
FAR = 2.0  # times the largest distance of a reference image, where they are too few for a p-value


def can_rank(images: int) -> bool:
    """Return whether there are enough reference images for p-values of `FALSE_ALARMS`: 19.

    Examples
    --------
    >>> can_rank(18), can_rank(19)
    (False, True)
    """
    return 1 / (images + 1) <= FALSE_ALARMS + 1e-9


def is_outlier(score: float, reference: Float64[np.ndarray, " images"]) -> bool:
    """Return whether a score is unusual: by its p-value or, with few reference images, `FAR` beyond all of theirs.

    Examples
    --------
    >>> is_outlier(20.0, np.arange(20.0)), is_outlier(18.0, np.arange(20.0))
    (True, False)
    >>> is_outlier(4.5, np.array([1.0, 2.0])), is_outlier(3.5, np.array([1.0, 2.0])), is_outlier(9.0, np.zeros(0))
    (True, False, False)
    """
    if can_rank(len(reference)):
        return conformal_p_value(score, reference) <= FALSE_ALARMS + 1e-9
    return len(reference) > 0 and score > FAR * float(reference.max())


def conformal_p_value(score: float, reference: Float64[np.ndarray, " images"]) -> float:
    """Return the p-value of a score among those of reference images; large scores are unusual.

    Examples
    --------
    >>> conformal_p_value(2.5, np.array([1.0, 2.0, 3.0]))
    0.5
    """
    return (1 + int(np.count_nonzero(reference >= score))) / (len(reference) + 1)


def fit_gaussian(
    features: Float64[np.ndarray, "images numbers"],
) -> tuple[Float64[np.ndarray, " numbers"], Float64[np.ndarray, "numbers numbers"]]:
    """Return the mean of the features and the inverse of their shrunk covariance."""
    images, numbers = features.shape
    mean = features.mean(axis=0)
    centred = features - mean
    covariance = centred.T @ centred / images
    variance = float(np.trace(covariance)) / numbers
    spread = float(((covariance - variance * np.eye(numbers)) ** 2).sum()) / numbers
    squares = (centred**2).sum(axis=1) ** 2  # |x x'|^2 of each image
    noise = float(squares.mean() - (covariance**2).sum()) / numbers / images
    weight = min(1.0, max(0.0, noise / spread)) if spread > 0 else 1.0
    shrunk = (1 - weight) * covariance + (weight * variance + 1e-6 * variance + 1e-9) * np.eye(numbers)
    return mean, np.linalg.inv(shrunk)


def mahalanobis(
    features: Float64[np.ndarray, "images numbers"],
    mean: Float64[np.ndarray, " numbers"],
    precision: Float64[np.ndarray, "numbers numbers"],
) -> Float64[np.ndarray, " images"]:
    """Return the Mahalanobis distance of each row, per feature: sqrt(d' P d / numbers).

    Examples
    --------
    >>> mahalanobis(np.array([[3.0, 4.0]]), np.zeros(2), np.eye(2)).round(3).tolist()
    [3.536]
    """
    centred = features - mean
    return np.sqrt(np.maximum(0.0, ((centred @ precision) * centred).sum(axis=1)) / features.shape[1])


def held_out_distances(
    features: Float64[np.ndarray, "images numbers"], folds: int = FOLDS
) -> Float64[np.ndarray, " images"]:
    """Return the distance of each image from the images outside of its fold.

    Folds are blocks of neighbours, because images that follow each other are often alike.
    """
    distances = np.zeros(len(features))
    for block in np.array_split(np.arange(len(features)), min(folds, len(features))):
        rest = np.delete(features, block, axis=0)
        distances[block] = mahalanobis(features[block], *fit_gaussian(rest))
    return distances
