"""Arrays as users hand them to a model: brought to (channels, height, width), and looked at for another scale."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Num

from pixelwise.errors import BadImage

STRANGE = 20  # times as bright or as dark as the training images: hardly by chance


def channels_first(image: Num[np.ndarray, "..."], channels: int) -> Num[np.ndarray, "channels height width"]:
    """Bring an array to (channels, height, width); a gray one is repeated where three channels are wanted.

    Raises
    ------
    BadImage
        The shape does not fit, or the channels could be the first axis and the last.
    """
    if image.ndim == 2:
        return np.broadcast_to(image, (channels, *image.shape)) if channels in (1, 3) else image[None]
    if image.ndim == 3:
        first, last = image.shape[0] == channels, image.shape[2] == channels
        if first and last and image.shape[0] != image.shape[1]:
            hint = "Turn the axes to (channels, height, width) and use predict_pixels."
            raise BadImage("one axis of channels", f"shape {image.shape}, where both ends could be", hint)
        if last and not first:
            return np.moveaxis(image, 2, 0)
        if first:
            return image
    expected = f"(height, width), ({channels}, height, width) or (height, width, {channels})"
    raise BadImage(expected, f"shape {image.shape}", "Bring the array into one of these shapes.")


def warn_of_scale(
    pixels: Num[np.ndarray, "channels height width"], trained: Sequence[tuple[float, float]]
) -> tuple[str, ...]:
    """Return a sentence when the values lie far from the training images' `trained` (low, high) per channel."""
    sample = pixels[:, :: max(1, pixels.shape[1] // 256), :: max(1, pixels.shape[2] // 256)]
    high = max(high for _, high in trained)
    found = float(np.percentile(sample, 99.5))
    if high > 0 and not high / STRANGE <= found <= high * STRANGE:
        return (f"Values reach {found:.4g} here and {high:.4g} in the training images: another scale?",)
    return ()
