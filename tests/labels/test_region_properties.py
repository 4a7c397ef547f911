"""Region properties, compared with scikit-image."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from skimage.measure import regionprops

from pixelwise.labels.region_properties import measure_objects

worlds = arrays(np.int32, array_shapes(min_dims=2, max_dims=2, max_side=14), elements=st.sampled_from([0, 1, 1, 2, 5]))


def test_position_size_and_intensity():
    labels = np.zeros((6, 8), np.int32)
    labels[1:4, 2:6] = 4
    labels[5, 7] = 9
    image = np.stack([np.arange(48).reshape(6, 8), np.zeros((6, 8))]).astype(np.float32)
    table = measure_objects(labels, image, class_index=3)
    first, second = table
    assert len(table) == 2
    assert (first.id, first.class_index, first.area, first.box) == (4, 3, 12, (1, 2, 4, 6))
    assert (first.centroid_row, first.centroid_column) == (2.0, 3.5)
    assert first.mean_intensity == pytest.approx((2 * 8 + 3.5) / 2)
    assert first.perimeter == pytest.approx(10)
    assert (second.area, second.box, second.perimeter) == (1, (5, 7, 6, 8), 0.0)
    assert next(iter(measure_objects(labels))).mean_intensity is None


@given(worlds, st.sampled_from([1, 10, 30, 1 << 20]), st.sampled_from([np.uint8, np.uint16, np.float32]))
def test_properties_equal_those_of_skimage(labels: np.ndarray, strip: int, dtype: type):
    image = np.random.default_rng(0).integers(0, 256, (2, *labels.shape)).astype(dtype)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pixelwise.labels.run_lengths.STRIP", strip)
        rows = list(measure_objects(labels, image))
    regions: list[Any] = regionprops(labels)
    assert [row.id for row in rows] == [region.label for region in regions]
    for row, region in zip(rows, regions, strict=True):
        assert (row.area, row.box) == (region.area, region.bbox)
        assert (row.centroid_row, row.centroid_column) == pytest.approx(region.centroid)
        assert row.perimeter == pytest.approx(region.perimeter)
        assert row.mean_intensity == pytest.approx(image[:, labels == row.id].mean(dtype=np.float64))


def test_sixteen_bits_and_no_objects():
    labels = np.zeros((4, 4), np.uint16)
    assert list(measure_objects(labels)) == []
    labels[2, 1:3] = 65_535
    assert [row.id for row in measure_objects(labels)] == [65_535]
    assert len(measure_objects(np.zeros((0, 3), np.uint16), np.zeros((1, 0, 3), np.uint8))) == 0
