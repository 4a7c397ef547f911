"""Images whose channels are next to each other in memory, as decoders return them."""

import numpy as np
from jaxtyping import Shaped


def is_interleaved(pixels: Shaped[np.ndarray, "channels height width"]) -> bool:
    """Return whether the channels of a pixel are next to each other in memory.

    >>> image = np.zeros((4, 5, 3), np.uint8)
    >>> is_interleaved(image.transpose(2, 0, 1)), is_interleaved(np.zeros((3, 4, 5)))
    (True, False)
    """
    return pixels.ndim == 3 and np.moveaxis(pixels, 0, -1).flags.c_contiguous


def interleave(pixels: Shaped[np.ndarray, "channels height width"]) -> Shaped[np.ndarray, "height width channels"]:
    """Return pixels with the channels on the last axis, next to each other in memory; without a copy if they are so.

    >>> interleave(np.array([[[1, 2]], [[3, 4]]])).ravel().tolist()
    [1, 3, 2, 4]
    """
    return np.ascontiguousarray(np.moveaxis(pixels, 0, -1))
