"""Bootstrap intervals, compared with scipy, and their coverage."""

import numpy as np
import pytest
from scipy.stats import bootstrap as scipy_bootstrap

from pixelwise.metrics.intervals import bootstrap, mean_interval, ratio_interval


def interval(values: np.ndarray, draws: int = 1000, seed: int = 0) -> tuple[float, float]:
    found = bootstrap(values, mean, draws=draws, seed=seed)
    assert found is not None
    return found


def mean(total: np.ndarray) -> float | None:
    return float(total[0] / total[1]) if total[1] else None


def rows(values: np.ndarray) -> np.ndarray:
    return np.stack([np.asarray(values, float), np.ones(len(values))], 1)


def test_interval_of_a_mean_equals_scipy(rng: np.random.Generator):
    values = rng.normal(3, 2, 60)
    found = interval(rows(values), draws=4000)
    reference = scipy_bootstrap((values,), np.mean, n_resamples=4000, method="percentile", rng=1)
    assert found == pytest.approx(tuple(reference.confidence_interval), abs=0.05)
    assert found[0] < values.mean() < found[1]


def test_coverage_of_the_interval():
    rng = np.random.default_rng(5)
    held = [
        low <= 0 <= high for low, high in (interval(rows(rng.normal(size=40)), draws=200, seed=i) for i in range(200))
    ]
    assert 0.88 <= np.mean(held) <= 0.98


def test_the_same_seed_gives_the_same_interval(rng: np.random.Generator):
    values = rows(rng.normal(size=10))
    assert bootstrap(values, mean, seed=3) == bootstrap(values, mean, seed=3)
    assert bootstrap(values, mean, seed=3) != bootstrap(values, mean, seed=4)


def test_one_image_has_no_interval():
    assert bootstrap(rows([0.5]), mean) is None
    assert bootstrap(np.zeros((0, 2)), mean) is None


def test_undefined_draws_are_left_out_unless_they_are_the_majority():
    some = np.array([[1.0, 1], [0, 0], [0.5, 1], [0, 0]])
    low, high = interval(some)
    assert 0.5 <= low <= high <= 1
    assert bootstrap(np.zeros((5, 2)), mean) is None


def test_the_interval_of_a_ratio_resamples_both_sums_together(rng: np.random.Generator):
    sums = np.stack([rng.integers(0, 9, 12), rng.integers(9, 20, 12)], 1).astype(float)
    assert ratio_interval(sums, seed=3) == bootstrap(sums, mean, seed=3)
    assert ratio_interval(np.array([[2.0, 4], [3, 6], [5, 10]])) == (0.5, 0.5)


def test_images_without_a_value_make_no_mean_but_are_drawn(rng: np.random.Generator):
    values = rng.random(20).tolist()
    assert mean_interval(values, seed=3) == bootstrap(rows(np.array(values)), mean, seed=3)
    some = [value if index % 2 else None for index, value in enumerate(values)]
    low, high = mean_interval(some, seed=3) or (0.0, 0.0)
    known = [value for value in some if value is not None]
    assert low < np.mean(known) < high
    # control: as values of 0 they would lower the mean
    without = mean_interval([value or 0.0 for value in some], seed=3)
    assert without is not None
    assert without[1] < high
    assert mean_interval([]) is None
