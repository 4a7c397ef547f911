"""Bootstrap confidence intervals of scores over images (Efron 1979)."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float64


def bootstrap(
    values: Float64[np.ndarray, "cases numbers"],
    statistic: Callable[[np.ndarray], float | None],
    draws: int = 1000,
    seed: int = 0,
) -> tuple[float, float] | None:
    """Return the 95 % percentile bootstrap interval of a score over images.

    Parameters
    ----------
    values : float64 array (cases, numbers)
        Contribution of each image to the score, such as its flattened confusion matrix.
    statistic : callable
        Computes the score from the sum over the drawn images (numbers,); None if it is undefined.

    Returns
    -------
    (float, float) or None
        None for fewer than two images, or if the score is undefined in more than half of the draws; undefined draws
        are left out.
    """
    scores = [statistic(total) for total in resample_sums(values, draws, seed)]
    return percentile_interval(np.array([np.nan if score is None else score for score in scores], np.float64))


def resample_sums(
    values: Float64[np.ndarray, "cases numbers"], draws: int = 1000, seed: int = 0
) -> Float64[np.ndarray, "draws numbers"]:
    """Return the sums over images that are drawn with replacement; no draws from fewer than two images.

    Examples
    --------
    >>> resample_sums(np.array([[1.0, 2.0], [1.0, 2.0]]), draws=2)
    array([[2., 4.],
           [2., 4.]])
    """
    cases = len(values)
    if cases < 2:
        return np.zeros((0, values.shape[1]))
    return np.random.default_rng(seed).multinomial(cases, np.full(cases, 1 / cases), size=draws) @ values


def percentile_interval(scores: Float64[np.ndarray, " draws"], level: float = 0.95) -> tuple[float, float] | None:
    """Return the interval of the scores of resampled images; None without draws, or if more than half are NaN.

    Examples
    --------
    >>> percentile_interval(np.array([0.0, 0.5, np.nan, 1.0]), level=1.0)
    (0.0, 1.0)
    """
    defined = scores[~np.isnan(scores)]
    if not len(defined) or 2 * len(defined) < len(scores):
        return None
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def ratio_interval(sums: Float64[np.ndarray, "cases 2"], seed: int = 0) -> tuple[float, float] | None:
    """Return the 95 % interval of a score that is the ratio of two sums over images, undefined if the second is 0.

    Examples
    --------
    >>> ratio_interval(np.array([[1.0, 2.0], [3.0, 6.0]]))  # half of the pixels in every image
    (0.5, 0.5)
    """
    above, below = resample_sums(sums, seed=seed).T
    return percentile_interval(np.divide(above, below, out=np.full(len(above), np.nan), where=below != 0))


def mean_interval(values: Sequence[float | None], seed: int = 0) -> tuple[float, float] | None:
    """Return the 95 % interval of a mean over images; those without a value are resampled but contribute nothing."""
    rows = [(value or 0.0, value is not None) for value in values]
    return ratio_interval(np.array(rows, np.float64).reshape(-1, 2), seed)
