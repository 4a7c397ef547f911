"""Surface scores against all pairs of surface pixels, in two and three dimensions with spacing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import cdist

from pixelwise.errors import BadOption
from pixelwise.metrics.surfaces import surface_distances


def surface_points(mask: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    """Return the positions of foreground pixels with a background neighbour, pixel by pixel."""
    padded = np.pad(mask, 1)
    points: list[np.ndarray] = []
    for place in np.argwhere(mask):
        centre = place + 1
        steps = [centre + sign * np.eye(mask.ndim, dtype=int)[axis] for axis in range(mask.ndim) for sign in (-1, 1)]
        if not all(padded[tuple(step)] for step in steps):
            points.append(place * np.array(spacing))
    return np.array(points)


def shapes(dimensions: int) -> st.SearchStrategy[tuple[int, ...]]:
    return st.tuples(*[st.integers(1, 7)] * dimensions)


@given(data=st.data(), dimensions=st.integers(2, 3))
def test_scores_equal_those_of_all_pairs(data: st.DataObject, dimensions: int) -> None:
    shape = data.draw(shapes(dimensions))
    truth, predicted = (data.draw(arrays(bool, shape)) for _ in range(2))
    spacing = tuple(data.draw(st.sampled_from([0.25, 1.0, 2.5])) for _ in range(dimensions))
    distances = surface_distances(truth, predicted, spacing)
    if not truth.any() or not predicted.any():
        expected = None if not truth.any() and not predicted.any() else np.inf
        assert distances.hausdorff(95) == distances.hausdorff() == distances.average() == expected
        assert distances.surface_dice(10.0) == (None if expected is None else 0.0)
        return
    pairs = cdist(surface_points(truth, spacing), surface_points(predicted, spacing))
    directed = pairs.min(1), pairs.min(0)
    both = np.concatenate(directed)
    assert distances.hausdorff() == pytest.approx(both.max())
    assert distances.hausdorff(95) == pytest.approx(max(np.percentile(each, 95) for each in directed))
    assert distances.average() == pytest.approx(both.mean())
    for tolerance in (0.0, 1.1, 2.6):
        assert distances.surface_dice(tolerance) == pytest.approx((both <= tolerance).mean())


def test_a_shift_is_measured_in_physical_units() -> None:
    truth, predicted = np.zeros((2, 12, 20, 20), bool)
    truth[3:8, 5:12, 5:12] = predicted[4:9, 5:12, 5:12] = True
    assert surface_distances(truth, predicted).hausdorff() == 1.0
    distances = surface_distances(truth, predicted, (5.0, 1.0, 1.0))
    assert distances.hausdorff() == 5.0
    assert distances.surface_dice(4.9) < 1.0  # type: ignore[operator]
    assert distances.surface_dice(5.0) == 1.0


def test_only_the_part_with_foreground_is_searched() -> None:
    """A small object in a large array gives the same distances as alone, also at the border of the array."""
    truth, predicted = np.zeros((2, 9, 9), bool)
    truth[0:3, 0:3] = predicted[0:4, 0:2] = True
    large = [np.pad(mask, ((0, 300), (0, 300))) for mask in (truth, predicted)]
    expected, found = surface_distances(truth, predicted), surface_distances(large[0], large[1])
    assert np.array_equal(expected.from_truth, found.from_truth)
    assert np.array_equal(expected.from_predicted, found.from_predicted)


@pytest.mark.parametrize("spacing", [(1.0,), (1.0, 0.0), (1.0, 1.0, 1.0)])
def test_a_spacing_of_another_kind_is_refused(spacing: tuple[float, ...]) -> None:
    with pytest.raises(BadOption, match="spacing"):
        surface_distances(np.ones((3, 3), bool), np.ones((3, 3), bool), spacing)


def test_masks_of_different_shapes_are_refused() -> None:
    with pytest.raises(BadOption, match="shape"):
        surface_distances(np.ones((3, 3), bool), np.ones((3, 4), bool))
