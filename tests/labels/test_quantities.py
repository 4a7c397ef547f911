"""Counts of objects and pixels, against scikit-image."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage import measure

from pixelwise.labels.quantities import StripCounter, count_class_regions, count_objects

MASKS = st.sampled_from([(7, 9), (4, 5, 6)]).flatmap(
    lambda size: arrays(np.uint8, size, elements=st.sampled_from([0, 1, 2, 255]))
)


@settings(max_examples=60, deadline=None)
@given(MASKS)
def test_regions_of_classes_are_those_of_scikit_image(mask: np.ndarray) -> None:
    label: Any = measure.label
    expected = [
        [int(label(mask == index, connectivity=mask.ndim).max()), int((mask == index).sum())] for index in (1, 2)
    ]
    assert count_class_regions(mask, range(1, 3)).tolist() == expected


@settings(max_examples=60, deadline=None)
@given(MASKS, st.lists(st.integers(0, 7), max_size=4))
def test_strips_are_counted_like_the_whole(mask: np.ndarray, cuts: list[int]) -> None:
    counter = StripCounter(range(1, 3))
    for strip in np.split(mask, sorted(cuts)):
        counter.add(strip)
    assert counter.counts().tolist() == count_class_regions(mask, range(1, 3)).tolist()


@settings(max_examples=60, deadline=None)
@given(arrays(np.int32, (6, 8), elements=st.integers(-1, 5)))
def test_objects_are_the_numbers_above_zero(labels: np.ndarray) -> None:
    assert count_objects(labels).tolist() == [[len(np.unique(labels[labels > 0])), int((labels > 0).sum())]]


def test_the_first_class_counts_where_it_is_no_background() -> None:
    mask = np.array([[0, 0, 1], [1, 1, 1], [0, 1, 1]], np.uint8)
    assert count_class_regions(mask, range(2)).tolist() == [[2, 3], [1, 6]]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
def test_an_empty_mask_has_nothing(dtype: type) -> None:
    assert count_objects(np.zeros((4, 4), dtype)).tolist() == [[0, 0]]
    assert count_class_regions(np.zeros((4, 4), dtype), range(1, 3)).tolist() == [[0, 0], [0, 0]]
