"""What to look at first: how well a result fits the ground truth, and where in an image a model is least sure."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32, Integer, UInt8
from scipy import ndimage

from pixelwise.metrics.instance import match, mean_average_precision
from pixelwise.metrics.semantic import class_scores, confusion, mean_of
from pixelwise.server.marks.raster import IGNORE, rasterise
from pixelwise.server.marks.records import Shape

PLACE = 64
"""Side of a place in pixels: about what a few strokes cover."""


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
    uncertainty: UInt8[np.ndarray, "height width"], shapes: Sequence[Shape]
) -> tuple[int, int, int, int] | None:
    """Return the place (top, left, bottom, right) of the largest mean uncertainty without a mark in its middle.

    None if there is nothing to be unsure of, or if every place is marked.

    Parameters
    ----------
    uncertainty : (height, width) uint8
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
    height, width = uncertainty.shape
    mean: Float32[np.ndarray, "height width"] = ndimage.uniform_filter(
        uncertainty.astype(np.float32), PLACE, mode="constant"
    )
    marked = rasterise(shapes, (0, height), (0, width)) != IGNORE
    free = ndimage.maximum_filter(marked, PLACE // 2) == 0
    value = np.where(free, mean, 0)
    if value.max(initial=0) <= 0:
        return None
    # the middle of equally unsure places, not their first corner
    rows, columns = np.nonzero(value >= value.max() * (1 - 1e-4))
    middle = int(np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2))
    row, column = int(rows[middle]), int(columns[middle])
    top, left = max(0, row - PLACE // 2), max(0, column - PLACE // 2)
    return top, left, min(height, top + PLACE), min(width, left + PLACE)
