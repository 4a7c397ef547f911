"""Prediction intervals of counts, areas and volumes, from pairs (predicted, true) of held-out images.

Residuals are those of square roots, sqrt(true) - sqrt(predicted): the error of a count grows with its square root
(Anscombe 1948, doi 10.2307/2332343), that of an area with the length of its outline, and nothing is divided by zero.

* **One image**: split-conformal prediction (Vovk, Gammerman and Shafer 2005, "Algorithmic learning in a random world",
  chapter 2; Lei et al. 2018, arXiv 1604.04173, section 2.2). Images in which something was predicted and images in
  which nothing was are two categories with intervals of their own (Mondrian conformal prediction, Vovk et al., section
  4.5): a rare class would otherwise get the narrow intervals of the many images without it.
* **The total of several images**: the bootstrap of prediction errors of a regression (Davison and Hinkley 1997,
  "Bootstrap methods and their application", section 6.3.3). Held-out images are drawn with replacement, a straight line
  is fitted to the square roots of their true values against those of the predicted ones, and each new image gets its
  value on the line and one of the residuals. A bias that all images share adds up, independent errors cancel.

Both need images that are exchangeable with the held-out ones. One that is many times as large is taken for several.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64
from scipy.special import ndtri, stdtrit

LEVEL = 0.9  # of images, or of totals, whose true value the interval covers
MIN_LEVEL = 0.8  # an interval that covers less often is not reported: four images
DRAWS = 1000
MAX_DRAWN = 2**26  # residuals in all draws together
MAX_PIECES = 4096  # of a large image: independent errors of so many cancel
_CHUNK = 2**20  # of them at a time

Pairs = Float64[np.ndarray, "held_out 2"]


class Interval(NamedTuple):
    """Limits of the true value, and the fraction of the cases in which they hold."""

    low: float
    high: float
    level: float


def attainable_level(images: int) -> float | None:
    """Return the level of a conformal interval from so many held-out images; None if they are too few for any.

    It is `LEVEL`, or with fewer than nine images the largest that so many allow, n / (n + 1).

    Examples
    --------
    >>> attainable_level(9), attainable_level(4), attainable_level(3)
    (0.9, 0.8, None)
    """
    level = min(LEVEL, images / (images + 1))
    return level if level >= MIN_LEVEL - 1e-9 else None


def image_interval(predicted: float, pairs: Pairs) -> Interval | None:
    """Return the interval of the true value of one image.

    Parameters
    ----------
    predicted : float
        Count, area or volume, 0 or more.
    pairs : float64 array (held_out, 2)
        Predicted and true value of held-out images.

    Returns
    -------
    Interval or None
        None if fewer than four of these images are of its category.

    Examples
    --------
    >>> pairs = np.array([(16.0, 25.0), (25.0, 16.0), (36.0, 36.0), (49.0, 49.0), (0.0, 0.0)])
    >>> image_interval(9.0, pairs)
    Interval(low=4.0, high=16.0, level=0.8)
    """
    errors = np.abs(residuals(pairs[_predicted(pairs) == (predicted > 0)]))
    level = attainable_level(len(errors))
    if level is None:
        return None
    rank = math.ceil(round((len(errors) + 1) * level, 9))
    radius, root = float(np.sort(errors)[rank - 1]), math.sqrt(predicted)
    return Interval(max(0.0, root - radius) ** 2, (root + radius) ** 2, level)


def total_interval(predicted: Float64[np.ndarray, " images"], pairs: Pairs, seed: int = 0) -> Interval | None:
    """Return the interval of the sum of the true values of several images.

    Parameters
    ----------
    predicted : float64 array (images,)
    pairs : float64 array (held_out, 2)

    Returns
    -------
    Interval or None
        None with fewer than nine held-out images in which something was predicted. It need not contain the sum of
        `predicted`, if predictions are biased.
    """
    found = predicted > 0
    both = (found, pairs[_predicted(pairs)]), (~found, pairs[~_predicted(pairs)])
    # images without a prediction: of too few such images the residuals of all are used
    pools = [(mask, pairs if len(pool) < _fewest() and mask is not found else pool) for mask, pool in both]
    pools = [(mask, pool) for mask, pool in pools if mask.any()]
    if not pools or any(len(pool) < _fewest() for _, pool in pools):
        return None
    rng = np.random.default_rng(seed)
    draws = max(100, min(DRAWS, MAX_DRAWN // len(predicted)))
    totals = sum(_draw_totals(np.sqrt(predicted[mask]), pool, draws, rng) for mask, pool in pools)
    low, high = np.quantile(totals, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high), LEVEL)


def large_interval(predicted: float, pairs: Pairs) -> Interval | None:
    """Return the interval of the true value of an image that is many times as large as the held-out ones.

    It is taken for typical held-out images side by side, as many as show that much together: `total_interval`. The
    error of a single one would be far too small for it.

    Examples
    --------
    >>> pairs = np.array([(100.0, 110.0), (80.0, 88.0), (120.0, 132.0)] * 4)
    >>> interval = large_interval(5000.0, pairs)
    >>> interval.low <= 5500 <= interval.high, image_interval(5000.0, pairs).high < 5200
    (True, True)
    """
    shown = pairs[_predicted(pairs), 0]
    pieces = min(MAX_PIECES, round(predicted / float(np.median(shown)))) if len(shown) else 0
    return (
        image_interval(predicted, pairs) if pieces < 2 else total_interval(np.full(pieces, predicted / pieces), pairs)
    )


def residuals(pairs: Pairs) -> Float64[np.ndarray, " held_out"]:
    """Return the differences of the square roots, true minus predicted."""
    return np.sqrt(pairs[:, 1]) - np.sqrt(pairs[:, 0])


def _predicted(pairs: Pairs) -> Bool[np.ndarray, " held_out"]:
    return pairs[:, 0] > 0


def _fewest() -> int:
    """Return the number of images that an interval of `LEVEL` needs."""
    return math.ceil(round(LEVEL / (1 - LEVEL), 9))


def _draw_totals(
    roots: Float64[np.ndarray, " images"], pairs: Pairs, draws: int, rng: np.random.Generator
) -> Float64[np.ndarray, " draws"]:
    """Draw sums of the true values of images with these square roots of their predicted values."""
    count, totals = len(pairs), np.empty(draws)
    x, y = np.sqrt(pairs).T
    step = max(1, _CHUNK // max(count, len(roots)))
    for start in range(0, draws, step):
        chosen = rng.integers(count, size=(min(step, draws - start), count))
        predicted, true = x[chosen], y[chosen]
        middle = predicted.mean(axis=1, keepdims=True)
        spread = ((predicted - middle) ** 2).sum(axis=1, keepdims=True)
        slope = ((predicted - middle) * true).sum(axis=1, keepdims=True) / np.maximum(spread, 1e-12)
        slope = np.where(spread > 1e-9, slope, 1.0)  # all are predicted alike
        level = true.mean(axis=1, keepdims=True) - slope * middle
        errors = _widening(count) * (true - level - slope * predicted)
        drawn = np.take_along_axis(errors, rng.integers(count, size=(len(chosen), len(roots))), axis=1)
        values = np.maximum(0.0, level + slope * roots + drawn) ** 2
        totals[start : start + len(chosen)] = values.sum(axis=1)
    return totals


def _widening(count: int) -> float:
    """Return the factor that a t interval has over the quantiles of residuals of a line through so few points."""
    tail = (1 + LEVEL) / 2
    return float(stdtrit(count - 2, tail) / ndtri(tail)) * math.sqrt(count / (count - 2))
