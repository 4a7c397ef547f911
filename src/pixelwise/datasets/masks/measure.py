"""Measure the values of one mask: pixels, connected components, plateaus, place and brightness of each value."""

import hashlib
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int32, Int64, Integer, Num, Shaped, UInt
from scipy import ndimage

from pixelwise.datasets.records import Colour
from pixelwise.io.read import MaskImage

MAX_VALUES = 70_000  # kept per file: more than in 16 bits
MAX_LOCATED = 300  # values whose places are measured; a mask with more values does not contain classes
_TABLE = 1 << 20  # smaller values are numbered by a table
_LOCATED_PIXELS = 1 << 20  # pixels from which places are measured, evenly spaced


@dataclass(frozen=True)
class Place:
    """Where a value is, and how bright the image is there.

    Attributes
    ----------
    row, column, top : float
        Centre and first row, as fractions of height and width.
    brightness, contrast : float
        Mean of the image, and its difference from the median of the image.
    """

    row: float
    column: float
    top: float
    brightness: float
    contrast: float


@dataclass(frozen=True)
class MaskValues:
    """The values in one mask.

    Attributes
    ----------
    values, counts : tuple of int
        Each value and its number of pixels, sorted; colours are packed as ``r << 16 | g << 8 | b``.
    regions : tuple of int
        Number of connected components of each value (8 neighbours); 0 if not counted.
    plateau : int
        Pixels with an intermediate value whose neighbours have nearly the same value: none along smoothed edges.
    flat : tuple of int
        Of colours: pixels of each value whose eight neighbours have the same value; else empty.
    coloured, lossy, bilevel : bool
    palette : tuple of (int, (int, int, int))
        Colours of the values, if the file has a palette.
    alpha : MaskValues or None
        The values of the alpha channel, if the file has one.
    places : tuple of Place
        Of each value, if the image is known and there are few values.
    white_is_zero : bool
        The samples were inverted.
    edges : int
        Pairs of neighbours, in rows and columns, that differ; 0 if not counted.
    ramps : tuple of int
        Of numbers: pixels of each value between a lower and a higher neighbour in their row or column; else empty.
    """

    values: tuple[int, ...]
    counts: tuple[int, ...]
    regions: tuple[int, ...]
    plateau: int
    coloured: bool
    lossy: bool
    palette: tuple[tuple[int, Colour], ...]
    digest: str
    flat: tuple[int, ...] = ()
    bilevel: bool = False
    alpha: "MaskValues | None" = None
    places: tuple[Place, ...] = ()
    white_is_zero: bool = False
    edges: int = 0
    ramps: tuple[int, ...] = ()


def measure_values(mask: MaskImage, pixels: Num[np.ndarray, "channels height width"] | None = None) -> MaskValues:
    """Measure the values of a mask; `pixels` is its image, of the same size."""
    values = pack(mask.values)
    unique, counts = np.unique_counts(values) if values.size > 1 << 26 else _count(values)
    unique, counts = unique[:MAX_VALUES], counts[:MAX_VALUES]
    several, coloured = len(unique) > 2, mask.values.ndim == 3
    palette = mask.palette or {}
    located = several and not coloured and pixels is not None and len(unique) <= MAX_LOCATED
    dense = _dense(values, unique) if several or (coloured and len(unique) > 1) else np.zeros((0, 0), np.uint8)
    edges, ramps = _count_ramps(dense, len(unique)) if several and not coloured else (0, ())
    return MaskValues(
        values=tuple(unique.tolist()),
        counts=tuple(counts.tolist()),
        regions=tuple(_count_regions(values, dense, len(unique)).tolist()) if several else (0,) * len(unique),
        plateau=_plateau_pixels(values, unique) if several and not coloured else 0,
        coloured=coloured,
        lossy=mask.lossy,
        palette=tuple((value, palette[value]) for value in unique.tolist() if value in palette),
        digest=digest(_narrow(values, unique)),
        flat=_flat_pixels(dense, len(unique)) if coloured and len(unique) > 1 else (),
        bilevel=mask.bilevel,
        alpha=None if mask.alpha is None else measure_values(MaskImage(mask.alpha, None, mask.lossy)),
        places=_places(dense, len(unique), pixels) if located and pixels is not None else (),
        white_is_zero=mask.white_is_zero,
        edges=edges,
        ramps=ramps,
    )


def pack(values: Num[np.ndarray, "height width *colours"]) -> Int64[np.ndarray, "height width"]:
    """Return mask values as one integer per pixel, colours packed as ``r << 16 | g << 8 | b``."""
    wide = values.astype(np.int64)
    return wide if wide.ndim == 2 else wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]


def unpack(values: Int64[np.ndarray, "*shape"]) -> Int64[np.ndarray, "*shape 3"]:
    """Return packed colours as red, green and blue on a last axis.

    >>> unpack(np.array([0x0102FF])).tolist()
    [[1, 2, 255]]
    """
    return np.stack([values >> 16, values >> 8 & 255, values & 255], axis=-1)


def digest(array: Shaped[np.ndarray, "..."]) -> str:
    """Return the SHA-256 of the shape, data type and values of an array."""
    sha256 = hashlib.sha256(f"{array.shape}{array.dtype}".encode())
    sha256.update(np.ascontiguousarray(array).data)
    return sha256.hexdigest()


