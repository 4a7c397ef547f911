"""Intervals of counts and sizes: coverage in drawn worlds, with intervals of half the width as control."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelwise.metrics.quantity_intervals import (
    Interval,
    attainable_level,
    image_interval,
    large_interval,
    total_interval,
)

Draw = Callable[[np.random.Generator, int], np.ndarray]


def counted(rng: np.random.Generator, images: int) -> np.ndarray:
    """Images with 5 to 80 objects, of which one in seven is missed, and some false ones: pairs (predicted, true)."""
    true = rng.poisson(rng.uniform(5, 80, images))
    return np.stack([rng.binomial(true, 0.85) + rng.poisson(2, images), true], axis=1).astype(float)


def measured(rng: np.random.Generator, images: int) -> np.ndarray:
    """Areas with an error that grows with the outline, and outlines that are drawn too far outside."""
    true = rng.uniform(50, 5000, images)
    predicted = np.maximum(0, true + np.sqrt(true) * rng.normal(1.0, 0.8, images))
    return np.stack([predicted, true], axis=1)


def rare(rng: np.random.Generator, images: int) -> np.ndarray:
    """A class that nine in ten images lack; where it is predicted, the count is poor."""
    shown = rng.random(images) < 0.1
    true = np.where(shown, rng.integers(1, 40, images), 0)
    return np.stack([np.where(shown, rng.integers(1, 40, images), 0), true], axis=1).astype(float)


WORLDS: list[Draw] = [counted, measured]


def halved(interval: Interval, predicted: float) -> Interval:
    """The interval with its ends twice as near to the predicted value, on the scale of square roots."""
    low, high, middle = np.sqrt(interval.low), np.sqrt(interval.high), np.sqrt(predicted)
    return Interval(((low + middle) / 2) ** 2, ((high + middle) / 2) ** 2, interval.level)


def covers(interval: Interval | None, true: float) -> bool:
    assert interval is not None
    return interval.low - 1e-9 <= true <= interval.high + 1e-9


def coverage_of_images(draw: Draw, held_out: int, *, half: bool = False) -> float:
    rng, held = np.random.default_rng(1), []
    for _ in range(300):
        pairs, new = draw(rng, held_out), draw(rng, 5)
        for predicted, true in new:
            interval = image_interval(predicted, pairs)
            assert interval is not None
            held.append(covers(halved(interval, predicted) if half else interval, true))
    return float(np.mean(held))


@pytest.mark.parametrize("draw", WORLDS)
def test_ninety_percent_of_images_are_covered(draw: Draw) -> None:
    assert 0.88 <= coverage_of_images(draw, 19) <= 0.95


@pytest.mark.parametrize("draw", WORLDS)
def test_control_half_the_width_does_not_cover(draw: Draw) -> None:
    assert coverage_of_images(draw, 19, half=True) < 0.8


def test_four_images_give_an_interval_of_eighty_percent_and_say_so() -> None:
    assert 0.76 <= coverage_of_images(counted, 4) <= 0.87
    found = image_interval(20.0, counted(np.random.default_rng(0), 4))
    assert found is not None
    assert found.level == pytest.approx(0.8)


@pytest.mark.parametrize("images", [0, 1, 3])
def test_fewer_images_give_no_interval(images: int) -> None:
    pairs = counted(np.random.default_rng(0), images)
    assert attainable_level(images) is None
    assert image_interval(20.0, pairs) is None
    assert total_interval(np.array([20.0, 30.0]), pairs) is None


def test_intervals_of_a_rare_class_come_from_images_that_show_it() -> None:
    """The control takes all images: its intervals are those of the many empty ones."""
    rng, held, control = np.random.default_rng(2), [], []
    for _ in range(150):
        pairs, new = rare(rng, 200), rare(rng, 60)
        for predicted, true in new[new[:, 0] > 0]:
            held.append(covers(image_interval(predicted, pairs), true))
            radius = np.quantile(np.abs(np.sqrt(pairs[:, 1]) - np.sqrt(pairs[:, 0])), 0.9)
            control.append(abs(np.sqrt(true) - np.sqrt(predicted)) <= radius)
    assert np.mean(held) >= 0.87
    assert np.mean(control) < 0.6


def coverage_of_totals(draw: Draw, held_out: int, images: int, *, half: bool = False) -> float:
    rng, held = np.random.default_rng(3), []
    for seed in range(200):
        pairs, new = draw(rng, held_out), draw(rng, images)
        interval = total_interval(new[:, 0], pairs, seed)
        assert interval is not None
        low, high, level = interval
        if half:
            low, high = (3 * low + high) / 4, (low + 3 * high) / 4
        held.append(covers(Interval(low, high, level), float(new[:, 1].sum())))
    return float(np.mean(held))


@pytest.mark.parametrize("draw", WORLDS)
@pytest.mark.parametrize(("held_out", "images"), [(12, 4), (30, 40)])
def test_ninety_percent_of_totals_are_covered_although_every_image_is_biased(
    draw: Draw, held_out: int, images: int
) -> None:
    assert coverage_of_totals(draw, held_out, images) >= 0.85


def test_control_half_the_width_does_not_cover_totals() -> None:
    assert coverage_of_totals(counted, 30, 40, half=True) < 0.75


def test_a_total_of_many_images_is_relatively_more_certain_than_one_image() -> None:
    rng = np.random.default_rng(4)
    pairs, new = counted(rng, 60), counted(rng, 100)
    one, total = image_interval(40.0, pairs), total_interval(new[:, 0], pairs)
    assert one is not None
    assert total is not None
    assert (total.high - total.low) / new[:, 0].sum() < (one.high - one.low) / 40 / 3


def test_images_without_a_prediction_use_all_residuals_if_too_few_are_known() -> None:
    rng = np.random.default_rng(5)
    pairs = counted(rng, 30)
    assert total_interval(np.array([0.0, 0.0, 25.0]), pairs) is not None


def test_equal_seeds_give_equal_intervals() -> None:
    pairs = counted(np.random.default_rng(6), 20)
    values = np.array([10.0, 0.0, 30.0])
    assert total_interval(values, pairs, 1) == total_interval(values, pairs, 1)
    assert total_interval(values, pairs, 1) != total_interval(values, pairs, 2)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 500), st.integers(0, 500)), min_size=4, max_size=30),
    st.integers(1, 500),
)
def test_an_interval_contains_the_prediction_and_no_negative_number(rows: list[tuple[int, int]], value: int) -> None:
    found = image_interval(float(value), np.array(rows, float))
    assert found is not None
    assert 0 <= found.low <= value + 1e-6
    assert value - 1e-6 <= found.high


@pytest.mark.parametrize("draw", WORLDS)
@pytest.mark.parametrize(("interval_of", "good"), [(large_interval, True), (image_interval, False)], ids=["sum", "one"])
def test_large_images_are_covered_by_the_interval_of_a_sum(
    draw: Draw, interval_of: Callable[[float, np.ndarray], Interval | None], good: bool
) -> None:
    """Images as large as sixty of those that were held out, with the same bias; control: the interval of one image."""
    rng, held = np.random.default_rng(3), list[bool]()
    for _ in range(120):
        pairs = draw(rng, 30)
        predicted, true = draw(rng, 60).sum(0)
        held.append(covers(interval_of(float(predicted), pairs), true))
    assert (np.mean(held) > 0.8) == good, np.mean(held)


def test_an_image_of_the_usual_size_has_the_interval_of_one() -> None:
    pairs = counted(np.random.default_rng(0), 20)
    assert large_interval(30.0, pairs) == image_interval(30.0, pairs)
    assert large_interval(0.0, pairs) == image_interval(0.0, pairs)
