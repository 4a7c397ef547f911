"""Counts of bytes and percentiles from them, compared with numpy."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pixelwise.labels.byte_histogram import byte_histogram, percentiles_from


@given(hnp.arrays(np.uint8, st.integers(1, 40)), st.lists(st.floats(0, 100), min_size=1, max_size=4))
def test_counts_and_percentiles_are_those_of_numpy(values: np.ndarray, percentiles: list[float]) -> None:
    counts = byte_histogram(values)
    np.testing.assert_array_equal(counts, np.bincount(values, minlength=256))
    np.testing.assert_allclose(percentiles_from(counts, percentiles), np.percentile(values, percentiles), atol=1e-9)