def _count_regions(
    values: Int64[np.ndarray, "height width"], dense: UInt[np.ndarray, "height width"], count: int
) -> Int64[np.ndarray, " values"]:
    """Return the number of connected components (8 neighbours) of each value except 0, the background."""
    from skimage.measure import label

    shifted = dense.astype(np.int32) + 1
    shifted[values == 0] = 0
    regions = np.asarray(label(shifted, background=0, connectivity=2)).ravel()
    first = np.zeros(int(regions.max(initial=0)) + 1, np.int64)
    starts = np.flatnonzero(regions[1:] != regions[:-1]) + 1  # every region has one, or is the first pixel's
    first[regions[starts]] = shifted.ravel()[starts]
    first[regions[:1]] = shifted.ravel()[:1]
    return np.bincount(first[1:], minlength=count + 1)[1:].astype(np.int64)


def _narrow(values: Int64[np.ndarray, "h w"], unique: Int64[np.ndarray, " values"]) -> Integer[np.ndarray, "h w"]:
    """Return values as bytes if all fit, which takes an eighth of the time to hash."""
    return values.astype(np.uint8) if len(unique) and unique[0] >= 0 and unique[-1] < 1 << 8 else values


def _dense(values: Int64[np.ndarray, "h w"], unique: Int64[np.ndarray, " values"]) -> UInt[np.ndarray, "h w"]:
    """Return the index of each pixel in `unique`, as the smallest type; the last one for values beyond it."""
    kind = np.min_scalar_type(len(unique))
    if unique[0] >= 0 and unique[-1] < _TABLE and len(unique) < MAX_VALUES:
        table = np.zeros(int(unique[-1]) + 1, kind)
        table[unique] = np.arange(len(unique), dtype=kind)
        return table[values]
    return np.minimum(np.searchsorted(unique, values), len(unique) - 1).astype(kind)


def _plateau_pixels(values: Int64[np.ndarray, "height width"], unique: Int64[np.ndarray, " values"]) -> int:
    low, high = int(unique[0]), int(unique[-1])
    margin, step = (high - low) / 8, (high - low) / 32
    if margin < 1 or high - low > 1 << 40:
        return 0
    between = (values > low + margin) & (values < high - margin)
    if not between.any():
        return 0
    steps = (values - low).astype(np.float32)
    spread = ndimage.maximum_filter(steps, 3, mode="nearest") - ndimage.minimum_filter(steps, 3, mode="nearest")
    return int(np.count_nonzero(between & (spread <= step)))


def _count_ramps(dense: UInt[np.ndarray, "height width"], count: int) -> tuple[int, tuple[int, ...]]:
    edges, ramps = 0, np.zeros(count, np.int64)
    for lines in (dense, dense.T):
        rises, falls = lines[:, 1:] > lines[:, :-1], lines[:, 1:] < lines[:, :-1]
        edges += int(np.count_nonzero(rises)) + int(np.count_nonzero(falls))
        between = (rises[:, 1:] & rises[:, :-1]) | (falls[:, 1:] & falls[:, :-1])
        ramps += np.bincount(lines[:, 1:-1][between], minlength=count)
    return edges, tuple(ramps.tolist())


def _flat_pixels(dense: UInt[np.ndarray, "h w"], count: int) -> tuple[int, ...]:
    same = ndimage.maximum_filter(dense, 3, mode="nearest") == ndimage.minimum_filter(dense, 3, mode="nearest")
    return tuple(np.bincount(dense[same], minlength=count).tolist())


def _places(
    dense: UInt[np.ndarray, "height width"], count: int, pixels: Num[np.ndarray, "channels height width"]
) -> tuple[Place, ...]:
    height, width = dense.shape
    step = max(1, round((dense.size / _LOCATED_PIXELS) ** 0.5))
    some = dense[::step, ::step].astype(np.int32)
    gray = pixels[:, ::step, ::step].mean(0, dtype=np.float32)
    gray = np.nan_to_num(gray) if pixels.dtype.kind == "f" else gray
    median = float(np.median(gray))
    by_row, by_column = (_count_lines(lines, count) for lines in (some, some.T))
    counts = np.maximum(by_row.sum(0), 1)
    tops = np.where(by_row.any(0), (by_row > 0).argmax(0) * step, height)
    rows, columns = (
        (np.arange(len(lines)) * step / side) @ lines / counts for lines, side in ((by_row, height), (by_column, width))
    )
    brightness = np.bincount(some.ravel(), gray.ravel(), minlength=count) / counts
    return tuple(
        Place(float(row), float(column), float(top / height), float(bright), float(bright) - median)
        for row, column, top, bright in zip(rows, columns, tops, brightness, strict=True)
    )


def _count_lines(lines: Int32[np.ndarray, "lines pixels"], count: int) -> Int64[np.ndarray, "lines values"]:
    """Return how many pixels of each value are in each line."""
    index = lines + np.arange(0, len(lines) * count, count, dtype=np.int32)[:, None]
    return np.bincount(index.ravel(), minlength=len(lines) * count).reshape(len(lines), count)


def _count(values: Int64[np.ndarray, "height width"]) -> tuple[np.ndarray, np.ndarray]:
    """Return unique values and counts; small values are counted without sorting."""
    if values.size and int(values.min()) >= 0 and int(values.max()) < 1 << 20:
        counts = np.bincount(values.ravel())
        unique = np.flatnonzero(counts).astype(np.int64)
        return unique, counts[unique]
    return np.unique(values, return_counts=True)
