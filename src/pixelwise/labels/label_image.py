"""Label images: one integer per object, 0 is background. Pure functions on numpy arrays."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Int32, Int64, Integer
from scipy import ndimage

from pixelwise.labels.run_lengths import areas, row_strips

EIGHT = np.ones((3, 3), bool)
# Up to this label a table of all numbers is quicker than sorting the pixels.
TABLE = 1 << 24


@dataclass(frozen=True)
class Overlaps:
    """How the objects of two label images overlap; only pairs that share pixels are listed.

    Attributes
    ----------
    truth_areas, predicted_areas : int64 array
        Pixels of each object, in the order of the labels.
    truth, predicted : int64 array (pairs,)
        Places in the arrays above.
    pixels : int64 array (pairs,)
        Shared pixels of each pair, at least 1.
    """

    truth_areas: Int64[np.ndarray, " truths"]
    predicted_areas: Int64[np.ndarray, " predictions"]
    truth: Int64[np.ndarray, " pairs"]
    predicted: Int64[np.ndarray, " pairs"]
    pixels: Int64[np.ndarray, " pairs"]

    @property
    def ious(self) -> np.ndarray:
        """Shared pixels over joined pixels, per pair."""
        joined = self.truth_areas[self.truth] + self.predicted_areas[self.predicted] - self.pixels
        return self.pixels / joined


def components(mask: Bool[np.ndarray, "height width"], *, corners: bool = True) -> Int32[np.ndarray, "height width"]:
    """Return the connected areas of `mask`, numbered 1...N in the order in which rows meet them.

    Pixels that touch at a corner belong together or not. Memory: 4 bytes per pixel, the result.
    """
    found = np.zeros(mask.shape, np.int32)
    ndimage.label(mask, structure=EIGHT if corners else None, output=found)
    return found


def depth(mask: Bool[np.ndarray, "height width"]) -> Float32[np.ndarray, "height width"]:
    """Return for each pixel of `mask` the Euclidean distance to the nearest pixel outside; 0 outside.

    The mask must leave something outside: beyond the array there is nothing to measure to.
    """
    found: Any = ndimage.distance_transform_edt(mask)
    return found.astype(np.float32)


def renumber(labels: Integer[np.ndarray, "height width"]) -> Int32[np.ndarray, "height width"]:
    """Give the objects the numbers 1...N in the order of their old numbers; 0 stays, negative values become 0."""
    if int(labels.max(initial=0)) >= TABLE:
        unique, inverse = np.unique(np.maximum(labels, 0), return_inverse=True)
        start = 0 if unique[0] == 0 else 1
        return (inverse.reshape(labels.shape) + start).astype(np.int32)
    present = areas(labels) > 0
    present[0] = False
    numbers = np.cumsum(present).astype(np.int32)
    result = np.empty(labels.shape, np.int32)
    for rows in row_strips(labels.shape):
        result[rows] = numbers[np.maximum(labels[rows], 0)]
    return result


def overlap_table(
    truth: Integer[np.ndarray, "height width"], predicted: Integer[np.ndarray, "height width"]
) -> Overlaps:
    """Count the pixels that objects share; values of 0 and below are background. Labels may have gaps."""
    rows, columns = renumber(truth), renumber(predicted)
    truth_areas, predicted_areas = areas(rows)[1:], areas(columns)[1:]
    both = (rows > 0) & (columns > 0)
    wide = max(1, len(predicted_areas))
    keys, pixels = np.unique((rows[both].astype(np.int64) - 1) * wide + columns[both] - 1, return_counts=True)
    return Overlaps(truth_areas, predicted_areas, keys // wide, keys % wide, pixels.astype(np.int64))


def touching_share(labels: Integer[np.ndarray, "height width"], distance: int = 2) -> float:
    """Return the share of objects that have another object at most `distance` pixels away; 0 without objects.

    Distance is measured along rows, columns and diagonals (Chebyshev).
    """
    labels = renumber(labels)
    count = int(labels.max(initial=0))
    if count == 0:
        return 0.0
    size = 2 * distance + 1
    highest = ndimage.maximum_filter(labels, size)
    # a larger label within reach, or a smaller one: the latter is the maximum of the reversed numbering
    lowest = count + 1 - ndimage.maximum_filter(np.where(labels > 0, count + 1 - labels, 0), size)
    touched = (labels > 0) & ((highest != labels) | (lowest != labels))
    return len(np.unique(labels[touched])) / count
