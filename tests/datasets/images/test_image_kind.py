"""The kind of an image does not depend on its type, size or exposure."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelwise.datasets.images.image_kind import image_kind


def nuclei(side: int = 64) -> np.ndarray:
    rows, columns = np.mgrid[:side, :side] / side
    return (((rows - 0.3) ** 2 + (columns - 0.6) ** 2) < 0.04).astype(np.float64)


def stained(side: int = 64) -> np.ndarray:
    return np.stack([0.9 - 0.3 * nuclei(side), 0.8 - 0.6 * nuclei(side), 0.9 - 0.2 * nuclei(side)])


@given(
    st.sampled_from([np.uint8, np.uint16, np.float32]),
    st.integers(1, 4),
    st.floats(0.1, 0.9),
    st.sampled_from([8, 64, 500]),
)
def test_gray_and_colour_dark_and_bright(kind: type[np.generic], repeats: int, exposure: float, side: int) -> None:
    largest = 1.0 if kind is np.float32 else float(np.iinfo(kind).max)  # type: ignore[type-var]
    dark = (0.05 + exposure * nuclei(side))[None] * largest
    named = {
        "gray on dark": dark,
        "gray on bright": largest - dark,
        "colour on bright": stained(side) * largest * max(exposure, 0.3),
    }
    for expected, pixels in named.items():
        assert image_kind(pixels.astype(kind)) == expected
    if repeats == 3:
        assert image_kind(np.repeat(dark, 3, 0).astype(kind)) == "gray on dark"


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((1, 20, 20), np.uint8),
        np.full((1, 20, 20), np.nan, np.float32),
        np.zeros((4, 20, 20), np.uint8),
        np.zeros((1, 5, 20, 20), np.uint8),
        np.tile(np.arange(256, dtype=np.uint8), (1, 64, 1)),
    ],
    ids=["constant", "missing", "four bands", "volume", "between dark and bright"],
)
def test_images_without_a_kind(pixels: np.ndarray) -> None:
    assert image_kind(pixels) == ""


def test_missing_pixels_are_left_out() -> None:
    pixels = nuclei()[None].astype(np.float32)
    pixels[0, :20] = np.nan
    assert image_kind(pixels) == "gray on dark"
