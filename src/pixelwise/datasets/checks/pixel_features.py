"""Local features of pixels, from which a linear model predicts classes."""

from functools import cache

import numpy as np
from jaxtyping import Float32, Int64, UInt8
from scipy import ndimage

HIDDEN = 48  # random features
_SCALES = (3, 5, 9, 17)  # sides of the means, in pixels
_INPUTS = 4  # features that a random feature combines


def pixel_features(
    pixels: UInt8[np.ndarray, "channels height width"], chosen: Int64[np.ndarray, " pixels"] | None = None
) -> Float32[np.ndarray, "features pixels"]:
    """Return local features of each pixel, or of those `chosen` by their position; the last one is constant.

    Differences of means over growing squares, edges, ridges (eigenvalues of the Hessian matrix) and texture, then
    random rectified combinations of them, so that a linear model can find classes that are neither the darkest nor the
    brightest. Source of the latter: random features, Rahimi and Recht 2007 (NeurIPS).

    Examples
    --------
    >>> features = pixel_features(np.arange(192, dtype=np.uint8).reshape(1, 12, 16))
    >>> features.shape[1], bool((features[-1] == 1).all())
    (192, True)
    """
    values = pixels.astype(np.float32)
    values -= values.mean((1, 2), keepdims=True)
    values /= max(float(values.std()), 1e-6)
    planes: list[np.ndarray] = []
    for channel in values:
        finer = channel
        for side in _SCALES:
            coarser = ndimage.uniform_filter(finer, side, mode="nearest")
            planes.append(finer - coarser)
            finer = coarser
        planes.append(finer)
    gray = values.mean(0)
    for side in _SCALES[:2]:
        smooth = ndimage.uniform_filter(ndimage.uniform_filter(gray, side), side)
        rows, columns = np.asarray(np.gradient(smooth))
        planes += [np.hypot(rows, columns), *_curvatures(rows, columns)]
    planes.append(np.sqrt(np.maximum(ndimage.uniform_filter(planes[0] ** 2, _SCALES[1]), 0)))
    base = np.stack(planes).reshape(len(planes), -1)
    base /= np.maximum(base.std(1, keepdims=True), 1e-6)
    base = base if chosen is None else base[:, chosen]
    weights, offsets = _random_weights(len(base))
    count = len(base)
    features = np.ones((count + HIDDEN + 1, base.shape[1]), np.float32)
    features[:count] = base
    hidden = np.matmul(weights, base, out=features[count:-1])
    hidden += offsets
    np.maximum(hidden, 0, out=hidden)
    return features


def _curvatures(rows: np.ndarray, columns: np.ndarray) -> list[np.ndarray]:
    """Return the eigenvalues of the Hessian matrix, from the first derivatives; the smaller one first."""
    (yy, yx), (_, xx) = np.asarray(np.gradient(rows)), np.asarray(np.gradient(columns))
    middle, spread = (yy + xx) / 2, np.hypot((yy - xx) / 2, yx)
    return [middle - spread, middle + spread]


@cache
def _random_weights(inputs: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the same random weights for every image, each of a few inputs."""
    random = np.random.default_rng(inputs)
    weights = random.normal(size=(HIDDEN, inputs)) * (random.random((HIDDEN, inputs)) < _INPUTS / inputs)
    return weights.astype(np.float32), random.normal(size=(HIDDEN, 1)).astype(np.float32)
