"""Measure the values of one mask: pixels, connected components, plateaus, place and brightness of each value."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64, Integer, Num, Shaped, UInt8

from pixelwise.datasets.records import Colour
from pixelwise.io.read import MaskImage
from pixelwise.io.sample_values import checksum
from pixelwise.labels.byte_histogram import byte_histogram
from pixelwise.labels.run_components import find_components
from pixelwise.labels.run_lengths import Runs, find_runs

MAX_VALUES = 70_000  # kept per file: more than in 16 bits
MAX_LOCATED = 300  # values whose places are measured; a mask with more values does not contain classes
WIDEST = 1 << 40  # range of values up to which plateaus are measured; wider ones are no shades, but numbers of objects
_TABLE = 1 << 20  # smaller values are numbered by a table
_WEIGHTS = np.random.default_rng(0).integers(0, 1 << 63, 1 << 15, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
_FACTOR = int(_WEIGHTS[0])
_SPECKLE = 16  # pixels: no fault of masks is about regions that are larger on average
_MEDIAN_PIXELS = 1 << 16  # pixels from which the median of an image is taken, evenly spaced


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
        Number of connected components of each value (8 neighbours); 0 for at most two values; empty if not counted.
    plateau : int
        Pixels with an intermediate value whose neighbours have nearly the same value: none along smoothed edges.
    flat : tuple of int
        Of colours: pixels of each value whose eight neighbours have the same value; else empty.
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
    volume : bool
        The mask has three axes.
    nodata : float or None
        The value of pixels without data, as the file states it.
    undeclared : bool
        Pixels are NaN, and neither the file nor the user says what that stands for.
    names : tuple of (int, str)
        Names of values that the file states.
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
    volume: bool = False
    nodata: float | None = None
    undeclared: bool = False
    names: tuple[tuple[int, str], ...] = ()


def measure_values(
    mask: MaskImage, pixels: Num[np.ndarray, "channels height width"] | None = None, *, detailed: bool = True
) -> MaskValues:
    """Measure the values of a mask.

    Parameters
    ----------
    pixels : (channels, height, width), optional
        Its image, of the same size, or the mean of its channels.
    detailed : bool
        Measure the place of each value, and count its regions even if they are large; some masks of a set are enough.
    """
    values = _packed(mask.values)
    coloured, palette = mask.values.ndim == 3, mask.palette or {}
    runs = None if values.dtype == np.uint8 else find_runs(values)
    unique, counts = _count_bytes(values) if runs is None else _count_runs(runs)
    several, several_numbers = len(unique) > 2, len(unique) > 2 and not coloured
    edges, ramps = _count_ramps(values, unique) if several_numbers else (0, ())
    located = detailed and several_numbers and pixels is not None and len(unique) <= MAX_LOCATED
    regions, places = () if several else (0,) * len(unique), ()
    if several and (detailed or coloured or _may_be_speckled(values, counts)):
        runs = find_runs(values) if runs is None else runs
        regions = _count_regions(values, runs, unique)
        if located and pixels is not None:
            places = _places(runs, _count(runs)[1], counts, pixels.mean(0, dtype=np.float32))
    return MaskValues(
        values=tuple(unique.tolist()),
        counts=tuple(counts.tolist()),
        regions=regions,
        plateau=_plateau_pixels(values, unique) if several_numbers else 0,
        coloured=coloured,
        lossy=mask.lossy,
        palette=tuple((value, palette[value]) for value in unique.tolist() if value in palette),
        digest=digest(_narrow(values, unique)),
        flat=_flat_pixels(values, unique) if coloured and len(unique) > 1 else (),
        bilevel=mask.bilevel,
        alpha=None if mask.alpha is None else measure_values(MaskImage(mask.alpha, None, mask.lossy)),
        places=places,
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
    """Return a hash of the shape, data type and values of an array: equal arrays have equal ones.

    A cyclic redundancy check of 32 bits, and 64 bits of sums of products with random odd numbers (multiply-shift
    hashing, Dietzfelbinger et al. 1997): without a copy, and other threads run meanwhile. It takes a sixth of the time
    of the SHA-256 instructions of a processor. Files that were made to collide are not recognised.
    """
    ordered = np.moveaxis(array, 0, -1) if array.ndim == 3 else array  # as decoders return the channels of an image
    content = np.ascontiguousarray(ordered).reshape(-1).view(np.uint8)
    words, total = content[: len(content) // 8 * 8].view(np.uint64), 0
    for first in range(0, len(words), len(_WEIGHTS)):
        some = words[first : first + len(_WEIGHTS)]
        total = (total * _FACTOR + int(np.dot(some, _WEIGHTS[: len(some)]))) % (1 << 64)
    return f"{array.shape}{array.dtype}{checksum(content):x}{total:x}"


def _packed(values: Num[np.ndarray, "height width *colours"]) -> Integer[np.ndarray, "height width"]:
    """Return `pack(values)` in the smallest type, which takes a fraction of the time to compare."""
    if values.ndim == 3:
        return pack(values).astype(np.int32)
    return values.astype(np.uint8) if values.dtype.kind == "b" else values


def _count_runs(runs: Runs) -> tuple[Int64[np.ndarray, " values"], Int64[np.ndarray, " values"]]:
    unique, _, counts = _count(runs)
    return unique, counts


def _count(runs: Runs) -> tuple[Int64[np.ndarray, " values"], Int64[np.ndarray, " runs"], Int64[np.ndarray, " values"]]:
    """Return the unique values, the index of the value of each run, and the pixels of each value.

    Of more than `MAX_VALUES` the highest are left out; their runs count as the last one.
    """
    numbers = runs.number
    if int(numbers.min()) >= 0 and int(numbers.max()) < _TABLE:  # without sorting
        unique = np.flatnonzero(np.bincount(numbers))
        table = np.zeros(int(unique[-1]) + 1, np.int64)
        table[unique] = np.arange(len(unique))
        index = table[numbers]
    else:
        unique, index = np.unique(numbers, return_inverse=True)
    counts = np.bincount(index, runs.stop - runs.start).astype(np.int64)[:MAX_VALUES]
    return unique[:MAX_VALUES], np.minimum(index, MAX_VALUES - 1), counts


def _count_bytes(
    values: UInt8[np.ndarray, "height width"],
) -> tuple[Int64[np.ndarray, " values"], Int64[np.ndarray, " values"]]:
    """Return the unique values, and the pixels of each."""
    counts = byte_histogram(values)
    unique = np.flatnonzero(counts)
    return unique, counts[unique]


def _count_regions(
    values: Integer[np.ndarray, "height width"], runs: Runs, unique: Int64[np.ndarray, " values"]
) -> tuple[int, ...]:
    """Return the number of connected components (8 neighbours) of each value except 0, the background."""
    found = find_components(values, runs).number
    at = np.searchsorted(unique, found[found <= unique[-1]])
    return tuple(np.bincount(at, minlength=len(unique)).tolist())


def _may_be_speckled(values: Integer[np.ndarray, "height width"], counts: Int64[np.ndarray, " values"]) -> bool:
    """Return whether values between the lowest and the highest may have regions of few pixels.

    The number of regions is at most that of runs, of which the first one of a region has no pixel of its value above.
    """
    pixels = int(counts[1:-1].sum())
    if pixels >= _SPECKLE * (len(values) + int(np.count_nonzero(values[:, 1:] != values[:, :-1]))):
        return False
    runs = find_runs(values)
    middle = (runs.start + runs.stop) // 2
    first = (runs.row == 0) | (values[runs.row - 1, middle] != runs.number)
    return pixels < _SPECKLE * int(np.count_nonzero(first))


def _narrow(values: Integer[np.ndarray, "h w"], unique: Int64[np.ndarray, " values"]) -> Integer[np.ndarray, "h w"]:
    """Return values as bytes if all fit, which takes an eighth of the time to hash."""
    bytes_fit = len(unique) and unique[0] >= 0 and unique[-1] < 1 << 8
    return values.astype(np.uint8 if bytes_fit else np.int64, copy=False)


def _plateau_pixels(values: Integer[np.ndarray, "height width"], unique: Int64[np.ndarray, " values"]) -> int:
    low, high = int(unique[0]), int(unique[-1])
    margin, step = (high - low) / 8, (high - low) / 32
    if margin < 1 or high - low > WIDEST or not ((unique > low + margin) & (unique < high - margin)).any():
        return 0
    between = (values > low + margin) & (values < high - margin)
    highest, lowest = _highest_around(values, np.maximum), _highest_around(values, np.minimum)
    spread = highest - lowest if values.dtype.kind == "u" else highest.astype(np.int64) - lowest
    return int(np.count_nonzero(between & (spread <= step)))


def _highest_around(values: Integer[np.ndarray, "h w"], choose: np.ufunc) -> Integer[np.ndarray, "h w"]:
    """Return `choose`, maximum or minimum, over 3 x 3 pixels; those outside do not count."""
    down = values.copy()
    choose(down[1:], values[:-1], out=down[1:])
    choose(down[:-1], values[1:], out=down[:-1])
    across = down.copy()
    choose(across[:, 1:], down[:, :-1], out=across[:, 1:])
    choose(across[:, :-1], down[:, 1:], out=across[:, :-1])
    return across


def _count_ramps(
    values: Integer[np.ndarray, "height width"], unique: Int64[np.ndarray, " values"]
) -> tuple[int, tuple[int, ...]]:
    edges, ramps = 0, np.zeros(len(unique), np.int64)
    flat, width = np.ascontiguousarray(values).ravel(), values.shape[1]  # in one piece, faster than row by row
    for axis, step in ((1, 1), (0, width)):
        differs = np.empty(max(flat.size - step, 0), bool)  # from the next value along the axis
        np.not_equal(flat[:-step], flat[step:], out=differs)
        if axis == 1:
            differs[width - 1 :: width] = False  # the next value is in the next row
        edges += int(np.count_nonzero(differs))
        at = np.flatnonzero(differs[:-step] & differs[step:]) + step  # also from the one before
        before, here, after = flat[at - step], flat[at], flat[at + step]
        between = here[(before < here) == (here < after)]
        ramps += np.bincount(np.minimum(np.searchsorted(unique, between), len(unique) - 1), minlength=len(unique))
    return edges, tuple(ramps.tolist())


def _flat_pixels(values: Integer[np.ndarray, "h w"], unique: Int64[np.ndarray, " values"]) -> tuple[int, ...]:
    same = values[_highest_around(values, np.maximum) == _highest_around(values, np.minimum)]
    return tuple(np.bincount(np.searchsorted(unique, same[same <= unique[-1]]), minlength=len(unique)).tolist())


def _places(
    runs: Runs,
    index: Int64[np.ndarray, " runs"],
    counts: Int64[np.ndarray, " values"],
    gray: Float32[np.ndarray, "height width"],
) -> tuple[Place, ...]:
    height, width = gray.shape
    gray = np.nan_to_num(gray) if np.isnan(gray).any() else gray
    lengths = runs.stop - runs.start
    tops = np.zeros(len(counts))
    tops[index[::-1]] = runs.row[::-1]  # the first run of each value is assigned last
    sums = np.add.reduceat(gray.ravel(), runs.row * width + runs.start)
    rows, columns, brightness = (
        np.bincount(index, weights) / counts
        for weights in (runs.row * lengths / height, (runs.start + runs.stop - 1) / 2 * lengths / width, sums)
    )
    step = max(1, round((gray.size / _MEDIAN_PIXELS) ** 0.5))
    median = float(np.median(gray[::step, ::step]))
    return tuple(
        Place(float(row), float(column), float(top / height), float(bright), float(bright) - median)
        for row, column, top, bright in zip(rows, columns, tops, brightness, strict=True)
    )
