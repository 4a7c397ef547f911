"""Locations of rare classes, for foreground oversampling of patches."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, UInt8

from pixelwise.labels.targets import IGNORE

MAX_PIXELS = 10_000  # stored pixels per class and case (nnU-Net)
MAX_TOTAL_PIXELS = 20_000_000  # stored pixels of a data set: 160 MB
SPARSE = 0.25  # known fraction of the pixels, below which every class is looked for: elsewhere is nothing to learn
BLOCK = 1 << 20  # pixels processed at a time, so that large images need little memory
PURPOSE = 2


class Locations(NamedTuple):
    """Pixels of one class in one case: flat indices into its target."""

    case: int
    pixels: Int[np.ndarray, " count"]


def find_locations(targets: Sequence[np.ndarray], seed: int) -> list[list[Locations]]:
    """Find pixels of the rare classes: all except the most frequent one of the data set and IGNORE.

    If most pixels are ignored, as in images with a few strokes, all classes count as rare.

    Parameters
    ----------
    targets : sequence of uint8 arrays (*size)
    seed : int
        Seed of the choice of at most `MAX_PIXELS` pixels per class and case.

    Returns
    -------
    list of lists of Locations
        For each rare class, in order, the cases that contain it; empty if the data set has a single class.
    """
    counts = np.array([_count(target) for target in targets])
    counts[:, IGNORE] = 0
    if counts.sum() >= SPARSE * sum(target.size for target in targets):
        counts[:, counts.sum(0).argmax()] = 0
    limit = max(1, min(MAX_PIXELS, MAX_TOTAL_PIXELS // max(1, int(np.count_nonzero(counts)))))
    result: dict[int, list[Locations]] = {}
    for case, target in enumerate(targets):
        present = np.flatnonzero(counts[case])
        if present.size:
            rng = np.random.Generator(np.random.Philox(key=[seed, PURPOSE], counter=[0, 0, 0, case]))
            for index in present.tolist():
                pixels = _pixels(target, index, int(counts[case, index]), limit, rng)
                result.setdefault(index, []).append(Locations(case, pixels))
    return [result[index] for index in sorted(result)]


def _count(target: UInt8[np.ndarray, "*size"]) -> Int[np.ndarray, "256"]:
    flat = target.reshape(-1)
    blocks = (np.bincount(flat[i : i + BLOCK], minlength=256) for i in range(0, flat.size, BLOCK))
    return sum(blocks, start=np.zeros(256, np.int64))


def _pixels(
    target: UInt8[np.ndarray, "*size"], index: int, count: int, limit: int, rng: np.random.Generator
) -> Int[np.ndarray, " found"]:
    """Return flat indices of at most `limit` of the `count` pixels of class `index`."""
    # ranks in row-major order; a rank drawn twice counts once
    ranks = np.arange(count) if count <= limit else np.unique(rng.integers(0, count, limit))
    flat, passed = target.reshape(-1), 0
    chunks: list[np.ndarray] = []
    for start in range(0, flat.size, BLOCK):
        here = np.flatnonzero(flat[start : start + BLOCK] == index)
        first, last = np.searchsorted(ranks, (passed, passed + here.size))
        chunks.append(here[ranks[first:last] - passed] + start)
        passed += here.size
    return np.concatenate(chunks)
