"""Marks as pixels: a window of class indices, where what was not painted is unknown."""

from collections.abc import Iterable
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float64, UInt8
from skimage import draw

from pixelwise.geometry.tiles import Span
from pixelwise.server.marks.records import UNKNOWN, Shape, Stroke

IGNORE = 255
"""Value of pixels that nobody painted: they count neither in the loss nor in scores."""


def rasterise(shapes: Iterable[Shape], rows: Span, columns: Span) -> UInt8[np.ndarray, "rows columns"]:
    """Paint shapes, in order, into a window of the image.

    A stroke covers the pixels whose centre is within its radius of its line, and the pixels that hold its points; a
    polygon those whose centre is inside (even-odd rule).

    Parameters
    ----------
    shapes : iterable of Shape
    rows, columns : (int, int)
        The window: first and last, exclusive.

    Returns
    -------
    (rows, columns) uint8
        Class indices, `IGNORE` where nothing is painted.

    Examples
    --------
    >>> dot = Stroke(kind="stroke", class_index=1, radius=0.1, points=[(2.5, 1.5)])
    >>> rasterise([dot], (0, 3), (1, 4)).tolist()
    [[255, 255, 255], [255, 1, 255], [255, 255, 255]]
    """
    window = np.full((rows[1] - rows[0], columns[1] - columns[0]), IGNORE, np.uint8)
    for shape in shapes:
        value = IGNORE if shape.class_index == UNKNOWN else shape.class_index
        points = np.array(shape.points, np.float64) - (columns[0], rows[0])
        if isinstance(shape, Stroke):
            _paint_stroke(window, points, shape.radius, value)
        else:
            covered = draw.polygon(points[:, 1] - 0.5, points[:, 0] - 0.5, window.shape)
            window[covered] = value
    return window


def bounds(shape: Shape) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom of a shape."""
    points = np.array(shape.points)
    margin = shape.radius if isinstance(shape, Stroke) else 0.0
    (left, top), (right, bottom) = points.min(axis=0) - margin, points.max(axis=0) + margin
    return float(left), float(top), float(right), float(bottom)


def _paint_stroke(
    window: UInt8[np.ndarray, "rows columns"], points: Float64[np.ndarray, "points 2"], radius: float, value: int
) -> None:
    for start, end in pairwise(points if len(points) > 1 else np.repeat(points, 2, axis=0)):
        low = np.floor(np.minimum(start, end) - radius).astype(int)
        high = np.ceil(np.maximum(start, end) + radius).astype(int)
        left, top = np.maximum(low, 0).tolist()
        right, bottom = np.minimum(high, (window.shape[1], window.shape[0])).tolist()
        if left < right and top < bottom:
            x, y = np.arange(left, right) + 0.5, np.arange(top, bottom) + 0.5
            window[top:bottom, left:right][_near(x, y, start, end, radius)] = value
    for column, row in np.floor(points).astype(int).tolist():
        if 0 <= row < window.shape[0] and 0 <= column < window.shape[1]:
            window[row, column] = value


def _near(
    x: Float64[np.ndarray, " columns"],
    y: Float64[np.ndarray, " rows"],
    start: Float64[np.ndarray, "2"],
    end: Float64[np.ndarray, "2"],
    radius: float,
) -> Bool[np.ndarray, "rows columns"]:
    """Return which points (x, y) are within `radius` of a line segment."""
    direction = end - start
    length = float(direction @ direction)
    across, down = x[None] - start[0], y[:, None] - start[1]
    share = np.clip((across * direction[0] + down * direction[1]) / length, 0, 1) if length else 0.0
    return (across - share * direction[0]) ** 2 + (down - share * direction[1]) ** 2 <= radius**2
