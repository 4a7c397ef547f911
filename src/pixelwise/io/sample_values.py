"""What decoded samples may hold: finite real numbers in an image, whole numbers in a mask."""

from pathlib import Path

import numpy as np
from jaxtyping import Integer, Num, Shaped, UInt8

from pixelwise.errors import BadImage

_EXACT_IN_FLOAT32 = 2**24  # float32 holds every whole number up to here


def coloured(
    indices: Shaped[np.ndarray, "height width"], palette: UInt8[np.ndarray, "entries 3"]
) -> UInt8[np.ndarray, "3 height width"]:
    """Look every index up in the palette; indices beyond it are black."""
    known = indices.astype(np.uint8) if indices.dtype.kind == "b" else indices
    colours = np.zeros((max(len(palette), int(known.max()) + 1), 3), np.uint8)
    colours[: len(palette)] = palette
    return np.ascontiguousarray(colours.T[:, known])


def inverted(samples: Shaped[np.ndarray, "c h w"]) -> Shaped[np.ndarray, "c h w"]:
    """Turn samples that store white as 0 round; signed and float samples have no such order and stay."""
    if samples.dtype.kind == "b":
        return ~samples
    return np.iinfo(samples.dtype).max - samples if samples.dtype.kind == "u" else samples


def usable(pixels: Shaped[np.ndarray, "c h w"], path: Path) -> Num[np.ndarray, "c h w"]:
    """Refuse values that training and prediction cannot work with."""
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


def whole_numbers(values: Shaped[np.ndarray, "c h w"], path: Path) -> Integer[np.ndarray, "c h w"]:
    """Refuse mask values that are no whole numbers; floats that are become int64."""
    if values.dtype.kind == "b":
        return values.astype(np.uint8)
    if values.dtype.kind != "f":
        return values
    _check_finite(values, path)
    odd = values[values != np.round(values)]
    if odd.size:
        hint = "Save class or object numbers as 8- or 16-bit PNG or TIFF."
        raise BadImage("whole numbers in a mask", f"float values such as {odd[0]:g}", hint, path)
    if np.abs(values).max() > 2**53:
        raise BadImage("class or object numbers", f"values up to {values.max():g}", "Renumber them.", path)
    return values.astype(np.int64)


def _check_finite(values: Shaped[np.ndarray, "c h w"], path: Path) -> None:
    """Count channel by channel: the flags of a whole image would take a quarter of its memory again."""
    missing = sum(int(np.isnan(channel).sum()) for channel in values)
    infinite = sum(int(np.isinf(channel).sum()) for channel in values)
    if missing or infinite:
        got = f"{missing} NaN and {infinite} infinite values"
        raise BadImage("finite numbers", got, "Fill these pixels or crop them away.", path)
