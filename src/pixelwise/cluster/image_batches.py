"""Where images may be divided into units: where one process would begin a new batch.

The last bits of logits depend on the other images of a batch. Units that begin where a batch begins have the batches of
one process, and therefore its bits. An unreadable image shifts the batches behind it, up to the
next change of the size.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

from pixelwise.geometry.tiles import tile_grid
from pixelwise.inference.predictor import Predictor

Shape = tuple[int, ...]


def batch_starts(predictor: Predictor, sizes: Sequence[Shape]) -> list[bool]:
    """Return for each image whether one process would begin a batch with it.

    Parameters
    ----------
    sizes : sequence of tuple of int
        Of the images that are not streamed; (0, 0) if unreadable.
    """

    @cache
    def shapes(size: Shape) -> tuple[tuple[int, ...], ...]:
        return tuple(_tile_shapes(predictor, size))

    starts: list[bool] = []
    group, limit = 0, 1
    shape: tuple[int, ...] = ()
    for size in sizes:
        tiles = shapes(size)
        starts.append(not group or bool(tiles and tiles[0] != shape))
        for tile in tiles:
            if group and tile != shape:
                group, limit = 0, predictor.batch
            group, shape = group + 1, tile
            if not tile or group >= min(limit, predictor.batch_size(math.prod(tile))):
                group, limit = 0, predictor.batch
    return starts


def _tile_shapes(predictor: Predictor, size: Shape) -> Iterator[tuple[int, ...]]:
    """Yield the shapes of the inputs of the tiles of an image; () for one that is computed alone."""
    if not min(size):
        return
    if predictor.plan(size) is not None or predictor.blends(size):  # blended: several tiles of one image, at most
        yield ()
        return
    for tile in tile_grid(size, predictor.core_of(size), predictor.geometry):
        yield tuple(stop - start for start, stop in tile.read)


def group_images(
    images: Sequence[tuple[list[Any], float]], starts: Sequence[bool], longest: Callable[[float], float], most: int
) -> Iterator[list[list[Any]]]:
    """Group images into runs that begin with a batch.

    Parameters
    ----------
    images : sequence of (list, float)
        Each with its expected seconds.
    starts : sequence of bool
        Whether a run may begin with the image.
    longest : callable
        Seconds of all images that are left -> about the seconds of the next run.
    most : int
        Images after which a run ends at the next start, however quick they are.

    Examples
    --------
    >>> starts = [number % 2 == 0 for number in range(7)]
    >>> groups = group_images([([number], 1.0) for number in range(7)], starts, lambda left: left / 2, 100)
    >>> [len(group) for group in groups]
    [4, 2, 1]
    """
    group: list[list[Any]] = []
    total, left = 0.0, sum((cost for _, cost in images), 0.0)
    limit = longest(left)
    for (row, cost), may_start in zip(images, starts, strict=True):
        if group and may_start and (total >= limit or len(group) >= most):
            yield group
            left -= total
            group, total, limit = [], 0.0, longest(left)
        group.append(row)
        total += cost
    if group:
        yield group
