"""Temperature scaling, compared with the formula evaluated by hand."""

import numpy as np
import pytest
from scipy.special import softmax

from pixelwise.labels.temperature_scaling import UNSCALED, Temperatures, confidence, scaled_softmax


def test_confidence_is_0_for_uniform_and_1_for_certain_probabilities() -> None:
    probabilities = np.array([[1, 0, 0, 0], [0.25] * 4, [0.1, 0.7, 0.1, 0.1]])
    assert confidence(probabilities, 1)[:, 0].tolist() == pytest.approx([1, 0, 0.6])


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_temperature_is_interpolated_by_confidence(axis: int, dtype: type) -> None:
    logits = np.random.default_rng(0).normal(0, 2, (4, 4)).astype(dtype)
    both = Temperatures(2.0, 0.5)
    found = scaled_softmax(logits, both, axis)
    assert found.dtype == dtype
    for place in range(4):
        one = logits.take(place, 1 - axis).astype(np.float64)
        sure = (softmax(one).max() - 1 / 4) / (1 - 1 / 4)
        expected = softmax(one / np.exp(sure * np.log(2.0) + (1 - sure) * np.log(0.5)))
        np.testing.assert_allclose(found.take(place, 1 - axis), expected, rtol=1e-5)


def test_equal_temperatures_are_a_single_one() -> None:
    logits = np.random.default_rng(1).normal(0, 2, (5, 3))
    np.testing.assert_array_equal(scaled_softmax(logits, UNSCALED, 1), softmax(logits, axis=1))
    expected = softmax(logits / 1.7, axis=1)
    for alike in (Temperatures(1.7), Temperatures(1.7, 1.7)):
        np.testing.assert_array_equal(scaled_softmax(logits, alike, 1), expected)
    assert not np.allclose(scaled_softmax(logits, Temperatures(1.7, 0.9), 1), expected)  # control


def test_temperatures_as_text() -> None:
    assert str(Temperatures(1.5)) == "temperature 1.500"
    assert str(Temperatures(1.5, 0.25)) == "temperature 1.500 at high confidence, 0.250 at low confidence"
