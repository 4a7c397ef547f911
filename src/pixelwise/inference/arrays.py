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
_KINDS = {"b": "true and false", "c": "complex numbers", "U": "texts", "S": "texts", "O": "Python objects"}


def read_array(
    image: Any, channels: int, reading: ReadOptions, nodata: float | None = None
) -> Num[np.ndarray, "channels height width"]:
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

    Returns
    -------
    (channels, height, width) array
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
    array = channels_first(array.astype(array.dtype.newbyteorder("="), copy=False), channels)
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


def channels_first(image: Num[np.ndarray, "..."], channels: int) -> Num[np.ndarray, "channels height width"]:
    """Return an array as (channels, height, width); a gray one is repeated if three channels are needed.

    Raises
    ------
    BadImage
        The shape does not fit, or both the first and the last axis could be the channels.
    """
    if image.ndim == 2:
        return np.broadcast_to(image, (channels, *image.shape)) if channels in (1, 3) else image[None]
    if image.ndim == 3:
        first, last = image.shape[0] == channels, image.shape[2] == channels
        if first and last and image.shape[0] != image.shape[1]:
            hint = "Transpose it to (channels, height, width) and use predict_pixels."
            raise BadImage("one axis of channels", f"shape {image.shape}, where the first or last axis could be", hint)
        if last and not first:
            return np.moveaxis(image, 2, 0)
        if first:
            return image
    expected = f"(height, width), ({channels}, height, width) or (height, width, {channels})"
    raise BadImage(expected, f"shape {image.shape}", "Reshape or transpose the array.")


def warn_of_scale(
    pixels: Num[np.ndarray, "channels height width"], trained: Sequence[tuple[float, float]]
) -> tuple[str, ...]:
    """Return a warning if the values differ strongly from the range (low, high) of the training images per channel."""
    sample = pixels[:, :: max(1, pixels.shape[1] // 256), :: max(1, pixels.shape[2] // 256)]
    high = max(high for _, high in trained)
    known = sample[~np.isnan(sample)] if sample.dtype.kind == "f" else sample.ravel()
    maximum = float(np.percentile(known, 99.5)) if known.size else 0.0
    if high > 0 and not high / MAX_RATIO <= maximum <= high * MAX_RATIO:
        return (f"Values reach {maximum:.4g} here and {high:.4g} in the training images: another scale?",)
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
