"""Probabilities of drawn worlds whose truth is known: a spoilt temperature is found, and bounds hold as said."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from pixelwise.labels.temperature_scaling import Temperatures
from pixelwise.metrics.calibration import (
    BINS,
    conformal_margin,
    coverage,
    dice_lower_bound,
    expected_calibration_error,
    expected_dice,
    find_temperature,
    find_temperatures,
    logits_of,
    most_rise,
    negative_log_likelihood,
    reliability,
    tempered,
    tempered_image,
)


def world(seed: int, pixels: int = 40_000, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and classes that are drawn with the very probabilities that these logits say."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (pixels, classes))
    probabilities = softmax(logits, axis=1)
    return logits, (probabilities.cumsum(1) < rng.random((pixels, 1))).sum(1).clip(max=classes - 1)


def error_of(probabilities: np.ndarray, truth: np.ndarray) -> float:
    error = expected_calibration_error(reliability(probabilities, truth))
    assert error is not None
    return error


@pytest.mark.parametrize("classes", [2, 3, 7])
@pytest.mark.parametrize("spoilt", [0.5, 1.0, 3.0])
def test_the_temperature_that_spoilt_the_logits_is_found(classes: int, spoilt: float) -> None:
    logits, truth = world(1, classes=classes)
    assert find_temperature(logits * spoilt, truth) == pytest.approx(spoilt, rel=0.03)


def test_scaling_mends_the_calibration_error_and_no_decision_changes() -> None:
    logits, truth = world(2)
    before = softmax(3 * logits, axis=1)
    after = tempered(before, Temperatures(find_temperature(3 * logits, truth)))
    assert error_of(before, truth) > 0.1
    assert error_of(after, truth) < 0.01
    assert error_of(tempered(before, Temperatures()), truth) == pytest.approx(error_of(before, truth))  # control
    np.testing.assert_array_equal(after.argmax(1), before.argmax(1))


@pytest.mark.parametrize("classes", [2, 3, 7])
@pytest.mark.parametrize("spoilt", [(1.5, 0.7), (0.8, 0.8), (0.8, 1.6)])
def test_the_temperatures_that_spoilt_the_logits_are_found(classes: int, spoilt: tuple[float, float]) -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 2, (60_000, classes))
    probabilities = tempered(softmax(logits, axis=1), Temperatures(*spoilt))
    truth = (probabilities.cumsum(1) < rng.random((len(probabilities), 1))).sum(1).clip(max=classes - 1)
    found = find_temperatures(logits, truth)
    assert found.sure == pytest.approx(spoilt[0], rel=0.05)
    assert found.doubt == pytest.approx(spoilt[1], rel=0.15)
    assert error_of(tempered(softmax(logits, axis=1), found), truth) < 0.01


@settings(max_examples=50, deadline=None)
@given(classes=st.integers(2, 12), sure=st.floats(0.2, 5), seed=st.integers(0, 1000))
def test_two_temperatures_change_no_decision_and_the_surer_pixel_stays_surer(
    classes: int, sure: float, seed: int
) -> None:
    probabilities = softmax(np.random.default_rng(seed).normal(0, 2, (200, classes)), axis=1)
    for rise in (-2.0, 0.95 * most_rise(classes)):
        both = Temperatures(sure, sure * float(np.exp(-rise)))
        after = tempered(probabilities, both)
        best = np.take_along_axis(after, probabilities.argmax(1)[:, None], 1)
        np.testing.assert_allclose(best[:, 0], after.max(1))
        np.testing.assert_allclose(after.sum(1), 1)
        assert (np.diff(tempered(ladder(classes), both)[:, 0]) >= -1e-12).all()


@pytest.mark.parametrize("classes", [2, 5, 11])
def test_beyond_the_largest_rise_a_surer_pixel_would_become_less_sure(classes: int) -> None:
    steep = Temperatures(1.0, float(np.exp(-1.2 * most_rise(classes))))
    assert (np.diff(tempered(ladder(classes), steep)[:, 0]) < -1e-6).any()


def ladder(classes: int) -> np.ndarray:
    """Pixels of one more and more probable class; the others are alike."""
    first = np.linspace(1 / classes, 0.999, 500)[:, None]
    return np.concatenate([first, np.tile((1 - first) / (classes - 1), classes - 1)], axis=1)


def test_an_image_is_scaled_as_its_pixels_are() -> None:
    probabilities = softmax(np.random.default_rng(0).normal(0, 2, (3, 5, 7)), axis=0).astype(np.float16)
    both = Temperatures(1.5, 0.6)
    expected = np.moveaxis(tempered(np.moveaxis(probabilities, 0, -1), both), -1, 0)
    assert tempered_image(probabilities, both).dtype == np.float16
    np.testing.assert_allclose(tempered_image(probabilities, both), expected, atol=1e-3)
    assert tempered_image(probabilities, Temperatures()) is probabilities


def test_the_likelihood_counts_by_hand() -> None:
    probabilities = np.array([[0.5, 0.5], [0.25, 0.75]])
    assert negative_log_likelihood(probabilities, np.array([0, 1])) == pytest.approx(-np.log([0.5, 0.75]).mean())


def test_half_precision_probabilities_serve_as_logits() -> None:
    logits, truth = world(3)
    halves = softmax(3 * logits, axis=1).astype(np.float16)
    assert find_temperature(logits_of(halves), truth) == pytest.approx(find_temperature(3 * logits, truth), rel=0.02)
    assert np.isfinite(logits_of(np.array([[0, 1]], np.float16))).all()


def test_the_calibration_error_counts_by_hand() -> None:
    probabilities = np.array([[0.9, 0.1], [0.1, 0.9], [0.4, 0.6], [0.4, 0.6]])
    table = reliability(probabilities, np.array([0, 0, 1, 1]))
    assert table.shape == (BINS, 3)
    assert table[13].tolist() == pytest.approx([2, 1.8, 1])  # 0.9 lies in (13/15, 14/15]
    assert table[8].tolist() == pytest.approx([2, 1.2, 2])  # 0.6 is the upper end of (8/15, 9/15]
    assert expected_calibration_error(table) == pytest.approx((0.8 + 0.8) / 4)
    assert expected_calibration_error(np.zeros((BINS, 3))) is None


def test_tables_of_images_add_up() -> None:
    logits, truth = world(4, pixels=1000)
    probabilities = softmax(logits, axis=1)
    parts = reliability(probabilities[:300], truth[:300]) + reliability(probabilities[300:], truth[300:])
    np.testing.assert_allclose(parts, reliability(probabilities, truth))


def test_without_pixels_nothing_is_scaled() -> None:
    assert find_temperature(np.zeros((0, 2)), np.zeros(0, np.int64)) == 1.0
    assert find_temperatures(np.zeros((0, 2)), np.zeros(0, np.int64)) == Temperatures()


def test_a_promise_counts_the_classes_that_a_mask_shows() -> None:
    probabilities = np.array([[0.9, 0.2, 0.1], [0.1, 0.8, 0.5], [0.0, 0.0, 0.4]])
    assert expected_dice(probabilities, np.array([0, 1, 1]), 1) == pytest.approx(2 * 1.3 / (1.4 + 2))
    assert expected_dice(probabilities, np.array([0, 1, 2]), 1) == pytest.approx(np.mean([1.6 / 2.4, 0.8 / 1.4]))
    assert expected_dice(probabilities, np.array([0, 0, 0]), 1) is None


def test_calibrated_probabilities_promise_the_dice_that_comes() -> None:
    logits, truth = world(5, classes=2)
    said = logits.argmax(1)
    actual = 2 * (said & truth).sum() / (said.sum() + truth.sum())
    assert expected_dice(softmax(logits, axis=1).T, said, 1) == pytest.approx(actual, abs=0.01)
    expected = expected_dice(softmax(3 * logits, axis=1).T, said, 1)  # control: what is too sure promises too much
    assert expected is not None
    assert expected > actual + 0.05


@settings(max_examples=10, deadline=None)
@given(images=st.integers(9, 60), seed=st.integers(0, 1000), skew=st.floats(0.5, 4))
def test_the_bound_holds_as_often_as_it_says(images: int, seed: int, skew: float) -> None:
    """Over draws of calibration and new images of one kind: at least 90 %, at most 90 % + 1/(n + 1)."""
    rng = np.random.default_rng(seed)
    shares = []
    for _ in range(400):
        expected = rng.uniform(0.5, 1, images + 100)
        actual = expected - rng.gamma(skew, 0.03, images + 100) + 0.05
        margin = conformal_margin(expected[:images], actual[:images])
        assert margin is not None
        shares.append(coverage(expected[images:] - margin, actual[images:]).mean())
    assert 0.9 - 0.02 <= np.mean(shares) <= 0.9 + 1 / (images + 1) + 0.02


def test_without_the_correction_a_bound_would_hold_too_seldom() -> None:
    """Control of the test above: the plain quantile of ten differences covers less than 90 %."""
    rng = np.random.default_rng(0)
    lower = rng.gamma(2, 1, (4000, 10))
    plain = np.sort(lower, axis=1)[:, 8]  # the 0.9-quantile of ten, without (n + 1)
    assert np.mean(rng.gamma(2, 1, 4000) <= plain) < 0.86


def test_fewer_than_nine_images_hold_no_bound() -> None:
    few = np.linspace(0.5, 0.9, 9)
    assert conformal_margin(few[:8], few[:8]) is None
    assert conformal_margin(few[:0], few[:0]) is None
    assert conformal_margin(few, few - 0.1) == pytest.approx(0.1)
    assert conformal_margin(few, few - np.arange(9) / 10) == pytest.approx(0.8)  # of nine, the largest


def test_bounds_stay_where_a_dice_can_be() -> None:
    assert dice_lower_bound(0.2, 0.5) == 0.0
    assert dice_lower_bound(0.9, -0.3) == 1.0
    assert dice_lower_bound(0.9, 0.1) == pytest.approx(0.8)
