"""Resampling of volumes to another spacing and back, along each axis.

As in nnU-Net (Isensee et al. 2021, doi 10.1038/s41592-020-01008-z, supplementary note 4): images by cubic splines,
labels and logits linearly, labels as one map per class. Slices that are far apart are not interpolated: along such a
coarse axis the nearest one is taken. Centres of voxels are at (index + 1/2) / size, values beyond the border are those
of the border.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float32, Integer, Num
from scipy import ndimage

from pixelwise.errors import BadOption
from pixelwise.geometry.layer_graph import Span

ANISOTROPY = 3.0  # ratio of the largest voxel side to the others above which an axis is coarse (nnU-Net)
PADDING = 12  # voxels repeated beyond the border before the spline filter, whose response then has vanished
MAX_MAPS = 64  # classes of a label array that are resampled as maps; more are objects, which take the nearest voxel


def resampled_shape(shape: Sequence[int], spacing: Sequence[float], target: Sequence[float]) -> tuple[int, ...]:
    """Return the size of an array of `shape` and `spacing` at the spacing `target`, at least 1 along each axis.

    Raises
    ------
    BadOption
        The numbers of axes differ, or a spacing is not positive.

    Examples
    --------
    >>> resampled_shape((20, 100, 100), (3.0, 1.0, 1.0), (3.0, 2.0, 2.0))
    (20, 50, 50)
    """
    if not len(shape) == len(spacing) == len(target) or min(*spacing, *target) <= 0:
        got = f"shape {tuple(shape)}, spacing {tuple(spacing)}, target {tuple(target)}"
        raise BadOption("a positive spacing for each axis", got, "Set patches.spacing to one number per axis.")
    return tuple(max(1, round(n * s / t)) for n, s, t in zip(shape, spacing, target, strict=True))


def coarse_axis(spacing: Sequence[float]) -> int | None:
    """Return the axis whose spacing is more than `ANISOTROPY` times the largest of the others, if there is one.

    Examples
    --------
    >>> coarse_axis((5.0, 1.0, 1.2)), coarse_axis((2.0, 1.0, 1.0))
    (0, None)
    """
    axis = int(np.argmax(spacing))
    others = [side for place, side in enumerate(spacing) if place != axis]
    return axis if others and spacing[axis] > ANISOTROPY * max(others) else None


def resample_image(
    image: Num[np.ndarray, "channels *size"], shape: Sequence[int], coarse: int | None = None
) -> Float32[np.ndarray, "channels *new_size"]:
    """Resample an image by cubic splines.

    Parameters
    ----------
    image : array (channels, *size)
        Any dtype; NaN, which stands for missing data, is interpolated as 0.
    shape : sequence of int
        New size of each axis.
    coarse : int, optional
        Axis along which the nearest slice is taken (`coarse_axis`).

    Examples
    --------
    >>> resample_image(np.full((1, 2, 4, 4), 7, np.int16), (2, 6, 6)).shape
    (1, 2, 6, 6)
    """
    shape = tuple(shape)
    if image.shape[1:] == shape:
        return image.astype(np.float32, copy=False)
    return np.stack([_cubic(channel, shape, coarse) for channel in image])


def resample_labels(
    labels: Integer[np.ndarray, "*size"], shape: Sequence[int], coarse: int | None = None
) -> Integer[np.ndarray, "*new_size"]:
    """Resample labels: the class whose linearly interpolated map is largest; the nearest voxel for many objects.

    Parameters
    ----------
    labels : integer array (*size)
    shape, coarse
        As for `resample_image`.

    Examples
    --------
    >>> resample_labels(np.array([0, 0, 3, 3]), (8,)).tolist()
    [0, 0, 0, 0, 3, 3, 3, 3]
    """
    shape = tuple(shape)
    if labels.shape == shape:
        return labels
    present = np.unique(labels)
    if len(present) > MAX_MAPS:
        return _linear(labels, shape, nearest=range(labels.ndim))
    result = np.full(shape, present[0], labels.dtype)
    best = np.full(shape, -1.0, np.float32)
    for value in present.tolist():
        share = _linear((labels == value).astype(np.float32), shape, nearest=() if coarse is None else (coarse,))
        better = share > best
        result[better], best[better] = value, share[better]
    return result


def resample_logits(
    logits: Float[np.ndarray, "channels *size"], shape: Sequence[int], coarse: int | None = None
) -> Float[np.ndarray, "channels *new_size"]:
    """Resample logits linearly, in their dtype.

    Parameters
    ----------
    logits : float array (channels, *size)
    shape, coarse
        As for `resample_image`.

    Examples
    --------
    >>> resample_logits(np.array([[0.0, 1.0]], np.float32), (4,)).tolist()
    [[0.0, 0.25, 0.75, 1.0]]
    """
    shape = tuple(shape)
    if logits.shape[1:] == shape:
        return logits
    nearest = () if coarse is None else (coarse,)
    return np.stack([_linear(channel, shape, nearest=nearest) for channel in logits])


def spans_to_read(
    size: Sequence[int], shape: Sequence[int], window: Sequence[Span], coarse: int | None, *, cubic: bool
) -> tuple[Span, ...]:
    """Return the part of an array of `size` that determines a window of the array resampled to `shape`.

    Parameters
    ----------
    size, shape : sequence of int
        Before and after.
    window : sequence of (start, stop)
        In the resampled array.
    coarse : int, optional
        As for `resample_image`.
    cubic : bool
        For images; else for logits.

    Examples
    --------
    >>> spans_to_read((100,), (50,), ((10, 20),), None, cubic=False)
    ((20, 40),)
    """
    spans: list[Span] = []
    for axis, (before, after, span) in enumerate(zip(size, shape, window, strict=True)):
        places = np.clip(_places(before, after, span)[[0, -1]], 0, before - 1)
        first, last = int(np.floor(places[0])), int(np.floor(places[1])) + 1
        if axis == coarse:
            first, last = (int(np.floor(place + 0.5)) for place in places)
        elif cubic:
            first, last = first - 1 - PADDING, last + 1 + PADDING
        else:
            first = min(first, before - 2)  # the last voxel is interpolated from the one before it too
        spans.append(span if before == after else (max(0, first), min(before, last + 1)))
    return tuple(spans)


def resample_image_window(
    part: Num[np.ndarray, " channels *part"],
    spans: Sequence[Span],
    size: Sequence[int],
    shape: Sequence[int],
    window: Sequence[Span],
    coarse: int | None = None,
) -> Float32[np.ndarray, " channels *window"]:
    """Return a window of `resample_image(image, shape, coarse)`, to the rounding of float32.

    Parameters
    ----------
    part : array (channels, *part)
        Of an image of `size`: what is at `spans`, those of `spans_to_read`.
    size, shape, window, coarse
        As for `spans_to_read`.

    Examples
    --------
    >>> image = np.arange(40, dtype=np.float32).reshape(1, 40)
    >>> spans = spans_to_read((40,), (20,), ((5, 8),), None, cubic=True)
    >>> part = image[:, slice(*spans[0])]
    >>> np.allclose(resample_image_window(part, spans, (40,), (20,), ((5, 8),)), resample_image(image, (20,))[:, 5:8])
    True
    """
    values = np.nan_to_num(part.astype(np.float32), copy=False, nan=0.0)
    for axis, (before, after, span) in enumerate(zip(size, shape, window, strict=True)):
        places, first = _places(before, after, span), spans[axis][0]
        if before == after:
            continue
        if axis == coarse:
            values = _nearest_axis(values, axis + 1, places, before, first)
        else:
            values = _cubic_axis(values, axis + 1, places, first)
    return values


def resample_logits_window(
    part: Float[np.ndarray, " channels *part"],
    spans: Sequence[Span],
    size: Sequence[int],
    shape: Sequence[int],
    window: Sequence[Span],
    coarse: int | None = None,
) -> Float[np.ndarray, " channels *window"]:
    """Return a window of `resample_logits(logits, shape, coarse)`; parameters are those of `resample_image_window`.

    Examples
    --------
    >>> resample_logits_window(np.array([[0.0, 1.0]]), ((3, 5),), (9,), (18,), ((7, 9),)).tolist()
    [[0.25, 0.75]]
    """
    for axis, (before, after, span) in enumerate(zip(size, shape, window, strict=True)):
        if before != after:
            change = _nearest_axis if axis == coarse else _linear_axis
            part = change(part, axis + 1, _places(before, after, span), before, spans[axis][0])
    return part


def _cubic(channel: np.ndarray, shape: tuple[int, ...], coarse: int | None) -> np.ndarray:
    """Interpolate by cubic splines, one axis after the other, and by the nearest voxel along `coarse`."""
    values = np.nan_to_num(channel.astype(np.float32), copy=False, nan=0.0)
    if coarse is not None:
        partly = tuple(shape[axis] if axis == coarse else side for axis, side in enumerate(values.shape))
        values = _linear(values, partly, nearest=(coarse,))
    for axis, (before, after) in enumerate(zip(values.shape, shape, strict=True)):
        if before != after:
            values = _cubic_axis(values, axis, _places(before, after))
    return values


def _cubic_axis(values: np.ndarray, axis: int, places: np.ndarray, first: int = 0) -> np.ndarray:
    """Interpolate along one axis: that of `scipy.ndimage.zoom`, which would evaluate 64 coefficients per voxel.

    `values` begin at `first` of the axis.
    """
    border = [(PADDING, PADDING) if place == axis else (0, 0) for place in range(values.ndim)]
    padded = np.pad(values, border, mode="edge")
    coefficients = np.asarray(ndimage.spline_filter1d(padded, 3, axis, np.float32, mode="mirror"))  # type: ignore[arg-type]
    places = places + (PADDING - first)
    low = np.floor(places).astype(np.int64)
    t = places - low
    weights = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    result = np.zeros((), np.float32)
    for offset, weight in enumerate(weights, -1):
        column = (weight / 6).astype(np.float32).reshape(-1, *(1,) * (values.ndim - 1 - axis))
        result = result + coefficients.take(low + offset, axis=axis) * column
    return result


def _places(before: int, after: int, span: Span | None = None) -> np.ndarray:
    """Return the positions of `after` voxels, or of some of them, on an axis of `before` voxels of the same length."""
    return (np.arange(*(span or (0, after))) + 0.5) * (before / after) - 0.5


def _nearest_axis(values: np.ndarray, axis: int, places: np.ndarray, before: int, first: int = 0) -> np.ndarray:
    """Take the nearest voxels of an axis of `before` voxels, of which `values` begin at `first`."""
    return values.take(np.clip(np.floor(places + 0.5).astype(np.int64), 0, before - 1) - first, axis=axis)


def _linear_axis(values: np.ndarray, axis: int, places: np.ndarray, before: int, first: int = 0) -> np.ndarray:
    """Interpolate linearly along an axis of `before` voxels, of which `values` begin at `first`."""
    places = np.clip(places, 0, before - 1)
    low = np.minimum(places.astype(np.int64), max(0, before - 2))
    weights = (places - low).astype(values.dtype).reshape(-1, *(1,) * (values.ndim - 1 - axis))
    lower = values.take(low - first, axis=axis)
    return lower + (values.take(np.minimum(low + 1, before - 1) - first, axis=axis) - lower) * weights


def _linear(values: np.ndarray, shape: tuple[int, ...], nearest: Sequence[int]) -> np.ndarray:
    """Interpolate linearly, one axis after the other, and by the nearest voxel along the axes in `nearest`."""
    for axis, (before, after) in enumerate(zip(values.shape, shape, strict=True)):
        if before != after:
            change = _nearest_axis if axis in nearest else _linear_axis
            values = change(values, axis, _places(before, after), before)
    return values
