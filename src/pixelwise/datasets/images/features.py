"""Low-dimensional image features (intensity and texture statistics) for diversity sampling."""

import numpy as np
from jaxtyping import Float64, Num

PERCENTILES = (5, 50, 95)
SCALES = 4  # each at half the resolution of the previous one
MAX_SIDE = {2: 1024, 3: 128}  # pixels: larger images and volumes are subsampled


def image_features(
    pixels: Num[np.ndarray, " channels *size"], ranges: tuple[tuple[float, float], ...]
) -> Float64[np.ndarray, " numbers"]:
    """Return a feature vector of an image or a volume.

    Parameters
    ----------
    pixels : array (channels, height, width) or (channels, depth, height, width)
    ranges : ((float, float), ...)
        Per channel, the values that are scaled to 0 and 1: those of the training images.

    Returns
    -------
    float64 array (numbers,)
        Per channel mean, standard deviation and three percentiles; then, at four scales, the logarithm of the mean
        absolute difference of neighbouring pixels of the channel mean.
    """
    axes = pixels.ndim - 1
    # of a volume each axis by itself: there are few slices
    sides = pixels.shape[1:] if axes == 3 else (max(pixels.shape[1:]),) * axes
    every = [slice(None, None, max(1, -(-side // MAX_SIDE[axes]))) for side in sides]
    subsampled = pixels[(slice(None), *every)].astype(np.float64)
    low, high = (np.array(ends, np.float64).reshape(-1, *[1] * axes) for ends in zip(*ranges, strict=True))
    scaled = (subsampled - low) / np.maximum(high - low, 1e-9)
    flat = scaled.reshape(len(scaled), -1)
    statistics = np.concatenate([[flat.mean(1), flat.std(1)], np.percentile(flat, PERCENTILES, axis=1)])
    steps: list[float] = []
    gray = scaled.mean(0)
    for _ in range(SCALES):
        steps.append(float(np.log(_mean_difference(gray) + 1e-4)))
        gray = _halved(gray)
    return np.concatenate([statistics.T.ravel(), steps])


def _mean_difference(gray: np.ndarray) -> float:
    texture = [np.abs(np.diff(gray, axis=axis)).mean() for axis in range(gray.ndim) if gray.shape[axis] > 1]
    return float(np.mean(texture)) if texture else 0.0


def _halved(gray: np.ndarray) -> np.ndarray:
    """Average blocks of 2 along each axis; drop an odd last row or column, keep a side of 1."""
    for axis in range(gray.ndim):
        even = gray.shape[axis] // 2 * 2
        if even:
            even_part = np.take(gray, range(even), axis=axis)
            gray = (
                np.take(even_part, range(0, even, 2), axis=axis) + np.take(even_part, range(1, even, 2), axis=axis)
            ) / 2
    return gray
