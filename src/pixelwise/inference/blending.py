"""Blending: logits of tiles that overlap, where the network looks at the whole image and no halo makes tiles exact.

The weights of the tiles at a pixel rise and fall linearly and add up to 1, so that nothing has to be divided and a part
of the image is done when the last tile that reaches into it has come. The result is approximate, and told as such.
"""

from collections.abc import Collection, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from pixelwise.geometry.sizes import Geometry
from pixelwise.geometry.tiles import Span, Tile, blend_weights, blended_grid, tile_grid, whole_strides

SHARE = 8  # a tile reaches core / SHARE pixels into its neighbours, so that they share a quarter of their sides


class LogitsWindow(NamedTuple):
    """Logits (classes, height, width) of the window `write` ((top, bottom), (left, right)) of the image."""

    write: tuple[Span, ...]
    logits: np.ndarray


def blend_overlap(core: int, geometry: Geometry) -> int:
    """Return how far tiles reach into their neighbours: 0 for networks whose tiles are exact."""
    if geometry.exact:
        return 0
    return whole_strides(core, geometry) // SHARE // geometry.total_stride * geometry.total_stride


class Blender:
    """Adds up weighted logits; gives the parts of the core grid as they become complete, in their order.

    Parameters
    ----------
    size : (int, int)
    core : int
    geometry : Geometry
    overlap : int
    done : collection of windows
        Parts that nobody wants any more.

    Notes
    -----
    Memory: the logits, in float32, of the parts that are begun: about two rows of the grid.
    """

    def __init__(
        self,
        size: tuple[int, int],
        core: int,
        geometry: Geometry,
        overlap: int,
        done: Collection[tuple[Span, ...]] = (),
    ) -> None:
        self._size, self._overlap = size, overlap
        self._parts = [tile.write for tile in tile_grid(size, core, geometry)]
        self._across = -(-size[1] // whole_strides(core, geometry))
        self._begun: dict[int, np.ndarray] = {}
        tiles = blended_grid(size, core, geometry, overlap)
        wanted = {number for number, part in enumerate(self._parts) if part not in done}
        touched = [[n for n in self._near(number) if n in wanted] for number in range(len(tiles))]
        self.tiles = [(number, tile) for number, tile in enumerate(tiles) if touched[number]]
        self._missing = {n: sum(n in near for near in self._around(touched, n)) for n in wanted}

    @property
    def finished(self) -> bool:
        """Tell whether all parts have been given."""
        return not self._missing

    def add(self, number: int, tile: Tile, logits: Float[np.ndarray, "classes rows columns"]) -> Iterator[LogitsWindow]:
        """Add what a tile of `tiles` keeps; yield the parts that are complete with it."""
        own = self._parts[number]
        down, across = (
            blend_weights(tile.write[axis], own[axis], self._size[axis], self._overlap).astype(logits.dtype)
            for axis in (0, 1)
        )
        weighted = logits * (down[:, None] * across[None, :])
        for near in self._near(number):
            if near not in self._missing:
                continue
            if near not in self._begun:
                sides = [stop - start for start, stop in self._parts[near]]
                self._begun[near] = np.zeros((len(logits), *sides), logits.dtype)
            shared, here = _shared(tile.write, self._parts[near])
            self._begun[near][:, *shared] += weighted[:, *here]
            self._missing[near] -= 1
        for near in sorted(n for n in self._near(number) if self._missing.get(n) == 0):
            del self._missing[near]
            yield LogitsWindow(self._parts[near], self._begun.pop(near))

    def _near(self, number: int) -> list[int]:
        """Return the parts of the grid that a tile reaches into, itself among them."""
        row, column = divmod(number, self._across)
        rows = len(self._parts) // self._across
        return [
            i * self._across + j
            for i in range(max(0, row - 1), min(rows, row + 2))
            for j in range(max(0, column - 1), min(self._across, column + 2))
        ]

    def _around(self, touched: list[list[int]], number: int) -> list[list[int]]:
        return [touched[near] for near in self._near(number)]


def _shared(written: tuple[Span, ...], part: tuple[Span, ...]) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Return where two windows meet: as slices of `part` and as slices of `written`."""
    meet = [(max(a[0], b[0]), max(max(a[0], b[0]), min(a[1], b[1]))) for a, b in zip(written, part, strict=True)]
    inside = tuple(slice(m[0] - b[0], m[1] - b[0]) for m, b in zip(meet, part, strict=True))
    here = tuple(slice(m[0] - a[0], m[1] - a[0]) for m, a in zip(meet, written, strict=True))
    return inside, here
