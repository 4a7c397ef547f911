"""Checks of input arrays: axis order and intensity scale."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Num

from pixelwise.errors import BadImage

MAX_RATIO = 20  # brightness relative to the training images from which a different scale is assumed


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
    maximum = float(np.percentile(sample, 99.5))
    if high > 0 and not high / MAX_RATIO <= maximum <= high * MAX_RATIO:
        return (f"Values reach {maximum:.4g} here and {high:.4g} in the training images: another scale?",)
    return ()
