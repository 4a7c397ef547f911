"""Post-processing of label images without copying them: hole filling and small-object removal."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int32, Integer, UInt8
from scipy import ndimage

from pixelwise.labels.label_image import components
from pixelwise.labels.run_lengths import areas, extents, row_strips

_SIXTEEN_BITS = 65_535


def fill_holes(labels: Int32[np.ndarray, "height width"]) -> None:
    """Fill background enclosed by one object, in place; other objects inside it stay.

    Every object must be one 4-connected region.
    """
    found = extents(labels)
    # A hole splits a row of the object: more runs than rows.
    for number in np.flatnonzero(found.runs > found.box[:, 2] - found.box[:, 0]).tolist():
        top, left, bottom, right = found.box[number].tolist()
        view = labels[top:bottom, left:right]
        hole = np.asarray(ndimage.binary_fill_holes(view == number), bool)
        hole &= view == 0
        view[hole] = number


def remove_small_objects(labels: Int32[np.ndarray, "height width"], area: int) -> Integer[np.ndarray, "height width"]:
    """Remove objects of fewer than `area` pixels and relabel the rest 1...N in their old order.

    `labels` contains no negative values and may be overwritten. The result is uint16 if N fits, else int32.
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
    """Set 8-connected regions of a class with fewer than `smallest[class]` pixels to class 0, in place.

    Memory: 5 bytes per pixel, for one class at a time.
    """
    for index, least in enumerate(smallest):
        if index and least > 1:
            numbers = components(mask == index)
            crumbs = areas(numbers) < least
            crumbs[0] = False
            for rows in row_strips(mask.shape):
                mask[rows][crumbs[numbers[rows]]] = 0
