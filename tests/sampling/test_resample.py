"""Resampling of volumes: scipy's splines, one axis at a time; labels keep their classes; slices far apart stay."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from pixelwise.errors import BadOption
from pixelwise.sampling.resample import (
    coarse_axis,
    resample_image,
    resample_image_window,
    resample_labels,
    resample_logits,
    resample_logits_window,
    resampled_shape,
    spans_to_read,
)


def smooth(shape: tuple[int, ...]) -> np.ndarray:
    noise = np.random.default_rng(0).normal(size=shape)
    return ndimage.gaussian_filter(noise, 1.5).astype(np.float32)


def zoomed(values: np.ndarray, shape: tuple[int, ...], order: int) -> np.ndarray:
    factors = [after / before for before, after in zip(values.shape, shape, strict=True)]
    return np.asarray(ndimage.zoom(values, factors, order=order, mode="nearest", grid_mode=True))


@pytest.mark.parametrize("shape", [(9, 14, 22), (20, 7, 11), (10, 12, 12)])
def test_images_and_logits_are_interpolated_as_by_scipy(shape: tuple[int, ...]) -> None:
    image = smooth((10, 12, 12))
    np.testing.assert_allclose(resample_image(image[None], shape)[0], zoomed(image, shape, 3), atol=2e-6)
    np.testing.assert_allclose(resample_logits(image[None], shape)[0], zoomed(image, shape, 1), atol=2e-6)


def test_two_axes_and_one_voxel() -> None:
    image = smooth((9, 13))
    np.testing.assert_allclose(resample_image(image[None], (5, 20))[0], zoomed(image, (5, 20), 3), atol=2e-6)
    np.testing.assert_allclose(resample_image(np.full((2, 1, 3, 1), 5, np.int16), (4, 3, 2)), 5, atol=1e-5)


def test_the_nearest_slice_is_taken_along_a_coarse_axis() -> None:
    image = smooth((4, 10, 10))
    result = resample_image(image[None], (8, 15, 15), coarse=0)[0]
    for place in range(8):
        np.testing.assert_allclose(result[place], zoomed(image[place // 2], (15, 15), 3), atol=2e-6)
    between = resample_image(image[None], (8, 15, 15))[0]  # control: without it slices are mixed
    assert np.abs(between - result).max() > 1e-2
    logits = resample_logits(image[None], (8, 10, 10), coarse=0)[0]
    np.testing.assert_array_equal(logits, np.repeat(image, 2, axis=0))


lengths = st.integers(1, 60)


@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(lengths, lengths),
    shape=st.tuples(lengths, lengths),
    ends=st.tuples(*[st.floats(0, 1)] * 4),
    coarse=st.sampled_from([None, 0, 1]),
)
def test_a_window_is_that_of_the_whole_array(
    size: tuple[int, int], shape: tuple[int, int], ends: tuple[float, ...], coarse: int | None
) -> None:
    image = np.random.default_rng(1).normal(size=(2, *size)).astype(np.float32)
    window: list[tuple[int, int]] = []
    for side, one, other in zip(shape, ends[::2], ends[1::2], strict=True):
        first = min(int(min(one, other) * side), side - 1)
        window.append((first, max(first + 1, round(max(one, other) * side))))
    box = (slice(None), *(slice(*span) for span in window))
    for cubic, whole, part in (
        (True, resample_image, resample_image_window),
        (False, resample_logits, resample_logits_window),
    ):
        spans = spans_to_read(size, shape, window, coarse, cubic=cubic)
        assert all(0 <= first < last <= side for (first, last), side in zip(spans, size, strict=True))
        read = image[(slice(None), *(slice(*span) for span in spans))]
        found = part(read, spans, size, shape, window, coarse)
        np.testing.assert_allclose(found, whole(image, shape, coarse)[box], atol=2e-6 if cubic else 0)


def test_there_and_back_keeps_a_smooth_volume_and_its_labels() -> None:
    image = smooth((24, 30, 27))
    labels = (image > 0.05).astype(np.uint8) * 2
    finer = tuple(2 * side for side in image.shape)
    np.testing.assert_allclose(resample_image(resample_image(image[None], finer), image.shape)[0], image, atol=0.02)
    back = resample_labels(resample_labels(labels, finer), image.shape)
    assert back.dtype == labels.dtype
    assert (back == labels).mean() > 0.99


def test_labels_keep_their_values_and_many_objects_take_the_nearest_voxel() -> None:
    labels = np.array([[0, 0, 255, 255], [7, 7, 255, 255]], np.uint8)
    assert set(np.unique(resample_labels(labels, (3, 9)))) <= {0, 7, 255}
    objects = np.arange(400, dtype=np.int32).reshape(20, 20)
    np.testing.assert_array_equal(resample_labels(objects, (40, 40)), objects.repeat(2, 0).repeat(2, 1))


def test_spacings() -> None:
    assert resampled_shape((30, 40, 50), (2.0, 1.0, 1.0), (1.0, 1.0, 2.5)) == (60, 40, 20)
    assert resampled_shape((1, 2), (1.0, 1.0), (9.0, 9.0)) == (1, 1)
    assert coarse_axis((1.0, 1.0, 3.5)) == 2
    assert coarse_axis((1.0, 1.0)) is None
    with pytest.raises(BadOption, match="a positive spacing for each axis"):
        resampled_shape((3, 3), (1.0, 1.0, 1.0), (1.0, 1.0))
