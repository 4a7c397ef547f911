"""Seeded watershed: labels grow from seeds in the order of height.

After Vincent and Soille 1991 (watersheds in digital spaces: an efficient algorithm based on immersion simulations):
one height after the other, and within a height in fronts, each one pixel further than the last. All pixels of a front
are processed at once. A pixel that two labels reach in the same front gets the one from below, right, left or above,
in this order; there are no watershed lines.

Volumes are labelled by scikit-image, on the same heights.

In small images fronts have few pixels, and numpy calls would dominate. There the arrival time of each pixel is
computed for all heights at once, and labels follow from the arrival times.
"""

import numpy as np
from jaxtyping import Bool, Int32, Integer, UInt8, UInt32
from skimage.segmentation import watershed

from pixelwise.labels.run_lengths import row_strips

EXCLUDED = 255
"""The height of pixels that are never flooded: outside, or already labelled."""
_FEW_PIXELS = 1 << 12  # pixels of a front that is processed in all directions at once: fewer, larger numpy calls
# Pixels of an image, and unlabelled ones, up to which arrival times are computed.
_MAX_PIXELS, _MAX_UNLABELLED = 1 << 20, 1 << 16
_STEP_BITS = 24  # bits of an arrival time that count steps
_BLOCK = 1 << 18  # pixels of a front processed together: they fit into the processor's cache


def seeded_watershed(heights: UInt8[np.ndarray, "*size"], labels: Int32[np.ndarray, "*size"]) -> None:
    """Label pixels of height 0 to 254 by a 4-connected watershed from seeds, of volumes a 6-connected one.

    Parameters
    ----------
    heights : (height, width) or (depth, height, width) uint8 array, C order
        255 outside. Overwritten.
    labels : int32 array of the same size, C order
        Seeds above 0, and 0 elsewhere; filled in place. Seeds outside stay and do not grow.

    Notes
    -----
    Memory: 4 to 5 bytes (above 2^31 pixels 8 to 9) for every queued pixel, which are those of the fronts. In images of
    at most a megapixel, 10 bytes per pixel and 60 per flooded pixel; in volumes about 30 per voxel.
    """
    if labels.ndim == 3:
        inside = heights != EXCLUDED
        labels[inside] = watershed(heights, np.where(inside, labels, 0), mask=inside)[inside]
        return
    if labels.size <= _MAX_PIXELS and np.count_nonzero((heights != EXCLUDED) & (labels == 0)) <= _MAX_UNLABELLED:
        _flood_by_arrival_time(heights, labels)
    else:
        _flood_by_height(heights, labels)


def _flood_by_arrival_time(
    heights: UInt8[np.ndarray, "height width"], labels: Int32[np.ndarray, "height width"]
) -> None:
    """Flood all heights at once.

    Each height starts at its own time, and a step takes 1. The arrival time of a pixel is one more than the smallest
    among its neighbours, and not before its height starts; it gets the label of that neighbour. Times are relaxed until
    none changes: shortest paths after Ford 1956 (network flow theory), in as many rounds as the longest path has steps.
    """
    around = np.pad(heights, 1, constant_values=EXCLUDED)
    row = around.shape[1]
    flat, numbers = around.reshape(-1), np.pad(labels, 1).reshape(-1)
    inside = flat != EXCLUDED
    free, seeds = np.flatnonzero(inside & (numbers == 0)), np.flatnonzero(inside & (numbers > 0))
    inside_places = np.concatenate([free, seeds])
    place = np.full(flat.size, inside_places.size, np.int32)  # the last index is that of all pixels outside
    place[inside_places] = np.arange(inside_places.size, dtype=np.int32)
    neighbours = place[
        free + np.array([[row], [1], [-1], [-row]])
    ]  # below, right, left, above: the first of equals counts
    starts = np.append(flat[inside_places], np.uint8(EXCLUDED)).astype(np.uint32) << _STEP_BITS
    times = np.where(np.arange(starts.size) < free.size, starts[-1], starts)
    _relax(times, starts, neighbours)
    first = np.arange(starts.size)
    first[: free.size] = neighbours[times[neighbours].argmin(0), np.arange(free.size)]
    first[: free.size][times[: free.size] >= starts[-1]] = inside_places.size  # never reached
    while not np.array_equal(further := first[first], first):
        first = further
    numbers[free] = np.append(numbers[inside_places], 0)[first[: free.size]]
    labels[...] = numbers.reshape(around.shape)[1:-1, 1:-1]


def _relax(
    times: UInt32[np.ndarray, " places"],
    starts: UInt32[np.ndarray, " places"],
    neighbours: Int32[np.ndarray, "directions free"],
) -> None:
    """Relax the arrival times of the free pixels, which come first, until none changes."""
    free = neighbours.shape[1]
    touched = np.zeros(times.size, bool)
    pending = np.arange(free)
    while pending.size:
        candidates = np.maximum(times[neighbours[:, pending]].min(0) + np.uint32(1), starts[pending])
        earlier = candidates < times[pending]
        changed = pending[earlier]
        times[changed] = candidates[earlier]
        touched[neighbours[:, changed]] = True
        pending = np.flatnonzero(touched[:free])
        touched[:] = False


