"""The eight symmetries of the square, each with its inverse, for arrays and tensors alike.

Training (augmentation) and prediction (averaging over turned inputs) share them.
"""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch

Picture = TypeVar("Picture", np.ndarray, torch.Tensor)


@dataclass(frozen=True)
class Symmetry:
    """Turns by `quarters` x 90 degrees counter-clockwise, then a swap of left and right if `mirrored`."""

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


def _turn(picture: Picture, quarters: int) -> Picture:
    if isinstance(picture, torch.Tensor):
        return torch.rot90(picture, quarters, (-2, -1))
    return np.rot90(picture, quarters, (-2, -1))


def _flip(picture: Picture) -> Picture:
    if isinstance(picture, torch.Tensor):
        return torch.flip(picture, (-1,))
    return np.flip(picture, -1)
