"""Decide which of two kinds of files are masks, from their pixels.

In a mask most pixels equal their neighbours, even with smooth edges or after JPEG compression; it has few values.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pixelwise.errors import BadImage
from pixelwise.io.read import probe, read_mask

SAMPLED = 4  # files of each kind that are read
_FLAT = 0.8  # fraction of equal neighbours in a mask, at least
_FLATTER = 0.15  # by so much more than in the images
_FEWER = 4  # a mask has so many times fewer values than its image


@dataclass(frozen=True)
class _Content:
    """The fraction of equal neighbours and the number of values, as means over files; how they are stored."""

    flatness: float
    values: float
    varied: bool  # some file has more than one value


def find_mask_side(first: Sequence[Path], second: Sequence[Path], *, strict: bool = False) -> int | None:
    """Return which files are masks of the others, 0 or 1; None if both are images, or both masks.

    Parameters
    ----------
    first, second : sequence of Path
        Files that belong together in this order. If their sizes differ, the pixels must be clearly those of masks.
    strict : bool
        They must be so in any case: for files that belong together by their number alone.
    """
    chosen = sorted({round(i * (len(first) - 1) / (SAMPLED - 1)) for i in range(SAMPLED)})
    pairs = [(first[index], second[index]) for index in chosen]
    one, two = (_measure([pair[side] for pair in pairs]) for side in (0, 1))
    side = 0 if (one.flatness, -one.values) > (two.flatness, -two.values) else 1
    masks, images = (one, two)[side], (one, two)[1 - side]
    fewer = masks.values * _FEWER <= images.values
    flatter = masks.flatness >= _FLAT and masks.flatness >= images.flatness + _FLATTER
    if strict or not all(_same_size(*pair) for pair in pairs):
        return side if masks.varied and flatter and fewer else None
    return side if masks.varied and (flatter or (fewer and masks.flatness >= _FLAT)) else None


def are_flat(files: Sequence[Path]) -> bool:
    """Return whether the pixels of files are those of masks, without images to compare them with."""
    return _measure(files).flatness >= _FLAT


def _same_size(first: Path, second: Path) -> bool:
    """Return whether two files have the same size; a file without a readable header has any."""
    try:
        one, two = probe(first), probe(second)
    except BadImage:
        return True
    return one.size == two.size


def _measure(files: Sequence[Path]) -> _Content:
    """Measure the first files; those that cannot be masks (float values, many channels) are not flat."""
    flatness, counts = list[float](), list[int]()
    for path in files[:SAMPLED]:
        try:
            mask = read_mask(path)
        except BadImage:
            return _Content(0.0, float("inf"), varied=True)
        rows = mask.values.reshape(*mask.size, -1)
        equal = (rows[..., 1:, :] == rows[..., :-1, :]).all(-1)
        flatness.append(float(equal.mean()) if equal.size else 1.0)
        counts.append(len(np.unique(mask.values)) * (3 if mask.coloured else 1))
    if not counts:
        return _Content(0.0, float("inf"), varied=False)
    return _Content(float(np.mean(flatness)), float(np.mean(counts)), varied=max(counts) > 1)
