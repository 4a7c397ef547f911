"""Learning curve: the score as a function of the number of labelled images, extrapolated by a power law.

The curve is an inverse power law with an asymptote, score(n) = limit - drop n^-bend, fitted by weighted least squares
(Figueroa et al. 2012, BMC Medical Informatics and Decision Making 12:8). A few trainings do not determine the exponent
`bend`, so it has a log-normal prior, and the bootstrap draws from the prior too.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Integer
from scipy.optimize import minimize_scalar
from scipy.special import ndtr, stdtrit

LEVEL = 0.8  # of the intervals
DRAWS = 1000
MIN_BEND, MAX_BEND = 0.05, 2.0
# Prior of the exponent: two of three are between 0.22 and 1.1. Published exponents of errors on very large data sets
# are 0.07 to 0.35 (Hestness et al. 2017, arXiv 1712.00409); that of a mean of independent terms is 0.5 to 1.
PRIOR_BEND, PRIOR_FACTOR = 0.5, 2.2
_GRID = np.geomspace(MIN_BEND, MAX_BEND, 64)
_PRIOR_SD = math.log(PRIOR_FACTOR)
Statistic = Callable[[Float64[np.ndarray, " numbers"]], float | None]
Estimate = tuple[float, float, float]  # value, lower and upper end


@dataclass(frozen=True, kw_only=True)
class Curve:
    """score(n) = limit - drop n^-bend, with limit at most 1 and drop at least 0: it never decreases."""

    limit: float
    drop: float
    bend: float

    def at(self, masks: float | int) -> float:
        """Return the score with `masks` labelled images."""
        return self.limit - self.drop * masks**-self.bend


@dataclass(frozen=True, kw_only=True)
class SubsetScores:
    """Validation results of trainings on subsets of the data.

    Attributes
    ----------
    masks : int array (trainings,)
        Labelled images of each training.
    rows : float64 array (trainings, images, numbers)
        Contribution of each validation image to the score of each training, such as its flattened confusion matrix.
    statistic : callable
        Computes the score from the sum over images (numbers,); None if it is undefined.
    """

    masks: Integer[np.ndarray, " trainings"]
    rows: Float64[np.ndarray, "trainings images numbers"]
    statistic: Statistic

    @property
    def sizes(self) -> tuple[int, ...]:
        """The distinct numbers of labelled images, ascending."""
        return tuple(int(size) for size in np.unique(self.masks))

    def scores(self) -> Float64[np.ndarray, " trainings"]:
        """Return the score of each training; NaN if it is undefined."""
        return self.drawn(np.ones((1, self.rows.shape[1])))[0]

    def drawn(self, times: Float64[np.ndarray, "draws images"]) -> Float64[np.ndarray, "draws trainings"]:
        """Return the scores with each image counted `times` times; NaN where they are undefined."""
        totals = np.tensordot(times, self.rows, (1, 1))
        result = [[self.statistic(total) for total in row] for row in totals]
        return np.array([[np.nan if score is None else score for score in row] for row in result], np.float64)


@dataclass(frozen=True, kw_only=True)
class Projection:
    """A fitted learning curve with bootstrap uncertainty.

    Attributes
    ----------
    now : int
        Current number of labelled images.
    rise : (float, float, float)
        Measured score with all of them minus that with the smallest subset, and its interval.
    draws : float64 array (draws, 3)
        Limit, drop and bend of the bootstrap curves; empty if the bootstrap is not possible.
    tail : float
        Fraction of the draws beyond each end of an interval.
    """

    curve: Curve
    now: int
    rise: Estimate
    draws: Float64[np.ndarray, "draws 3"]
    tail: float

    def score(self, masks: float | int) -> Estimate:
        """Return the score with `masks` labelled images, and its interval."""
        return (self.curve.at(masks), *self._ends(self._drawn(masks)))

    def gain(self, more: float | int) -> Estimate:
        """Return the gain from `more` labelled images, and its interval, which is narrower than that of the score."""
        value = self.curve.at(self.now + more) - self.curve.at(self.now)
        return (value, *self._ends(self._drawn(self.now + more) - self._drawn(self.now)))

    def _drawn(self, masks: float | int) -> np.ndarray:
        limit, drop, bend = self.draws.T
        return limit - drop * masks**-bend

    def _ends(self, values: np.ndarray) -> tuple[float, float]:
        return _quantiles(values, self.tail)


def fit_curve(
    masks: Sequence[float] | np.ndarray,
    scores: Sequence[float] | np.ndarray,
    weights: Sequence[float] | np.ndarray | None = None,
    *,
    noise: float = 0.0,
) -> Curve:
    """Fit the curve by weighted least squares.

    For a given bend, limit and drop are the solution of two linear equations; only the bend is searched.

    Parameters
    ----------
    masks, scores : sequences of equal length
        At least two different numbers of masks.
    weights : sequence, optional
        By default equal.
    noise : float
        Variance of a score of weight 1. The larger it is, the more the prior of the bend counts; 0 ignores it.
    """
    at, target = np.asarray(masks, np.float64), np.asarray(scores, np.float64)
    given = np.ones_like(at) if weights is None else np.asarray(weights, np.float64)
    prior_weight = noise / _PRIOR_SD**2
    prior = np.array([math.log(PRIOR_BEND)])

    def loss(log_bend: float) -> float:
        return float(_solve(at, target[None], given, math.exp(log_bend), prior, prior_weight)[1][0])

    start = math.log(_fit_many(at, target[None], given, prior, prior_weight)[0, 2])
    width = math.log(_GRID[1] / _GRID[0])
    low, high = max(math.log(MIN_BEND), start - width), min(math.log(MAX_BEND), start + width)
    result: Any = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-10})
    bend = math.exp(float(result.x))
    (limit, drop), _ = _solve(at, target[None], given, bend, prior, prior_weight)
    return Curve(limit=float(limit[0]), drop=float(drop[0]), bend=bend)


def project_learning_curve(
    trials: SubsetScores, *, level: float = LEVEL, draws: int = DRAWS, seed: int = 0
) -> Projection:
    """Fit the curve to trainings on subsets, with a bootstrap over validation images and trainings.

    The variance of scores with n images is assumed proportional to 1/n, so each has weight n. Each draw resamples the
    validation images, the same for all trainings; shifts the mean of each size by resampled deviations of trainings
    from the mean of their size; and draws the exponent from its prior.

    A plain bootstrap of small samples is too narrow. Deviations of m trainings are therefore scaled by sqrt(m / (m -
    1)) and, as in Student's t, divided by a drawn estimate of their standard deviation; the ends of the interval are
    moved outwards as for a mean over few images (Hesterberg 2015, arXiv 1411.5279).

    Parameters
    ----------
    trials : SubsetScores
        With at least two sizes, one of them at least twice.
    level : float
        Coverage of the intervals.

    Raises
    ------
    ValueError
        A single size, or none that was repeated.
    """
    sizes = np.array(trials.sizes, np.float64)
    member = trials.masks[None] == sizes[:, None].astype(np.int64)
    counts = member.sum(1)
    scores = np.nan_to_num(trials.scores())
    degrees_of_freedom = int((counts - 1).sum())
    if len(sizes) < 2 or degrees_of_freedom < 1:
        raise ValueError("expected trainings of two sizes, one of them repeated")
    means = member @ scores / counts
    repeats = np.maximum(counts, 2)
    inflation = np.sqrt(sizes * repeats / (repeats - 1))
    deviations = np.concatenate([(scores[m] - mean) * s for m, mean, s in zip(member, means, inflation, strict=True)])
    repeated = np.repeat(counts > 1, counts)
    deviations = deviations[repeated]
    noise = float(np.mean(deviations**2))
    curve = fit_curve(sizes, means, counts * sizes, noise=noise)

    rng = np.random.default_rng(seed)
    drawn = _bootstrap_images(trials, member, draws, rng)
    spread = np.sqrt(degrees_of_freedom / rng.chisquare(degrees_of_freedom, len(drawn)))
    for place, (size, count) in enumerate(zip(sizes, counts, strict=True)):
        moved = rng.choice(deviations, (len(drawn), int(count))).mean(1) / math.sqrt(size)
        drawn[:, place] += moved * spread
    assumed = math.log(PRIOR_BEND) + _PRIOR_SD * rng.standard_normal(len(drawn))
    curves = _fit_many(sizes, drawn, counts * sizes, assumed, noise / _PRIOR_SD**2)
    tail = _tail(trials.rows.shape[1], level)
    rise = (float(means[-1] - means[0]), *_quantiles(drawn[:, -1] - drawn[:, 0], tail))
    return Projection(curve=curve, now=int(sizes[-1]), rise=rise, draws=curves, tail=tail)


def _bootstrap_images(trials: SubsetScores, member: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Return the mean score of each size (draws, sizes) over resampled images; undefined draws are left out.

    Empty for a single image, or if more than half of the draws are undefined.
    """
    images = trials.rows.shape[1]
    times = rng.multinomial(images, np.full(images, 1 / images), size=draws).astype(np.float64)
    drawn = trials.drawn(times)
    drawn = drawn[np.isfinite(drawn).all(1)]
    if images < 2 or 2 * len(drawn) < draws:
        drawn = drawn[:0]
    return drawn @ member.T / member.sum(1)


