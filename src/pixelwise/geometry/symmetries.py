"""Symmetries of images and volumes with their inverses, for augmentation and test-time augmentation (TTA).

Images have the eight symmetries of the square. The axes of volumes may have different spacings, so that only flips are
symmetries of them: eight, over three axes.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np

from pixelwise.errors import BadOption

if TYPE_CHECKING:  # torch is not imported: exported models do not need it
    import torch

TtaInputs = Literal[1, 4, 7, 8]
ImageT = TypeVar("ImageT", np.ndarray, "torch.Tensor")


@dataclass(frozen=True)
class Symmetry:
    """Rotation by `quarters` x 90 degrees counter-clockwise, then a horizontal flip if `mirrored`.

    Both are in the plane of the last two axes; `deep` also flips the axis before them, of volumes.

    Examples
    --------
    >>> rotation = Symmetry(1, mirrored=False)
    >>> rotation.apply(np.array([[1, 2], [3, 4]])).tolist()
    [[2, 4], [1, 3]]
    >>> rotation.invert(rotation.apply(np.array([[1, 2], [3, 4]]))).tolist()
    [[1, 2], [3, 4]]
    """

    quarters: int
    mirrored: bool
    deep: bool = False

    def apply(self, picture: ImageT) -> ImageT:
        """Transform the last two axes of `picture`, or three; odd quarters swap height and width."""
        picture = _flip(picture, -3) if self.deep else picture
        return _flip(_rotate(picture, self.quarters)) if self.mirrored else _rotate(picture, self.quarters)

    def invert(self, picture: ImageT) -> ImageT:
        """Undo `apply`."""
        picture = _flip(picture, -3) if self.deep else picture
        return _rotate(_flip(picture) if self.mirrored else picture, -self.quarters)


IDENTITY = Symmetry(0, mirrored=False)
FLIPS = (IDENTITY, Symmetry(0, mirrored=True), Symmetry(2, mirrored=False), Symmetry(2, mirrored=True))
SYMMETRIES = tuple(Symmetry(quarters, mirrored) for mirrored in (False, True) for quarters in range(4))
# Numbers of inputs for TTA. Ronneberger et al. 2015 (section 4) averaged seven rotated versions of the input and do not
# state which ones. There are only four rotations by 90 degrees; 7 stands for all symmetries except the identity.
TTA_SYMMETRIES = {1: (IDENTITY,), 4: FLIPS, 7: SYMMETRIES[1:], 8: SYMMETRIES}
VOLUME_FLIPS = tuple(Symmetry(flip.quarters, flip.mirrored, deep) for deep in (False, True) for flip in FLIPS)
# Of volumes: 4 flips height and width, 8 all three axes, 7 the same without the identity.
VOLUME_TTA_SYMMETRIES = {1: (IDENTITY,), 4: FLIPS, 7: VOLUME_FLIPS[1:], 8: VOLUME_FLIPS}


def tta_symmetries(count: int, dimensions: int = 2) -> tuple[Symmetry, ...]:
    """Return the symmetries of test-time augmentation with `count` inputs, of images or of volumes.

    Raises
    ------
    BadOption
        `count` is not a key of `TTA_SYMMETRIES`.

    Examples
    --------
    >>> len(tta_symmetries(8)), tta_symmetries(1) == (IDENTITY,)
    (8, True)
    >>> tta_symmetries(8, dimensions=3)[-1]
    Symmetry(quarters=2, mirrored=True, deep=True)
    """
    if count not in TTA_SYMMETRIES:
        hint = "1 is the input alone, 4 adds its flips, 8 are all symmetries, 7 all but the identity (2015)."
        raise BadOption("tta of 1, 4, 7 or 8", f"{count}", hint)
    return (TTA_SYMMETRIES if dimensions == 2 else VOLUME_TTA_SYMMETRIES)[count]


def _rotate(picture: ImageT, quarters: int) -> ImageT:
    if isinstance(picture, np.ndarray):
        return np.rot90(picture, quarters, (-2, -1))
    return picture.rot90(quarters, (-2, -1))


def _flip(picture: ImageT, axis: int = -1) -> ImageT:
    if isinstance(picture, np.ndarray):
        return np.flip(picture, axis)
    return picture.flip((axis,))
