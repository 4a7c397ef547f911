"""Post-processing of label images without copying them: hole filling and small-object removal."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int32, Integer, UInt8
from scipy import ndimage

from pixelwise.labels.label_image import components
from pixelwise.labels.run_lengths import areas, extents, row_strips

_UINT16_MAX = 65_535


def fill_holes(labels: Int32[np.ndarray, "*size"]) -> None:
    """Fill background enclosed by one object, in place; other objects inside it stay.

    Every object must be one 4-connected region, of a volume one 6-connected region.
    """
    boxes, axes = extents(labels), labels.ndim
    # A hole of an image splits a row of the object: more runs than rows.
    suspects = boxes.runs > boxes.box[:, 2] - boxes.box[:, 0] if axes == 2 else boxes.runs > 0
    for number in np.flatnonzero(suspects).tolist():
        box = boxes.box[number].tolist()
        view = labels[tuple(slice(*span) for span in zip(box[:axes], box[axes:], strict=True))]
        hole = np.asarray(ndimage.binary_fill_holes(view == number), bool)
        hole &= view == 0
        view[hole] = number


def remove_small_objects(labels: Int32[np.ndarray, "*size"], area: int) -> Integer[np.ndarray, "*size"]:
    """Remove objects of fewer than `area` pixels and relabel the rest 1...N in their old order.

    `labels` contains no negative values and may be overwritten. The result is uint16 if N fits, else int32.
    """
    large_enough = areas(labels) >= max(1, area)
    large_enough[0] = False
    count = int(large_enough.sum())
    result = np.empty(labels.shape, np.uint16) if count <= _UINT16_MAX else labels
    numbers = np.where(large_enough, np.cumsum(large_enough), 0).astype(result.dtype)
    for rows in row_strips(labels.shape):
        result[rows] = numbers[labels[rows]]
    return result


def remove_small_regions(mask: UInt8[np.ndarray, "*size"], smallest: Sequence[int]) -> None:
    """Set 8-connected regions of a class with fewer than `smallest[class]` pixels to class 0, in place.

    Regions of volumes are 26-connected.

    Memory: 5 bytes per pixel, for one class at a time.
    """
    for index, minimum in enumerate(smallest):
        if index and minimum > 1:
            numbers = components(mask == index)
            small = areas(numbers) < minimum
            small[0] = False
            for rows in row_strips(mask.shape):
                mask[rows][small[numbers[rows]]] = 0
