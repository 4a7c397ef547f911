import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.spatial.distance import cdist
from skimage.measure import label as skimage_label
from sklearn.metrics.cluster import contingency_matrix

from pixelwise.labels.objects import (
    components,
    depth,
    fill_holes,
    measure,
    overlap_table,
    remove_small,
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
def test_components_are_those_of_skimage(corners: bool, connectivity: int, labels: np.ndarray):
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


def test_nothing_fails_on_an_image_without_pixels():
    nothing = np.zeros((0, 5), np.int32)
    assert renumber(nothing).shape == remove_small(nothing, 3).shape == (0, 5)
    assert touching_share(nothing) == 0
    assert len(overlap_table(nothing, nothing).pixels) == 0


def test_remove_small_drops_below_the_area_and_renumbers():
    labels = np.array([[5, 5, 0, 2], [5, 0, 0, 0], [0, 0, 9, 9]])
    expected = np.array([[1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 2, 2]])
    np.testing.assert_array_equal(remove_small(labels, 2), expected)
    np.testing.assert_array_equal(remove_small(labels, 0), renumber(labels))


def test_fill_holes_fills_background_but_no_objects():
    labels = np.full((7, 7), 3)
    labels[0] = 0
    labels[2:5, 2:5] = 0
    labels[3, 3] = 1
    filled = fill_holes(labels)
    assert (filled[2:5, 2:5] != 0).all()
    assert filled[3, 3] == 1
    assert (filled[0] == 0).all()
    open_ring = labels.copy()
    open_ring[3, 5:] = 0  # control: a hole with a way out is no hole
    assert fill_holes(open_ring)[3, 5] == 0


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


def test_touching_share_of_a_drawn_world():
    world = np.zeros((20, 20), np.int32)
    world[0:4, 0:4], world[0:4, 5:9], world[10:14, 10:14], world[0:4, 12:15] = 1, 2, 3, 4
    assert touching_share(world) == 0.5
    assert touching_share(world, distance=1) == 0.0


def test_measure_tells_place_size_and_brightness():
    labels = np.zeros((6, 8), np.int32)
    labels[1:4, 2:6] = 4
    labels[5, 7] = 9
    image = np.stack([np.arange(48).reshape(6, 8), np.zeros((6, 8))]).astype(np.float32)
    first, second = measure(labels, image, class_index=3)
    assert (first.id, first.class_index, first.area, first.box) == (4, 3, 12, (1, 2, 4, 6))
    assert (first.centroid_row, first.centroid_column) == (2.0, 3.5)
    assert first.mean_intensity == pytest.approx((2 * 8 + 3.5) / 2)
    assert (second.area, second.box, second.perimeter) == (1, (5, 7, 6, 8), 0.0)
    assert measure(labels)[0].mean_intensity is None


def test_depth_counts_pixels_to_the_outside():
    mask = np.zeros((5, 5), bool)
    mask[1:4, 1:4] = True
    assert depth(mask)[2, 2] == 2
    assert depth(mask)[0, 0] == 0
