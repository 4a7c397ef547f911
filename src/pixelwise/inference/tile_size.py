"""Tile size of large images: the fastest one that fits into memory, measured on the network."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pixelwise.geometry.sizes import Geometry
from pixelwise.geometry.tiles import round_to_stride
from pixelwise.inference.memory import peak_memory
from pixelwise.inference.predictor import Predictor
from pixelwise.runtimes.malloc import release_memory

CORES = (512, 768, 1024, 1536, 2048)  # sides of the valid region of a tile
_FILE_TILES = (512, 256, 128, 64, 32, 16)  # sides of tiles in files


@dataclass(frozen=True)
class TileTiming:
    """A tile size: side of the valid region, microseconds per valid pixel, and peak memory of the process."""

    core: int
    microseconds: float
    peak: int


def choose_tile_size(
    predictor: Predictor, channels: int, memory: int, clock: Callable[[], float] = time.perf_counter
) -> tuple[TileTiming, ...]:
    """Time one tile of each size, smallest first, as long as they are expected to fit into memory.

    Parameters
    ----------
    predictor : Predictor
        Its core is ignored.
    channels : int
        Of the input.
    memory : int
        Limit of the peak memory of the process in bytes.
    clock : callable
        Returns seconds.

    Returns
    -------
    tuple of TileTiming
        The fastest per valid pixel first; the smallest size is always included.
    """
    timings: list[TileTiming] = []
    growth = before = 0
    for core in (stored_core(core, predictor.geometry) for core in CORES):
        side = tile_side(core, predictor.geometry)
        if timings and before + growth * side**2 // tile_side(timings[-1].core, predictor.geometry) ** 2 > memory:
            break
        release_memory()
        before = peak_memory()
        tile = np.zeros((1, channels, side, side), np.float32)
        predictor.runtime(tile)  # warm-up: the first call of a size plans and allocates
        start = clock()
        predictor.runtime(tile)
        seconds = clock() - start
        growth = max(growth, peak_memory() - before)
        timings.append(TileTiming(core, seconds / core**2 * 1e6, peak_memory()))
        if timings[-1].microseconds > 1.1 * min(timing.microseconds for timing in timings):
            break
    release_memory()
    return tuple(sorted(timings, key=lambda timing: timing.microseconds))


def tile_side(core: int, geometry: Geometry) -> int:
    """Return the side of the input of a tile with a valid region of `core` pixels, away from the image border."""
    if geometry.margin:
        return geometry.valid_size(core + 2 * geometry.margin)
    return core + 2 * geometry.halo


def stored_core(core: int, geometry: Geometry) -> int:
    """Return `core` rounded up to a multiple of the total stride and of the tiles of a file."""
    multiple = math.lcm(256 if core >= 256 else _FILE_TILES[-1], geometry.total_stride)
    return round_to_stride(-(-core // multiple) * multiple, geometry)


def stored_tile(core: int) -> int:
    """Return the largest side of the tiles of a file that divides `core`."""
    return next(side for side in _FILE_TILES if core % side == 0)
