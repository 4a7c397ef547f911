"""Features of images after normalisation: what changes them, and what does not."""

import numpy as np
import pytest

from pixelwise.sampling.appearance import MAX_CHANNELS, PERCENTILES, SCALES, appearance_features
from pixelwise.sampling.normalise import Normalisation, Scale, intensity_scale


def noise(side: int = 96, channels: int = 1, grain: int = 2, seed: int = 0) -> np.ndarray:
    """Random squares of `grain` pixels."""
    small = np.random.default_rng(seed).normal(100, 20, (channels, side // grain, side // grain))
    return np.kron(small, np.ones((1, grain, grain)))


def features(image: np.ndarray) -> dict[str, np.ndarray]:
    return appearance_features(image, intensity_scale(image, Normalisation()))


def test_brightness_and_contrast_that_normalisation_removes_change_nothing() -> None:
    image = noise()
    for name, values in features(image).items():
        assert np.allclose(values, features(3 * image + 50)[name], atol=1e-4)


def test_without_normalisation_brightness_counts() -> None:
    image, scale = noise(), Scale(np.ones(1), np.zeros(1))
    one, other = (appearance_features(pixels, scale)["intensity"] for pixels in (image, image + 40))
    assert np.allclose(other - one, 40, atol=1e-3)


def test_blur_and_magnification_change_the_texture() -> None:
    fine, coarse = features(noise(grain=2))["texture"], features(noise(grain=8))["texture"]
    assert fine[0] > coarse[0] + 0.5
    assert coarse[3] > fine[3] + 0.5


def test_colour_is_the_difference_of_channels() -> None:
    gray = np.repeat(noise(), 3, axis=0)
    assert features(gray)["colour"].max() < 1e-6 < features(noise(channels=3))["colour"].min()


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 2), (2000, 30)])
@pytest.mark.parametrize("channels", [1, 3, 12])
def test_any_size_and_number_of_channels_has_finite_features(size: tuple[int, int], channels: int) -> None:
    image = np.random.default_rng(1).integers(0, 255, (channels, *size)).astype(np.uint8)
    found = features(image)
    assert all(np.isfinite(values).all() for values in found.values())
    assert len(found["texture"]) == SCALES
    assert len(found["intensity"]) == 7 * min(channels, MAX_CHANNELS)


def test_percentiles_are_those_of_numpy() -> None:
    image, scale = noise(channels=2), Scale(np.ones(2), np.zeros(2))
    expected = np.percentile(image.reshape(2, -1), PERCENTILES, axis=1).T.ravel()
    assert np.allclose(appearance_features(image, scale)["intensity"], expected, atol=1e-4)


def test_missing_pixels_count_as_the_mean() -> None:
    image = noise().astype(np.float32)
    image[:, :10] = np.nan
    assert all(np.isfinite(values).all() for values in features(image).values())
