"""Counts of bytes and percentiles from them, compared with numpy."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pixelwise.labels.byte_histogram import MAX_SUMMED, byte_histogram, percentiles_from, sum_bytes


@given(hnp.arrays(np.uint8, st.integers(1, 40)), st.lists(st.floats(0, 100), min_size=1, max_size=4))
def test_counts_and_percentiles_are_those_of_numpy(values: np.ndarray, percentiles: list[float]) -> None:
    counts = byte_histogram(values)
    np.testing.assert_array_equal(counts, np.bincount(values, minlength=256))
    np.testing.assert_allclose(percentiles_from(counts, percentiles), np.percentile(values, percentiles), atol=1e-9)


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=3, max_dims=3, max_side=6), elements=st.integers(0, 255)))
def test_sums_are_those_of_numpy(blocks: np.ndarray) -> None:
    assert np.array_equal(sum_bytes(blocks), blocks.astype(int).sum(1))


def test_the_largest_sums_fit() -> None:
    assert sum_bytes(np.full((1, MAX_SUMMED, 2), 255, np.uint8)).tolist() == [[255 * MAX_SUMMED] * 2]
