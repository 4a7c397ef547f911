"""Measure the values of one label volume, as `measure` does for the mask of an image."""

import numpy as np
from jaxtyping import Int64, Integer, Num
from skimage.measure import label

from pixelwise.datasets.masks.measure import MAX_LOCATED, MAX_VALUES, MaskValues, Place, digest

_TABLE = 1 << 20  # smaller values are numbered by a table
_LOCATED_VOXELS = 1 << 20  # voxels from which places are measured, evenly spaced


def measure_volume(
    values: Integer[np.ndarray, "depth height width"],
    pixels: Num[np.ndarray, " channels depth height width"] | None = None,
) -> MaskValues:
    """Measure the numbers of a label volume; those of smoothed edges and of colours are not for volumes.

    Parameters
    ----------
    values : (depth, height, width) integers
    pixels : (channels, depth, height, width), optional
        Its image.

    Examples
    --------
    >>> labels = np.zeros((3, 4, 5), int)
    >>> labels[0, 0, 0], labels[2, 3, 4], labels[1, 2:, 2] = 1, 1, 2
    >>> measured = measure_volume(labels)
    >>> measured.values, measured.counts, measured.regions
    ((0, 1, 2), (56, 2, 2), (0, 2, 1))
    """
    unique, dense, counts = _count(values)
    several, located = len(unique) > 2, pixels is not None and 2 < len(unique) <= MAX_LOCATED
    return MaskValues(
        values=tuple(unique[:MAX_VALUES].tolist()),
        counts=tuple(counts[:MAX_VALUES].tolist()),
        regions=tuple(_count_regions(unique, dense)[:MAX_VALUES]) if several else (0,) * len(unique),
        plateau=0,
        coloured=False,
        lossy=False,
        palette=(),
        digest=digest(values.astype(np.uint8 if unique[0] >= 0 and unique[-1] < 1 << 8 else np.int64)),
        places=_places(dense, len(unique), pixels) if located and pixels is not None else (),
        volume=True,
    )


def _count(
    values: Integer[np.ndarray, "depth height width"],
) -> tuple[Integer[np.ndarray, " values"], Integer[np.ndarray, "depth height width"], Int64[np.ndarray, " values"]]:
    """Return the values, the index of each voxel among them, and their counts; small ones without sorting."""
    if int(values.min()) < 0 or int(values.max()) >= _TABLE:
        unique, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
        return unique, inverse.reshape(values.shape), counts
    counts = np.bincount(values.ravel())
    unique = np.flatnonzero(counts)
    table = np.zeros(len(counts), np.int32)
    table[unique] = np.arange(len(unique))
    return unique, table[values], counts[unique]


def _count_regions(
    unique: Integer[np.ndarray, " values"], dense: Integer[np.ndarray, "depth height width"]
) -> list[int]:
    """Return the number of connected components (26 neighbours) of each value except 0, the background."""
    shifted = np.where(unique[dense] == 0, 0, dense + 1).astype(np.int32)
    regions = np.asarray(label(shifted, background=0, connectivity=3)).ravel()
    owner = np.zeros(int(regions.max(initial=0)) + 1, np.int64)
    owner[regions] = shifted.ravel()
    return np.bincount(owner[1:], minlength=len(unique) + 1)[1:].tolist()


def _places(
    dense: Integer[np.ndarray, "depth height width"],
    count: int,
    pixels: Num[np.ndarray, " channels depth height width"],
) -> tuple[Place, ...]:
    """Return the places of values in height and width, as those of planes, over all slices."""
    step = max(1, round((dense.size / _LOCATED_VOXELS) ** (1 / 3)))
    some = dense[::step, ::step, ::step]
    gray = np.nan_to_num(pixels[:, ::step, ::step, ::step].mean(0, dtype=np.float32))
    median, index = float(np.median(gray)), some.ravel()
    counts = np.maximum(np.bincount(index, minlength=count), 1)
    height, width = dense.shape[1:]
    rows, columns = (np.broadcast_to(axis, some.shape).ravel() for axis in np.ogrid[tuple(map(slice, some.shape))][1:])
    row = np.bincount(index, rows, minlength=count) * step / height / counts
    column = np.bincount(index, columns, minlength=count) * step / width / counts
    tops = np.full(count, height)
    np.minimum.at(tops, index, rows * step)
    bright = np.bincount(index, gray.ravel(), minlength=count) / counts
    return tuple(
        Place(float(r), float(c), float(top / height), float(b), float(b) - median)
        for r, c, top, b in zip(row, column, tops, bright, strict=True)
    )
