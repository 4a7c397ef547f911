"""Counts, percentiles and sums of 8-bit samples: exact, without sorting and without converting them."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64, Int64, UInt8, UInt16

MAX_SUMMED = 257  # bytes whose sum fits in 16 bits
_FEW = 12  # values that are faster counted one by one


def byte_histogram(values: UInt8[np.ndarray, "*shape"]) -> Int64[np.ndarray, "256"]:
    """Count each byte; many different ones in pairs, of which there are half as many.

    >>> byte_histogram(np.array([7, 7, 9], np.uint8))[7:10].tolist()
    [2, 0, 1]
    """
    low, high = int(values.min(initial=255)), int(values.max(initial=0))
    few = range(low, high + 1) if high - low < _FEW else (low, high)
    counts = np.zeros(256, np.int64)
    for value in few:
        counts[value] = np.count_nonzero(values == value)
    if counts.sum() == values.size:
        return counts
    flat = np.ascontiguousarray(values).ravel()
    even = len(flat) // 2 * 2
    pairs = np.bincount(flat[:even].view(np.uint16), minlength=1 << 16).reshape(256, 256)
    counts = pairs.sum(0) + pairs.sum(1)
    counts[flat[even:]] += 1
    return counts


def sum_bytes(blocks: UInt8[np.ndarray, "blocks lines width"]) -> UInt16[np.ndarray, "blocks width"]:
    """Return the sum of the lines of each block, of at most `MAX_SUMMED` lines.

    >>> sum_bytes(np.array([[[250, 1], [250, 2]]], np.uint8)).tolist()
    [[500, 3]]
    """
    return blocks.sum(1, dtype=np.uint16)


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
