"""Low-dimensional image features."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelwise.datasets.images.features import image_features

FULL = ((0.0, 255.0),)


def test_features_computed_by_hand() -> None:
    pixels = np.zeros((1, 8, 8), np.uint8)
    pixels[:, :, 4:] = 255  # half black, half white: one step of 1 in seven along a row, none along a column
    result = image_features(pixels, FULL)
    assert result[:5].tolist() == pytest.approx([0.5, 0.5, 0, 0.5, 1])
    assert np.exp(result[5:]).tolist() == pytest.approx([1 / 14, 1 / 6, 1 / 2, 0], abs=2e-4)


@given(height=st.integers(1, 40), width=st.integers(1, 40), channels=st.integers(1, 4), seed=st.integers(0, 9))
def test_features_are_finite_for_any_size(height: int, width: int, channels: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 65536, (channels, height, width)).astype(np.uint16)
    result = image_features(pixels, ((0.0, 65535.0),) * channels)
    assert result.shape == (5 * channels + 4,)
    assert np.isfinite(result).all()


def test_features_are_invariant_to_flips_and_differ_between_textures(rng: np.random.Generator) -> None:
    fine = rng.integers(0, 256, (1, 64, 64)).astype(np.uint8)
    coarse = fine[:, ::8, ::8].repeat(8, 1).repeat(8, 2)
    features = [image_features(pixels, FULL) for pixels in (fine, fine[:, ::-1], coarse)]
    np.testing.assert_allclose(features[0], features[1])
    assert abs(features[0][5] - features[2][5]) > 1, "the finest scale"


def test_large_images_are_subsampled() -> None:
    stripes = np.tile(np.array([[0, 255]], np.uint8), (1, 1, 1024))
    assert stripes.shape == (1, 1, 2048)
    assert image_features(stripes, FULL)[0] == 0, "every second pixel of 2048"
