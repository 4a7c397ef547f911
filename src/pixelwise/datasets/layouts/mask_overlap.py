"""Tell parts of one annotation from versions of it: masks of different objects or classes hardly overlap."""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np

from pixelwise.datasets.annotation_values import read_foreground
from pixelwise.datasets.options import DataOptions
from pixelwise.errors import BadDataset, BadImage, printable

MAX_IMAGES, MAX_MASKS = 5, 4  # read for the decision
SAME = 0.6  # mean intersection over union from which masks are versions of one another


def are_versions(groups: Sequence[Sequence[Path]]) -> bool:
    """Return whether the masks of an image mark the same pixels, as those of several observers do.

    Parameters
    ----------
    groups : sequence of sequences of Path
        The mask files of each image; a few are read, evenly spaced. Unreadable and empty ones do not count.
    """
    several = [group for group in groups if len(group) > 1]
    step = max(1, len(several) // MAX_IMAGES)
    overlaps: list[float] = []
    for group in several[::step][:MAX_IMAGES]:
        masks = [mask for path in group[:MAX_MASKS] if (mask := _read(path)) is not None and mask.any()]
        overlaps += [
            float(np.count_nonzero(one & other) / np.count_nonzero(one | other))
            for one, other in combinations(masks, 2)
            if one.shape == other.shape
        ]
    return bool(overlaps) and float(np.mean(overlaps)) > SAME


def refuse_versions(groups: Sequence[Sequence[Path]], options: DataOptions, key: str, hint: str, root: Path) -> None:
    """Raise `BadDataset` if the masks of an image are versions, unless the user names the format `key`."""
    if options.format == key or not are_versions(groups):
        return
    several = next(group for group in groups if len(group) > 1)
    names = ", ".join(printable(path.relative_to(root)) for path in several[:MAX_MASKS])
    raise BadDataset(
        "one mask per image, or masks of different pixels",
        f"several masks per image that mark the same pixels: {names}",
        f"{hint} If they do belong together: --format {key}.",
        root,
    )


def _read(path: Path) -> np.ndarray | None:
    try:
        return read_foreground(path)
    except BadImage:
        return None
