"""Hole filling and removal of small objects and regions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from pixelwise.labels.label_image import components
from pixelwise.labels.postprocess import fill_holes, remove_small_objects, remove_small_regions

masks = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=12))


def ring() -> np.ndarray:
    """A ring of label 3 around a single pixel of label 1."""
    labels = np.full((7, 7), 3, np.int32)
    labels[0] = 0
    labels[2:5, 2:5] = 0
    labels[3, 3] = 1
    return labels


def test_background_is_filled_but_objects_stay():
    labels = ring()
    fill_holes(labels)
    assert (labels[2:5, 2:5] != 0).all()
    assert labels[3, 3] == 1
    assert (labels[0] == 0).all()
    opened = ring()
    opened[3, 5:] = 0  # control: a hole with a way out is no hole
    fill_holes(opened)
    assert opened[3, 5] == 0


@given(masks)
def test_every_hole_is_found(mask: np.ndarray):
    labels = components(mask, corners=False)
    expected = labels.copy()
    for number in range(1, labels.max(initial=0) + 1):
        hole = ndimage.binary_fill_holes(expected == number) & (expected == 0)
        expected[hole] = number
    fill_holes(labels)
    np.testing.assert_array_equal(labels, expected)


def test_small_objects_are_removed_and_the_rest_relabelled():
    labels = np.array([[5, 5, 0, 2], [5, 0, 0, 0], [0, 0, 9, 9]], np.int32)
    np.testing.assert_array_equal(remove_small_objects(labels.copy(), 2), [[1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 2, 2]])
    np.testing.assert_array_equal(remove_small_objects(labels.copy(), 0), [[2, 2, 0, 1], [2, 0, 0, 0], [0, 0, 3, 3]])


@pytest.mark.parametrize(("count", "dtype"), [(0, np.uint16), (65_535, np.uint16), (65_536, np.int32)])
def test_dtype_depends_on_the_number_of_objects(count: int, dtype: type):
    labels = np.arange(count + 1, dtype=np.int32)[:, None] * 2
    found = remove_small_objects(labels, 0)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found[:, 0], np.arange(count + 1))


def test_small_regions_of_a_class_become_background():
    mask = np.array([[1, 0, 2, 2, 0, 3], [0, 1, 0, 2, 0, 3], [1, 0, 0, 0, 0, 1]], np.uint8)
    left = mask.copy()
    remove_small_regions(
        left, (0, 3, 4)
    )  # of class 1 corners touch: three pixels stay, one goes; class 3 is not asked for
    np.testing.assert_array_equal(left, [[1, 0, 0, 0, 0, 3], [0, 1, 0, 0, 0, 3], [1, 0, 0, 0, 0, 0]])
    remove_small_regions(mask, ())  # control
    assert np.count_nonzero(mask) == 9


def test_images_without_pixels():
    for shape in ((0, 4), (4, 0)):
        nothing = np.zeros(shape, np.int32)
        fill_holes(nothing)
        assert remove_small_objects(nothing, 3).shape == shape
