"""Count the values of 8-bit samples, and percentiles from the counts: exact, and without sorting."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64, Int64, UInt8


def byte_histogram(values: UInt8[np.ndarray, "*shape"]) -> Int64[np.ndarray, "256"]:
    """Count each byte; in pairs, of which there are half as many.

    >>> byte_histogram(np.array([7, 7, 9], np.uint8))[7:10].tolist()
    [2, 0, 1]
    """
    flat = np.ascontiguousarray(values).ravel()
    even = len(flat) // 2 * 2
    pairs = np.bincount(flat[:even].view(np.uint16), minlength=1 << 16).reshape(256, 256)
    counts = pairs.sum(0) + pairs.sum(1)
    counts[flat[even:]] += 1
    return counts


def percentiles_from(
    counts: Int64[np.ndarray, " values"], percentiles: Sequence[float]
) -> Float64[np.ndarray, " percentiles"]:
    """Return percentiles of counted values, interpolated linearly as `numpy.percentile` does.

    >>> percentiles_from(byte_histogram(np.array([1, 2, 4], np.uint8)), (50.0, 75.0)).tolist()
    [2.0, 3.0]
    """
    up_to = np.cumsum(counts)
    positions = np.asarray(percentiles) / 100 * (up_to[-1] - 1)
    below = np.floor(positions).astype(np.int64)
    low, high = (np.searchsorted(up_to, np.minimum(at, up_to[-1] - 1), side="right") for at in (below, below + 1))
    return low + (positions - below) * (high - low)
