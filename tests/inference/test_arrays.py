"""What people hand over as an image: arrays of every layout and type, and what is none."""

import numpy as np
import pytest
from PIL import Image

from pixelwise.errors import BadImage
from pixelwise.inference.arrays import read_array, warn_of_scale
from pixelwise.io.read import ReadOptions
from pixelwise.sampling.normalise import Normalisation, intensity_scale, mean_and_std

PICTURE = np.random.default_rng(0).integers(0, 256, (20, 30)).astype(np.uint8)
COLOURS = np.random.default_rng(1).integers(0, 256, (20, 30, 3)).astype(np.uint8)


@pytest.mark.parametrize(
    "image",
    [
        np.ascontiguousarray(PICTURE[::-1])[::-1],
        np.asfortranarray(PICTURE),
        PICTURE.astype(">u2"),
        PICTURE.astype(np.int64),
        PICTURE.astype(np.float16),
        PICTURE.astype(">f8"),
        PICTURE[..., None],
        PICTURE[None],
        PICTURE.tolist(),
        Image.fromarray(PICTURE),
        np.ma.masked_array(PICTURE, mask=False),
    ],
)
def test_the_same_picture(image: object) -> None:
    pixels = read_array(image, 1, ReadOptions())
    assert pixels.shape == (1, 20, 30)
    assert pixels.dtype.itemsize <= 4
    np.testing.assert_array_equal(pixels[0], PICTURE)


@pytest.mark.parametrize("image", [COLOURS, np.moveaxis(COLOURS, -1, 0), Image.fromarray(COLOURS)])
def test_the_same_colours(image: object) -> None:
    np.testing.assert_array_equal(read_array(image, 3, ReadOptions()), np.moveaxis(COLOURS, -1, 0))


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "HSV", "RGBA", "RGBX"])
def test_other_colours_of_pillow_are_those_shown(mode: str) -> None:
    gray = Image.fromarray(np.dstack([PICTURE] * 3)).convert(mode)
    pixels = read_array(gray, 3, ReadOptions()).astype(int)
    assert np.abs(pixels - PICTURE).max() <= 2
    if mode == "RGBA":  # control: a model of four channels gets all
        assert read_array(gray, 4, ReadOptions()).shape == (4, 20, 30)


def test_transparency_of_gray_is_dropped() -> None:
    image = Image.fromarray(PICTURE).convert("LA")
    np.testing.assert_array_equal(read_array(image, 1, ReadOptions())[0], PICTURE)


def test_a_palette_image_is_its_colours() -> None:
    image = Image.fromarray(PICTURE % 2).convert("P")
    image = Image.frombytes("P", (30, 20), (PICTURE % 2).tobytes())
    image.putpalette([9, 8, 7, 200, 100, 0])
    assert np.unique(read_array(image, 3, ReadOptions())[0]).tolist() == [9, 200]


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (PICTURE > 100, "true and false"),
        (PICTURE.astype(complex), "complex"),
        (PICTURE.astype(str), "texts"),
        (PICTURE.astype(object), "objects"),
        (PICTURE[:0], "shape"),
        (np.zeros((0, 0, 1)), "shape"),
        ([[1, 2], [3]], "array"),
        (None, "objects"),
        (np.zeros((2, 3, 4, 5)), "shape"),
        (np.full((20, 30), np.nan), "NaN"),
        (np.where(PICTURE > 250, -np.inf, PICTURE), "infinite"),
        (PICTURE.astype(np.int64) << 40, "values from"),
    ],
)
def test_what_is_no_image_is_refused_in_one_line(image: object, words: str) -> None:
    with pytest.raises(BadImage) as caught:
        read_array(image, 1, ReadOptions())
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "nodata", "reading"),
    [
        (np.nan, np.nan, ReadOptions()),
        (np.inf, np.nan, ReadOptions()),
        (-9999.0, -9999.0, ReadOptions()),
        (-9999.0, None, ReadOptions(nodata="-9999")),
        (np.nan, None, ReadOptions(nodata="nan")),
    ],
)
def test_missing_pixels_do_not_count(value: float, nodata: float | None, reading: ReadOptions) -> None:
    image = PICTURE.astype(float)
    image[:, :7] = value
    pixels = read_array(image, 1, reading, nodata)
    assert np.isnan(pixels[0, :, :7]).all()
    mean, std = mean_and_std(pixels)
    assert mean[0] == pytest.approx(PICTURE[:, 7:].mean())
    assert std[0] == pytest.approx(PICTURE[:, 7:].std())
    scaled = intensity_scale(pixels, Normalisation()).apply(pixels)
    assert (scaled[0, :, :7] == 0).all()
    assert np.isfinite(scaled).all()


def test_masked_pixels_are_missing() -> None:
    image = np.ma.masked_less(PICTURE, 20)
    assert np.array_equal(np.isnan(read_array(image, 1, ReadOptions())[0]), PICTURE < 20)


def test_values_within_the_peaks_of_single_training_images_are_no_other_scale() -> None:
    """Scans of one kind may differ a thousandfold; without the peaks (control) the dark ones would be reported."""
    volume = np.full((1, 4, 4, 4), 800.0, np.float32)
    trained = ((0.0, 410_000.0),)
    assert warn_of_scale(volume, trained, (100.0, 410_000.0)) == ()
    assert warn_of_scale(volume, trained)
    assert "100 to 4.1e+05" in warn_of_scale(volume / 1e6, trained, (100.0, 410_000.0))[0]
