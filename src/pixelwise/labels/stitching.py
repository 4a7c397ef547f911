"""Stitching: connected components and watershed of an image or a volume that is processed strip by strip.

Strips are consecutive rows of an image, or planes of a volume.

Components are found per strip and joined across strip edges by union-find; the result equals that of the whole image.
Objects of the watershed are computed per window from the seeds of the whole image, so that none is split or counted
twice; `watershed_window` states what is not exact.
"""

from collections.abc import Sequence
from itertools import product

import numpy as np
from jaxtyping import Bool, Int64, UInt8, UInt32

from pixelwise.labels.disjoint_sets import first_linked
from pixelwise.labels.instances import interior_to_heights
from pixelwise.labels.label_image import components
from pixelwise.labels.postprocess import fill_holes
from pixelwise.labels.run_lengths import row_strips
from pixelwise.labels.watershed import seeded_watershed


class StripLabels:
    """Connected components of a mask that is passed in strips of rows or planes, from top to bottom.

    Parameters
    ----------
    corners : bool
        Use 8-connectivity instead of 4-connectivity, of volumes 26 instead of 6.

    Attributes
    ----------
    count : int
        Provisional labels so far: 1...count.

    Notes
    -----
    Memory: one row or plane, 16 bytes per contact across a strip edge, and about 32 bytes per provisional label in
    `joined`.
    """

    def __init__(self, *, corners: bool = True) -> None:
        self._corners = corners
        self.count = 0
        self._above: UInt32[np.ndarray, "*row"] | None = None
        self._contacts: list[Int64[np.ndarray, "touches 2"]] = []

    def add(self, mask: Bool[np.ndarray, " rows *row"]) -> UInt32[np.ndarray, " rows *row"]:
        """Return the provisional labels of the next strip, in row-major order of their first pixel; 0 outside."""
        labels = components(mask, corners=self._corners)
        numbers = labels.astype(np.uint32)
        numbers[labels > 0] += np.uint32(self.count)
        self.count += int(labels.max(initial=0))
        if self._above is not None and len(numbers):
            self._add_contacts(self._above, numbers[0])
        if len(numbers):
            self._above = numbers[-1].copy()
        return numbers

    def joined(self) -> Int64[np.ndarray, " numbers"]:
        """Return for each provisional label, including 0, the smallest one of the same component."""
        return first_linked(self.count + 1, np.concatenate([np.empty((0, 2), np.int64), *self._contacts]))

    def _add_contacts(self, above: UInt32[np.ndarray, "*row"], below: UInt32[np.ndarray, "*row"]) -> None:
        contacts: list[Int64[np.ndarray, "touches 2"]] = []
        for shifts in product((-1, 0, 1) if self._corners else (0,), repeat=above.ndim):
            steps = list(zip(shifts, above.shape, strict=True))
            a = above[tuple(slice(max(0, -shift), side - max(0, shift)) for shift, side in steps)]
            b = below[tuple(slice(max(0, shift), side + min(0, shift)) for shift, side in steps)]
            both = (a > 0) & (b > 0)
            contacts.append(np.stack([a[both], b[both]], axis=1).astype(np.int64))
        self._contacts.append(np.unique(np.concatenate(contacts), axis=0))


def final_numbers(
    joined: Int64[np.ndarray, " numbers"], areas: Int64[np.ndarray, " numbers"], smallest: int
) -> tuple[UInt32[np.ndarray, " numbers"], int]:
    """Return the final label of each provisional one, and their number.

    Parameters
    ----------
    joined : int array
        From `StripLabels.joined`.
    areas : int array
        Pixels of each provisional label; those of one component are summed.
    smallest : int
        Components of fewer pixels become 0.
    """
    total = np.bincount(joined, weights=areas, minlength=len(joined)).astype(np.int64)
    large_enough = (total >= max(1, smallest)) & (joined == np.arange(len(joined)))
    large_enough[0] = False
    numbers = np.where(large_enough, np.cumsum(large_enough), 0).astype(np.uint32)
    return numbers[joined], int(large_enough.sum())


class StripSmallRegions:
    """Remove small regions from a mask that is passed in strips of rows; see `postprocess.remove_small_regions`.

    All strips are passed twice from top to bottom: first to `count`, then to `drop`.

    Parameters
    ----------
    smallest : sequence of int
        Minimum area of each class, in pixels.
    """

    def __init__(self, smallest: Sequence[int]) -> None:
        self._smallest = {index: minimum for index, minimum in enumerate(smallest) if index and minimum > 1}
        self._labels = {index: StripLabels() for index in self._smallest}
        self._pixels = {index: [np.zeros(1, np.int64)] for index in self._smallest}
        self._small: dict[int, Bool[np.ndarray, " numbers"]] = {}

    def count(self, strip: UInt8[np.ndarray, " rows *row"]) -> None:
        """Count the regions of the next strip."""
        for index, labels in self._labels.items():
            before = labels.count
            numbers = labels.add(strip == index)
            pixels = np.zeros(labels.count - before, np.int64)
            for rows in row_strips(numbers.shape):
                labels_above_zero = numbers[rows][numbers[rows] > 0].astype(np.int64) - before - 1
                pixels += np.bincount(labels_above_zero, minlength=len(pixels))
            self._pixels[index].append(pixels)

    def drop(self, strip: UInt8[np.ndarray, " rows *row"]) -> UInt8[np.ndarray, " rows *row"]:
        """Return the next strip without small regions; `count` cannot be called afterwards."""
        if not self._small:
            for index, labels in self._labels.items():
                joined = labels.joined()
                total = np.bincount(joined, np.concatenate(self._pixels[index]), len(joined))
                self._small[index] = total[joined] < self._smallest[index]
            self._labels = {index: StripLabels() for index in self._smallest}  # return the same labels again
        left = strip.copy()
        for index, labels in self._labels.items():
            numbers = labels.add(strip == index)
            left[(numbers > 0) & self._small[index][numbers]] = 0
        return left


def watershed_window(
    seeds: UInt32[np.ndarray, "*size"],
    foreground: Bool[np.ndarray, "*size"],
    interior: UInt8[np.ndarray, "*size"],
    *,
    filled: bool = True,
) -> UInt32[np.ndarray, "*size"]:
    """Compute the seeded watershed of a window, as `instances` does for a whole image.

    Parameters
    ----------
    seeds : uint32 array
        Labels of the seeds in the whole image.
    foreground : bool array
    interior : uint8 array
        Probability of the interior times 255; overwritten.
    filled : bool
        Fill the holes of objects.

    Notes
    -----
    The valid region of a window equals the whole-image result if the halo contains all of every object that reaches
    into it, and their neighbours. A larger object keeps its label and each pixel is decided once, but its border to
    neighbours may differ near the window edge, and its holes may stay.
    """
    present, local = np.unique(seeds, return_inverse=True)
    labels = np.ascontiguousarray(local.reshape(seeds.shape).astype(np.int32))
    if present.size and present[0] != 0:  # no background among the seeds: 0 must stay background
        labels += 1
        present = np.concatenate([np.zeros(1, np.uint32), present])
    interior_to_heights(interior, foreground)
    seeded_watershed(interior, labels)
    if filled:
        fill_holes(labels)
    return present[labels]
