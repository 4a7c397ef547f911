"""Tile shape of volumes: the sides with the least work whose input fits into the memory.

A volume has few voxels along each axis and tiles have thick halos, so that the number of tiles along each axis matters:
all numbers are compared by the voxels that their tiles read.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pixelwise.geometry.sizes import Geometry
from pixelwise.geometry.tiles import round_to_stride, tile_grid

MAX_TILES = 64  # along an axis


@dataclass(frozen=True)
class _Division:
    """Tiles along one axis: side of the valid region, longest read, and length of all reads."""

    core: int
    longest: int
    total: int


def fit_tile(
    size: Sequence[int], geometry: Geometry, voxels: int, smallest: Sequence[int]
) -> tuple[int, ...]:
    """Return the sides of the valid region of the tiles of a volume.

    Parameters
    ----------
    size : sequence of int
        Of the volume, along each axis.
    geometry : Geometry
        Of the network.
    voxels : int
        Of the largest input of a tile.
    smallest : sequence of int
        The result if no tile fits, or none with at most 64 tiles along each axis.

    Examples
    --------
    >>> geometry = Geometry(
    ...     total_stride=4, reach=9, halo=8, margin=0, legal_first=4, legal_step=4, receptive_field=18
    ... )
    >>> fit_tile((100, 100, 100), geometry, 100 * 100 * 80, (16, 16, 16))
    (52, 100, 100)
    >>> fit_tile((100, 100, 100), geometry, 100, (16, 16, 16))
    (16, 16, 16)
    """
    axes = [_divisions(side, geometry.along(axis)) for axis, side in enumerate(size)]
    longest = _products([[division.longest for division in axis] for axis in axes])
    work = _products([[division.total for division in axis] for axis in axes])
    work[longest > voxels] = np.inf
    # of equals the one that divides the first axis: its tiles are stored together
    best = np.unravel_index(int(work.T.argmin()), work.T.shape)[::-1]
    if not np.isfinite(work[best]):
        return tuple(smallest)
    return tuple(axis[int(index)].core for axis, index in zip(axes, best, strict=True))


def _divisions(side: int, geometry: Geometry) -> list[_Division]:
    """Return the divisions of an axis into different numbers of tiles, the largest tiles first."""
    cores = dict.fromkeys(round_to_stride(-(-side // count), geometry) for count in range(1, MAX_TILES + 1))
    divisions: list[_Division] = []
    for core in cores:
        reads = [tile.read[0] for tile in tile_grid((side,), core, geometry)]
        lengths = [stop - start for start, stop in reads]
        divisions.append(_Division(min(core, side), max(lengths), sum(lengths)))
    return divisions


def _products(axes: Sequence[Sequence[int]]) -> np.ndarray:
    """Return the products of one value per axis, for all combinations."""
    grids = np.ix_(*(np.array(values, np.float64) for values in axes))
    result = np.ones(())
    for grid in grids:
        result = result * grid
    return result
