"""Locations of random training patches: cases at random, and centres on pixels of rare classes."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pixelwise.geometry.tiles import Side, per_axis
from pixelwise.sampling.class_locations import Locations, find_locations

PURPOSE = 1  # second word of the generators' key, different for each purpose


class PatchLocation(NamedTuple):
    """Location of a patch: its number in the training (step * batch + index), case and first corner.

    `plane` is the first slice, in a volume.
    """

    number: int
    case: int
    row: int
    column: int
    plane: int = 0


class LocationSampler:
    """Draws the locations of patches in images or volumes.

    Cases are drawn uniformly, whatever their size. Samples that are forced are centred on a pixel of a rare class (all
    except the most frequent one of the data set): a rare class, a case that contains it and one of its pixels are
    drawn, each uniformly. nnU-Net draws the case first, so that classes of few cases are rarely sampled, and always
    treats background as the frequent class, which it is not among densely packed cells. The output of the network (the
    patch without `margin`) is inside the image if that is large enough.

    Parameters
    ----------
    targets : sequence of uint8 arrays (*size)
        Class maps; IGNORE (255) is not a class.
    seed : int
        At least 0.
    margin : int or sequence of int
        Border per side that valid convolutions remove from a patch, along all axes or along each.

    Examples
    --------
    >>> target = np.zeros((8, 8), np.uint8)
    >>> target[6, 6] = 1
    >>> locations = LocationSampler([target], 0)
    >>> locations.draw(locations.generator(0, 0), (4, 4), forced=True)
    (0, (4, 4))
    """

    def __init__(self, targets: Sequence[np.ndarray], seed: int, margin: Side = 0) -> None:
        self._shapes = [target.shape for target in targets]
        self._seed, self._margins = seed, per_axis(margin, len(self._shapes[0]))
        self._rare: list[list[Locations]] = find_locations(targets, seed)

    def generator(self, step: int, place: int) -> np.random.Generator:
        """Return the generator of a sample: Philox with the seed as key and (step, place in the batch) as counter."""
        # the generator uses the lower words of the counter: 2**128 numbers per sample
        return np.random.Generator(np.random.Philox(key=[self._seed, PURPOSE], counter=[0, 0, place, step]))

    def draw(self, rng: np.random.Generator, size: tuple[int, ...], *, forced: bool) -> tuple[int, tuple[int, ...]]:
        """Return a case, and the first corner of a patch of `size` in it, which may be outside."""
        output_size = [side - 2 * margin for side, margin in zip(size, self._margins, strict=True)]
        if forced and self._rare:
            cases = self._rare[rng.integers(len(self._rare))]
            case, pixels = cases[rng.integers(len(cases))]
            centre = np.unravel_index(int(pixels[rng.integers(len(pixels))]), self._shapes[case])
            forced_corner = [int(c) - side // 2 for c, side in zip(centre, output_size, strict=True)]
        else:
            case, forced_corner = int(rng.integers(len(self._shapes))), None
        corner: list[int] = []
        for axis, (whole, side) in enumerate(zip(self._shapes[case], output_size, strict=True)):
            low, high = min(0, whole - side), max(0, whole - side)  # a small image is anywhere inside the patch
            drawn = int(rng.integers(low, high + 1)) if forced_corner is None else forced_corner[axis]
            corner.append(min(max(drawn, low), high) - self._margins[axis])
        return case, tuple(corner)
