"""Connected components of a label image from its run lengths: their number and areas, without an image of components.

Masks have a few runs per row, so that this takes a fraction of the time of labelling every pixel. Source: He, Chao and
Suzuki 2008, A run-based two-scan labeling algorithm (IEEE Transactions on Image Processing 17).
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int64, Integer
from skimage.measure import label

from pixelwise.labels.disjoint_sets import first_linked
from pixelwise.labels.run_lengths import Runs, find_runs

_PIXELS_PER_RUN = 8  # with shorter runs on average, labelling every pixel is faster and needs less memory


class Components(NamedTuple):
    """The connected components of a label image except background, 0; for each its label and its number of pixels."""

    number: Int64[np.ndarray, " components"]
    area: Int64[np.ndarray, " components"]


def find_components(labels: Integer[np.ndarray, "height width"], runs: Runs | None = None) -> Components:
    """Return the components (8 neighbours) of equal labels other than 0.

    Parameters
    ----------
    labels : (height, width) integers
    runs : Runs, optional
        Those of `labels`, if they are known.

    Examples
    --------
    >>> found = find_components(np.array([[1, 0, 1, 2], [0, 1, 0, 2], [0, 0, 0, 0], [0, 0, 1, 0]]))
    >>> sorted(zip(found.number.tolist(), found.area.tolist()))
    [(1, 1), (1, 3), (2, 2)]
    """
    runs = find_runs(labels) if runs is None else runs
    if len(runs.row) * _PIXELS_PER_RUN > labels.size:
        return _of_pixels(labels)
    shown = np.flatnonzero(runs.number != 0)
    if not shown.size:
        return Components(np.zeros(0, np.int64), np.zeros(0, np.int64))
    position = np.full(len(runs.row), -1)
    position[shown] = np.arange(len(shown))
    links = position[_touching_runs(runs, *labels.shape)]
    first = first_linked(len(shown), links[(links >= 0).all(1)])
    area = np.bincount(first, (runs.stop - runs.start)[shown], minlength=len(shown)).astype(np.int64)
    own = np.flatnonzero(first == np.arange(len(shown)))
    return Components(runs.number[shown[own]], area[own])


def _touching_runs(runs: Runs, height: int, width: int) -> Int64[np.ndarray, "links 2"]:
    """Return the pairs of runs with one label that touch, also at a corner, in two rows that follow one another."""
    begins = runs.row * width + runs.start
    upper = np.flatnonzero(runs.row < height - 1)
    below = (runs.row[upper] + 1) * width
    first = np.searchsorted(begins, below + np.maximum(runs.start[upper] - 1, 0), side="right") - 1
    last = np.searchsorted(begins, below + np.minimum(runs.stop[upper], width - 1), side="right") - 1
    counts = last - first + 1
    offsets = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
    pairs = np.stack([np.repeat(upper, counts), np.repeat(first, counts) + offsets], axis=1)
    return pairs[runs.number[pairs[:, 0]] == runs.number[pairs[:, 1]]]


def _of_pixels(labels: Integer[np.ndarray, "height width"]) -> Components:
    """Return the components by labelling every pixel."""
    unique, inverse = np.unique(labels, return_inverse=True)
    dense = inverse.reshape(labels.shape).astype(np.int32) + 1
    dense[labels == 0] = 0
    found = np.asarray(label(dense, background=0, connectivity=2))
    area = np.bincount(found.ravel())
    first = np.zeros(len(area), np.int64)
    first[found.ravel()[::-1]] = np.arange(found.size)[::-1]  # the first pixel of each component is assigned last
    numbers = unique[np.maximum(dense.ravel()[first] - 1, 0)].astype(np.int64)
    return Components(numbers[1:], area[1:].astype(np.int64))