def _tail(images: int, level: float) -> float:
    """Return the fraction of draws beyond each end of an interval over `images` images."""
    outside = (1 - level) / 2
    if images < 2:
        return outside
    return float(ndtr(-math.sqrt(images / (images - 1)) * stdtrit(images - 1, 1 - outside)))


def _quantiles(values: np.ndarray, tail: float) -> tuple[float, float]:
    if not len(values):
        return math.nan, math.nan
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)


def _fit_many(
    masks: np.ndarray, scores: np.ndarray, weights: np.ndarray, log_bends: np.ndarray, prior_weight: float
) -> np.ndarray:
    """Return limit, drop and bend (draws, 3) of the best fit to each row of scores (draws, sizes), by grid search."""
    best, result = np.full(len(scores), np.inf), np.zeros((len(scores), 3))
    for bend in _GRID.tolist():
        (limit, drop), loss = _solve(masks, scores, weights, bend, log_bends, prior_weight)
        better = loss < best
        result[better] = np.stack([limit, drop, np.full_like(limit, bend)], axis=1)[better]
        best[better] = loss[better]
    return result


def _solve(
    masks: np.ndarray, scores: np.ndarray, weights: np.ndarray, bend: float, log_bends: np.ndarray, prior_weight: float
) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Return limit and drop for a bend, and the loss: exact, because the optimum is inside or on one of two edges."""
    powers = masks**-bend
    total = weights.sum()
    middle, centre = (weights * powers).sum() / total, scores @ weights / total
    slope = (scores - centre[:, None]) @ (weights * (powers - middle)) / (weights * (powers - middle) ** 2).sum()
    free = centre - slope * middle, -slope
    flat = np.minimum(1.0, centre), np.zeros_like(centre)
    full = np.ones_like(centre), np.maximum(0.0, (1 - scores) @ (weights * powers) / (weights * powers**2).sum())
    inside = (free[1] >= 0) & (free[0] <= 1)
    errors = [((scores - a[:, None] + b[:, None] * powers) ** 2) @ weights for a, b in (free, flat, full)]
    which = np.where(inside, 0, np.where(errors[1] <= errors[2], 1, 2))
    limit, drop, error = (
        np.choose(which, parts) for parts in ((free[0], flat[0], full[0]), (free[1], flat[1], full[1]), errors)
    )
    return (limit, drop), error + prior_weight * (math.log(bend) - log_bends) ** 2
