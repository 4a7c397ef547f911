"""Tile shape of volumes: the sides with the least work whose input fits into the memory.

A volume has few voxels along each axis and tiles have thick halos, so that the number of tiles along each axis matters:
all numbers are compared by the voxels that their tiles read.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pixelwise.geometry.sizes import Geometry
from pixelwise.geometry.tiles import Side, per_axis, tile_grid

MAX_TILES = 64  # along an axis


@dataclass(frozen=True)
class _Division:
    """Tiles along one axis: side of the valid region, longest read, and length of all reads."""

    core: int
    longest: int
    total: int


def fit_tile(
    size: Sequence[int], geometry: Geometry, voxels: int, multiple: Sequence[int] = (1, 1, 1)
) -> tuple[int, ...]:
    """Return the sides of the valid region of the tiles of a volume; if no tile fits, those of the smallest one.

    Parameters
    ----------
    size : sequence of int
        Of the volume, along each axis.
    geometry : Geometry
        Of the network.
    voxels : int
        Of the largest input of a tile.
    multiple : sequence of int
        Sides that are smaller than the volume are multiples of these, and of the total strides.

    Examples
    --------
    >>> geometry = Geometry(
    ...     total_stride=4, reach=9, halo=8, margin=0, legal_first=4, legal_step=4, receptive_field=18
    ... )
    >>> fit_tile((100, 100, 100), geometry, 100 * 100 * 80)
    (52, 100, 100)
    >>> fit_tile((100, 100, 100), geometry, 100)
    (4, 4, 4)
    """
    axes = [_divisions(side, geometry.along(axis), multiple[axis]) for axis, side in enumerate(size)]
    longest = _products([[division.longest for division in axis] for axis in axes])
    work = _products([[division.total for division in axis] for axis in axes])
    work[longest > max(voxels, longest.min())] = np.inf
    # of equals the one that divides the first axis: its tiles are stored together
    best = np.unravel_index(int(work.T.argmin()), work.T.shape)[::-1]
    return tuple(axis[int(index)].core for axis, index in zip(axes, best, strict=True))


def _divisions(side: int, geometry: Geometry, multiple: int) -> list[_Division]:
    """Return the divisions of an axis into different numbers of tiles, the largest tiles first."""
    step = math.lcm(multiple, geometry.total_stride)
    cores = dict.fromkeys(-(-side // (count * step)) * step for count in range(1, MAX_TILES + 1))
    divisions: list[_Division] = []
    for core in cores:
        reads = [tile.read[0] for tile in tile_grid((side,), core, geometry)]
        lengths = [stop - start for start, stop in reads]
        divisions.append(_Division(min(core, side), max(lengths), sum(lengths)))
    return divisions


def read_voxels(size: Sequence[int], core: Side, geometry: Geometry) -> int:
    """Return the number of voxels of the largest input of the tiles of a volume.

    Examples
    --------
    >>> geometry = Geometry(
    ...     total_stride=4, reach=9, halo=8, margin=0, legal_first=4, legal_step=4, receptive_field=18
    ... )
    >>> read_voxels((100, 100, 8), (40, 100, 8), geometry) == 56 * 100 * 8
    True
    """
    longest: list[int] = []
    for axis, (side, core_side) in enumerate(zip(size, per_axis(core, len(size)), strict=True)):
        reads = [tile.read[0] for tile in tile_grid((side,), core_side, geometry.along(axis))]
        longest.append(max(stop - start for start, stop in reads))
    return math.prod(longest)


def shrink_tile(size: Sequence[int], geometry: Geometry, voxels: int, core: Side) -> tuple[int, ...]:
    """Return the sides of tiles that are blended: `core`, or less along its longest axes if it does not fit.

    Blended tiles give other logits at other sizes, so that only the memory changes what the model asks for.

    Examples
    --------
    >>> geometry = Geometry(
    ...     total_stride=4, reach=9, halo=8, margin=0, legal_first=4, legal_step=4, receptive_field=18, exact=False
    ... )
    >>> shrink_tile((20, 200, 200), geometry, 350_000, 128)
    (20, 64, 64)
    """
    sides = [min(side, longest) for side, longest in zip(per_axis(core, len(size)), size, strict=True)]
    borders = [2 * (geometry.along(axis).halo + geometry.along(axis).margin) for axis in range(len(size))]
    # with the overlap and the halo on both sides
    while math.prod(map(_read_side, sides, borders, size)) > voxels:
        axis = max(range(len(sides)), key=lambda index: sides[index] / geometry.along(index).total_stride)
        stride = geometry.along(axis).total_stride
        if sides[axis] <= 2 * stride:
            break
        sides[axis] = -(-sides[axis] // (2 * stride)) * stride
    return tuple(sides)


def _read_side(side: int, border: int, length: int) -> int:
    """Return about how much of an axis a blended tile reads."""
    return min(side + side // 4 + border, length + border)


def _products(axes: Sequence[Sequence[int]]) -> np.ndarray:
    """Return the products of one value per axis, for all combinations."""
    grids = np.ix_(*(np.array(values, np.float64) for values in axes))
    result = np.ones(())
    for grid in grids:
        result = result * grid
    return result
