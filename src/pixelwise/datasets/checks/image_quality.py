"""Find saturated, blank and out-of-focus images, by comparison with the other images of the set."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Num

from pixelwise.labels.byte_histogram import byte_histogram, percentiles_from

_SATURATED = 0.25  # least fraction of saturated samples
_NEARLY = 0.99  # of the largest value: lossy files spread it
_CONTRAST = 0.02  # range of a blank image, as a fraction of the usual range
_FLAT = 1e-6
_BLURRED = 2.3  # pixels: sharper edges are in focus, whatever is usual
_SHARP, _UNSHARP = 0.9, 1.4  # how much wider than those of this fraction of the images edges must be
_SPREADS = 4.0  # robust standard deviations above the usual saturation
_MANY = 8  # images that make a comparison possible
_LINES = 256  # about as many rows and columns are used to count values
_WINDOW, _WINDOWS = 96, 3  # side of the windows in which edges are measured, and their number per axis
_FINE, _COARSE = 3, 9  # sides of the means before the two gradients
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
        counts = np.stack([byte_histogram(channel) for channel in some])
        low, high = np.stack([percentiles_from(each, (1.0, 99.0)) for each in counts], 1)
        bright = float(counts[:, int(np.ceil(255 * _NEARLY)) :].sum() / some.size)
    else:
        low, high = np.percentile(some.reshape(len(some), -1), (1, 99), axis=1)
        bright = float((some >= float(some.max()) * _NEARLY).mean())
    strongest = int((high - low).argmax())
    return ImageQuality(
        saturated=bright if some.max() > some.min() else 0.0,
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
    small, large = (2 * (side**2 - 1) / 12 for side in (_FINE, _COARSE))  # variances of two means over squares
    windows = _windows(channel)
    fine, coarse = _gradient(windows, _FINE), _gradient(windows, _COARSE)
    strong = np.quantile(coarse[:, ::2, ::2].reshape(len(windows), -1), _STRONG_EDGES, axis=1)
    edges = (coarse >= strong[:, None, None]) & (coarse > _FLAT)
    strength = coarse[edges]
    border = _COARSE // 2
    around = np.pad(fine, ((0, 0), (border, border), (border, border)))  # no gradient is negative
    ratio = _over_boxes(np.maximum, around, _COARSE)[edges] / strength
    if not strength.size:
        return 0.0
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


def _windows(channel: Num[np.ndarray, "height width"]) -> Float32[np.ndarray, "windows rows columns"]:
    """Return some windows, evenly spaced."""
    corners = [
        sorted({round(share * max(0, size - _WINDOW)) for share in np.linspace(0.1, 0.9, _WINDOWS)})
        for size in channel.shape
    ]
    windows = [channel[row : row + _WINDOW, column : column + _WINDOW] for row in corners[0] for column in corners[1]]
    return np.stack(windows).astype(np.float32)


def _gradient(
    windows: Float32[np.ndarray, "windows rows columns"], side: int
) -> Float32[np.ndarray, "windows rows columns"]:
    """Return the length of the gradient after two means over squares."""
    border = 2 * (side // 2) + 1
    smooth = np.pad(windows, ((0, 0), (border, border), (border, border)), "symmetric")
    for _ in range(2):
        smooth = _over_boxes(np.add, smooth, side)
    smooth /= np.float32(side**4)
    down = smooth[:, 2:, 1:-1] - smooth[:, :-2, 1:-1]
    across = smooth[:, 1:-1, 2:] - smooth[:, 1:-1, :-2]
    return np.sqrt(down * down + across * across) / 2


def _over_boxes(
    combine: np.ufunc, values: Float32[np.ndarray, "windows rows columns"], side: int
) -> Float32[np.ndarray, "windows _ _"]:
    """Return sums or maxima of squares, whose side is a power of 3: of 3 values, of 3 such results, and so on."""
    for axis in (1, 2):
        step = 1
        while step < side:
            lines = np.moveaxis(values, axis, 0)
            found = combine(lines[: -2 * step], lines[step:-step])
            combine(found, lines[2 * step :], out=found)
            values = np.moveaxis(found, 0, axis)
            step *= 3
    return values


def _middle_and_spread(values: np.ndarray) -> tuple[float, float]:
    """Return the median and the robust standard deviation."""
    if not len(values):
        return 0.0, 0.0
    middle = float(np.median(values))
    return middle, 1.4826 * float(np.median(np.abs(values - middle)))
