"""Label images: connected components, renumbering and overlap tables; one integer per object, 0 is background."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Int32, Int64, Integer
from scipy import ndimage

from pixelwise.labels.run_lengths import areas, row_strips

_WITH_CORNERS = {axes: np.ones((3,) * axes, bool) for axes in (1, 2, 3)}
# Up to this label a lookup table is faster than sorting the pixels.
MAX_TABLE_LABEL = 1 << 24


@dataclass(frozen=True)
class Overlaps:
    """Overlaps of the objects of two label images; only pairs that share pixels are listed.

    Attributes
    ----------
    truth_areas, predicted_areas : int64 array
        Pixels of each object, in the order of the labels.
    truth, predicted : int64 array (pairs,)
        Indices into the arrays above.
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
        """Intersection over union of each pair."""
        union = self.truth_areas[self.truth] + self.predicted_areas[self.predicted] - self.pixels
        return self.pixels / union


def components(mask: Bool[np.ndarray, "*size"], *, corners: bool = True) -> Int32[np.ndarray, "*size"]:
    """Return the connected components of `mask`, numbered 1...N in row-major order of their first pixel.

    `corners` selects 8-connectivity instead of 4-connectivity, of volumes 26 instead of 6. Memory: 4 bytes per pixel,
    the result.
    """
    result = np.zeros(mask.shape, np.int32)
    ndimage.label(mask, structure=_WITH_CORNERS[mask.ndim] if corners else None, output=result)
    return result


def depth(mask: Bool[np.ndarray, "*size"]) -> Float32[np.ndarray, "*size"]:
    """Return the Euclidean distance transform: the distance of each pixel of `mask` to the nearest pixel outside.

    The mask must contain a False pixel: pixels beyond the array do not count.
    """
    result: Any = ndimage.distance_transform_edt(mask)
    return result.astype(np.float32)


def renumber(labels: Integer[np.ndarray, "*size"]) -> Int32[np.ndarray, "*size"]:
    """Relabel the objects 1...N in the order of their labels; 0 stays, negative values become 0."""
    if int(labels.max(initial=0)) >= MAX_TABLE_LABEL:
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


def overlap_table(truth: Integer[np.ndarray, "*size"], predicted: Integer[np.ndarray, "*size"]) -> Overlaps:
    """Count the pixels shared by objects of two label images; 0 and negative values are background."""
    rows, columns = renumber(truth), renumber(predicted)
    truth_areas, predicted_areas = areas(rows)[1:], areas(columns)[1:]
    both = (rows > 0) & (columns > 0)
    width = max(1, len(predicted_areas))
    keys, pixels = np.unique((rows[both].astype(np.int64) - 1) * width + columns[both] - 1, return_counts=True)
    return Overlaps(truth_areas, predicted_areas, keys // width, keys % width, pixels.astype(np.int64))


def touching_share(labels: Integer[np.ndarray, "*size"], distance: int = 2) -> float:
    """Return the fraction of objects with another object at most `distance` pixels away (Chebyshev); 0 without any."""
    labels = renumber(labels)
    count = int(labels.max(initial=0))
    if count == 0:
        return 0.0
    size = 2 * distance + 1
    highest = ndimage.maximum_filter(labels, size)
    # a larger label nearby, or a smaller one: the minimum is the maximum of the reversed numbering
    lowest = count + 1 - ndimage.maximum_filter(np.where(labels > 0, count + 1 - labels, 0), size)
    touched = (labels > 0) & ((highest != labels) | (lowest != labels))
    return len(np.unique(labels[touched])) / count
