"""Checks of input arrays: data type, axis order, pixels without data, and intensity scale."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Num

from pixelwise.errors import BadImage
from pixelwise.io.read import ReadOptions
from pixelwise.io.sample_values import to_pixels

MAX_SPACING_RATIO = 2  # of the pixel size of an image to that of the training images
MAX_RATIO = 20  # brightness relative to the training images from which a different scale is assumed


_OTHER_COLOURS = (
    "P",
    "PA",
    "CMYK",
    "YCbCr",
    "HSV",
    "LAB",
    "RGBX",
    "RGBa",
)  # Pillow modes that are not the colours shown
_AXES = {2: ("height", "width"), 3: ("depth", "height", "width")}
_SAMPLE_SIDES = {2: 256, 3: 48}  # pixels along each axis that are enough for percentiles
_KINDS = {"b": "true and false", "c": "complex numbers", "U": "texts", "S": "texts", "O": "Python objects"}


def read_array(
    image: Any, channels: int, reading: ReadOptions, nodata: float | None = None, *, dimensions: int = 2
) -> Num[np.ndarray, " channels *size"]:
    """Return what a caller hands over as an image, with the values that a file would have.

    Parameters
    ----------
    image : array_like
        An array of numbers, nested lists, or anything else that `numpy.asarray` makes one of: Pillow images, tensors.
        Masked arrays: masked pixels are without data.
    channels : int
        Of the model.
    reading : ReadOptions
        Of the model: `nodata`.
    nodata : float, optional
        Value of pixels without data; NaN for NaN and infinite values. By default that of the model.
    dimensions : {2, 3}
        Of the model: images or volumes.

    Returns
    -------
    (channels, height, width) or (channels, depth, height, width) array
        Of at most 32 bits; NaN for pixels without data.

    Raises
    ------
    BadImage
        Not numbers, no pixels, a shape that does not fit, or NaN and infinite values that are not declared as missing.

    Examples
    --------
    >>> read_array([[1, 2], [3, 4]], 1, ReadOptions()).shape
    (1, 2, 2)
    """
    array = _to_array(image, channels)
    if array.dtype.kind not in "iuf":
        got = _KINDS.get(array.dtype.kind, f"values of type {array.dtype}")
        raise BadImage("an array of gray or colour values", got, "Convert it to uint8, uint16 or float32.")
    if array.size == 0:
        raise BadImage("an image with pixels", f"shape {array.shape}", "Use another image.")
    array = channels_first(array.astype(array.dtype.newbyteorder("="), copy=False), channels, dimensions)
    if nodata is None and isinstance(image, np.ma.MaskedArray):
        nodata = np.nan
    elif nodata is None and reading.nodata not in (None, "none"):
        nodata = float(str(reading.nodata))
    try:
        return to_pixels(array, None, nodata)[0]
    except BadImage as error:
        hint = "Fill them, or declare them as missing: predict(image, nodata=float('nan'))."
        raise BadImage(error.expected, error.got, hint if "NaN" in error.got else error.hint) from None


def _to_array(image: Any, channels: int) -> np.ndarray:
    if isinstance(image, np.ma.MaskedArray):
        return np.ma.filled(image.astype(np.float32), np.nan) if np.ma.is_masked(image) else np.asarray(image)
    try:
        return np.asarray(_with_plain_colours(image, channels) if hasattr(image, "getbands") else image)
    except Exception as error:  # whatever the object does when it is asked for an array
        reason = " ".join(str(error).split())[:120]
        raise BadImage(
            "an image as an array", f"{type(image).__name__} ({reason})", "Convert it to an array."
        ) from None


def _with_plain_colours(image: Any, channels: int) -> Any:
    """Return a Pillow image in gray or RGB, without transparency unless the model has a channel for it."""
    if image.mode in _OTHER_COLOURS or (image.mode == "RGBA" and channels == 3):
        return image.convert("RGB")
    return image.convert("L") if image.mode == "LA" and channels == 1 else image


def channels_first(
    image: Num[np.ndarray, "..."], channels: int, dimensions: int = 2
) -> Num[np.ndarray, " channels *size"]:
    """Return an array as (channels, *size); a gray one is repeated if three channels are needed.

    Parameters
    ----------
    image : array
        With `dimensions` axes, or with one more for the channels, first or last.
    dimensions : {2, 3}
        Spatial axes: 2 of an image, 3 of a volume.

    Raises
    ------
    BadImage
        The shape does not fit, or both the first and the last axis could be the channels.

    Examples
    --------
    >>> channels_first(np.zeros((5, 6, 7)), 1, dimensions=3).shape
    (1, 5, 6, 7)
    """
    if image.ndim == dimensions:
        return np.broadcast_to(image, (channels, *image.shape)) if channels in (1, 3) else image[None]
    if image.ndim == dimensions + 1:
        first, last = image.shape[0] == channels, image.shape[-1] == channels
        if first and last and image.shape[0] != image.shape[1]:
            form = ", ".join(("channels", *_AXES[dimensions]))
            hint = f"Transpose it to ({form}) and use predict_pixels."
            raise BadImage("one axis of channels", f"shape {image.shape}, where the first or last axis could be", hint)
        if last and not first:
            return np.moveaxis(image, -1, 0)
        if first:
            return image
    else:
        check_axes(image.ndim - (image.ndim > 3), dimensions, image.shape)
    form = ", ".join(_AXES[dimensions])
    expected = f"({form}), ({channels}, {form}) or ({form}, {channels})"
    hint = "Reshape or transpose the array"
    if dimensions == 2:
        hint += "; a volume needs a model that was trained on volumes"
    raise BadImage(expected, f"shape {image.shape}", f"{hint}.")


def check_axes(spatial: int, dimensions: int, shape: tuple[int, ...]) -> None:
    """Raise `BadImage` for an image if the model takes volumes, and for a volume if it takes images.

    Parameters
    ----------
    spatial : int
        Spatial axes of the array.
    dimensions : {2, 3}
        Of the model.
    shape : tuple of int
        Of the array, for the message.
    """
    if dimensions == 3 and spatial == 2:
        hint = "Stack all slices of a volume into one array, or use a model that was trained on images."
        raise BadImage("a volume (depth, height, width), as in training", f"an image of shape {shape}", hint)
    if dimensions == 2 and spatial == 3:
        hint = "Predict slice by slice, or use a model that was trained on volumes."
        raise BadImage("an image (height, width), as in training", f"a volume of shape {shape}", hint)


def warn_of_scale(
    pixels: Num[np.ndarray, " channels *size"],
    trained: Sequence[tuple[float, float]],
    peaks: tuple[float, float] | None = None,
) -> tuple[str, ...]:
    """Return a warning if the values differ strongly from the range (low, high) of the training images per channel.

    `peaks` are the lowest and highest percentile 99.5 of single training images, if they are known: scans of one kind
    may differ a thousandfold.
    """
    most = _SAMPLE_SIDES[pixels.ndim - 1]
    sample = pixels[(slice(None), *(slice(None, None, max(1, side // most)) for side in pixels.shape[1:]))]
    high = max(high for _, high in trained)
    known = sample[~np.isnan(sample)] if sample.dtype.kind == "f" else sample.ravel()
    maximum = float(np.percentile(known, 99.5)) if known.size else 0.0
    least, most_known = (high, high) if peaks is None else peaks
    if most_known > 0 and not least / MAX_RATIO <= maximum <= most_known * MAX_RATIO:
        known_range = f"{high:.4g}" if peaks is None else f"{least:.4g} to {most_known:.4g}"
        return (f"Values reach {maximum:.4g} here and {known_range} in the training images: another scale?",)
    return ()


def warn_of_spacing(spacing: Sequence[float] | None, trained: Sequence[float] | None) -> tuple[str, ...]:
    """Return a warning if the pixels of an image are more than twice as large or small as those in training.

    Parameters
    ----------
    spacing, trained : sequence of float, or None
        Micrometres per pixel, (y, x); None if unknown.

    Examples
    --------
    >>> warn_of_spacing((2.0, 2.0), (0.5, 0.5))
    ('Pixels are 2 x 2 micrometres here and 0.5 x 0.5 in the training images: rescale the image.',)
    >>> warn_of_spacing((0.9, 0.9), (0.5, 0.5)), warn_of_spacing(None, (0.5, 0.5))
    ((), ())
    """
    if spacing is None or trained is None or len(spacing) != len(trained):
        return ()
    ratios = [here / there for here, there in zip(spacing, trained, strict=True)]
    if all(1 / MAX_SPACING_RATIO <= ratio <= MAX_SPACING_RATIO for ratio in ratios):
        return ()
    here, there = (" x ".join(f"{length:.4g}" for length in lengths) for lengths in (spacing, trained))
    return (f"Pixels are {here} micrometres here and {there} in the training images: rescale the image.",)
