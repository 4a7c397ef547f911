"""Splitting: areas that a thin bridge joins are split in two by a line one pixel wide.

Markers are the places deep inside an area; a marker-controlled watershed of the probability grows them over the area,
and where two of them meet a line becomes background (see `instances`). Nothing else of the mask changes, so that its
Dice stays nearly the same, while a higher threshold would close the same bridges by thickening every line.
"""

from math import isqrt

import numpy as np
from jaxtyping import Bool, Integer, UInt8

from pixelwise.labels.run_lengths import row_strips

LEAST_AREAS = 50  # fewer decide by chance
LEAST_SHARE = 0.5  # of the pixels: what fills less is parted by ground, not by lines


def is_filled_by_regions(share: float, areas: int) -> bool:
    """Tell whether a foreground with this share of the pixels, in so many areas, is one that lines part."""
    return share > LEAST_SHARE and areas >= LEAST_AREAS


def deeper_than(mask: Bool[np.ndarray, "height width"], depth: int) -> Bool[np.ndarray, "height width"]:
    """Return the pixels of `mask` whose Euclidean distance to the nearest pixel outside is above `depth` pixels.

    An erosion by a disk. The image's border is no edge: only pixels inside the image count as outside. Memory: 2 bytes
    per pixel, with the result.

    >>> deeper_than(np.array([[True, True, True, False]]), 1)
    array([[ True,  True, False, False]])
    """
    height = len(mask)
    rows, found, reach = mask.copy(), mask.copy(), 0  # rows: pixels with `reach` more of the mask to the left and right
    for lift in range(depth, -1, -1):
        while reach < isqrt(depth**2 - lift**2):
            reach += 1
            rows[:, reach:] &= mask[:, :-reach]
            rows[:, :-reach] &= mask[:, reach:]
        shared = max(0, height - lift)
        found[lift:] &= rows[:shared]
        found[:shared] &= rows[lift:]
    return found


def meeting_pixels(labels: Integer[np.ndarray, "height width"]) -> Bool[np.ndarray, "height width"]:
    """Return the pixels with another label to the right, below, or below to the right or left; 0 is no label.

    Without them no two labels touch, not even at corners.

    >>> meeting_pixels(np.array([[1, 1, 2, 2, 0, 3]]))
    array([[False,  True, False, False, False, False]])
    """
    found = np.zeros(labels.shape, bool)
    for here, there in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:]), (np.s_[:-1, :-1], np.s_[1:, 1:])):
        found[here] |= _differ(labels[here], labels[there])
    # Where the pixel below has the same label, the one below to the left meets that one and is found itself.
    here, left, below = labels[:-1, 1:], labels[1:, :-1], labels[1:, 1:]
    found[:-1, 1:] |= _differ(here, left) & (here != below)
    return found


def cut_lines(mask: UInt8[np.ndarray, "height width"], labels: Integer[np.ndarray, "height width"]) -> None:
    """Turn pixels of `mask` where labels meet into class 0, in place."""
    for rows in row_strips(mask.shape):
        below = labels[rows.start : rows.stop + 1]
        mask[rows][meeting_pixels(below)[: len(mask[rows])]] = 0


def _differ(
    one: Integer[np.ndarray, "height width"], other: Integer[np.ndarray, "height width"]
) -> Bool[np.ndarray, "height width"]:
    return (one != other) & (one > 0) & (other > 0)
