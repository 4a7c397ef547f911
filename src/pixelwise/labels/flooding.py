"""Flooding: labels spread from seeds over their surroundings, lowest places first, and meet in watersheds.

The idea is that of Vincent and Soille 1991 (watersheds in digital spaces: an efficient algorithm based on immersion
simulations): one level of height after the other, and within a level in waves, each a pixel further than the last.
All pixels of a wave are worked on at once. A pixel that two labels reach in the same wave goes to the one that comes
from below, from the right, from the left, from above, in this order; there are no lines between labels.
"""

import numpy as np
from jaxtyping import Bool, Int32, Integer, UInt8

from pixelwise.labels.runs import row_strips

TAKEN = 255
"""The height of pixels that are never flooded: they lie outside, or have a label already."""
_NARROW = 1 << 12  # pixels of a wave that is looked at in all directions at once: fewer, larger steps for numpy
_BLOCK = 1 << 18  # pixels of a wave that are looked at together: few enough for the processor's cache


def flood(heights: UInt8[np.ndarray, "height width"], labels: Int32[np.ndarray, "height width"]) -> None:
    """Give pixels of height 0 to 254 the label that reaches them first, over steps along rows and columns.

    Parameters
    ----------
    heights : (height, width) uint8 array, C order
        255 outside. Is used up: all that has been reached is 255 afterwards.
    labels : (height, width) int32 array, C order
        Seeds above 0, and 0 where nothing is known; filled in place. Seeds outside stay and do not spread.

    Notes
    -----
    Memory: 4 to 5 bytes (above 2^31 pixels 8 to 9) for every pixel that waits for its level, which are the fronts
    and not the areas.
    """
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
