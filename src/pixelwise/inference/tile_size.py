"""How large the tiles of a large image are: what fits the memory and is quickest, measured on the network itself."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pixelwise.geometry.sizes import Geometry
from pixelwise.geometry.tiles import whole_strides
from pixelwise.inference.memory import peak_memory
from pixelwise.inference.predictor import Predictor
from pixelwise.runtimes.malloc import give_back

CORES = (512, 768, 1024, 1536, 2048)  # pixels a side that a tile keeps
_STORED = (512, 256, 128, 64, 32, 16)  # sides of tiles in files


@dataclass(frozen=True)
class TileTiming:
    """A size of tiles: kept pixels a side, microseconds per kept pixel, and peak memory of the process behind it."""

    core: int
    microseconds: float
    peak: int


def choose_core(
    predictor: Predictor, channels: int, memory: int, clock: Callable[[], float] = time.perf_counter
) -> tuple[TileTiming, ...]:
    """Measure one tile of each size, smallest first, as long as they are expected to fit.

    Parameters
    ----------
    predictor : Predictor
        Its runtime computes the tiles; its own core does not matter.
    channels : int
        Of the input.
    memory : int
        Bytes that the process may have reached behind a tile.
    clock : callable
        Seconds.

    Returns
    -------
    tuple of Measured
        The quickest per kept pixel comes first; the smallest is always among them.
    """
    found: list[TileTiming] = []
    grown = before = 0
    for core in (stored_core(core, predictor.geometry) for core in CORES):
        side = tile_side(core, predictor.geometry)
        if found and before + grown * side**2 // tile_side(found[-1].core, predictor.geometry) ** 2 > memory:
            break
        give_back()
        before = peak_memory()
        tile = np.zeros((1, channels, side, side), np.float32)
        predictor.runtime(tile)  # the first of a size plans and allocates
        began = clock()
        predictor.runtime(tile)
        seconds = clock() - began
        grown = max(grown, peak_memory() - before)
        found.append(TileTiming(core, seconds / core**2 * 1e6, peak_memory()))
        if found[-1].microseconds > 1.1 * min(m.microseconds for m in found):
            break
    give_back()
    return tuple(sorted(found, key=lambda m: m.microseconds))


def tile_side(core: int, geometry: Geometry) -> int:
    """Return the side of the input of a tile that keeps `core` pixels, far from the image's border."""
    if geometry.margin:
        return geometry.legal_size(core + 2 * geometry.margin)
    return core + 2 * geometry.halo


def stored_core(core: int, geometry: Geometry) -> int:
    """Return `core` rounded up so that its multiples lie on the network's strides and on tiles of a file."""
    step = math.lcm(256 if core >= 256 else _STORED[-1], geometry.total_stride)
    return whole_strides(-(-core // step) * step, geometry)


def stored_tile(core: int) -> int:
    """Return the side of a file's tiles of which a part of `core` pixels holds whole ones."""
    return next(side for side in _STORED if core % side == 0)
