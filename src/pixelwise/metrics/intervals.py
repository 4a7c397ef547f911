"""Bootstrap confidence intervals of scores over images (Efron 1979)."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float64


def bootstrap(
    values: Float64[np.ndarray, "cases numbers"],
    statistic: Callable[[np.ndarray], float | None],
    draws: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[float, float] | None:
    """Return the percentile bootstrap interval of a score over images.

    Parameters
    ----------
    values : float64 array (cases, numbers)
        Contribution of each image to the score, such as its flattened confusion matrix.
    statistic : callable
        Computes the score from the sum over the drawn images (numbers,); None if it is undefined.
    draws, seed : int
    level : float
        Fraction of the draws inside the interval.

    Returns
    -------
    (float, float) or None
        None for fewer than two images, or if the score is undefined in more than half of the draws; undefined draws
        are left out.
    """
    cases = len(values)
    if cases < 2:
        return None
    times = np.random.default_rng(seed).multinomial(cases, np.full(cases, 1 / cases), size=draws)
    scores = [statistic(total) for total in times @ values]
    defined = [score for score in scores if score is not None]
    if 2 * len(defined) < draws:
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
    return bootstrap(sums, lambda total: float(total[0] / total[1]) if total[1] else None, seed=seed)


def mean_interval(values: Sequence[float | None], seed: int = 0) -> tuple[float, float] | None:
    """Return the 95 % interval of a mean over images; those without a value are resampled but contribute nothing."""
    rows = [(value or 0.0, value is not None) for value in values]
    return ratio_interval(np.array(rows, np.float64).reshape(-1, 2), seed)
