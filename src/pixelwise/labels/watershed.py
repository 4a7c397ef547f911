"""Flooding: labels spread from seeds over their surroundings, lowest places first, and meet in watersheds.

The idea is that of Vincent and Soille 1991 (watersheds in digital spaces: an efficient algorithm based on immersion
simulations): one level of height after the other, and within a level in waves, each a pixel further than the last.
All pixels of a wave are worked on at once. A pixel that two labels reach in the same wave goes to the one that comes
from below, from the right, from the left, from above, in this order; there are no lines between labels.

Of a small image the waves are so narrow that numpy is called for a few pixels each. There the moment is computed at
which each pixel is reached, for all levels at once, and the label follows from the moments.
"""

import numpy as np
from jaxtyping import Bool, Int32, Integer, UInt8, UInt32

from pixelwise.labels.run_lengths import row_strips

TAKEN = 255
"""The height of pixels that are never flooded: they lie outside, or have a label already."""
_NARROW = 1 << 12  # pixels of a wave that is looked at in all directions at once: fewer, larger steps for numpy
_SMALL, _FEW = 1 << 20, 1 << 16  # pixels of an image, and those to be flooded in it, up to which moments are computed
_STEPS = 24  # bits of a moment that count steps
_BLOCK = 1 << 18  # pixels of a wave that are looked at together: few enough for the processor's cache


def flood(heights: UInt8[np.ndarray, "height width"], labels: Int32[np.ndarray, "height width"]) -> None:
    """Give pixels of height 0 to 254 the label that reaches them first, over steps along rows and columns.

    Parameters
    ----------
    heights : (height, width) uint8 array, C order
        255 outside. Is used up: its values are of no use afterwards.
    labels : (height, width) int32 array, C order
        Seeds above 0, and 0 where nothing is known; filled in place. Seeds outside stay and do not spread.

    Notes
    -----
    Memory: 4 to 5 bytes (above 2^31 pixels 8 to 9) for every pixel that waits for its level, which are the fronts
    and not the areas. In an image of at most a megapixel, 10 bytes per pixel and 60 per pixel that is flooded.
    """
    if labels.size <= _SMALL and np.count_nonzero((heights != TAKEN) & (labels == 0)) <= _FEW:
        _flood_by_moments(heights, labels)
    else:
        _flood_by_levels(heights, labels)


def _flood_by_moments(heights: UInt8[np.ndarray, "height width"], labels: Int32[np.ndarray, "height width"]) -> None:
    """Flood all levels at once.

    Each level begins at a moment of its own, far from the next, and a step takes one. A pixel is at work one step
    after the first of its neighbours, and not before its level begins; its label is that of this neighbour. From below,
    moments are lowered where a neighbour's makes them lower, until none does: shortest paths, after Ford 1956 (network
    flow theory), which needs as many rounds as the longest of them has steps.
    """
    around = np.pad(heights, 1, constant_values=TAKEN)
    row = around.shape[1]
    flat, numbers = around.reshape(-1), np.pad(labels, 1).reshape(-1)
    inside = flat != TAKEN
    free, seeds = np.flatnonzero(inside & (numbers == 0)), np.flatnonzero(inside & (numbers > 0))
    every = np.concatenate([free, seeds])
    place = np.full(flat.size, every.size, np.int32)  # the last place is that of all that is outside
    place[every] = np.arange(every.size, dtype=np.int32)
    beside = place[free + np.array([[row], [1], [-1], [-row]])]  # below, right, left, above: the first of equals counts
    begins = np.append(flat[every], np.uint8(TAKEN)).astype(np.uint32) << _STEPS
    moments = np.where(np.arange(begins.size) < free.size, begins[-1], begins)
    _lower(moments, begins, beside)
    first = np.arange(begins.size)
    first[: free.size] = beside[moments[beside].argmin(0), np.arange(free.size)]
    first[: free.size][moments[: free.size] >= begins[-1]] = every.size  # never reached
    while not np.array_equal(further := first[first], first):
        first = further
    numbers[free] = np.append(numbers[every], 0)[first[: free.size]]
    labels[...] = numbers.reshape(around.shape)[1:-1, 1:-1]


def _lower(
    moments: UInt32[np.ndarray, " places"],
    begins: UInt32[np.ndarray, " places"],
    beside: Int32[np.ndarray, "directions free"],
) -> None:
    """Lower the moments of the free places, which are the first ones, until each follows from those beside it."""
    free = beside.shape[1]
    touched = np.zeros(moments.size, bool)
    looked = np.arange(free)
    while looked.size:
        found = np.maximum(moments[beside[:, looked]].min(0) + np.uint32(1), begins[looked])
        sooner = found < moments[looked]
        changed = looked[sooner]
        moments[changed] = found[sooner]
        touched[beside[:, changed]] = True
        looked = np.flatnonzero(touched[:free])
        touched[:] = False