def _flood_by_height(heights: UInt8[np.ndarray, "height width"], labels: Int32[np.ndarray, "height width"]) -> None:
    """Flood one height after the other, front by front."""
    waiting: list[list[np.ndarray]] = [[] for _ in range(EXCLUDED)]
    for places, levels in _seed_borders(heights, labels):
        _queue(waiting, places, levels)
    surface = _Surface(heights, labels)
    for level in range(EXCLUDED):
        chunks = waiting[level]
        waiting[level] = []
        later: list[tuple[np.ndarray, np.ndarray]] = []
        while chunks:
            front, chunks = np.concatenate(chunks), []
            for places, levels in surface.spread(front):
                low = levels <= level
                chunks.append(places[low])
                later.append((places[~low], levels[~low]))
            chunks = [places for places in chunks if places.size]
        if later:
            _queue(waiting, *(np.concatenate(arrays) for arrays in zip(*later, strict=True)))


class _Surface:
    """Heights and labels as flat arrays; places are indices into them."""

    def __init__(self, heights: UInt8[np.ndarray, "height width"], labels: Int32[np.ndarray, "height width"]) -> None:
        self._width = labels.shape[1]
        self._heights, self._labels = heights.reshape(-1), labels.reshape(-1)

    def spread(self, front: Integer[np.ndarray, " places"]) -> list[tuple[np.ndarray, np.ndarray]]:
        """Label the free neighbours of a front; return their places and heights, in chunks."""
        if front.size <= _FEW_PIXELS:
            return [self._step_everywhere(front)]
        # Within one direction no pixel is reached twice, so no sorting is needed.
        blocks = np.array_split(front, -(-front.size // _BLOCK))
        return [self._step(block, step) for step in (-self._width, -1, 1, self._width) for block in blocks]

    def _step_everywhere(self, front: Integer[np.ndarray, " places"]) -> tuple[np.ndarray, np.ndarray]:
        """Do all directions of `_step` at once."""
        width, column = self._width, front % self._width
        steps = (
            np.where(front >= width, front - width, front),  # an already labelled place: never free
            np.where(column > 0, front - 1, front),
            np.where(column < width - 1, front + 1, front),
            np.where(front < self._heights.size - width, front + width, front),
        )
        neighbours = np.concatenate(steps).astype(front.dtype, copy=False)
        free = np.flatnonzero(self._heights[neighbours] != EXCLUDED)
        places = neighbours[free]
        # the first to reach a pixel wins: it has the highest priority
        priority = np.arange(places.size, 0, -1, dtype=self._labels.dtype)
        np.maximum.at(self._labels, places, priority)
        first = self._labels[places] == priority
        places, free = places[first], free[first]
        levels = self._heights[places]
        self._heights[places] = EXCLUDED
        self._labels[places] = self._labels[front[free % front.size]]
        return places, levels

    def _step(self, front: Integer[np.ndarray, " places"], step: int) -> tuple[np.ndarray, np.ndarray]:
        if abs(step) == 1 and self._width > 1:
            front = front[front % self._width != (0 if step < 0 else self._width - 1)]
        neighbours = front + front.dtype.type(step)
        if abs(step) == self._width:
            there = (neighbours >= 0) & (neighbours < self._heights.size)
            front, neighbours = front[there], neighbours[there]
        levels = self._heights[neighbours]
        free = levels != EXCLUDED
        places = neighbours[free]
        self._heights[places] = EXCLUDED
        self._labels[places] = self._labels[front[free]]
        return places, levels[free]


def _seed_borders(heights: UInt8[np.ndarray, "height width"], labels: Int32[np.ndarray, "height width"]):
    """Yield places and heights of the seed pixels with a free neighbour, and mark all seed pixels as labelled."""
    index = np.int32 if labels.size < 2**31 else np.int64
    for rows in row_strips(labels.shape):
        near = slice(max(0, rows.start - 1), rows.stop + 1)
        free = (heights[near] != EXCLUDED) & (labels[near] == 0)
        neighbours = _neighbours_of(free)[rows.start - near.start :][: rows.stop - rows.start]
        inside = (labels[rows] > 0) & (heights[rows] != EXCLUDED)
        places = np.flatnonzero(inside & neighbours)
        yield (places + rows.start * labels.shape[1]).astype(index), heights[rows].reshape(-1)[places]
        heights[rows][inside] = EXCLUDED


def _neighbours_of(mask: Bool[np.ndarray, "height width"]) -> Bool[np.ndarray, "height width"]:
    """Return the pixels with a 4-neighbour in `mask`."""
    result = np.zeros_like(mask)
    result[1:] |= mask[:-1]
    result[:-1] |= mask[1:]
    result[:, 1:] |= mask[:, :-1]
    result[:, :-1] |= mask[:, 1:]
    return result


def _queue(waiting: list[list[np.ndarray]], places: np.ndarray, levels: UInt8[np.ndarray, " places"]) -> None:
    """Append places to the queues of their heights, in order."""
    counts = np.bincount(levels, minlength=EXCLUDED)
    ordered = places[np.argsort(levels, kind="stable")]
    ends = np.cumsum(counts).tolist()
    for level in np.flatnonzero(counts).tolist():
        chunk = ordered[ends[level] - counts[level] : ends[level]]
        waiting[level].append(chunk.copy())  # a view would keep all of them in memory
