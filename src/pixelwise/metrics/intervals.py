"""Intervals: how far a score would move with other images of the same kind (bootstrap; Efron 1979)."""

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
    """Return the percentile interval of a score over images drawn anew with replacement.

    Parameters
    ----------
    values : float64 array (cases, numbers)
        What each image adds to the score, such as its confusion matrix in a row.
    statistic : callable
        Turns the sum over the drawn images (numbers,) into the score; None where it is not defined.
    draws, seed : int
    level : float
        Share of the draws inside the interval.

    Returns
    -------
    (float, float) or None
        None for fewer than two images, and when the score is defined in fewer than half of the draws; other
        undefined draws are left out.
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
