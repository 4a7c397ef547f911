"""Calibration of synthetic logits with known temperature, and coverage of conformal bounds."""

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
    max_log_ratio,
    negative_log_likelihood,
    reliability,
    scale_image_probabilities,
    scale_probabilities,
)


def world(seed: int, pixels: int = 40_000, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and classes drawn with their probabilities."""
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
def test_a_known_temperature_is_recovered(classes: int, spoilt: float) -> None:
    logits, truth = world(1, classes=classes)
    assert find_temperature(logits * spoilt, truth) == pytest.approx(spoilt, rel=0.03)


def test_scaling_reduces_the_calibration_error_and_keeps_predictions() -> None:
    logits, truth = world(2)
    before = softmax(3 * logits, axis=1)
    after = scale_probabilities(before, Temperatures(find_temperature(3 * logits, truth)))
    assert error_of(before, truth) > 0.1
    assert error_of(after, truth) < 0.01
    assert error_of(scale_probabilities(before, Temperatures()), truth) == pytest.approx(
        error_of(before, truth)
    )  # control
    np.testing.assert_array_equal(after.argmax(1), before.argmax(1))


@pytest.mark.parametrize("classes", [2, 3, 7])
@pytest.mark.parametrize("spoilt", [(1.5, 0.7), (0.8, 0.8), (0.8, 1.6)])
def test_two_known_temperatures_are_recovered(classes: int, spoilt: tuple[float, float]) -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 2, (60_000, classes))
    probabilities = scale_probabilities(softmax(logits, axis=1), Temperatures(*spoilt))
    truth = (probabilities.cumsum(1) < rng.random((len(probabilities), 1))).sum(1).clip(max=classes - 1)
    found = find_temperatures(logits, truth)
    assert found.sure == pytest.approx(spoilt[0], rel=0.05)
    assert found.doubt == pytest.approx(spoilt[1], rel=0.15)
    assert error_of(scale_probabilities(softmax(logits, axis=1), found), truth) < 0.01


@settings(max_examples=50, deadline=None)
@given(classes=st.integers(2, 12), sure=st.floats(0.2, 5), seed=st.integers(0, 1000))
def test_two_temperatures_keep_predictions_and_the_order_by_confidence(classes: int, sure: float, seed: int) -> None:
    probabilities = softmax(np.random.default_rng(seed).normal(0, 2, (200, classes)), axis=1)
    for log_ratio in (-2.0, 0.95 * max_log_ratio(classes)):
        both = Temperatures(sure, sure * float(np.exp(-log_ratio)))
        after = scale_probabilities(probabilities, both)
        best = np.take_along_axis(after, probabilities.argmax(1)[:, None], 1)
        np.testing.assert_allclose(best[:, 0], after.max(1))
        np.testing.assert_allclose(after.sum(1), 1)
        assert (np.diff(scale_probabilities(ladder(classes), both)[:, 0]) >= -1e-12).all()


@pytest.mark.parametrize("classes", [2, 5, 11])
def test_beyond_the_largest_ratio_the_order_by_confidence_changes(classes: int) -> None:
    steep = Temperatures(1.0, float(np.exp(-1.2 * max_log_ratio(classes))))
    assert (np.diff(scale_probabilities(ladder(classes), steep)[:, 0]) < -1e-6).any()


def ladder(classes: int) -> np.ndarray:
    """Pixels of one increasingly probable class; the others are equal."""
    first = np.linspace(1 / classes, 0.999, 500)[:, None]
    return np.concatenate([first, np.tile((1 - first) / (classes - 1), classes - 1)], axis=1)


def test_an_image_is_scaled_like_its_pixels() -> None:
    probabilities = softmax(np.random.default_rng(0).normal(0, 2, (3, 5, 7)), axis=0).astype(np.float16)
    both = Temperatures(1.5, 0.6)
    expected = np.moveaxis(scale_probabilities(np.moveaxis(probabilities, 0, -1), both), -1, 0)
    assert scale_image_probabilities(probabilities, both).dtype == np.float16
    np.testing.assert_allclose(scale_image_probabilities(probabilities, both), expected, atol=1e-3)
    assert scale_image_probabilities(probabilities, Temperatures()) is probabilities


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
    assert table[13].tolist() == pytest.approx([2, 1.8, 1])  # 0.9 is in (13/15, 14/15]
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


def test_expected_dice_uses_the_classes_of_the_mask() -> None:
    probabilities = np.array([[0.9, 0.2, 0.1], [0.1, 0.8, 0.5], [0.0, 0.0, 0.4]])
    assert expected_dice(probabilities, np.array([0, 1, 1]), 1) == pytest.approx(2 * 1.3 / (1.4 + 2))
    assert expected_dice(probabilities, np.array([0, 1, 2]), 1) == pytest.approx(np.mean([1.6 / 2.4, 0.8 / 1.4]))
    assert expected_dice(probabilities, np.array([0, 0, 0]), 1) is None


def test_calibrated_probabilities_predict_the_dice() -> None:
    logits, truth = world(5, classes=2)
    predicted = logits.argmax(1)
    actual = 2 * (predicted & truth).sum() / (predicted.sum() + truth.sum())
    assert expected_dice(softmax(logits, axis=1).T, predicted, 1) == pytest.approx(actual, abs=0.01)
    expected = expected_dice(softmax(3 * logits, axis=1).T, predicted, 1)  # control: overconfident
    assert expected is not None
    assert expected > actual + 0.05


@settings(max_examples=10, deadline=None)
@given(images=st.integers(9, 60), seed=st.integers(0, 1000), skew=st.floats(0.5, 4))
def test_coverage_of_the_bound(images: int, seed: int, skew: float) -> None:
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


def test_control_without_the_correction_the_coverage_is_too_low() -> None:
    """Control of the test above: the plain quantile of ten differences covers less than 90 %."""
    rng = np.random.default_rng(0)
    lower = rng.gamma(2, 1, (4000, 10))
    plain = np.sort(lower, axis=1)[:, 8]  # the 0.9-quantile of ten, without (n + 1)
    assert np.mean(rng.gamma(2, 1, 4000) <= plain) < 0.86


def test_fewer_than_nine_images_give_no_bound() -> None:
    few = np.linspace(0.5, 0.9, 9)
    assert conformal_margin(few[:8], few[:8]) is None
    assert conformal_margin(few[:0], few[:0]) is None
    assert conformal_margin(few, few - 0.1) == pytest.approx(0.1)
    assert conformal_margin(few, few - np.arange(9) / 10) == pytest.approx(0.8)  # of nine, the largest


def test_bounds_are_clipped_to_valid_dice() -> None:
    assert dice_lower_bound(0.2, 0.5) == 0.0
    assert dice_lower_bound(0.9, -0.3) == 1.0
    assert dice_lower_bound(0.9, 0.1) == pytest.approx(0.8)
