"""What an image looks like in a few numbers: intensities, and how fine its texture is. For telling images apart."""

import numpy as np
from jaxtyping import Float64, Num

PERCENTILES = (5, 50, 95)
SCALES = 4  # each half as fine as the one before
SIDE = 1024  # pixels: larger images are thinned out


def image_features(
    pixels: Num[np.ndarray, "channels height width"], ranges: tuple[tuple[float, float], ...]
) -> Float64[np.ndarray, " numbers"]:
    """Describe an image.

    Parameters
    ----------
    pixels : array (channels, height, width)
    ranges : ((float, float), ...)
        Per channel, the values that count as 0 and 1: those of the training images.

    Returns
    -------
    float64 array (numbers,)
        Per channel mean, spread and three percentiles; then the logarithm of the mean step between neighbouring pixels
        of the mean over the channels, at four scales.
    """
    step = max(1, -(-max(pixels.shape[1:]) // SIDE))
    thin = pixels[:, ::step, ::step].astype(np.float64)
    low, high = (np.array(ends, np.float64)[:, None, None] for ends in zip(*ranges, strict=True))
    scaled = (thin - low) / np.maximum(high - low, 1e-9)
    flat = scaled.reshape(len(scaled), -1)
    levels = np.concatenate([[flat.mean(1), flat.std(1)], np.percentile(flat, PERCENTILES, axis=1)])
    steps: list[float] = []
    gray = scaled.mean(0)
    for _ in range(SCALES):
        steps.append(float(np.log(_mean_step(gray) + 1e-4)))
        gray = _halved(gray)
    return np.concatenate([levels.T.ravel(), steps])


def _mean_step(gray: np.ndarray) -> float:
    parts = [np.abs(np.diff(gray, axis=axis)).mean() for axis in (0, 1) if gray.shape[axis] > 1]
    return float(np.mean(parts)) if parts else 0.0


def _halved(gray: np.ndarray) -> np.ndarray:
    """Average blocks of 2 x 2; an odd last row or column is left out, a side of 1 stays."""
    for axis in (0, 1):
        even = gray.shape[axis] // 2 * 2
        if even:
            kept = np.take(gray, range(even), axis=axis)
            gray = (np.take(kept, range(0, even, 2), axis=axis) + np.take(kept, range(1, even, 2), axis=axis)) / 2
    return gray
