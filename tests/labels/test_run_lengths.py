"""Run-length encoding represents the whole label image."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from pixelwise.labels.run_lengths import areas, extents, find_runs, row_strips

worlds = arrays(np.int32, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(-1, 4))
strips = st.sampled_from([1, 5, 17, 1 << 20])


def test_runs_of_a_small_example():
    found = find_runs(np.array([[7, 7, 0], [7, 2, 2]]), first_row=5)
    assert found.number.tolist() == [7, 0, 7, 2]
    assert found.row.tolist() == [5, 5, 6, 6]
    assert found.start.tolist() == [0, 2, 0, 1]
    assert found.stop.tolist() == [2, 3, 1, 3]


@given(worlds, strips)
def test_runs_reproduce_the_image(labels: np.ndarray, strip: int):
    painted = np.full_like(labels, 99)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pixelwise.labels.run_lengths.STRIP", strip)
        for rows in row_strips(labels.shape):
            found = find_runs(labels[rows], rows.start)
            for number, row, start, stop in zip(found.number, found.row, found.start, found.stop, strict=True):
                assert (painted[row, start:stop] == 99).all()
                painted[row, start:stop] = number
    np.testing.assert_array_equal(painted, labels)


@given(worlds, strips)
def test_extents_are_those_of_the_pixels(labels: np.ndarray, strip: int):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pixelwise.labels.run_lengths.STRIP", strip)
        found, counted = extents(labels), areas(labels)
    np.testing.assert_array_equal(counted, np.bincount(np.maximum(labels, 0).ravel()))
    assert found.area.size == counted.size
    for number in range(1, counted.size):
        rows, columns = np.nonzero(labels == number)
        assert found.area[number] == counted[number] == len(rows)
        if len(rows):
            box = [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]
            assert found.box[number].tolist() == box
        padded = np.pad(labels == number, ((0, 0), (1, 0)))
        assert found.runs[number] == (padded[:, 1:] & ~padded[:, :-1]).sum()


def test_images_without_pixels():
    for shape in ((0, 4), (4, 0)):
        nothing = np.zeros(shape, np.uint16)
        assert areas(nothing).tolist() == [0]
        assert extents(nothing).area.tolist() == [0]
