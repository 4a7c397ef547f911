"""Validate decoded samples: finite real numbers in images, integers in masks."""

from pathlib import Path

import numpy as np
from jaxtyping import Integer, Num, Shaped, UInt8

from pixelwise.errors import BadImage

_EXACT_IN_FLOAT32 = 2**24  # float32 represents every integer up to here


def apply_palette(
    indices: Shaped[np.ndarray, "height width"], palette: UInt8[np.ndarray, "entries 3"]
) -> UInt8[np.ndarray, "3 height width"]:
    """Return the palette colours of indices; indices outside the palette are black."""
    indices = indices.astype(np.uint8) if indices.dtype.kind == "b" else indices
    colours = np.zeros((max(len(palette), int(indices.max()) + 1), 3), np.uint8)
    colours[: len(palette)] = palette
    return np.ascontiguousarray(colours.T[:, indices])


def invert(samples: Shaped[np.ndarray, "c h w"]) -> Shaped[np.ndarray, "c h w"]:
    """Invert WhiteIsZero samples; signed and float samples are returned unchanged."""
    if samples.dtype.kind == "b":
        return ~samples
    return np.iinfo(samples.dtype).max - samples if samples.dtype.kind == "u" else samples


def to_pixels(pixels: Shaped[np.ndarray, "c h w"], path: Path) -> Num[np.ndarray, "c h w"]:
    """Return pixels that training and prediction can use; raise `BadImage` for other values."""
    if pixels.dtype.kind == "b":
        return pixels.astype(np.uint8)
    if pixels.dtype.kind == "f":
        with np.errstate(over="ignore", invalid="ignore"):
            pixels = pixels.astype(np.float32, copy=False)
        _check_finite(pixels, path)
        return pixels
    if pixels.dtype.itemsize > 2:
        low, high = int(pixels.min()), int(pixels.max())
        if max(-low, high) > _EXACT_IN_FLOAT32:
            got = f"{pixels.dtype} values from {low} to {high}"
            hint = "Scale the image to 16 bits."
            raise BadImage(f"whole numbers up to {_EXACT_IN_FLOAT32}", got, hint, path)
        return pixels.astype(np.int32, copy=False)
    return pixels


def to_integers(values: Shaped[np.ndarray, "c h w"], path: Path) -> Integer[np.ndarray, "c h w"]:
    """Return mask values as integers (whole floats as int64); raise `BadImage` for fractions."""
    if values.dtype.kind == "b":
        return values.astype(np.uint8)
    if values.dtype.kind != "f":
        return values
    _check_finite(values, path)
    fractional = values[values != np.round(values)]
    if fractional.size:
        hint = "Save class or object numbers as 8- or 16-bit PNG or TIFF."
        raise BadImage("whole numbers in a mask", f"float values such as {fractional[0]:g}", hint, path)
    if np.abs(values).max() > 2**53:
        raise BadImage("class or object numbers", f"values up to {values.max():g}", "Renumber them.", path)
    return values.astype(np.int64)


def _check_finite(values: Shaped[np.ndarray, "c h w"], path: Path) -> None:
    # channel by channel: a boolean array of the whole image would need a quarter of its memory
    missing = sum(int(np.isnan(channel).sum()) for channel in values)
    infinite = sum(int(np.isinf(channel).sum()) for channel in values)
    if missing or infinite:
        got = f"{missing} NaN and {infinite} infinite values"
        raise BadImage("finite numbers", got, "Fill these pixels or crop them away.", path)
