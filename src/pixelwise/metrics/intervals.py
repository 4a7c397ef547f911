"""Bootstrap confidence intervals of scores over images (Efron 1979)."""

from collections.abc import Callable

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