def _flood_by_levels(heights: UInt8[np.ndarray, "height width"], labels: Int32[np.ndarray, "height width"]) -> None:
    """Flood one level after the other, wave by wave."""
    waiting: list[list[np.ndarray]] = [[] for _ in range(TAKEN)]
    for places, levels in _rims(heights, labels):
        _queue(waiting, places, levels)
    surface = _Surface(heights, labels)
    for level in range(TAKEN):
        front = waiting[level]
        waiting[level] = []
        later: list[tuple[np.ndarray, np.ndarray]] = []
        while front:
            wave, front = np.concatenate(front), []
            for places, levels in surface.spread(wave):
                low = levels <= level
                front.append(places[low])
                later.append((places[~low], levels[~low]))
            front = [places for places in front if places.size]
        if later:
            _queue(waiting, *(np.concatenate(parts) for parts in zip(*later, strict=True)))


class _Surface:
    """Heights and labels as one row of pixels; a place is an index into it."""

    def __init__(self, heights: UInt8[np.ndarray, "height width"], labels: Int32[np.ndarray, "height width"]) -> None:
        self._width = labels.shape[1]
        self._heights, self._labels = heights.reshape(-1), labels.reshape(-1)

    def spread(self, wave: Integer[np.ndarray, " places"]) -> list[tuple[np.ndarray, np.ndarray]]:
        """Label the free pixels beside a wave; return places and heights of those that were reached, in parts."""
        if wave.size <= _NARROW:
            return [self._step_everywhere(wave)]
        # Within one direction no pixel is reached twice, so that nothing must be sorted.
        blocks = np.array_split(wave, -(-wave.size // _BLOCK))
        return [self._step(block, step) for step in (-self._width, -1, 1, self._width) for block in blocks]

    def _step_everywhere(self, wave: Integer[np.ndarray, " places"]) -> tuple[np.ndarray, np.ndarray]:
        """Do in one go what `_step` does direction by direction."""
        width, column = self._width, wave % self._width
        steps = (
            np.where(wave >= width, wave - width, wave),  # a place that has a label already: never free
            np.where(column > 0, wave - 1, wave),
            np.where(column < width - 1, wave + 1, wave),
            np.where(wave < self._heights.size - width, wave + width, wave),
        )
        beside = np.concatenate(steps).astype(wave.dtype, copy=False)
        free = np.flatnonzero(self._heights[beside] != TAKEN)
        places = beside[free]
        # of those that reach a pixel the first counts: it leaves the highest number where there is no label yet
        turns = np.arange(places.size, 0, -1, dtype=self._labels.dtype)
        np.maximum.at(self._labels, places, turns)
        first = self._labels[places] == turns
        places, free = places[first], free[first]
        levels = self._heights[places]
        self._heights[places] = TAKEN
        self._labels[places] = self._labels[wave[free % wave.size]]
        return places, levels

    def _step(self, wave: Integer[np.ndarray, " places"], step: int) -> tuple[np.ndarray, np.ndarray]:
        if abs(step) == 1 and self._width > 1:
            wave = wave[wave % self._width != (0 if step < 0 else self._width - 1)]
        beside = wave + wave.dtype.type(step)
        if abs(step) == self._width:
            there = (beside >= 0) & (beside < self._heights.size)
            wave, beside = wave[there], beside[there]
        levels = self._heights[beside]
        free = levels != TAKEN
        places = beside[free]
        self._heights[places] = TAKEN
        self._labels[places] = self._labels[wave[free]]
        return places, levels[free]


def _rims(heights: UInt8[np.ndarray, "height width"], labels: Int32[np.ndarray, "height width"]):
    """Yield places and heights of the seed pixels beside something free, and take all seed pixels."""
    index = np.int32 if labels.size < 2**31 else np.int64
    for rows in row_strips(labels.shape):
        near = slice(max(0, rows.start - 1), rows.stop + 1)
        free = (heights[near] != TAKEN) & (labels[near] == 0)
        beside = _beside(free)[rows.start - near.start :][: rows.stop - rows.start]
        inside = (labels[rows] > 0) & (heights[rows] != TAKEN)
        places = np.flatnonzero(inside & beside)
        yield (places + rows.start * labels.shape[1]).astype(index), heights[rows].reshape(-1)[places]
        heights[rows][inside] = TAKEN


def _beside(mask: Bool[np.ndarray, "height width"]) -> Bool[np.ndarray, "height width"]:
    """Return the pixels with a pixel of `mask` above, below, left or right of them."""
    found = np.zeros_like(mask)
    found[1:] |= mask[:-1]
    found[:-1] |= mask[1:]
    found[:, 1:] |= mask[:, :-1]
    found[:, :-1] |= mask[:, 1:]
    return found


def _queue(waiting: list[list[np.ndarray]], places: np.ndarray, levels: UInt8[np.ndarray, " places"]) -> None:
    """Append places to the queues of their levels, in the order in which they came."""
    counts = np.bincount(levels, minlength=TAKEN)
    ordered = places[np.argsort(levels, kind="stable")]
    ends = np.cumsum(counts).tolist()
    for level in np.flatnonzero(counts).tolist():  # of a narrow wave, few of all the levels
        part = ordered[ends[level] - counts[level] : ends[level]]
        waiting[level].append(part.copy())  # a view would keep all of them in memory
