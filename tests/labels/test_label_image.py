"""Connected components, renumbering and overlap tables, compared with scikit-image and scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.spatial.distance import cdist
from skimage.measure import label as skimage_label
from sklearn.metrics.cluster import contingency_matrix

from pixelwise.labels.label_image import (
    components,
    depth,
    overlap_table,
    renumber,
    touching_share,
)

World = tuple[np.ndarray, np.ndarray]

small = arrays(np.int32, array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(-1, 5))
pairs = st.tuples(st.integers(1, 10), st.integers(1, 10)).flatmap(
    lambda shape: st.tuples(
        arrays(np.int32, shape, elements=st.integers(0, 4)), arrays(np.int32, shape, elements=st.integers(0, 4))
    )
)


@given(small)
@pytest.mark.parametrize(("corners", "connectivity"), [(True, 2), (False, 1)])
def test_components_equal_those_of_skimage(corners: bool, connectivity: int, labels: np.ndarray):
    expected = skimage_label(labels > 0, connectivity=connectivity)
    np.testing.assert_array_equal(components(labels > 0, corners=corners), expected)


def test_renumber_keeps_order_and_background():
    labels = np.array([[0, 7, 7], [-1, 3, 900]])
    expected = np.array([[0, 2, 2], [0, 1, 3]])
    np.testing.assert_array_equal(renumber(labels), expected)
    np.testing.assert_array_equal(renumber(np.where(labels == 900, 2**40, labels)), expected)  # beyond any table


@pytest.mark.parametrize("value", [0, 4, 2**40])
def test_renumber_of_one_value(value: int):
    np.testing.assert_array_equal(renumber(np.full((2, 2), value)), np.full((2, 2), min(value, 1)))


def test_images_without_pixels():
    nothing = np.zeros((0, 5), np.int32)
    assert renumber(nothing).shape == (0, 5)
    assert touching_share(nothing) == 0
    assert len(overlap_table(nothing, nothing).pixels) == 0


@given(pairs)
def test_overlaps_are_the_contingency_table_of_sklearn(pair: World):
    truth, predicted = pair
    table = overlap_table(truth, predicted)
    dense = contingency_matrix(truth.ravel(), predicted.ravel())
    rows = dense[1:] if (truth == 0).any() else dense
    columns = dense[:, 1:] if (predicted == 0).any() else dense
    np.testing.assert_array_equal(table.truth_areas, rows.sum(1))
    np.testing.assert_array_equal(table.predicted_areas, columns.sum(0))
    found = np.zeros((len(table.truth_areas), len(table.predicted_areas)), int)
    found[table.truth, table.predicted] = table.pixels
    np.testing.assert_array_equal(found, rows[:, 1:] if (predicted == 0).any() else rows)


def test_overlaps_with_huge_labels_stay_small():
    truth = np.array([[2**30, 0], [2**30, 7]])
    table = overlap_table(truth, truth[::-1])
    assert table.truth_areas.tolist() == [1, 2]
    assert table.pixels.tolist() == [2]
    assert table.ious.tolist() == [1.0]


@given(small)
def test_touching_share_is_that_of_all_pairs_of_pixels(labels: np.ndarray):
    numbers = [n for n in np.unique(labels) if n > 0]
    places = {n: np.argwhere(labels == n) for n in numbers}
    near = [any(cdist(places[n], places[m], "chebyshev").min() <= 2 for m in numbers if m != n) for n in numbers]
    assert touching_share(labels) == pytest.approx(np.mean(near) if near else 0)


def test_touching_share_of_a_small_example():
    world = np.zeros((20, 20), np.int32)
    world[0:4, 0:4], world[0:4, 5:9], world[10:14, 10:14], world[0:4, 12:15] = 1, 2, 3, 4
    assert touching_share(world) == 0.5
    assert touching_share(world, distance=1) == 0.0


def test_depth_counts_pixels_to_the_outside():
    mask = np.zeros((5, 5), bool)
    mask[1:4, 1:4] = True
    assert depth(mask)[2, 2] == 2
    assert depth(mask)[0, 0] == 0
