"""The kind of an image: gray or in colour, on a dark or a bright background, as microscopes and cameras differ."""

import numpy as np
from jaxtyping import Num

_SIDE = 128  # pixels: larger images are subsampled
_ENDS = (1.0, 99.0)  # percentiles that stand for the darkest and the brightest values
_DARK, _BRIGHT = 0.35, 0.65  # of the median between these; photographs often lie in between
_COLOURFUL = 0.1  # mean difference of the channels of a pixel, as a fraction of the range


def image_kind(pixels: Num[np.ndarray, " channels *size"]) -> str:
    """Return the kind of an image, in words, or "" if it has none.

    Parameters
    ----------
    pixels : array (channels, height, width)
        Of any type. Volumes, and images with neither one nor three channels, have no kind, nor have images whose median
        is neither dark nor bright.

    Examples
    --------
    >>> dark = np.zeros((1, 8, 8), np.uint8)
    >>> dark[0, 2:4, 2:4] = 200
    >>> image_kind(dark), image_kind(255 - dark), image_kind(np.repeat(dark, 3, 0))
    ('gray on dark', 'gray on bright', 'gray on dark')
    >>> image_kind(np.stack([255 - dark[0], 200 - dark[0], 255 - dark[0] // 2]))
    'colour on bright'
    """
    if pixels.ndim != 3 or len(pixels) not in (1, 3):
        return ""
    every = tuple(slice(None, None, max(1, side // _SIDE)) for side in pixels.shape[1:])
    values = pixels[(slice(None), *every)].astype(np.float64).reshape(len(pixels), -1)
    values = values[:, np.isfinite(values).all(0)]
    if not values.size:
        return ""
    low, high = np.percentile(values, _ENDS)
    if high <= low:
        return ""
    scaled = (values - low) / (high - low)
    middle = float(np.median(scaled))
    if _DARK <= middle <= _BRIGHT:
        return ""
    ground = "dark" if middle < _DARK else "bright"
    colour = "colour" if float(np.ptp(scaled, axis=0).mean()) > _COLOURFUL else "gray"
    return f"{colour} on {ground}"
