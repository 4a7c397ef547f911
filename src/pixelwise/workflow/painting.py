"""Conversion of images and masks to 8-bit RGB for display."""

from collections.abc import Sequence

import numpy as np

from pixelwise.datasets.images.missing_pixels import filled
from pixelwise.labels.targets import IGNORE


def stretch(pixels: np.ndarray) -> np.ndarray:
    """Rescale (channels, height, width) to 8-bit RGB (height, width, 3) between the percentiles 0.5 and 99.5.

    The first three channels are shown; fewer than three are shown as grey.

    >>> stretch(np.array([[[0, 50, 100]]]))[0, :, 0]
    array([  0, 127, 255], dtype=uint8)
    """
    pixels = filled(pixels)
    shown = (pixels[:3] if len(pixels) >= 3 else pixels[:1]).astype(np.float32)
    low, high = np.percentile(shown, (0.5, 99.5))
    return to_rgb(shown, (float(low), float(high)))


def to_rgb(pixels: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """Return the first three channels, or the first as grey, as 8-bit RGB (height, width, 3) between two limits."""
    low, high = limits
    view = pixels[:3].astype(np.float32) if len(pixels) >= 3 else np.repeat(pixels[:1], 3, 0).astype(np.float32)
    scaled = np.clip((view - low) / max(float(high - low), 1e-6), 0, 1) * 255
    return np.moveaxis(scaled, 0, -1).astype(np.uint8)


def colour(labels: np.ndarray, colours: Sequence[tuple[int, int, int]], *, objects: bool) -> np.ndarray:
    """Colour a class map with the class colours, or each object with a random one; ignored pixels are mid-grey."""
    if objects:
        table = np.random.default_rng(7).integers(90, 256, (int(labels.max(initial=0)) + 1, 3))
        table[0] = 0
        return table[np.maximum(labels, 0)].astype(np.uint8)
    table = np.zeros((256, 3), np.uint8)
    table[: len(colours)] = np.array(colours, np.uint8)
    table[IGNORE] = 128
    return table[labels]
