"""Tidying: holes and crumbs, on label images that are too large to be copied."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int32, Integer, UInt8
from scipy import ndimage

from pixelwise.labels.label_image import components
from pixelwise.labels.run_lengths import areas, extents, row_strips

_SIXTEEN_BITS = 65_535


def fill_holes(labels: Int32[np.ndarray, "height width"]) -> None:
    """Fill background that lies wholly inside one object, in place; other objects inside it stay.

    Every object must be one area, connected along rows and columns.
    """
    found = extents(labels)
    # Beside a hole a row has a part of the object on either side: more runs than rows.
    for number in np.flatnonzero(found.runs > found.box[:, 2] - found.box[:, 0]).tolist():
        top, left, bottom, right = found.box[number].tolist()
        view = labels[top:bottom, left:right]
        hole = np.asarray(ndimage.binary_fill_holes(view == number), bool)
        hole &= view == 0
        view[hole] = number


def remove_small_objects(labels: Int32[np.ndarray, "height width"], area: int) -> Integer[np.ndarray, "height width"]:
    """Drop objects of fewer than `area` pixels and number the rest 1...N in their old order.

    `labels` holds no negative numbers and is used up. The result is uint16 when 16 bits hold N, else int32.
    """
    kept = areas(labels) >= max(1, area)
    kept[0] = False
    count = int(kept.sum())
    result = np.empty(labels.shape, np.uint16) if count <= _SIXTEEN_BITS else labels
    numbers = np.where(kept, np.cumsum(kept), 0).astype(result.dtype)
    for rows in row_strips(labels.shape):
        result[rows] = numbers[labels[rows]]
    return result


def remove_small_regions(mask: UInt8[np.ndarray, "height width"], smallest: Sequence[int]) -> None:
    """Turn areas of a class that have fewer than `smallest[class]` pixels into class 0, in place.

    Areas are connected, corners too. Memory: 5 bytes per pixel, for one class at a time.
    """
    for index, least in enumerate(smallest):
        if index and least > 1:
            numbers = components(mask == index)
            crumbs = areas(numbers) < least
            crumbs[0] = False
            for rows in row_strips(mask.shape):
                mask[rows][crumbs[numbers[rows]]] = 0
