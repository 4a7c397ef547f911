"""The eight symmetries and their inverses, for arrays and tensors."""

import numpy as np
import pytest
import torch

from pixelwise.errors import BadOption
from pixelwise.geometry.symmetries import FLIPS, IDENTITY, SYMMETRIES, TTA_SYMMETRIES, Symmetry, tta_symmetries


@pytest.mark.parametrize("symmetry", SYMMETRIES)
def test_inverse_and_agreement(symmetry: Symmetry) -> None:
    picture = np.arange(24).reshape(2, 3, 4)
    tta_symmetries = symmetry.apply(picture)
    assert np.array_equal(symmetry.invert(tta_symmetries), picture)
    assert np.array_equal(symmetry.apply(torch.from_numpy(picture)).numpy(), tta_symmetries)


def test_all_eight_differ_and_flips_keep_the_shape() -> None:
    picture = np.arange(9).reshape(3, 3)
    assert len({symmetry.apply(picture).tobytes() for symmetry in SYMMETRIES}) == 8
    assert all(s.apply(np.zeros((3, 4))).shape == (3, 4) for s in FLIPS)
    assert len(set(FLIPS)) == 4


def test_a_quarter_is_counter_clockwise() -> None:
    assert Symmetry(1, mirrored=False).apply(np.array([[1, 2], [3, 4]])).tolist() == [[2, 4], [1, 3]]


def test_tta_symmetries_have_the_given_number_and_differ() -> None:
    for count, found in TTA_SYMMETRIES.items():
        assert tta_symmetries(count) == found
        assert len(set(found)) == count
    assert set(tta_symmetries(8)) == set(tta_symmetries(7)) | {IDENTITY}
    assert IDENTITY not in tta_symmetries(7)
    with pytest.raises(BadOption, match=r"tta of 1, 4, 7 or 8; got 5"):
        tta_symmetries(5)
