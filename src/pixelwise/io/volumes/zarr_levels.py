"""Write a label volume of any size as OME-Zarr (NGFF 0.5) with levels, slab by slab, renamed when complete.

Chunks of zeros are written too: a missing chunk is damage, not background.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Integer

from pixelwise.geometry.grid import VOLUME_AXES, Grid
from pixelwise.geometry.tiles import Span
from pixelwise.io.write import Colour
from pixelwise.io.zarr_write import create_level, label_attributes, new_store

CHUNK = 64  # voxels per side
_SHARD = 2  # chunks per side of a shard
Read = Callable[[Span, Span, Span], Integer[np.ndarray, "depth rows columns"]]


def write_zarr_levels(
    path: Path,
    shape: tuple[int, int, int],
    dtype: str,
    read: Read,
    *,
    grid: Grid | None = None,
    palette: Sequence[Colour] = (),
    names: Sequence[str] = (),
) -> None:
    """Write a label volume; each level has every second voxel of the previous one.

    Parameters
    ----------
    path : Path
        The folder of the result; an existing one is replaced.
    shape : (depth, height, width)
    read : callable
        Returns a window (planes, rows, columns).
    grid : Grid, optional
        Spacing and unit.
    palette, names : sequences
        Colour and name of each class of a mask.

    Raises
    ------
    OutputFailed, BadOption
        As for `new_store`.
    """
    levels = _level_shapes(shape)
    with new_store(path) as group:
        for number, size in enumerate(levels):
            shards = (_shard(size),) * 3
            array = create_level(group, number, size, dtype, axes=VOLUME_AXES, chunks=(CHUNK,) * 3, shards=shards)
            _fill(array, size, read)
            read = _every_second(array, size)
        sides = ((1.0,) * 3, None) if grid is None else (grid.spacing, grid.unit)
        group.attrs.update({"ome": label_attributes(len(levels), VOLUME_AXES, sides, palette, names)})


def _level_shapes(shape: tuple[int, int, int]) -> list[tuple[int, ...]]:
    levels: list[tuple[int, ...]] = [shape]
    while max(levels[-1]) > CHUNK:
        levels.append(tuple(-(-side // 2) for side in levels[-1]))
    return levels


def _shard(size: Sequence[int]) -> int:
    return CHUNK * min(_SHARD, max(-(-side // CHUNK) for side in size))


def _fill(array: Any, size: tuple[int, ...], read: Read) -> None:
    side = _shard(size)
    for first in range(0, size[0], side):
        for top in range(0, size[1], side):
            for left in range(0, size[2], side):
                spans = [(start, min(start + side, end)) for start, end in zip((first, top, left), size, strict=True)]
                array[tuple(slice(*span) for span in spans)] = read(*spans)


def _every_second(array: Any, size: tuple[int, ...]) -> Read:
    """Return a function that reads windows of the next level from a written level."""

    def read(planes: Span, rows: Span, columns: Span) -> Integer[np.ndarray, "depth rows columns"]:
        spans = zip((planes, rows, columns), size, strict=True)
        # read whole and thin out here: the library reads single voxels one by one
        window = array[tuple(slice(2 * first, min(end, 2 * last)) for (first, last), end in spans)]
        return np.asarray(window)[::2, ::2, ::2]

    return read
