"""Marks as pixels: a window of class indices or of object numbers, where what was not painted is unknown."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float64, Int32, Integer, UInt8
from skimage import draw

from pixelwise.geometry.tiles import Span
from pixelwise.labels.targets import IGNORE_OBJECT
from pixelwise.server.marks.records import UNKNOWN, Objects, Outline, Point, Shape, Stroke

IGNORE = 255
"""Value of pixels that nobody painted: they count neither in the loss nor in scores."""


def rasterise(shapes: Iterable[Shape], rows: Span, columns: Span) -> UInt8[np.ndarray, "rows columns"]:
    """Paint shapes, in order, into a window of the image.

    A stroke covers the pixels whose centre is within its radius of its line, and the pixels that hold its points; a
    polygon those whose centre is inside (even-odd rule).

    Parameters
    ----------
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
        values = [IGNORE if index == UNKNOWN else index for index in _class_indices(shape)]
        _paint(window, shape, values, (columns[0], rows[0]))
    return window


def rasterise_objects(shapes: Iterable[Shape], rows: Span, columns: Span) -> Int32[np.ndarray, "rows columns"]:
    """Paint shapes, in order, into a window of object numbers.

    Polygons and outlines are objects, numbered from 1 in the order of all shapes, so that an object has the same number
    in every window. Strokes only say where there is background.

    Returns
    -------
    (rows, columns) int32
        Object numbers, 0 for background, -1 where nothing is known.

    Examples
    --------
    >>> square = Outline(class_index=1, rings=[[(0, 0), (2, 0), (2, 2), (0, 2)]])
    >>> mark = Objects(kind="objects", action="frame", objects=[square], frame=(0, 0, 3, 2))
    >>> rasterise_objects([mark], (0, 2), (0, 4)).tolist()
    [[1, 1, 0, -1], [1, 1, 0, -1]]
    """
    window = np.full((rows[1] - rows[0], columns[1] - columns[0]), IGNORE_OBJECT, np.int32)
    count = 0
    for shape in shapes:
        values: list[int] = []
        for index in _class_indices(shape):
            count += index > 0
            values.append(count if index > 0 else 0 if index == 0 else IGNORE_OBJECT)
        if not (isinstance(shape, Stroke) and shape.class_index > 0):
            _paint(window, shape, values, (columns[0], rows[0]))
    return window


def rasterise_owners(shapes: Iterable[Shape], rows: Span, columns: Span) -> Int32[np.ndarray, "rows columns"]:
    """Paint the index of each shape, in order, into a window: whose pixels are whose.

    Returns
    -------
    (rows, columns) int32
        Indices of shapes from 0, -1 where nothing is painted.

    Examples
    --------
    >>> dots = [Stroke(kind="stroke", class_index=1, radius=0.1, points=[(x, 0.5)]) for x in (0.5, 1.5)]
    >>> rasterise_owners(dots, (0, 1), (0, 3)).tolist()
    [[0, 1, -1]]
    """
    window = np.full((rows[1] - rows[0], columns[1] - columns[0]), -1, np.int32)
    for index, shape in enumerate(shapes):
        values = [index for _ in _class_indices(shape)]
        _paint(window, shape, values, (columns[0], rows[0]), surroundings=index)
    return window


def bounds(shape: Shape) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom of a shape; empty marks have no extent."""
    if isinstance(shape, Objects):
        points = [point for outline in shape.objects for ring in outline.rings for point in ring]
        if shape.frame is not None:
            points += [shape.frame[:2], shape.frame[2:]]
        return _extent(points or [(0.0, 0.0)], 0.0)
    return _extent(shape.points, shape.radius if isinstance(shape, Stroke) else 0.0)


def _extent(points: Sequence[Point], margin: float) -> tuple[float, float, float, float]:
    corners = np.array(points)
    (left, top), (right, bottom) = corners.min(axis=0) - margin, corners.max(axis=0) + margin
    return float(left), float(top), float(right), float(bottom)


def _class_indices(shape: Shape) -> list[int]:
    """Return the class of each area of a shape."""
    return [outline.class_index for outline in shape.objects] if isinstance(shape, Objects) else [shape.class_index]


def _paint(
    window: Integer[np.ndarray, "rows columns"],
    shape: Shape,
    values: Sequence[int],
    corner: tuple[int, int],
    surroundings: int = 0,
) -> None:
    """Paint a shape, each of its areas with its own value.

    `corner` is the first column and row of the window, `surroundings` the value of a frame where it has no objects.
    """
    if isinstance(shape, Stroke):
        _paint_stroke(window, np.array(shape.points, np.float64) - corner, shape.radius, values[0])
    elif isinstance(shape, Objects):
        if shape.frame is not None:
            x, y = corner
            left, top, right, bottom = (max(0, round(edge)) for edge in np.subtract(shape.frame, (x, y, x, y)))
            window[top:bottom, left:right] = surroundings
        for outline, value in zip(shape.objects, values, strict=True):
            _paint_rings(window, outline, value, corner)
    else:
        points = np.array(shape.points, np.float64) - corner
        window[draw.polygon(points[:, 1] - 0.5, points[:, 0] - 0.5, window.shape)] = values[0]


def _paint_rings(
    window: Integer[np.ndarray, "rows columns"], outline: Outline, value: int, corner: tuple[int, int]
) -> None:
    """Fill the rings of an outline by the even-odd rule, within the part of the window that they cover."""
    rings = [np.array(ring, np.float64) - corner for ring in outline.rings]
    every = np.concatenate(rings)
    low = np.maximum(np.floor(every.min(axis=0)).astype(int), 0)
    high = np.minimum(np.ceil(every.max(axis=0)).astype(int), window.shape[::-1])
    if (low >= high).any():
        return
    inside = np.zeros((high - low)[::-1], bool)
    for ring in rings:
        inside[draw.polygon(ring[:, 1] - low[1] - 0.5, ring[:, 0] - low[0] - 0.5, inside.shape)] ^= True
    window[low[1] : high[1], low[0] : high[0]][inside] = value


def _paint_stroke(
    window: Integer[np.ndarray, "rows columns"], points: Float64[np.ndarray, "points 2"], radius: float, value: int
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
