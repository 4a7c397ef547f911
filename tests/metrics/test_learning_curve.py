"""Learning curves fitted to simulated trainings with a known curve, and coverage of the intervals."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelwise.metrics import learning_curve
from pixelwise.metrics.learning_curve import LEVEL, MAX_BEND, Curve, SubsetScores, fit_curve, project_learning_curve

SIZES = np.array([3, 6, 11, 22])


def mean_of_column(total: np.ndarray) -> float | None:
    """The score of rows (value, 1): the mean of the values."""
    return float(total[0] / total[1]) if total[1] else None


def trials_of(masks: np.ndarray, values: np.ndarray) -> SubsetScores:
    """Trainings with a score per image (trainings, images)."""
    rows = np.stack([values, np.ones_like(values)], axis=2)
    return SubsetScores(masks=masks, rows=rows, statistic=mean_of_column)


def world(rng: np.random.Generator, sizes: np.ndarray, repeats: int, images: int) -> tuple[Curve, SubsetScores]:
    """A true curve, and trainings whose scores scatter about it: by image, by training, and by both."""
    bend = math.exp(rng.uniform(math.log(0.2), math.log(1.2)))
    drop = rng.uniform(0.02, 0.4) * sizes[0] ** bend
    curve = Curve(limit=rng.uniform(0.7, 0.95), drop=drop, bend=bend)
    masks = np.repeat(sizes, repeats)
    hard = 1 + rng.normal(0, 0.3, images)  # images gain more or less
    values = curve.limit + rng.normal(0, 0.08, images) - drop * masks[:, None] ** -bend * hard
    values = values + (rng.normal(0, 0.12, len(masks)) / np.sqrt(masks))[:, None]
    return curve, trials_of(masks, values + rng.normal(0, 0.03, values.shape))


@given(limit=st.floats(0.3, 1.0), first=st.floats(0.02, 0.3), bend=st.floats(0.1, 1.8))
def test_the_curve_of_exact_points_is_recovered(limit: float, first: float, bend: float) -> None:
    true = Curve(limit=limit, drop=first * SIZES[0] ** bend, bend=bend)
    found = fit_curve(SIZES, [true.at(n) for n in SIZES.tolist()])
    assert found.bend == pytest.approx(bend, rel=1e-2)
    assert found.limit == pytest.approx(limit, abs=2e-3)
    for masks in (*SIZES.tolist(), 32, 72):
        assert found.at(masks) == pytest.approx(true.at(masks), abs=1e-4)


@given(scores=st.lists(st.floats(0, 1), min_size=4, max_size=4), noise=st.sampled_from([0.0, 0.01]))
def test_the_curve_stays_in_its_bounds_and_never_decreases(scores: list[float], noise: float) -> None:
    found = fit_curve(SIZES, scores, SIZES, noise=noise)
    assert found.limit <= 1
    assert found.drop >= 0
    assert 0 < found.bend <= MAX_BEND + 1e-9
    line = [found.at(n) for n in range(2, 200)]
    assert (np.diff(line) >= -1e-12).all()


def test_decreasing_scores_give_a_flat_line_at_the_weighted_mean() -> None:
    found = fit_curve(np.array([4, 8, 16]), [0.9, 0.8, 0.7], np.array([1, 1, 2]))
    assert found.drop == 0
    assert found.limit == pytest.approx((0.9 + 0.8 + 2 * 0.7) / 4)


def test_the_fit_is_no_worse_than_that_of_a_general_optimiser() -> None:
    """Independent reference: scipy's bounded least squares from many starts."""
    from scipy.optimize import least_squares

    rng = np.random.default_rng(1)
    for _ in range(5):
        scores, weights = rng.uniform(0.4, 0.9, 4).cumsum() / np.arange(1, 5), SIZES.astype(float)

        def residuals(x: np.ndarray, scores: np.ndarray = scores, weights: np.ndarray = weights) -> np.ndarray:
            return np.sqrt(weights) * (x[0] - x[1] * SIZES ** -x[2] - scores)

        starts = [(0.5, 0.5, b) for b in (0.1, 0.3, 0.8, 1.5)]
        costs = [least_squares(residuals, s, bounds=([-9, 0, 0.05], [1, 99, 2])).cost for s in starts]
        found = fit_curve(SIZES, scores, weights)
        mine = 0.5 * (residuals(np.array([found.limit, found.drop, found.bend])) ** 2).sum()
        assert mine <= min(costs) + 1e-6


