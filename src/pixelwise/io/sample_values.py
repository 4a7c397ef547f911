"""Validate decoded samples: finite real numbers in images, integers in masks."""

from itertools import count, islice
from pathlib import Path
from typing import Literal

import imagecodecs
import numpy as np
from jaxtyping import Bool, Int64, Integer, Num, Shaped, UInt8

from pixelwise.errors import BadImage

MISSING = -1  # what NaN is in a mask: no number of a class or an object
_EXACT_IN_FLOAT32 = 2**24  # float32 represents every integer up to here
_NO_MEASUREMENT = 1e30  # larger numbers are no measurement, whatever the unit
_ROUNDED = 1e-4  # largest distance of a mask value from a whole number: what float32 and a scale leave of one
_TRANSLUCENT = 0.1  # largest fraction of pixels of transparency that are neither opaque nor transparent


def apply_palette(
    indices: Shaped[np.ndarray, "height width"], palette: UInt8[np.ndarray, "entries 3"]
) -> UInt8[np.ndarray, "3 height width"]:
    """Return the palette colours of indices; indices outside the palette are black."""
    indices = indices.astype(np.uint8) if indices.dtype.kind == "b" else indices
    colours = np.zeros((max(len(palette), int(indices.max()) + 1), 3), np.uint8)
    colours[: len(palette)] = palette
    return np.ascontiguousarray(colours.T[:, indices])


def invert(samples: Shaped[np.ndarray, " c *size"]) -> Shaped[np.ndarray, " c *size"]:
    """Invert WhiteIsZero samples; signed and float samples are returned unchanged."""
    if samples.dtype.kind == "b":
        return ~samples
    return np.iinfo(samples.dtype).max - samples if samples.dtype.kind == "u" else samples


def alpha_kind(alpha: Shaped[np.ndarray, "height width"]) -> Literal["constant", "transparency", "data"]:
    """Return what a channel that a file declares as transparency contains.

    Transparency is fully opaque or fully transparent except along edges. A channel with other values nearly everywhere
    is data: programs declare the fourth of four channels as alpha whatever it is.

    >>> alpha_kind(np.array([[0] * 10 + [128] + [255] * 20], np.uint8))
    'transparency'
    >>> alpha_kind(np.arange(16, dtype=np.uint8)[None])
    'data'
    """
    low, high = alpha.min(), alpha.max()
    if low == high:
        return "constant"
    opaque = np.iinfo(alpha.dtype).max if alpha.dtype.kind == "u" else 1
    between = np.count_nonzero((alpha != 0) & (alpha != opaque)) / alpha.size
    return "data" if between > _TRANSLUCENT or high < opaque else "transparency"


def to_pixels(
    pixels: Shaped[np.ndarray, " c *space"], path: Path | None, nodata: float | None = None
) -> tuple[Num[np.ndarray, " c *space"], float]:
    """Return pixels that training and prediction can use, and the fraction of missing samples.

    Parameters
    ----------
    pixels : (channels, height, width) or (channels, depth, height, width) array
    path : Path or None
        For messages.
    nodata : float, optional
        Value of pixels without a measurement: of float samples each by itself, of integer pixels if all channels have
        it. NaN samples are then missing too, and infinite ones if it is NaN. With missing samples the result is
        float32, and NaN where they are.

    Raises
    ------
    BadImage
        Complex, NaN or infinite values; whole numbers that float32 cannot represent exactly.
    """
    if pixels.dtype.kind == "b":
        return pixels.astype(np.uint8), 0.0
    missing = None if nodata is None else _missing(pixels, nodata)
    if pixels.dtype.kind == "f":
        _check_range(pixels, missing, path)
        with np.errstate(over="ignore", invalid="ignore"):
            pixels = pixels.astype(np.float32, copy=False)
    if missing is not None and missing.any():
        known = np.where(missing, pixels.dtype.type(0), pixels)
        _check_values(known, path)
        return np.where(missing, np.float32(np.nan), known.astype(np.float32)), float(missing.mean())
    _check_values(pixels, path)
    return pixels.astype(
        np.int32, copy=False
    ) if pixels.dtype.kind in "iu" and pixels.dtype.itemsize > 2 else pixels, 0.0


def _check_range(pixels: Shaped[np.ndarray, " c *size"], missing: np.ndarray | None, path: Path | None) -> None:
    """Raise `BadImage` for finite values of 64 bits that float32 cannot hold, except those of missing pixels."""
    if pixels.dtype.itemsize <= 4:
        return
    beyond = np.isfinite(pixels) & (np.abs(pixels) > np.finfo(np.float32).max)
    if missing is not None:
        beyond &= ~missing
    if beyond.any():
        got = f"{int(beyond.sum())} values up to {float(np.abs(pixels[beyond]).max()):.3g}"
        raise BadImage("values that float32 holds, up to 3.4e38", got, "Rescale the image, or declare --nodata.", path)


def checksum(samples: UInt8[np.ndarray, " bytes"]) -> int:
    """Return the cyclic redundancy check of 32 bits, in a tenth of the time of zlib.

    >>> checksum(np.frombuffer(b"123456789", np.uint8)) == 0xCBF43926
    True
    """
    return imagecodecs.deflate_crc32(samples)  # pyright: ignore[reportArgumentType]  # takes any buffer


def mark_missing(
    pixels: Num[np.ndarray, "c h w"], mask: Integer[np.ndarray, "h w"], value: int
) -> Integer[np.ndarray, "h w"]:
    """Return a mask with `value` where no channel of `to_pixels` has a measurement.

    >>> mark_missing(np.array([[[np.nan, 1.0]]]), np.array([[1, 1]], np.uint8), 255)
    array([[255,   1]], dtype=uint8)
    """
    missing = np.isnan(pixels).all(0) if pixels.dtype.kind == "f" else np.zeros(mask.shape, bool)
    return np.where(missing, mask.dtype.type(value), mask) if missing.any() else mask


