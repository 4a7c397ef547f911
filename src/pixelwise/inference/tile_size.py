"""Tile size of large images, and of the tiles of their files.

Both follow from the network alone. A size chosen by measured speed would differ between machines, and between two runs
on a busy one: with it the last bits of logits, and the order of the tiles.
"""

import math

from pixelwise.geometry.sizes import Geometry
from pixelwise.geometry.tiles import round_to_stride
from pixelwise.inference.memory import MIB, tile_budget
from pixelwise.inference.predictor import CORE_STEP

MIN_CORE, MAX_CORE = 512, 2048  # side of the valid region of a tile
MEMORY = 600 * MIB  # of a tile, so that the process, with blocks that it keeps, takes 1.1 GB at most
BESIDE = 57  # measured bytes of a pixel besides activations: waiting tiles, probabilities, masks
_FILE_TILES = (256, 128, 64, 32, 16)  # sides of tiles in files


def streamed_core(base: int, geometry: Geometry) -> int:
    """Return the side of the valid region of the tiles of an image that is not in memory.

    It is the largest that fits, because the halo is a smaller part of a larger tile.

    Parameters
    ----------
    base : int
        Width of the network; see `memory.tile_budget`.
    """
    side = math.isqrt(MEMORY // (tile_budget(base).tile_pixel + BESIDE))
    core = (side - 2 * (geometry.margin or geometry.halo)) // CORE_STEP * CORE_STEP
    return stored_core(min(max(core, MIN_CORE), MAX_CORE), geometry)


def tile_side(core: int, geometry: Geometry) -> int:
    """Return the side of the input of a tile with a valid region of `core` pixels, away from the image border."""
    if geometry.margin:
        return geometry.valid_size(core + 2 * geometry.margin)
    return core + 2 * geometry.halo


def stored_core(core: int, geometry: Geometry) -> int:
    """Return `core` rounded up to a multiple of the total stride and of the tiles of a file."""
    multiple = math.lcm(_FILE_TILES[0] if core >= _FILE_TILES[0] else _FILE_TILES[-1], geometry.total_stride)
    return round_to_stride(-(-core // multiple) * multiple, geometry)


def stored_tile(core: int) -> int:
    """Return the side of the tiles of a file: 256, or less if `core` is smaller.

    Examples
    --------
    >>> [stored_tile(core) for core in (1024, 512, 256, 96)]
    [256, 256, 256, 32]
    """
    return next(side for side in _FILE_TILES if core % side == 0)
