"""Blending of the logits of overlapping tiles, for networks with whole-image layers, which have no exact halo.

The weights of the tiles at a pixel are linear ramps that add up to 1, so that no division is needed and a window is
complete after the last tile that overlaps it. The result is approximate.
"""

from collections.abc import Collection, Iterator
from functools import reduce
from itertools import product
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from pixelwise.geometry.sizes import Geometry
from pixelwise.geometry.tiles import (
    Side,
    Span,
    Tile,
    blend_weights,
    blended_grid,
    per_axis,
    rounded_cores,
    tile_grid,
)

OVERLAP_DIVISOR = 8  # a tile extends core / 8 pixels into its neighbours, so that a quarter of its side overlaps


class LogitsWindow(NamedTuple):
    """Logits (classes, *size) of the window `write` of the image: a span per axis, such as ((top, bottom), ...)."""

    write: tuple[Span, ...]
    logits: np.ndarray

    @property
    def place(self) -> tuple[slice, ...]:
        """The window as slices of (classes, *size)."""
        return (slice(None), *(slice(start, stop) for start, stop in self.write))


def blend_overlap(core: Side, geometry: Geometry, axes: int = 2) -> tuple[int, ...]:
    """Return how many pixels a tile extends into its neighbours along each axis; 0 if tiles are exact."""
    if geometry.exact:
        return (0,) * axes
    strides = (geometry.along(axis).total_stride for axis in range(axes))
    cores = rounded_cores(core, geometry, axes)
    return tuple(core // OVERLAP_DIVISOR // stride * stride for core, stride in zip(cores, strides, strict=True))


class Blender:
    """Sums weighted logits and returns the windows of the tile grid as they become complete, in order.

    Parameters
    ----------
    core, geometry, overlap
        As in `blended_grid`.
    done : collection of windows
        Windows that are not needed.

    Notes
    -----
    Memory: the float32 logits of incomplete windows, about two rows of the grid; of a volume about two of its planes.
    """

    def __init__(
        self,
        size: tuple[int, ...],
        core: Side,
        geometry: Geometry,
        overlap: Side,
        done: Collection[tuple[Span, ...]] = (),
    ) -> None:
        self._size, self._overlap = size, per_axis(overlap, len(size))
        self._windows = [tile.write for tile in tile_grid(size, core, geometry)]
        cores = rounded_cores(core, geometry, len(size))
        self._shape = tuple(-(-side // core) for side, core in zip(size, cores, strict=True))  # tiles along each axis
        self._sums: dict[int, np.ndarray] = {}
        tiles = blended_grid(size, core, geometry, overlap)
        needed = {number for number, window in enumerate(self._windows) if window not in done}
        covered = [[n for n in self._neighbours(number) if n in needed] for number in range(len(tiles))]
        self.tiles = [(number, tile) for number, tile in enumerate(tiles) if covered[number]]
        self._missing = {n: sum(n in covered[other] for other in self._neighbours(n)) for n in needed}

    @property
    def finished(self) -> bool:
        """Return whether all windows are complete."""
        return not self._missing

    def add(self, number: int, tile: Tile, logits: Float[np.ndarray, " classes *size"]) -> Iterator[LogitsWindow]:
        """Add the logits of a tile; yield the windows that it completes."""
        axes = zip(tile.write, self._windows[number], self._size, self._overlap, strict=True)
        weights = np.ix_(*(blend_weights(*axis).astype(logits.dtype) for axis in axes))
        weighted = logits * reduce(np.multiply, weights)
        for other in self._neighbours(number):
            if other not in self._missing:
                continue
            if other not in self._sums:
                sides = [stop - start for start, stop in self._windows[other]]
                self._sums[other] = np.zeros((len(logits), *sides), logits.dtype)
            target, source = _intersection(tile.write, self._windows[other])
            self._sums[other][:, *target] += weighted[:, *source]
            self._missing[other] -= 1
        for other in sorted(n for n in self._neighbours(number) if self._missing.get(n) == 0):
            del self._missing[other]
            yield LogitsWindow(self._windows[other], self._sums.pop(other))

    def _neighbours(self, number: int) -> list[int]:
        """Return the windows that a tile overlaps, including its own."""
        place = np.unravel_index(number, self._shape)
        near = (range(max(0, int(i) - 1), min(n, int(i) + 2)) for i, n in zip(place, self._shape, strict=True))
        return [int(np.ravel_multi_index(other, self._shape)) for other in product(*near)]


def _intersection(tile: tuple[Span, ...], window: tuple[Span, ...]) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Return the intersection of two windows, as slices of `window` and as slices of `tile`."""
    common = [(max(a[0], b[0]), max(max(a[0], b[0]), min(a[1], b[1]))) for a, b in zip(tile, window, strict=True)]
    in_window = tuple(slice(c[0] - b[0], c[1] - b[0]) for c, b in zip(common, window, strict=True))
    in_tile = tuple(slice(c[0] - a[0], c[1] - a[0]) for c, a in zip(common, tile, strict=True))
    return in_window, in_tile
