"""Reduced images and masks have the means of blocks, whatever their data type."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelwise.datasets.checks.reduced import reduce_case


@given(st.integers(0, 2**32), st.integers(2, 5), st.sampled_from([np.uint8, np.uint16, np.float32]))
def test_targets_are_shares_of_blocks_and_pixels_their_means(seed: int, factor: int, kind: type) -> None:
    random = np.random.default_rng(seed)
    size = 4 * factor + int(random.integers(factor)), 6 * factor + int(random.integers(factor))
    labels, pixels = random.integers(0, 3, size), random.integers(0, 250, (2, *size)).astype(kind)
    ignored = random.random(size) < 0.02
    case = reduce_case(pixels, labels, 3, ignored, 6 if size[1] == 6 * factor else 7)
    assert case.factor == factor
    blocks = [
        np.stack([values[row : 4 * factor : factor, column : 6 * factor : factor].astype(float)
                  for row in range(factor) for column in range(factor)]).mean(0)
        for values in (*pixels, *(labels == index for index in range(3)), ignored)
    ]  # fmt: skip
    view = np.stack(blocks[:2])
    stretched = (view - view.min()) * 255 / (np.ptp(view) or 1)
    assert case.pixels == pytest.approx(stretched, abs=0.6)
    assert case.targets[:3] == pytest.approx(np.stack(blocks[2:5]) * 255, abs=0.6)
    assert np.array_equal(case.known, blocks[5] == 0)
