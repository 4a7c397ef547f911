"""Post-processing of masks of images of any size: splitting of regions and removal of small regions.

Works on the stored tiles, without the network. Only tables with a few numbers per region grow with the image.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from secrets import token_hex

import numpy as np

from pixelwise.inference.streaming.instances import FOREGROUND, HALO, RegionLabeller, strips_of
from pixelwise.inference.streaming.state import resumable
from pixelwise.io.label_writer import TileFile, Window
from pixelwise.labels.split_regions import contact_pixels
from pixelwise.labels.stitching import StripSmallRegions
from pixelwise.labels.targets import TargetOptions, splits_regions
from pixelwise.progress import Progress

Fill = Callable[[Window, np.ndarray], np.ndarray]
"""Marks the missing pixels of a window of the finished mask."""


def keep(window: Window, mask: np.ndarray) -> np.ndarray:
    """Return a window of a mask as it is."""
    return mask


def finish_mask(
    decided: TileFile, target: TargetOptions, path: Path, progress: Progress, halo: int = HALO, fill: Fill = keep
) -> TileFile:
    """Write the post-processed mask to `path`, with split regions and without small ones.

    `decided` holds the result of `pack` if regions are split, else classes; `fill` is applied last; `halo` is that of
    `find_objects`.
    """
    if not splits_regions(target):
        return remove_small_regions(decided, target, path, progress, fill=fill)
    if not any(target.class_areas):
        return split_regions(decided, target, path, progress, decided.identity, halo, fill)
    split_path = path.with_name(f"{path.name}.split")
    split = split_regions(decided, target, split_path, progress, token_hex(8), halo)  # never resumed
    try:
        return remove_small_regions(split, target, path, progress, decided.identity, fill)
    finally:
        split.discard()


def split_regions(
    decided: TileFile,
    target: TargetOptions,
    path: Path,
    progress: Progress,
    identity: str,
    halo: int = HALO,
    fill: Fill = keep,
) -> TileFile:
    """Write the mask to `path`, with a line of background where the watershed regions of two markers meet.

    Equal to `labels.instances` on the whole image for regions within the halo (`stitching.watershed_window`).
    """
    height, width = decided.layout.height, decided.layout.width
    with RegionLabeller(decided, target, path, progress, "splitting regions", halo) as labeller:
        labels, _, _ = labeller.label()
        result = TileFile(path, replace(decided.layout, dtype="uint8"), identity)
        with resumable(result):
            for window in labeller.windows():
                if window in result.done:
                    continue
                (top, bottom), (left, right) = window
                # `contact_pixels` needs one more pixel below, to the left and to the right
                columns = max(0, left - 1), min(width, right + 1)
                lines = contact_pixels(labels.read((top, min(height, bottom + 1)), columns))
                lines = lines[: bottom - top, left - columns[0] : right - columns[0]]
                mask = (decided.read(*window) & FOREGROUND) > 0
                split = (mask & ~lines).astype(np.uint8)
                result.write(window, fill(window, split))
    return result


def remove_small_regions(
    decided: TileFile,
    target: TargetOptions,
    path: Path,
    progress: Progress,
    identity: str | None = None,
    fill: Fill = keep,
) -> TileFile:
    """Write the mask to `path` without small regions.

    Two passes over strips of rows, equal to `labels.postprocess.remove_small_regions` on the whole image. `identity` is
    that of the result; by default that of `decided`.
    """
    small_regions, layout = StripSmallRegions(target.class_areas), decided.layout
    strips = list(strips_of(layout))
    group_size = max(1, layout.tile // max(1, strips[0][0][1]))  # strips per row of tiles of the file
    with progress.bar("removing small regions", 2 * len(strips)) as advance:
        for rows, columns in strips:
            small_regions.count(decided.read(rows, columns))
            advance(1, "")
        result = TileFile(path, layout, identity or decided.identity)
        with resumable(result):
            for first in range(0, len(strips), group_size):
                group = strips[first : first + group_size]
                mask = np.concatenate([small_regions.drop(decided.read(*strip)) for strip in group])
                window = (group[0][0][0], group[-1][0][1]), (0, layout.width)
                if window not in result.done:
                    result.write(window, fill(window, mask))
                advance(len(group), "")
    return result
