"""Local features of pixels, from which a linear model predicts classes."""

from functools import cache

import numpy as np
from jaxtyping import Float32, Int64, UInt8

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
    base = _base_features(values)
    base = base if chosen is None else base[:, chosen]
    weights, offsets = _random_weights(len(base))
    count = len(base)
    features = np.ones((count + HIDDEN + 1, base.shape[1]), np.float32)
    features[:count] = base
    hidden = np.matmul(weights, base, out=features[count:-1])
    hidden += offsets
    np.maximum(hidden, 0, out=hidden)
    return features


def _base_features(
    values: Float32[np.ndarray, "channels height width"],
) -> Float32[np.ndarray, "features pixels"]:
    """Return the features that are no combinations of others, each of standard deviation 1."""
    channels, size = len(values), values.shape[1:]
    planes = np.empty((channels * (len(_SCALES) + 1) + 7, *size), np.float32)
    by_channel = planes[: channels * (len(_SCALES) + 1)].reshape(channels, -1, *size)
    finer = values
    for number, side in enumerate(_SCALES):
        coarser = means_over_squares(finer, side)
        np.subtract(finer, coarser, out=by_channel[:, number])
        finer = coarser
    by_channel[:, -1] = finer
    gray = values.mean(0, keepdims=True)
    for number, side in enumerate(_SCALES[:2]):
        smooth = means_over_squares(means_over_squares(gray, side), side)[0]
        rows, columns = np.asarray(np.gradient(smooth))
        first = 3 * number - 7
        np.hypot(rows, columns, out=planes[first])
        planes[first + 1], planes[first + 2] = _curvatures(rows, columns)
    np.sqrt(means_over_squares(planes[:1] ** 2, _SCALES[1])[0], out=planes[-1])
    flat = planes.reshape(len(planes), -1)
    flat /= np.maximum(flat.std(1, keepdims=True), 1e-6)
    return flat


def means_over_squares(
    values: Float32[np.ndarray, "planes height width"], side: int
) -> Float32[np.ndarray, "planes height width"]:
    """Return the means over squares of an odd side, with the pixels at the border repeated outside.

    Sums of 2, 4, 8, ... pixels are those of two such sums, which is faster than one filter after the other.

    Examples
    --------
    >>> means_over_squares(np.array([[[0, 3, 0, 3]]], np.float32), 3).tolist()
    [[[1.0, 1.0, 2.0, 2.0]]]
    """
    half = side // 2
    for axis in (1, 2):
        rows = np.moveaxis(values, axis, 1)
        count = rows.shape[1]
        sums = np.moveaxis(
            np.empty([*values.shape[:axis], count + 2 * half, *values.shape[axis + 1 :]], np.float32), axis, 1
        )
        sums[:, half : half + count] = rows
        sums[:, :half], sums[:, half + count :] = rows[:, :1], rows[:, -1:]
        single, width = sums, 1
        while 2 * width <= side:
            sums = sums[:, :-width] + sums[:, width:]
            width *= 2
        # the sides are powers of 2 and one more pixel
        sums = sums[:, :-1] + single[:, width:] if width < side else sums
        values = np.moveaxis(sums, 1, axis)
    return values / np.float32(side**2)


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
