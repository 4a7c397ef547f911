"""How well a mask is explained by its own image."""

import numpy as np
import pytest

from pixelwise.datasets.checks.discriminant import discriminant_of
from pixelwise.datasets.checks.reduced import ReducedCase, reduce_case
from pixelwise.datasets.checks.shifts import move


def case(seed: int, kinds: int = 1) -> ReducedCase:
    """An image of dark blobs on noise, and their mask."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:60, :72]
    labels = np.zeros((60, 72), int)
    for kind in range(1, kinds + 1):
        row, column = random.integers(15, 40, 2)
        labels[(rows - row) ** 2 + (columns - column) ** 2 < 40] = kind
    pixels = 90 + 10 * random.normal(size=labels.shape) + 40 * labels
    return reduce_case(pixels[None].astype(np.uint8), labels, kinds + 1, labels < 0, 72)


@pytest.mark.parametrize("kinds", [1, 2])
def test_a_mask_is_explained_best_where_it_belongs(kinds: int) -> None:
    image = discriminant_of(case(3, kinds))
    shifts = image.shares_of_shifts()
    rows, columns = shifts.best()
    assert image.share(image.mask) > 0.7
    assert (rows, columns) == (0, 0)
    assert float(np.quantile(shifts.scores, 0.5)) < 0.3, "elsewhere it is not"


def test_the_share_of_a_shift_is_that_of_the_moved_mask() -> None:
    image = discriminant_of(case(5))
    shifts = image.shares_of_shifts()
    for rows, columns in ((0, 0), (4, -3), (-7, 2)):
        expected = image.share(move(image.mask, rows, columns)) * float((move(image.mask, rows, columns) ** 2).sum())
        got = shifts.scores[np.ix_(shifts.rows == rows, shifts.columns == columns)][0, 0]
        assert got * float((image.mask**2).sum()) == pytest.approx(expected, rel=1e-3)
