"""What is decided per pixel while probabilities come in."""

from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pixelwise.labels.decoding import class_of, decode, most_probable_class
from pixelwise.labels.targets import TargetOptions

FEW_VALUES = st.sampled_from([-1.5, 0.0, 0.25, 3.0])  # equal ones are frequent


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@given(data=st.data())
def test_the_most_probable_class_is_that_of_numpy(dtype: type, data: st.DataObject) -> None:
    shape = data.draw(st.tuples(st.integers(1, 6), st.integers(0, 5), st.integers(1, 5)))
    chances = data.draw(arrays.arrays(dtype, shape, elements=FEW_VALUES))
    found = most_probable_class(chances)
    assert found.dtype == np.uint8
    assert np.array_equal(found, chances.argmax(0))


def test_many_classes_and_windows_of_a_larger_array() -> None:
    chances = np.random.default_rng(0).random((256, 9, 7)).astype(np.float32)[:, 2:8, 1:6]
    assert np.array_equal(most_probable_class(chances), chances.argmax(0))


def test_of_two_classes_the_second_is_where_its_probability_exceeds_the_threshold() -> None:
    second = np.array([[0.2, 0.5, 0.7, 0.8, 0.81]], np.float32)
    chances = np.stack([1 - second, second])
    for threshold, expected in ((0.5, [0, 0, 1, 1, 1]), (0.8, [0, 0, 0, 0, 1]), (0.1, [1, 1, 1, 1, 1])):
        options = TargetOptions(foreground_threshold=threshold)
        assert class_of(chances, options).tolist() == decode(chances, options).tolist() == [expected]
    three = np.concatenate([chances, 2 * chances[:1]])
    assert np.array_equal(class_of(three, TargetOptions()), three.argmax(0))


@pytest.mark.parametrize(("kind", "depth"), [("boundary", ()), ("distance", (0.9,))])
def test_seeds_outside_the_foreground_make_no_objects(
    kind: Literal["boundary", "distance"], depth: tuple[float]
) -> None:
    """With a foreground that begins at 0.8, an area of interior 0.6 is clear enough for a seed, but no object."""
    sure, unsure, ground = (
        (0.05, 0.9, 0.05, *depth),
        (0.35, 0.6, 0.05, *depth),
        (1.0, 0.0, 0.0, *(0 * d for d in depth)),
    )
    chances = np.broadcast_to(np.array(ground)[:, None, None], (len(ground), 12, 30)).copy()
    chances[:, 3:9, 3:9] = np.array(sure)[:, None, None]
    chances[:, 3:9, 18:24] = np.array(unsure)[:, None, None]
    expected = np.zeros((12, 30), int)
    expected[3:9, 3:9] = 1
    options = TargetOptions(kind=kind, foreground_threshold=0.8, seed_threshold=0.5)
    assert np.array_equal(decode(chances, options), expected)
    # the control: with a foreground from 0.5 on both areas are objects
    expected[3:9, 18:24] = 2
    assert np.array_equal(decode(chances, replace(options, foreground_threshold=0.5)), expected)
