"""Decoding of probabilities, pixel by pixel and of split regions."""

from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage

from pixelwise.labels.instances import class_of, decode, most_probable_class, start_decoding
from pixelwise.labels.label_image import components, depth
from pixelwise.labels.targets import TargetOptions

FEW_VALUES = st.sampled_from([-1.5, 0.0, 0.25, 3.0])  # equal ones are frequent


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@given(data=st.data())
def test_the_most_probable_class_equals_argmax(dtype: type, data: st.DataObject) -> None:
    shape = data.draw(st.tuples(st.integers(1, 6), st.integers(0, 5), st.integers(1, 5)))
    probabilities = data.draw(arrays.arrays(dtype, shape, elements=FEW_VALUES))
    found = most_probable_class(probabilities)
    assert found.dtype == np.uint8
    assert np.array_equal(found, probabilities.argmax(0))


def test_many_classes_and_windows_of_a_larger_array() -> None:
    probabilities = np.random.default_rng(0).random((256, 9, 7)).astype(np.float32)[:, 2:8, 1:6]
    assert np.array_equal(most_probable_class(probabilities), probabilities.argmax(0))


def test_of_two_classes_the_second_is_where_its_probability_exceeds_the_threshold() -> None:
    second = np.array([[0.2, 0.5, 0.7, 0.8, 0.81]], np.float32)
    probabilities = np.stack([1 - second, second])
    for threshold, expected in ((0.5, [0, 0, 1, 1, 1]), (0.8, [0, 0, 0, 0, 1]), (0.1, [1, 1, 1, 1, 1])):
        options = TargetOptions(foreground_threshold=threshold)
        assert class_of(probabilities, options).tolist() == decode(probabilities, options).tolist() == [expected]
    three = np.concatenate([probabilities, 2 * probabilities[:1]])
    assert np.array_equal(class_of(three, TargetOptions()), three.argmax(0))


@pytest.mark.parametrize(("kind", "depth"), [("boundary", ()), ("distance", (0.9,))])
def test_seeds_outside_the_foreground_make_no_objects(
    kind: Literal["boundary", "distance"], depth: tuple[float]
) -> None:
    """With a foreground above 0.8, a region of interior 0.6 is a seed, but not an object."""
    sure, unsure, ground = (
        (0.05, 0.9, 0.05, *depth),
        (0.35, 0.6, 0.05, *depth),
        (1.0, 0.0, 0.0, *(0 * d for d in depth)),
    )
    probabilities = np.broadcast_to(np.array(ground)[:, None, None], (len(ground), 12, 30)).copy()
    probabilities[:, 3:9, 3:9] = np.array(sure)[:, None, None]
    probabilities[:, 3:9, 18:24] = np.array(unsure)[:, None, None]
    expected = np.zeros((12, 30), int)
    expected[3:9, 3:9] = 1
    options = TargetOptions(kind=kind, foreground_threshold=0.8, seed_threshold=0.5)
    assert np.array_equal(decode(probabilities, options), expected)
    # the control: with a foreground from 0.5 on both areas are objects
    expected[3:9, 18:24] = 2
    assert np.array_equal(decode(probabilities, replace(options, foreground_threshold=0.5)), expected)


SPLIT = TargetOptions(split_threshold=0.9, split_depth=4)


def two_areas(gap: float) -> np.ndarray:
    """Probabilities of two areas of 20 x 20 pixels, a line of 3 between them, and in it a gap of 5; one small area."""
    second = np.full((30, 70), 0.05, np.float32)
    second[5:25, 5:25] = second[5:25, 28:48] = 0.97
    second[12:17, 25:28] = gap
    second[10:14, 55:59] = 0.97  # too small for a marker
    return np.stack([1 - second, second])


def areas_of(mask: np.ndarray) -> int:
    return int(components(mask == 1).max())


def test_regions_joined_by_a_gap_are_split() -> None:
    probabilities = two_areas(gap=0.8)
    plain, split = decode(probabilities, TargetOptions()), decode(probabilities, SPLIT)
    assert areas_of(plain) == 2, "control: the gap makes one of two"
    assert areas_of(split) == 3
    cut = np.argwhere(plain != split)
    assert sorted(cut[:, 0].tolist()) == [12, 13, 14, 15, 16], "a line of one pixel through the gap"
    assert ((cut[:, 1] >= 25) & (cut[:, 1] < 28)).all(), "and nothing else"
    assert split[10:14, 55:59].all(), "an area without a marker stays"
    assert areas_of(decode(probabilities, replace(SPLIT, class_areas=(0, 30)))) == 2, (
        "small areas are dropped afterwards"
    )


def test_markers_are_deep_and_probable() -> None:
    """A wide bridge differs from the regions only in its probability; no region is deeper than 9 pixels."""
    probabilities = two_areas(gap=0.8)
    probabilities[1, 5:25, 25:28], probabilities[0, 5:25, 25:28] = 0.8, 0.2
    assert areas_of(decode(probabilities, SPLIT)) == 3
    assert areas_of(decode(probabilities, replace(SPLIT, split_threshold=0.7))) == 2, "one marker"
    assert areas_of(decode(probabilities, replace(SPLIT, split_depth=11))) == 2, "no marker"


@settings(max_examples=40)
@given(seed=st.integers(0, 1000), reach=st.integers(1, 3), threshold=st.sampled_from([0.5, 0.6]))
def test_a_split_mask_is_a_subset_and_its_markers_are_separate(seed: int, reach: int, threshold: float) -> None:
    rough = ndimage.gaussian_filter(np.random.default_rng(seed).random((60, 70)), 3)
    second = (rough.ravel().argsort().argsort() / rough.size).reshape(rough.shape).astype(np.float32)
    probabilities = np.stack([1 - second, second])
    options = TargetOptions(foreground_threshold=threshold, split_threshold=0.8, split_depth=reach)
    split, plain = decode(probabilities, options), decode(probabilities, replace(options, split_depth=0))
    assert split.dtype == plain.dtype == np.uint8
    assert (split <= plain).all()
    markers = components(depth(second > 0.8) > reach, corners=False)
    areas = components(split == 1, corners=False)
    for number in range(1, int(areas.max()) + 1):
        assert len(np.unique(markers[(areas == number) & (markers > 0)])) <= 1
    decoder = start_decoding(options, split.shape)
    for rows in ((0, 13), (13, 60)):
        decoder.add((rows, (0, 70)), probabilities[:, rows[0] : rows[1]])
    assert np.array_equal(decoder.finish(), split), "windows decide nothing"
