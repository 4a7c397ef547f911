"""Moments of parts give those of the whole, also far from zero; statistics survive JSON bit for bit."""

import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pixelwise.runtimes.statistics import Moments, statistics_from_json, statistics_to_json


def moments_of(values: np.ndarray) -> Moments:
    mean = values.mean(axis=1)
    return Moments(values.shape[1], mean, ((values - mean[:, None]) ** 2).sum(axis=1))


@given(counts=st.lists(st.integers(1, 40), min_size=1, max_size=6), offset=st.sampled_from([0.0, 1e6]))
def test_parts_together_are_the_whole(counts: list[int], offset: float) -> None:
    rng = np.random.default_rng(sum(counts))
    parts = [rng.standard_normal((4, count)) + offset for count in counts]
    whole = np.concatenate(parts, axis=1)
    merged = moments_of(parts[0])
    for part in parts[1:]:
        merged = merged.merge(moments_of(part))
    assert merged.pixels == whole.shape[1]
    for groups in (4, 2, 1):
        statistics = merged.statistics(groups)
        expected = whole.reshape(groups, -1)
        each = 4 // groups
        assert np.allclose(statistics.mean, np.repeat(expected.mean(1), each), rtol=1e-12, atol=1e-12)
        assert np.allclose(statistics.variance, np.repeat(expected.var(1), each), rtol=1e-7, atol=1e-12)


def test_control_sums_of_squares_lose_the_variance() -> None:
    values = np.random.default_rng(0).standard_normal((1, 1000)) + 1e9
    naive = (values**2).mean(1) - values.mean(1) ** 2
    assert abs(moments_of(values).statistics(1).variance[0] - values.var()) < 1e-5
    assert abs(naive[0] - values.var()) > 1e-2


def test_statistics_survive_json() -> None:
    statistics = [moments_of(np.random.default_rng(n).standard_normal((6, 7)) / 3).statistics(3) for n in range(3)]
    again = statistics_from_json(json.loads(json.dumps(statistics_to_json(statistics))))
    for one, two in zip(statistics, again, strict=True):
        assert np.array_equal(one.mean, two.mean)
        assert np.array_equal(one.variance, two.variance)
