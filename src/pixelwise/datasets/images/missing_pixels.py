"""What single images show of their values: edges along those of the mask, and pixels without data."""

import numpy as np
from jaxtyping import Float32, Num
from scipy import ndimage

_UNMEASURED = (-999.0, -9999.0, -99999.0, -32768.0, float(np.finfo(np.float32).min))


def filled(pixels: Num[np.ndarray, " channels *space"]) -> Num[np.ndarray, " channels *space"]:
    """Return pixels with the mean of the channel instead of NaN, which stands for missing data.

    >>> filled(np.array([[[1, np.nan, 3]]], np.float32)).tolist()
    [[[1.0, 2.0, 3.0]]]
    """
    if pixels.dtype.kind != "f" or not np.isnan(pixels).any():
        return pixels
    known, space = ~np.isnan(pixels), tuple(range(1, pixels.ndim))
    count = np.maximum(known.sum(space, keepdims=True), 1)
    mean = np.where(known, pixels, 0).sum(space, keepdims=True, dtype=np.float64) / count
    return np.where(known, pixels, mean.astype(pixels.dtype))


def channel_mean(pixels: Num[np.ndarray, " channels *space"]) -> Float32[np.ndarray, "*space"]:
    """Return the mean of the channels, in which missing data are the mean of their channel.

    >>> channel_mean(np.array([[[1, 2]], [[4, 2]]], np.uint8)).tolist()
    [[2.5, 2.0]]
    """
    known = filled(pixels)
    if len(known) == 1:
        return known[0].astype(np.float32, copy=False)
    total = known[0].astype(np.float32)
    for channel in known[1:]:  # twice as fast as `mean` along the first axis
        total += channel
    total /= np.float32(len(known))
    return total


def undeclared_nodata(pixels: Num[np.ndarray, " channels *space"]) -> float | None:
    """Return the lowest value if it is one that programs write where nothing was measured, far from all others.

    >>> undeclared_nodata(np.array([[[-9999, -9999, 4, 7]]], np.int16))
    -9999.0
    >>> undeclared_nodata(np.array([[[-32768, -20000, 4, 7]]], np.int16))
    """
    if pixels.dtype.kind == "u" or not pixels.size:
        return None
    low = pixels.min()  # NaN is declared
    if float(low) not in _UNMEASURED:
        return None
    others = pixels[pixels != low].astype(np.float64)
    apart = others.size > 0 and others.min() - float(low) > others.max() - others.min()
    return float(low) if apart else None


def edge_agreement(
    pixels: Num[np.ndarray, "channels height width"], values: Num[np.ndarray, "rows columns *colours"]
) -> float:
    """Return how much stronger the edges of an image are along the edges of its mask than elsewhere.

    1 if the mask has nothing to do with the image; 0 if the sizes differ, or one of them has no edges.
    """
    if values.shape[:2] != pixels.shape[1:] or min(values.shape[:2]) < 2:
        return 0.0
    gray = ndimage.gaussian_filter(channel_mean(pixels), 1.0)
    down, across = np.gradient(gray)
    slope = np.hypot(down, across)
    marks = values.reshape(*values.shape[:2], -1).astype(np.int64) @ np.array([1, 1 << 8, 1 << 16][: values[0, 0].size])
    edges = ndimage.maximum_filter(marks, 3) != ndimage.minimum_filter(marks, 3)
    return float(slope[edges].mean() / slope.mean()) if edges.any() and slope.any() else 0.0
