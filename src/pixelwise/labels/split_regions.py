"""Splitting of regions that are joined by a thin bridge, by watershed lines one pixel wide.

Markers are pixels deep inside a region; a marker-controlled watershed of the probability grows them over the region,
and the line between two of them becomes background (see `instances`). The rest of the mask is unchanged, so that its
Dice stays nearly the same; a higher threshold would thicken every line instead.
"""

from itertools import product
from math import isqrt

import numpy as np
from jaxtyping import Bool, Integer, UInt8
from scipy import ndimage

from pixelwise.labels.run_lengths import row_strips

MIN_REGIONS = 50  # fewer regions are not representative
MIN_FOREGROUND = 0.5  # of the pixels: less foreground is separated by background, not by thin borders


def is_filled_by_regions(share: float, areas: int) -> bool:
    """Return whether a foreground with this fraction of the pixels and number of regions is membrane-like."""
    return share > MIN_FOREGROUND and areas >= MIN_REGIONS


def erode(mask: Bool[np.ndarray, "*size"], depth: int) -> Bool[np.ndarray, "*size"]:
    """Return the pixels of `mask` whose Euclidean distance to the nearest pixel outside is above `depth` pixels.

    An erosion by a disk, of volumes by a ball; pixels beyond the image do not count as outside. Memory: 2 bytes per
    pixel, with the result; of volumes about 20.

    >>> erode(np.array([[True, True, True, False]]), 1)
    array([[ True,  True, False, False]])
    """
    if mask.ndim == 3:
        if mask.all():
            return mask.copy()
        return np.asarray(ndimage.distance_transform_edt(mask)) > depth
    height = len(mask)
    # rows: pixels with `radius` more pixels of the mask to the left and right
    rows, result, radius = mask.copy(), mask.copy(), 0
    for lift in range(depth, -1, -1):
        while radius < isqrt(depth**2 - lift**2):
            radius += 1
            rows[:, radius:] &= mask[:, :-radius]
            rows[:, :-radius] &= mask[:, radius:]
        shared = max(0, height - lift)
        result[lift:] &= rows[:shared]
        result[:shared] &= rows[lift:]
    return result


def contact_pixels(labels: Integer[np.ndarray, "*size"]) -> Bool[np.ndarray, "*size"]:
    """Return the pixels with another label to the right, below, or diagonally below, of volumes also in the next plane.

    0 is not a label.

    Without them no two labels touch, not even at corners.

    >>> contact_pixels(np.array([[1, 1, 2, 2, 0, 3]]))
    array([[False,  True, False, False, False, False]])
    """
    if labels.ndim == 3:
        return _contact_voxels(labels)
    result = np.zeros(labels.shape, bool)
    for here, there in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:]), (np.s_[:-1, :-1], np.s_[1:, 1:])):
        result[here] |= _differ(labels[here], labels[there])
    # If the pixel below has the same label, its neighbour to the left is found instead.
    here, left, below = labels[:-1, 1:], labels[1:, :-1], labels[1:, 1:]
    result[:-1, 1:] |= _differ(here, left) & (here != below)
    return result


def _contact_voxels(labels: Integer[np.ndarray, "depth height width"]) -> Bool[np.ndarray, "depth height width"]:
    """Return the voxels with another label among their 13 neighbours that come later in memory."""
    result = np.zeros(labels.shape, bool)
    for offset in product((-1, 0, 1), repeat=3):
        if offset > (0, 0, 0):
            here = tuple(
                slice(max(0, -step), size - max(0, step)) for step, size in zip(offset, labels.shape, strict=True)
            )
            there = tuple(
                slice(max(0, step), size + min(0, step)) for step, size in zip(offset, labels.shape, strict=True)
            )
            result[here] |= _differ(labels[here], labels[there])
    return result


def cut_lines(mask: UInt8[np.ndarray, "*size"], labels: Integer[np.ndarray, "*size"]) -> None:
    """Set pixels of `mask` where labels meet to class 0, in place."""
    for rows in row_strips(mask.shape):
        below = labels[rows.start : rows.stop + 1]
        mask[rows][contact_pixels(below)[: len(mask[rows])]] = 0


def _differ(one: Integer[np.ndarray, "*size"], other: Integer[np.ndarray, "*size"]) -> Bool[np.ndarray, "*size"]:
    return (one != other) & (one > 0) & (other > 0)
