"""The eight symmetries of the square, each with its inverse, for arrays and tensors alike.

Training (augmentation) and prediction (averaging over turned inputs) share them.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np

from pixelwise.errors import BadOption

if TYPE_CHECKING:  # arrays are turned without importing torch: an exported model needs none
    import torch

TtaInputs = Literal[1, 4, 7, 8]
Picture = TypeVar("Picture", np.ndarray, "torch.Tensor")


@dataclass(frozen=True)
class Symmetry:
    """Turns by `quarters` x 90 degrees counter-clockwise, then a swap of left and right if `mirrored`.

    Examples
    --------
    >>> turn = Symmetry(1, mirrored=False)
    >>> turn.apply(np.array([[1, 2], [3, 4]])).tolist()
    [[2, 4], [1, 3]]
    >>> turn.invert(turn.apply(np.array([[1, 2], [3, 4]]))).tolist()
    [[1, 2], [3, 4]]
    """

    quarters: int
    mirrored: bool

    def apply(self, picture: Picture) -> Picture:
        """Turn the last two axes of `picture`; odd quarters swap height and width."""
        return _flip(_turn(picture, self.quarters)) if self.mirrored else _turn(picture, self.quarters)

    def invert(self, picture: Picture) -> Picture:
        """Undo `apply`."""
        return _turn(_flip(picture) if self.mirrored else picture, -self.quarters)


IDENTITY = Symmetry(0, mirrored=False)
FLIPS = (IDENTITY, Symmetry(0, mirrored=True), Symmetry(2, mirrored=False), Symmetry(2, mirrored=True))
SYMMETRIES = tuple(Symmetry(quarters, mirrored) for mirrored in (False, True) for quarters in range(4))
# How many turned inputs prediction averages over. Ronneberger et al. 2015 (section 4) averaged seven rotated versions
# of the input and do not say which ones. Quarter turns alone make four at most; our reading takes the seven symmetries
# of the square that turn or mirror the input. The straight input is no turned version of itself; with it they are
# eight.
TTA_SYMMETRIES = {1: (IDENTITY,), 4: FLIPS, 7: SYMMETRIES[1:], 8: SYMMETRIES}


def tta_symmetries(count: int) -> tuple[Symmetry, ...]:
    """Return the symmetries of an average over `count` turned inputs.

    Raises
    ------
    BadOption
        `TTA_SYMMETRIES` holds no such number.

    Examples
    --------
    >>> len(tta_symmetries(8)), tta_symmetries(1) == (IDENTITY,)
    (8, True)
    """
    if count not in TTA_SYMMETRIES:
        hint = "1 is the input as it is, 4 its flips, 7 the turned versions of 2015, 8 all symmetries."
        raise BadOption("turns of 1, 4, 7 or 8", f"{count}", hint)
    return TTA_SYMMETRIES[count]


def _turn(picture: Picture, quarters: int) -> Picture:
    if isinstance(picture, np.ndarray):
        return np.rot90(picture, quarters, (-2, -1))
    return picture.rot90(quarters, (-2, -1))


def _flip(picture: Picture) -> Picture:
    if isinstance(picture, np.ndarray):
        return np.flip(picture, -1)
    return picture.flip((-1,))
