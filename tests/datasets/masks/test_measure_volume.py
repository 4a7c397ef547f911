"""Values of label volumes: regions in three dimensions, places and brightness."""

import numpy as np
import pytest

from pixelwise.datasets.masks.measure_volume import measure_volume


def test_regions_are_connected_across_slices_and_corners() -> None:
    labels = np.zeros((4, 5, 6), np.int64)
    labels[0, 0, 0] = labels[1, 1, 1] = labels[2, 2, 2] = 3  # one region along corners
    labels[0, 4, 5] = 3
    labels[3, :, 0] = 9
    measured = measure_volume(labels)
    assert measured.values == (0, 3, 9)
    assert measured.counts == (120 - 9, 4, 5)
    assert measured.regions == (0, 2, 1)
    assert measured.places == ()


def test_places_and_brightness() -> None:
    labels = np.zeros((2, 10, 20), np.int64)
    labels[:, 2:4, 0:10] = 1
    labels[:, 6:8, 10:20] = 2
    pixels = np.where(labels == 1, 50, 10)[None].astype(np.uint8)
    background, upper, lower = measure_volume(labels, pixels).places
    assert (upper.row, upper.top, lower.top) == pytest.approx((0.25, 0.2, 0.6))
    assert (upper.column, lower.column) == pytest.approx((4.5 / 20, 14.5 / 20))
    assert (upper.brightness, lower.brightness, upper.contrast) == (50, 10, 40)
    assert background.top == 0


def test_equal_labels_of_other_types_have_one_digest() -> None:
    labels = np.arange(24).reshape(2, 3, 4)
    assert measure_volume(labels).digest == measure_volume(labels.astype(np.uint8)).digest
    assert measure_volume(labels + 300).digest == measure_volume((labels + 300).astype(np.uint16)).digest


def test_large_and_negative_values() -> None:
    labels = np.zeros((2, 3, 4), np.int64)
    labels[0, 0, 0], labels[1, 1, 1:3] = -1, 1 << 40
    measured = measure_volume(labels)
    assert (measured.values, measured.counts, measured.regions) == ((-1, 0, 1 << 40), (1, 21, 2), (1, 0, 1))
