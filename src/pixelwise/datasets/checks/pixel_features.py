"""Local features of pixels, from which a linear model predicts classes."""

from functools import cache

import numpy as np
from jaxtyping import Float32, UInt8

HIDDEN = 48  # random features
_SCALES = (3, 5, 9, 17)  # sides of the means, in pixels
_OF_GRAY = 7  # features of the mean of the channels
_INPUTS = 4  # features that a random feature combines


def pixel_features(
    images: UInt8[np.ndarray, "images channels height width"], step: int = 1
) -> Float32[np.ndarray, "images features pixels"]:
    """Return local features of each `step`-th pixel of some images; the last feature is constant.

    Differences of means over growing squares, edges, ridges (eigenvalues of the Hessian matrix) and texture, then
    random rectified combinations of them, so that a linear model can find classes that are neither the darkest nor the
    brightest. Source of the latter: random features, Rahimi and Recht 2007 (NeurIPS).

    Examples
    --------
    >>> features = pixel_features(np.arange(192, dtype=np.uint8).reshape(1, 1, 12, 16))
    >>> features.shape[2], bool((features[0, -1] == 1).all())
    (192, True)
    """
    values = images.astype(np.float32)
    values -= values.mean((2, 3), keepdims=True)
    values /= np.maximum(values.std((1, 2, 3), keepdims=True), 1e-6)
    count = values.shape[1] * (len(_SCALES) + 1) + _OF_GRAY
    pixels = values[0, 0].size
    features = np.empty((len(values), count + HIDDEN + 1, -(-pixels // step)), np.float32)
    if step == 1:
        _base_features(values, features[:, :count].reshape(len(values), count, *values.shape[2:]))
    else:
        base = np.empty((len(values), count, *values.shape[2:]), np.float32)
        _base_features(values, base)
        features[:, :count] = base.reshape(len(values), count, pixels)[:, :, ::step]
    weights, offsets = _random_weights(count)
    hidden = np.matmul(weights, features[:, :count], out=features[:, count:-1])
    hidden += offsets
    np.maximum(hidden, 0, out=hidden)
    features[:, -1] = 1
    return features


def _base_features(
    values: Float32[np.ndarray, "images channels height width"],
    out: Float32[np.ndarray, "images features height width"],
) -> None:
    """Write the features that are no combinations of others, each of standard deviation 1."""
    by_channel = out[:, :-_OF_GRAY].reshape(*values.shape[:2], -1, *values.shape[2:])
    finer = values
    for number, side in enumerate(_SCALES):
        coarser = means_over_squares(finer, side)
        np.subtract(finer, coarser, out=by_channel[:, :, number])
        finer = coarser
    by_channel[:, :, -1] = finer
    gray = values.mean(1)
    for number, side in enumerate(_SCALES[:2]):
        smooth = means_over_squares(means_over_squares(gray, side), side)
        rows, columns = np.gradient(smooth, axis=(1, 2))
        first = 3 * number - _OF_GRAY
        np.hypot(rows, columns, out=out[:, first])
        out[:, first + 1], out[:, first + 2] = _curvatures(rows, columns)
    np.sqrt(means_over_squares(out[:, 0] ** 2, _SCALES[1]), out=out[:, -1])
    out /= np.maximum(out.std((2, 3), keepdims=True), 1e-6)


def means_over_squares(
    values: Float32[np.ndarray, "*planes height width"], side: int
) -> Float32[np.ndarray, "*planes height width"]:
    """Return the means over squares of a side of 3, 5, 9 or 17, with the pixels at the border repeated outside.

    Sums of 2, 4, 8, ... pixels are those of two such sums, which is faster than one filter after the other.

    Examples
    --------
    >>> means_over_squares(np.array([[[0, 3, 0, 3]]], np.float32), 3).tolist()
    [[[1.0, 1.0, 2.0, 2.0]]]
    """
    half = side // 2
    padded = np.empty((*values.shape[:-2], values.shape[-2] + 2 * half, values.shape[-1]), np.float32)
    padded[..., half:-half, :] = values
    padded[..., :half, :], padded[..., -half:, :] = values[..., :1, :], values[..., -1:, :]
    sums, width = padded, 1
    while 2 * width <= side:
        sums = sums[..., :-width, :] + sums[..., width:, :]
        width *= 2
    lines = sums[..., :-1, :] + padded[..., width:, :]  # the sides are powers of 2 and one more pixel
    padded = np.empty((*values.shape[:-1], values.shape[-1] + 2 * half), np.float32)
    padded[..., half:-half] = lines
    padded[..., :half], padded[..., -half:] = lines[..., :1], lines[..., -1:]
    sums, width = padded, 1
    while 2 * width <= side:
        sums = sums[..., :-width] + sums[..., width:]
        width *= 2
    means = sums[..., :-1] + padded[..., width:]
    means /= np.float32(side**2)
    return means


def _curvatures(rows: np.ndarray, columns: np.ndarray) -> list[np.ndarray]:
    """Return the eigenvalues of the Hessian matrix, from the first derivatives; the smaller one first."""
    (yy, yx), xx = np.gradient(rows, axis=(-2, -1)), np.gradient(columns, axis=-1)
    middle, spread = (yy + xx) / 2, np.hypot((yy - xx) / 2, yx)
    return [middle - spread, middle + spread]


@cache
def _random_weights(inputs: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the same random weights for every image, each of a few inputs."""
    random = np.random.default_rng(inputs)
    weights = random.normal(size=(HIDDEN, inputs)) * (random.random((HIDDEN, inputs)) < _INPUTS / inputs)
    return weights.astype(np.float32), random.normal(size=(HIDDEN, 1)).astype(np.float32)
