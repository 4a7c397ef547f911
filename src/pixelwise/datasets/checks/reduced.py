"""Reduce an image and its labels to a small common size, on which whole data sets are compared."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Num, Shaped, UInt8

from pixelwise.io.images import interleave, is_interleaved
from pixelwise.labels.byte_histogram import MAX_SUMMED, sum_bytes

MAX_CLASSES = 12  # rarer classes are compared no further: their weight in a comparison is small
MEMORY = 600_000_000  # bytes of all reduced cases and their predictions together
PIXELS = 10_000_000  # of all reduced cases, if they were square: comparing them takes as long as there are pixels
MAX_SIDE, MIN_SIDE = 112, 48
_COLOURS = 3  # channels of an image that are kept
_SUMS = {"bool": np.uint8, "uint8": np.uint16}  # what the sum of less than 256 of them fits in
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_FEW = 6  # classes up to which one pass over the labels for each is faster


@dataclass(frozen=True, kw_only=True, eq=False)
class ReducedCase:
    """An image and its labels, reduced by a whole factor.

    Attributes
    ----------
    pixels : (channels, height, width) uint8
        Block means, stretched between the smallest and the largest.
    targets : (classes + 1, height, width) uint8
        The fraction of each block that is of a class, times 255; the last channel is the boundaries between labels.
    known : (height, width) bool
        Blocks without ignored pixels.
    statistics : (fields,) float32
        What the image looks like as a whole: quantiles and local contrast of each channel.
    factor : int
        Pixels of the image per block and axis.
    """

    pixels: UInt8[np.ndarray, "channels height width"]
    targets: UInt8[np.ndarray, "targets height width"]
    known: np.ndarray
    statistics: Float32[np.ndarray, " fields"]
    factor: int


def common_side(cases: int, channels: int, classes: int) -> int:
    """Return the largest side of reduced images so that all fit in `MEMORY`, with at most `PIXELS` in all."""
    planes = min(channels, _COLOURS) + 3 * (min(classes, MAX_CLASSES) + 1)  # predictions are float16
    return int(np.clip((min(MEMORY / planes, PIXELS) / max(cases, 1)) ** 0.5, MIN_SIDE, MAX_SIDE))


def reduce_case(
    pixels: Num[np.ndarray, "channels height width"], labels: np.ndarray, classes: int, ignored: np.ndarray, side: int
) -> ReducedCase:
    """Reduce an image and its labels.

    Parameters
    ----------
    pixels : (channels, height, width)
    labels : (height, width) integers
        Class indices; for objects their numbers, with `classes` 2: every number but 0 is class 1.
    classes : int
        Number of classes, with the background; class 0 has no channel of its own if there are only two.
    ignored : (height, width) bool
    side : int
        Largest side of the result, unless less than two rows or columns would remain.

    Examples
    --------
    >>> labels = np.zeros((64, 96), int)
    >>> labels[:32] = 1
    >>> case = reduce_case(labels[None] * 9.0, labels, 2, labels < 0, 32)
    >>> case.factor, case.pixels.shape, case.targets[0, :2, 0].tolist()
    (3, (1, 21, 32), [255, 255])
    """
    for axis in (0, 1):
        if labels.shape[axis] == 1:  # there is no gradient along a single row
            pixels = np.repeat(pixels, 2, axis + 1)
            labels, ignored = (np.repeat(values, 2, axis) for values in (labels, ignored))
    factor = max(1, min(-(-max(labels.shape) // side), min(labels.shape) // 2))  # of a strip two rows remain
    foreground = np.minimum(labels, 1) if classes == 2 else labels
    chosen = range(1, 2) if classes == 2 else range(min(classes, MAX_CLASSES))
    edges, all_known = boundaries(labels), not ignored.any()
    if not all_known:
        edges[ignored] = False
    shares = [*_class_shares(foreground, chosen, factor), block_means(edges, factor)]
    targets = np.stack(shares) * np.float32(255)
    view = _view(pixels[:_COLOURS], factor)
    return ReducedCase(
        pixels=_stretch(view),
        targets=(targets + 0.5).astype(np.uint8),
        known=np.ones(view.shape[1:], bool) if all_known else block_means(ignored, factor) == 0,
        statistics=_statistics(view, pixels.dtype),
        factor=factor,
    )


def boundaries(labels: Num[np.ndarray, "height width"]) -> np.ndarray:
    """Return the pixels whose right or lower neighbour has another label."""
    edges, flat = np.zeros(labels.shape, bool), np.ascontiguousarray(labels).ravel()
    np.not_equal(flat[:-1], flat[1:], out=edges.ravel()[:-1])  # in one piece, which is faster than row by row
    edges[:, -1:] = False  # its right neighbour was in the next row
    edges[:-1] |= labels[:-1] != labels[1:]
    return edges


def _class_shares(
    labels: Num[np.ndarray, "height width"], chosen: range, factor: int
) -> list[Float32[np.ndarray, "rows columns"]]:
    """Return the fraction of each block that is of each chosen class; many classes are counted in one pass."""
    if factor == 1 or len(chosen) <= _FEW:
        return [block_means(labels == index, factor) for index in chosen]
    rows, columns = labels.shape[0] // factor, labels.shape[1] // factor
    others = chosen.stop  # of classes that are not chosen
    classes = np.minimum(labels[: rows * factor, : columns * factor].astype(np.int32), others)
    classes += np.repeat(np.arange(columns, dtype=np.int32), factor) * (others + 1)
    classes += np.repeat(np.arange(rows, dtype=np.int32), factor)[:, None] * (columns * (others + 1))
    counts = np.bincount(classes.ravel(), minlength=rows * columns * (others + 1)).reshape(rows, columns, others + 1)
    return [(counts[..., index] / factor**2).astype(np.float32) for index in chosen]


def block_means(plane: Shaped[np.ndarray, "height width"], factor: int) -> Float32[np.ndarray, "rows columns"]:
    """Return the means of blocks of factor x factor pixels; incomplete blocks at the right and lower border are cut."""
    if factor == 1:
        return plane.astype(np.float32)
    rows, columns = plane.shape[0] // factor, plane.shape[1] // factor
    parts = plane[: rows * factor, : columns * factor].reshape(rows, factor, -1)
    if factor < 256 and plane.dtype.name in _SUMS:
        lines = parts.view(np.uint8).sum(1, dtype=_SUMS[plane.dtype.name]).astype(np.float32)
    else:
        lines = parts.sum(1, dtype=np.float32)
    return _sum_neighbours(lines, factor) / np.float32(factor**2)


def _sum_neighbours(
    lines: Float32[np.ndarray, "rows _"], factor: int, channels: int = 1
) -> Float32[np.ndarray, "rows _"]:
    """Return the sums of `factor` columns each, of interleaved channels; a few additions of many values are fast."""
    blocks = lines.reshape(len(lines), -1, factor, channels)
    return np.add.reduce([blocks[:, :, column] for column in range(factor)]).reshape(len(lines), -1)


def _view(
    pixels: Num[np.ndarray, "channels height width"], factor: int
) -> Float32[np.ndarray, "channels rows columns"]:
    """Return the block means of each channel; of colours as decoders return them all at once."""
    if pixels.dtype != np.uint8 or not is_interleaved(pixels) or not 1 < factor < MAX_SUMMED:
        return np.stack([block_means(channel, factor) for channel in pixels])
    channels, rows, columns = len(pixels), pixels.shape[1] // factor, pixels.shape[2] // factor
    sums = sum_bytes(interleave(pixels)[: rows * factor].reshape(rows, factor, -1))
    lines = sums[:, : columns * factor * channels].astype(np.float32)
    blocks = _sum_neighbours(lines, factor, channels).reshape(rows, columns, channels)
    return np.moveaxis(blocks / np.float32(factor**2), -1, 0)


def _stretch(view: Float32[np.ndarray, "channels height width"]) -> UInt8[np.ndarray, "channels height width"]:
    low, high = float(view.min()), float(view.max())
    return ((view - low) * (255 / max(high - low, 1e-12)) + 0.5).astype(np.uint8)


def _statistics(view: Float32[np.ndarray, "channels height width"], kind: np.dtype) -> Float32[np.ndarray, " fields"]:
    top = float(np.iinfo(kind).max) if np.issubdtype(kind, np.integer) else max(float(np.abs(view).max()), 1e-12)
    scaled = view / np.float32(top)
    colours = scaled if len(scaled) == _COLOURS else np.repeat(scaled[:1], _COLOURS, 0)
    positions = np.array(_QUANTILES) * (scaled[0].size - 1)
    below = positions.astype(int)
    above = np.minimum(below + 1, scaled[0].size - 1)
    ordered = np.sort(colours.reshape(_COLOURS, -1), axis=1)  # faster than a partition at so many places
    low, high = ordered[:, below], ordered[:, above]
    quantiles = (low + (high - low) * (positions - below)).T
    gray = scaled.mean(0)
    contrast = [np.abs(np.diff(gray, axis=axis)).mean() * 4 for axis in (0, 1)]
    return np.concatenate([quantiles.ravel(), contrast]).astype(np.float32)
