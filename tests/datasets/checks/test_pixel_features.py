"""Means over squares are those of scipy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from pixelwise.datasets.checks.pixel_features import means_over_squares


@given(st.integers(0, 2**32), st.sampled_from([3, 5, 9, 17]), st.tuples(st.integers(1, 40), st.integers(1, 40)))
def test_means_over_squares(seed: int, side: int, size: tuple[int, int]) -> None:
    values = np.random.default_rng(seed).normal(size=(2, *size)).astype(np.float32)
    expected = ndimage.uniform_filter(values.astype(float), (0, side, side), mode="nearest")
    assert means_over_squares(values, side) == pytest.approx(expected, abs=1e-5)
