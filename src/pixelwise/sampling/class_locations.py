"""Where the rare classes of a data set lie: the pixels on which training patches are centred."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, UInt8

from pixelwise.labels.targets import IGNORE

MOST = 10_000  # stored pixels per class and case (nnU-Net)
MOST_IN_ALL = 20_000_000  # stored pixels of a data set: 160 MB
BLOCK = 1 << 20  # pixels looked at in one go, so that large images need little memory
PURPOSE = 2


class Locations(NamedTuple):
    """Pixels of one class in one case: flat indices into its target."""

    case: int
    pixels: Int[np.ndarray, " count"]


def find_locations(targets: Sequence[np.ndarray], seed: int) -> list[list[Locations]]:
    """Find pixels of the rare classes: all but the most frequent one of the set, and but IGNORE.

    Parameters
    ----------
    targets : sequence of uint8 arrays (height, width)
    seed : int
        At most `MOST` pixels per class and case are kept, the same ones for the same seed.

    Returns
    -------
    list of lists of Locations
        Of each rare class, in their order, the cases that hold it; none when the set has one class only.
    """
    counts = np.array([_count(target) for target in targets])
    counts[:, IGNORE] = 0
    counts[:, counts.sum(0).argmax()] = 0
    most = max(1, min(MOST, MOST_IN_ALL // max(1, int(np.count_nonzero(counts)))))
    found: dict[int, list[Locations]] = {}
    for case, target in enumerate(targets):
        present = np.flatnonzero(counts[case])
        if present.size:
            rng = np.random.Generator(np.random.Philox(key=[seed, PURPOSE], counter=[0, 0, 0, case]))
            for index in present.tolist():
                pixels = _pixels(target, index, int(counts[case, index]), most, rng)
                found.setdefault(index, []).append(Locations(case, pixels))
    return [found[index] for index in sorted(found)]


def _count(target: UInt8[np.ndarray, "height width"]) -> Int[np.ndarray, "256"]:
    flat = target.reshape(-1)
    blocks = (np.bincount(flat[i : i + BLOCK], minlength=256) for i in range(0, flat.size, BLOCK))
    return sum(blocks, start=np.zeros(256, np.int64))


def _pixels(
    target: UInt8[np.ndarray, "height width"], index: int, count: int, most: int, rng: np.random.Generator
) -> Int[np.ndarray, " found"]:
    """Return flat indices of `most` of the `count` pixels of class `index`, or of all when fewer."""
    # which ones, by their rank in reading order; a rank drawn twice counts once
    ranks = np.arange(count) if count <= most else np.unique(rng.integers(0, count, most))
    flat, seen = target.reshape(-1), 0
    parts: list[np.ndarray] = []
    for start in range(0, flat.size, BLOCK):
        here = np.flatnonzero(flat[start : start + BLOCK] == index)
        first, last = np.searchsorted(ranks, (seen, seen + here.size))
        parts.append(here[ranks[first:last] - seen] + start)
        seen += here.size
    return np.concatenate(parts)
