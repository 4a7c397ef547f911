"""The intensity scale of an image and its inverse."""

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pixelwise.errors import BadOption
from pixelwise.sampling import normalise
from pixelwise.sampling.normalise import Normalisation, intensity_scale, mean_and_std

IMAGE = Normalisation()


def test_image_scale_by_hand() -> None:
    pixels = np.array([[[0, 2], [4, 6]], [[10, 10], [10, 10]]], np.uint8)
    scale = intensity_scale(pixels, IMAGE)
    np.testing.assert_allclose(scale.shift, [3.0, 10.0])
    np.testing.assert_allclose(scale.factor, [1 / np.sqrt(5.0), 1.0])  # a constant channel keeps the factor 1
    expected = np.array([[[-3, -1], [1, 3]], [[0, 0], [0, 0]]]) / np.sqrt(5.0)
    np.testing.assert_allclose(scale.apply(pixels), expected, rtol=1e-6)
    assert scale.apply(pixels).dtype == np.float32


@given(
    hnp.arrays(
        st.sampled_from([np.dtype(np.uint8), np.dtype(np.uint16)]),
        hnp.array_shapes(min_dims=3, max_dims=3, max_side=7),
    )
)
def test_invert_undoes_apply(pixels: np.ndarray) -> None:
    scale = intensity_scale(pixels, IMAGE)
    back = scale.invert(scale.apply(pixels))
    np.testing.assert_allclose(back, pixels, atol=1e-6 * (1.0 + float(pixels.max()) + float(np.ptp(pixels))))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32, np.float64])
def test_mean_and_std_agree_with_numpy_over_several_blocks(
    dtype: type[Any], rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(normalise, "BLOCK", 50)  # blocks of two rows
    pixels = rng.integers(0, 255, (3, 11, 25)).astype(dtype)
    mean, std = mean_and_std(pixels)
    np.testing.assert_allclose(mean, pixels.mean((1, 2), dtype=float))
    np.testing.assert_allclose(std, pixels.std((1, 2), dtype=float))


def test_small_contrast_on_a_bright_background_is_kept(rng: np.random.Generator) -> None:
    pixels = (60_000 + rng.integers(0, 4, (1, 40, 40))).astype(np.uint16)
    scaled = intensity_scale(pixels, IMAGE).apply(pixels)
    exact = (pixels - pixels.mean(dtype=float)) / pixels.std(dtype=float)
    np.testing.assert_allclose(scaled, exact, atol=1e-6)
    # the control: multiply first, add afterwards, in float32
    factor = 1.0 / pixels.std(dtype=float)
    naive = pixels.astype(np.float32) * np.float32(factor) - np.float32(pixels.mean(dtype=float) * factor)
    assert np.abs(naive - exact).max() > 1e-4


def test_32_bit_integers_are_scaled_in_double_precision() -> None:
    pixels = np.array([[[2**31, 2**31 + 2]]], np.uint32)
    np.testing.assert_array_equal(intensity_scale(pixels, IMAGE).apply(pixels), [[[-1, 1]]])


@pytest.mark.parametrize("value", [0, 255, 0.1, -3e8])
def test_constant_images_become_zero(value: float) -> None:
    pixels = np.full((1, 37, 41), value, np.uint8 if isinstance(value, int) else np.float32)
    scale = intensity_scale(pixels, IMAGE)
    assert np.isfinite(scale.factor).all()
    assert (scale.factor > 0).all()
    np.testing.assert_allclose(scale.apply(pixels), 0.0, atol=1e-6 * abs(value))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_float_image_that_is_constant_to_rounding_becomes_zero(dtype: type[Any]) -> None:
    flat = np.full((1, 20, 20), 0.1, dtype)
    flat[0, ::2] = np.nextafter(np.float32(0.1), np.float32(1))  # what rounding to float32 somewhere leaves behind
    assert flat.std(dtype=float) > 0
    assert intensity_scale(flat, IMAGE).factor.tolist() == [1.0]
    assert np.abs(intensity_scale(flat, IMAGE).apply(flat)).max() < 1e-7
    flat[0, ::2] = 0.1001  # the control: a small contrast is one, and keeps its scale
    assert intensity_scale(flat, IMAGE).apply(flat).std() == pytest.approx(1.0, rel=1e-3)


def test_no_float_copy_of_a_large_image() -> None:
    pixels = np.zeros((1, 6000, 2000), np.uint8)
    pixels[0, 1] = 3
    tracemalloc.start()
    try:
        intensity_scale(pixels, IMAGE)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * normalise.BLOCK * 8  # a float32 copy alone would be 48 MB
    assert peak < pixels.size * 4


def test_dataset_and_none() -> None:
    pixels = np.arange(8, dtype=np.uint8).reshape(2, 2, 2)
    dataset = Normalisation(kind="dataset", mean=(1.0, 5.0), std=(2.0, 4.0))
    np.testing.assert_allclose(intensity_scale(pixels, dataset).apply(pixels)[:, 1, 1], [1.0, 0.5])
    np.testing.assert_array_equal(intensity_scale(pixels, Normalisation(kind="none")).apply(pixels), pixels)
    with pytest.raises(BadOption, match="2 channels, as in the training data; got 1 channels"):
        intensity_scale(pixels[:1], dataset)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"kind": "dataset"}, "one number per channel"),
        ({"kind": "dataset", "mean": (1.0,), "std": (1.0, 2.0)}, "got 1 means and 2 standard deviations"),
        ({"kind": "dataset", "mean": (1.0,), "std": (0.0,)}, "positive, finite"),
        ({"kind": "image", "mean": (1.0,)}, "use normalisation.kind=dataset"),
    ],
)
def test_inconsistent_options_raise(options: dict[str, Any], text: str) -> None:
    with pytest.raises(BadOption, match=text):
        Normalisation(**options)


def test_volumes_are_normalised_as_their_slices_side_by_side() -> None:
    volume = np.random.default_rng(0).normal(50, 9, (2, 5, 6, 7)).astype(np.float32)
    scale, flat = (intensity_scale(pixels, Normalisation()) for pixels in (volume, volume.reshape(2, 30, 7)))
    np.testing.assert_allclose(scale.shift, flat.shift, rtol=1e-12)
    np.testing.assert_array_equal(flat.apply(volume).reshape(2, 30, 7), flat.apply(volume.reshape(2, 30, 7)))
    np.testing.assert_allclose(scale.invert(scale.apply(volume)), volume, rtol=1e-5)


def test_values_are_clipped_before_they_are_scaled() -> None:
    """As in nnU-Net for CT; without limits (control) a metal implant has a value far outside."""
    limited = Normalisation(kind="dataset", mean=(100.0,), std=(50.0,), clip=((0.0, 200.0),))
    volume = np.array([-1000, 0, 100, 200, 3000], np.int16).reshape(1, 1, 1, 5)
    np.testing.assert_allclose(intensity_scale(volume, limited).apply(volume).ravel(), [-2, -2, 0, 2, 2])
    control = Normalisation(kind="dataset", mean=(100.0,), std=(50.0,))
    assert intensity_scale(volume, control).apply(volume).max() == 58
    for kind, clip in (("image", ((0.0, 1.0),)), ("dataset", ((1.0, 0.0),)), ("dataset", ((0.0, 1.0),) * 2)):
        given = {"mean": (0.0,), "std": (1.0,)} if kind == "dataset" else {}
        with pytest.raises(BadOption, match=r"normalisation\.clip"):
            Normalisation(kind=kind, clip=clip, **given)
