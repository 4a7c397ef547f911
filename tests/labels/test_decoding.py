"""What is decided per pixel while probabilities come in."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pixelwise.labels.decoding import most_probable_class

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
