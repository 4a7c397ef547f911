"""What to look at first: how well a result fits the ground truth, and where in an image a model is least sure."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float32, Integer, Shaped, UInt8
from scipy import ndimage

from pixelwise.metrics.instance import match, mean_average_precision
from pixelwise.metrics.semantic import class_scores, confusion, mean_of
from pixelwise.server.marks.raster import IGNORE, bounds, rasterise
from pixelwise.server.marks.records import Shape
from pixelwise.server.workers.corrections import outward, touch
from pixelwise.server.workers.label_tiles import Labels

PLACE = 64
"""Side of a place in pixels: about what a few strokes cover."""

MAX_CELLS = 4 * 2**20
"""Places that are compared in one image, while they are at most half a place apart."""

WINDOW = 2048
"""Side of the windows that are read, a multiple of every step between places."""


def score_against_truth(
    truth: Integer[np.ndarray, "*size"],
    predicted: Integer[np.ndarray, "*size"],
    *,
    classes: int,
    objects: bool,
) -> float | None:
    """Return the mean average precision of objects, or the mean Dice of all classes but the first; None if undefined.

    Examples
    --------
    >>> truth = np.array([[0, 1, 1, 0]])
    >>> score_against_truth(truth, np.array([[0, 1, 0, 0]]), classes=2, objects=False)
    0.6666666666666666
    """
    if objects:
        return mean_average_precision(match(np.where(truth < 0, 0, truth), np.where(truth < 0, 0, predicted)))
    return mean_of(class_scores(confusion(truth, predicted, classes)).dice[1:])


def most_useful_place(
    uncertainty: UInt8[np.ndarray, "height width"] | Labels, shapes: Sequence[Shape]
) -> tuple[int, int, int, int] | None:
    """Return the place (top, left, bottom, right) of the largest mean uncertainty without a mark in its middle.

    None if there is nothing to be unsure of, or if every place is marked. Places of large images are on a grid of
    some pixels, so that memory does not grow with the image.

    Parameters
    ----------
    uncertainty : (height, width) uint8, or Labels
        0 is certain, 255 says that all classes are equally probable.
    shapes : sequence of Shape
        The marks of the image.

    Examples
    --------
    >>> unsure = np.zeros((100, 200), np.uint8)
    >>> unsure[40:60, 150:170] = 200
    >>> most_useful_place(unsure, ())
    (18, 128, 82, 192)
    """
    source = Labels(uncertainty) if isinstance(uncertainty, np.ndarray) else uncertainty
    height, width = source.height, source.width
    step = _grid_step(height, width)
    unsure, marked = _read_grid(source, shapes, step)
    mean: Float32[np.ndarray, "height width"] = ndimage.uniform_filter(unsure, PLACE // step, mode="constant")
    free = ndimage.maximum_filter(marked, max(1, PLACE // 2 // step)) == 0
    value = np.where(free, mean, 0)
    if value.max(initial=0) <= 0:
        return None
    # the middle of equally unsure places, not their first corner
    rows, columns = np.nonzero(value >= value.max() * (1 - 1e-4))
    middle = int(np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2))
    row, column = int(rows[middle]) * step, int(columns[middle]) * step
    top, left = max(0, row - PLACE // 2), max(0, column - PLACE // 2)
    return top, left, min(height, top + PLACE), min(width, left + PLACE)


def _grid_step(height: int, width: int) -> int:
    """Return the side of the cells that are seen as one: 1 while the image is small, at most half a place."""
    step = 1
    while step < PLACE // 2 and -(-height // step) * -(-width // step) > MAX_CELLS:
        step *= 2
    return step


def _read_grid(
    source: Labels, shapes: Sequence[Shape], step: int
) -> tuple[Float32[np.ndarray, "rows columns"], Bool[np.ndarray, "rows columns"]]:
    """Return the mean uncertainty of each cell, where beyond the image nothing is unsure, and whether it is marked."""
    size = -(-source.height // step), -(-source.width // step)
    unsure, marked = np.zeros(size, np.float32), np.zeros(size, bool)
    boxes = [outward(bounds(shape)) for shape in shapes]
    for top in range(0, source.height, WINDOW):
        for left in range(0, source.width, WINDOW):
            rows = top, min(top + WINDOW, source.height)
            columns = left, min(left + WINDOW, source.width)
            place = slice(top // step, -(-rows[1] // step)), slice(left // step, -(-columns[1] // step))
            unsure[place] = _cells(source.read(rows, columns, 1), step).sum(axis=(1, 3), dtype=np.float32) / step**2
            near = [
                shape for shape, box in zip(shapes, boxes, strict=True) if touch(box, (top, left, rows[1], columns[1]))
            ]
            if near:
                marked[place] = _cells(rasterise(near, rows, columns) != IGNORE, step).any(axis=(1, 3))
    return unsure, marked


def _cells(values: Shaped[np.ndarray, "height width"], step: int) -> Shaped[np.ndarray, "rows inside columns across"]:
    """Return an image as cells of `step` pixels a side, filled with 0 at its edges."""
    height, width = values.shape
    values = np.pad(values, ((0, -height % step), (0, -width % step)))
    return values.reshape(values.shape[0] // step, step, values.shape[1] // step, step)