def test_noise_shifts_the_exponent_to_the_prior() -> None:
    points = [Curve(limit=0.9, drop=0.5, bend=1.5).at(n) for n in SIZES.tolist()]
    bends = [fit_curve(SIZES, points, SIZES, noise=noise).bend for noise in (0.0, 1e-4, 1e-2, 10.0)]
    assert bends[0] == pytest.approx(1.5, rel=1e-2)
    assert all(first > second for first, second in pairwise(bends))
    assert bends[-1] == pytest.approx(learning_curve.PRIOR_BEND, rel=0.05)


def shares(worlds: int, sizes: np.ndarray, repeats: int, images: int) -> tuple[float, float]:
    """Fractions of simulations whose true score, and true gain, with 10 more masks are in the interval."""
    rng, held = np.random.default_rng(0), list[tuple[bool, bool]]()
    for _ in range(worlds):
        true, trials = world(rng, sizes, repeats, images)
        found = project_learning_curve(trials, draws=200)
        now = int(sizes[-1])
        _, low, high = found.score(now + 10)
        _, least, most = found.gain(10)
        held.append((low <= true.at(now + 10) <= high, least <= true.at(now + 10) - true.at(now) <= most))
    return tuple(np.mean(held, axis=0).tolist())


def check(sizes: np.ndarray, repeats: int, images: int, worlds: int) -> None:
    slack = 1.6 * math.sqrt(LEVEL * (1 - LEVEL) / worlds)  # what chance may take from the share
    assert min(shares(worlds, sizes, repeats, images)) >= LEVEL - slack


def test_coverage_of_the_intervals() -> None:
    check(SIZES, 2, 5, 60)


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [(3, 6, 11, 22), (6, 11, 22), (5, 18), (50, 100, 200, 400)])
@pytest.mark.parametrize(("repeats", "images"), [(2, 3), (2, 12), (3, 30)])
def test_coverage_of_the_intervals_in_many_simulations(sizes: tuple[int, ...], repeats: int, images: int) -> None:
    check(np.array(sizes), repeats, images, 200)


def test_control_without_wider_ends_the_coverage_is_too_low(monkeypatch: pytest.MonkeyPatch) -> None:
    """The percentiles of a plain bootstrap over three images."""
    monkeypatch.setattr(learning_curve, "_tail", lambda images, level: (1 - level) / 2)
    assert shares(60, SIZES, 2, 3)[0] < LEVEL - 0.08


def test_control_with_a_fixed_exponent_the_coverage_is_too_low(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The prior mean of the exponent, without variance."""
    monkeypatch.setattr(learning_curve, "_PRIOR_SD", 1e-3)
    assert shares(60, np.array([5, 18]), 2, 40)[1] < LEVEL - 0.05


def test_the_same_images_score_both_so_a_gain_is_known_better_than_a_score() -> None:
    _, trials = world(np.random.default_rng(3), SIZES, 3, 12)
    found = project_learning_curve(trials)
    assert np.ptp(found.gain(10)[1:]) < 0.5 * np.ptp(found.score(32)[1:])
    assert found.gain(50)[0] >= found.gain(10)[0] >= 0
    assert found.gain(10)[1] >= 0


def test_a_seed_gives_the_same_numbers_and_another_one_others() -> None:
    _, trials = world(np.random.default_rng(4), SIZES, 2, 6)
    assert project_learning_curve(trials, seed=1).score(30) == project_learning_curve(trials, seed=1).score(30)
    assert project_learning_curve(trials, seed=1).score(30) != project_learning_curve(trials, seed=2).score(30)


def test_one_validation_image_gives_a_curve_without_an_interval() -> None:
    _, trials = world(np.random.default_rng(5), SIZES, 2, 1)
    found = project_learning_curve(trials)
    value, low, high = found.score(30)
    assert 0 < value <= 1
    assert math.isnan(low)
    assert math.isnan(high)
    assert math.isnan(found.rise[1])


def test_images_without_a_score_are_drawn_too_and_add_nothing() -> None:
    masks = np.repeat(SIZES, 2)
    _, full = world(np.random.default_rng(6), SIZES, 2, 8)
    rows = full.rows.copy()
    rows[:, 0] = 0.0  # nothing is defined on the first image
    found = project_learning_curve(SubsetScores(masks=masks, rows=rows, statistic=mean_of_column))
    rest = SubsetScores(masks=masks, rows=rows[:, 1:], statistic=mean_of_column)
    assert found.curve.at(30) == pytest.approx(project_learning_curve(rest).curve.at(30))
    assert np.isfinite(found.score(30)).all()


def test_a_curve_needs_two_sizes_and_a_repeat() -> None:
    for masks in ([4, 4, 4], [2, 4, 8]):
        with pytest.raises(ValueError, match="one of them repeated"):
            project_learning_curve(trials_of(np.array(masks), np.full((3, 5), 0.5)))
