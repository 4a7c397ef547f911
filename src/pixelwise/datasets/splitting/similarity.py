"""Find near duplicates by descriptor correlation, corrected for content that all images of a data set share.

A frame, a scale bar, a black border or a fixed background makes all images of a set similar. Near copies must also be
similar after this shared content is removed.
"""

import numpy as np
from jaxtyping import Float32, Int64

from pixelwise.datasets.scan import SIDE
from pixelwise.parallel import parallel_map

NEAR = 0.97  # minimum correlation of the descriptors of near copies
NEAR_UNSHARED = 0.95  # the same without shared content: lower, as compression noise has more weight
MIN_IMAGES = 4  # in smaller sets shared content and copies cannot be distinguished
_BLOCK = 256  # rows of the correlation matrix in memory
_ROUNDING = 1e-4  # of sums in float32


def without_shared(descriptors: Float32[np.ndarray, "images fields"]) -> Float32[np.ndarray, "images fields"]:
    """Return descriptors without shared content, each of length 1 (or zeros if nothing else remains).

    The mean of every cell over the set is subtracted. Then each cell is weighted by the square of v / (v + m^2), with v
    its variance and m its mean over the set: the contrast of a frame still varies with the brightness of the content
    next to it. Cells without shared content have m near 0 and a weight near 1.

    Parameters
    ----------
    descriptors : (images, 1024) float32
        From `scan.image_descriptor`, flattened; zeros (constant images) are excluded from the mean.

    Examples
    --------
    >>> frame, content = np.zeros((5, 1024), np.float32), np.eye(5, 1024, dtype=np.float32)
    >>> frame[:, 9:] = 0.03
    >>> left = without_shared(frame + content)
    >>> bool(np.abs(left[:, 9:]).max() < 1e-6), bool((left.argmax(1) == np.arange(5)).all())
    (True, True)
    """
    present = np.any(descriptors != 0, axis=1)
    if not present.any():
        return np.zeros_like(descriptors)
    mean, variance = descriptors[present].mean(0), descriptors[present].var(0)
    unshared_fraction = variance / np.maximum(variance + mean**2, np.finfo(np.float32).tiny)
    unshared = np.where(present[:, None], (descriptors - mean) * unshared_fraction**2, 0)
    length = np.linalg.norm(unshared, axis=1, keepdims=True)
    small = length <= 1e-6  # rounding error of length 1
    return np.where(small, 0, unshared / np.where(small, 1, length)).astype(np.float32)


def find_near_pairs(
    descriptors: Float32[np.ndarray, "images fields"], *, upright: bool = False
) -> tuple[Int64[np.ndarray, "pairs 2"], Float32[np.ndarray, " pairs"]]:
    """Return the pairs (i < j) of images that are nearly equal, also flipped or rotated, in order.

    With them their correlations as they are, neither flipped nor rotated.

    Parameters
    ----------
    descriptors : (images, 1024) float32
        From `scan.image_descriptor`, flattened; zeros (constant images) match nothing.
    upright : bool
        Compare only with the image and its mirror image, not with rotations.

    Notes
    -----
    The correlation of a pair is at least `NEAR`; in sets of at least `MIN_IMAGES` it must also reach `NEAR_UNSHARED`
    without shared content.

    Of two vectors a and b let p and q be what does not change under the symmetries, and r and s the rest. Then
    a b <= p q + |r| |s| whatever is turned, so that one product of short vectors excludes most pairs.
    """
    count = len(descriptors)
    whole = _Descriptors(descriptors, upright=upright)
    unshared = _Descriptors(without_shared(descriptors), upright=upright) if count >= MIN_IMAGES else None
    bounds = _invariants(whole)

    def compare(start: int) -> tuple[Int64[np.ndarray, "pairs 2"], Float32[np.ndarray, " pairs"]]:
        rows = np.arange(start, min(start + _BLOCK, count))
        possible = bounds[rows] @ bounds[start:].T >= NEAR - _ROUNDING
        possible &= np.arange(start, count) > rows[:, None]
        near = np.zeros_like(possible)
        as_stored = np.zeros(possible.shape, np.float32)
        for symmetry in range(len(whole.symmetries)):
            lines, columns = np.flatnonzero(possible.any(1)), np.flatnonzero(possible.any(0))
            if not len(lines):
                break
            some = np.ix_(lines, columns)
            correlations = whole.products(symmetry, rows[lines], columns + start)
            if symmetry == 0:
                as_stored[some] = correlations
            similar = correlations >= NEAR
            if unshared is not None and similar.any():
                similar &= unshared.products(symmetry, rows[lines], columns + start) >= NEAR_UNSHARED
            similar &= possible[some]
            near[some] |= similar
            possible[some] &= ~similar  # each pair is found once
        return np.argwhere(near) + start, as_stored[near]

    found = list(parallel_map(compare, range(0, count, _BLOCK)))
    empty = np.zeros((0, 2), np.int64), np.zeros(0, np.float32)
    pairs, correlations = zip(empty, *found, strict=True)
    return np.concatenate(pairs), np.concatenate(correlations)


class _Descriptors:
    """Descriptors, and the order of their cells under each rotation and reflection."""

    def __init__(self, descriptors: Float32[np.ndarray, "images fields"], *, upright: bool) -> None:
        cells = np.arange(SIDE * SIDE).reshape(SIDE, SIDE)
        rotations = range(1) if upright else range(4)
        self.descriptors = descriptors
        self.symmetries = [np.rot90(view, k).ravel() for view in (cells, cells[:, ::-1]) for k in rotations]

    def products(
        self, symmetry: int, rows: Int64[np.ndarray, " rows"], columns: Int64[np.ndarray, " columns"]
    ) -> Float32[np.ndarray, "rows columns"]:
        """Return the correlations of some descriptors with others, of which the latter are rotated or mirrored."""
        return self.descriptors[rows] @ self.descriptors[columns][:, self.symmetries[symmetry]].T


def _invariants(turned: _Descriptors) -> Float32[np.ndarray, "images numbers"]:
    """Return vectors whose product is at least the correlation of two descriptors, however one of them is turned."""
    cells = np.stack(turned.symmetries)
    _, first, size = np.unique(cells.min(0), return_index=True, return_counts=True)
    orbits = cells[:, first]  # each cell that one is turned to, as often as all others of its orbit
    means = sum(turned.descriptors[:, cell] for cell in orbits) / np.float32(len(orbits))
    invariant = means * np.sqrt(size).astype(np.float32)
    rest = (turned.descriptors**2).sum(1) - (invariant**2).sum(1)
    return np.concatenate([invariant, np.sqrt(np.maximum(rest, 0))[:, None]], axis=1)