def _missing(pixels: Shaped[np.ndarray, " c *space"], nodata: float) -> Bool[np.ndarray, " c *space"] | None:
    if pixels.dtype.kind == "f":
        if np.isnan(nodata):
            return ~np.isfinite(pixels)
        if abs(nodata) > _NO_MEASUREMENT:  # the lowest number of a type, written with some of its digits
            return (np.sign(pixels) * np.sign(nodata) * np.abs(pixels) > _NO_MEASUREMENT) | np.isnan(pixels)
        return (pixels == pixels.dtype.type(nodata)) | np.isnan(pixels)
    limits = np.iinfo(pixels.dtype)
    if np.isnan(nodata) or nodata != round(nodata) or not limits.min <= nodata <= limits.max:
        return None
    return np.broadcast_to((pixels == pixels.dtype.type(nodata)).all(0), pixels.shape)


def _check_values(pixels: Shaped[np.ndarray, " c *space"], path: Path | None) -> None:
    if pixels.dtype.kind == "f":
        _check_finite(pixels, path)
    elif pixels.dtype.itemsize > 2:
        low, high = int(pixels.min()), int(pixels.max())
        if max(-low, high) > _EXACT_IN_FLOAT32:
            got = f"{pixels.dtype} values from {low} to {high}"
            hint = "Scale the image to 16 bits."
            raise BadImage(f"whole numbers up to {_EXACT_IN_FLOAT32}", got, hint, path)


def number_missing(
    samples: Shaped[np.ndarray, " c *space"], path: Path
) -> tuple[Shaped[np.ndarray, " c *space"], float]:
    """Return mask samples with `MISSING` instead of NaN, and the fraction of them.

    Raises
    ------
    BadImage
        `MISSING` is a value of the mask too.

    Examples
    --------
    >>> number_missing(np.array([[[0, 1, np.nan, 1]]]), Path("a.tif"))
    (array([[[ 0.,  1., -1.,  1.]]]), 0.25)
    """
    if samples.dtype.kind != "f" or not (missing := np.isnan(samples)).any():
        return samples, 0.0
    if (samples == MISSING).any():
        hint = "Save one of them as another number."
        raise BadImage(f"NaN or {MISSING} for pixels without data", f"NaN and {MISSING}", hint, path)
    return np.where(missing, samples.dtype.type(MISSING), samples), float(missing.mean())


def to_integers(values: Shaped[np.ndarray, " c *space"], path: Path) -> Integer[np.ndarray, " c *space"]:
    """Return mask values as integers (whole floats as int64, up to rounding); raise `BadImage` for fractions."""
    if values.dtype.kind == "b":
        return values.astype(np.uint8)
    if values.dtype == np.uint64 and values.max(initial=0) > np.iinfo(np.int64).max:
        return _renumber_largest(values)
    if values.dtype.kind != "f":
        return values.view(values.dtype.str)  # int64, where a library calls it `long long`
    _check_finite(values, path)
    whole = np.round(values)
    fractional = values[np.abs(values - whole) > _ROUNDED]
    if fractional.size:
        hint = "Save class or object numbers as 8- or 16-bit PNG or TIFF."
        raise BadImage("whole numbers in a mask", f"float values such as {fractional[0]:g}", hint, path)
    if np.abs(values).max() > 2**53:
        raise BadImage("class or object numbers", f"values up to {values.max():g}", "Renumber them.", path)
    return whole.astype(np.int64)


def _renumber_largest(values: Shaped[np.ndarray, " c *space"]) -> Integer[np.ndarray, " c *space"]:
    """Return uint64 values as int64; those that do not fit become unused numbers, the same for equal values."""
    large = values > np.iinfo(np.int64).max
    unique, inverse = np.unique(values[large], return_inverse=True)
    used = set(np.unique(values[~large]).tolist())
    unused = (number for number in count(1 << 62) if number not in used)
    numbers = np.fromiter(islice(unused, len(unique)), np.int64, len(unique))
    renumbered = np.where(large, 0, values).astype(np.int64)
    renumbered[large] = numbers[inverse]
    return renumbered


def _check_finite(values: Shaped[np.ndarray, " c *space"], path: Path | None) -> None:
    # channel by channel: a boolean array of the whole image would need a quarter of its memory
    missing = sum(int(np.isnan(channel).sum()) for channel in values)
    infinite = sum(int(np.isinf(channel).sum()) for channel in values)
    if missing or infinite:
        got = f"{missing} NaN and {infinite} infinite values"
        hint = "Fill these pixels or crop them away; if they are pixels without data, declare them with --nodata nan."
        raise BadImage("finite numbers", got, hint, path)


def one_hot_numbers(
    values: Integer[np.ndarray, "channels *space"],
) -> Int64[np.ndarray, "*space"] | None:
    """Return class numbers of masks with a channel per class: 1 for the first, 0 where no channel is set.

    None unless each channel has at most one value besides 0, and no pixel is set in two channels.

    >>> one_hot_numbers(np.array([[[0, 1]], [[0, 0]], [[0, 0]], [[1, 0]]])).tolist()
    [[4, 1]]
    """
    marks = values != 0
    if any(len(np.unique(channel[mark])) > 1 for channel, mark in zip(values, marks, strict=True)):
        return None
    if int(marks.sum(0).max(initial=0)) > 1 or not marks.any():
        return None
    return np.where(marks.any(0), marks.argmax(0) + 1, 0)
