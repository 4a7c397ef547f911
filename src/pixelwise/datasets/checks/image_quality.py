"""Find saturated, blank and out-of-focus images, by comparison with the other images of the set."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Num

from pixelwise.labels.byte_histogram import percentiles_from

_SATURATED = 0.25  # least fraction of saturated samples
_NEARLY = 0.99  # of the largest value: lossy files spread it
_CONTRAST = 0.02  # range of a blank image, as a fraction of the usual range
_FLAT = 1e-6
_BLURRED = 2.3  # pixels: sharper edges are in focus, whatever is usual
_SHARP, _UNSHARP = 0.9, 1.4  # how much wider than those of this fraction of the images edges must be
_SPREADS = 4.0  # robust standard deviations above the usual saturation
_MANY = 8  # images that make a comparison possible
_LINES = 128  # about as many rows and columns are used to count values
_WINDOW, _WINDOWS = 96, 3  # side of the windows in which edges are measured, and their number per axis
_SIDE = 3  # of the means before the fine gradient; that of those before the coarse one is its square
_STRONG_EDGES = 0.98  # quantile of the gradients that are compared


@dataclass(frozen=True, kw_only=True)
class ImageQuality:
    """Measures of one image.

    Attributes
    ----------
    saturated : float
        Fraction of samples with nearly the largest value: of the type for 8 bits, else of the image, as cameras with
        12 bits do not use all 16.
    contrast : float
        The difference of the percentiles 99 and 1, in the channel where it is largest.
    edge_width : float
        How blurred the strongest edges of that channel are: the standard deviation of the blur, in pixels. 0 without
        edges.
    """

    saturated: float
    contrast: float
    edge_width: float


def measure_quality(pixels: Num[np.ndarray, "channels height width"]) -> ImageQuality:
    """Measure one image.

    Examples
    --------
    >>> checks = np.indices((8, 8)).sum(0)[None] % 2 * 255
    >>> measure_quality(checks.astype(np.uint8)).saturated
    0.5
    """
    down, across = (max(1, size // _LINES) for size in pixels.shape[1:])
    some = pixels[:3, ::down, ::across]
    if not some.size:
        return ImageQuality(saturated=0.0, contrast=0.0, edge_width=0.0)
    if pixels.dtype == np.uint8:
        counts = np.stack([np.bincount(channel.ravel(), minlength=256) for channel in some])
        low, high = np.stack([percentiles_from(each, (1.0, 99.0)) for each in counts], 1)
        bright, several = float(counts[:, int(np.ceil(255 * _NEARLY)) :].sum() / some.size), counts.any(0).sum() > 1
    else:
        low, high = np.percentile(some.reshape(len(some), -1), (1, 99), axis=1)
        bright, several = float((some >= float(some.max()) * _NEARLY).mean()), some.max() > some.min()
    strongest = int((high - low).argmax())
    return ImageQuality(
        saturated=bright if several else 0.0,
        contrast=float((high - low)[strongest]),
        edge_width=measure_edge_width(pixels[strongest]),
    )


def measure_edge_width(channel: Num[np.ndarray, "height width"]) -> float:
    """Return how blurred the strongest edges of a channel are, as a standard deviation in pixels; 0 without edges.

    An edge of width w has a gradient in proportion to 1 / sqrt(w^2 + s^2) after a further blur s. The gradients after
    a small and a large further blur are compared at the strongest edges of some windows; their ratio gives w. It does
    not depend on contrast, and little on noise. Source: Zhuo and Sim 2011, Defocus map estimation from a single image
    (Pattern Recognition 44), with means over squares instead of Gaussians.

    Examples
    --------
    >>> from scipy import ndimage
    >>> step = np.zeros((64, 64))
    >>> step[:, 32:] = 9
    >>> blurred = ndimage.gaussian_filter(step, 3)
    >>> round(measure_edge_width(step)), round(measure_edge_width(blurred))
    (1, 3)
    """
    windows = _windows(channel)
    if not windows.size:
        return 0.0
    small, large = (2 * (side**2 - 1) / 12 for side in (_SIDE, _SIDE**2))  # variances of two means over squares
    down, across = _differences(windows)
    fine = np.sqrt(_over_blocks(_squared(down, across))) / 2 / np.float32(_SIDE**4)
    coarse = _coarse(down, across)
    strong = np.quantile(coarse.reshape(len(coarse), -1), _STRONG_EDGES, axis=1)
    edges = (coarse >= strong[:, None, None]) & (coarse > _FLAT)
    strength = coarse[edges]
    if not strength.size:
        return 0.0
    ratio = fine[edges] / strength
    squared = float(np.median(ratio[strength >= np.median(strength)])) ** 2
    return float(np.sqrt(max(0.0, (large - squared * small) / max(squared - 1, _FLAT))))


def judge_quality(measures: Sequence[ImageQuality]) -> list[tuple[int, str, str, float]]:
    """Return (index, kind, text, confidence) of the images that stand out from the set.

    Parameters
    ----------
    measures : sequence of ImageQuality
        Of all images of the set; edges are compared only in sets of at least 8.
    """
    found: list[tuple[int, str, str, float]] = []
    usual = float(np.median([one.contrast for one in measures])) if measures else 0.0
    white, spread = _middle_and_spread(np.array([one.saturated for one in measures]))
    for index, one in enumerate(measures):
        if one.contrast <= _CONTRAST * usual:
            found.append(
                (index, "blank image", f"its values differ by {one.contrast:.3g}, usually by {usual:.3g}", 0.9)
            )
        elif one.saturated >= _SATURATED and one.saturated > white + _SPREADS * max(spread, 0.02):
            text = f"{one.saturated:.0%} of its samples have the largest value, usually {white:.0%}"
            found.append((index, "saturated image", text, min(1.0, 0.5 + one.saturated)))
    if len(measures) < _MANY:
        return found
    spoilt = {index for index, *_ in found}
    widths = np.array([one.edge_width for one in measures])
    usual, limit = (
        float(np.median(widths)),
        max(_BLURRED, _UNSHARP * float(np.quantile(widths, _SHARP, method="lower"))),
    )
    for index, width in enumerate(widths.tolist()):
        if width > limit and index not in spoilt:
            text = f"its edges are blurred over {width:.1f} pixels, usually over {usual:.1f}"
            found.append((index, "out-of-focus image", text, min(1.0, width / limit - 0.5)))
    return found


def _windows(channel: Num[np.ndarray, "height width"]) -> Num[np.ndarray, "windows rows columns"]:
    """Return some windows, evenly spaced, with a border of `_SIDE` pixels; sums over them fit in their type."""
    sides = [min(_WINDOW, size) // _SIDE * _SIDE for size in channel.shape]
    if not all(sides):
        return np.zeros((0, 0, 0), np.float32)
    corners = [
        sorted({round(share * (size - side)) for share in np.linspace(0.1, 0.9, _WINDOWS)})
        for size, side in zip(channel.shape, sides, strict=True)
    ]
    windows = [channel[row : row + sides[0], column : column + sides[1]] for row in corners[0] for column in corners[1]]
    exact = np.int16 if channel.dtype == np.uint8 else np.float32
    padded = np.empty((len(windows), *(side + 2 * _SIDE for side in sides)), exact)
    for values, window in zip(padded, windows, strict=True):
        values[_SIDE:-_SIDE, _SIDE:-_SIDE] = window
    for axis in (1, 2):  # mirrored as by `numpy.pad`, which takes several times as long
        lines = np.moveaxis(padded, axis, 0)
        lines[:_SIDE], lines[-_SIDE:] = lines[2 * _SIDE - 1 : _SIDE - 1 : -1], lines[-_SIDE - 1 : -2 * _SIDE - 1 : -1]
    return padded


def _differences(windows: Num[np.ndarray, "windows rows columns"]) -> tuple[np.ndarray, np.ndarray]:
    """Return differences over two pixels, down and across, of sums over 3 x 3 pixels of sums over 3 x 3 pixels."""
    sums = windows
    for axis in (1, 1, 2, 2):
        lines = np.moveaxis(sums, axis, 0)
        found = lines[:-2] + lines[1:-1]
        found += lines[2:]
        sums = np.moveaxis(found, 0, axis)
    return sums[:, 2:, 1:-1] - sums[:, :-2, 1:-1], sums[:, 1:-1, 2:] - sums[:, 1:-1, :-2]


def _coarse(down: np.ndarray, across: np.ndarray) -> Float32[np.ndarray, "windows rows columns"]:
    """Return the length of the gradient after two means over 9 x 9 pixels, in the middle of each block of 3 x 3.

    A sum over 9 pixels is that of 3 sums over 3 pixels, and sums of differences are differences of sums. What is
    outside counts as flat.
    """
    middle, (count, rows, columns) = slice(_SIDE // 2, None, _SIDE), down.shape
    values = np.zeros((2, count, rows // _SIDE + 4, columns // _SIDE + 4), np.float32)
    values[:, :, 2:-2, 2:-2] = down[:, middle, middle], across[:, middle, middle]
    for _ in (0, 1):
        values = values[:, :, :-2] + values[:, :, 1:-1] + values[:, :, 2:]
    for _ in (0, 1):
        values = values[..., :-2] + values[..., 1:-1] + values[..., 2:]
    return np.sqrt(_squared(values[0], values[1])) / 2 / np.float32(_SIDE**8)


def _squared(down: np.ndarray, across: np.ndarray) -> Float32[np.ndarray, "windows rows columns"]:
    """Return the squared length of a gradient."""
    first, second = (part.astype(np.float32, copy=False) for part in (down, across))
    return first * first + second * second


def _over_blocks(values: Float32[np.ndarray, "windows rows columns"]) -> Float32[np.ndarray, "windows _ _"]:
    """Return the largest value in the 9 x 9 pixels around each block of 3 x 3; none is negative."""
    for axis in (1, 2):
        lines = np.moveaxis(values, axis, 0)
        blocks = np.zeros((len(lines) // _SIDE + 2, *lines.shape[1:]), np.float32)
        np.maximum(lines[::_SIDE], lines[1::_SIDE], out=blocks[1:-1])
        np.maximum(blocks[1:-1], lines[2::_SIDE], out=blocks[1:-1])
        values = np.moveaxis(np.maximum(np.maximum(blocks[:-2], blocks[1:-1]), blocks[2:]), 0, axis)
    return values


def _middle_and_spread(values: np.ndarray) -> tuple[float, float]:
    """Return the median and the robust standard deviation."""
    if not len(values):
        return 0.0, 0.0
    middle = float(np.median(values))
    return middle, 1.4826 * float(np.median(np.abs(values - middle)))
