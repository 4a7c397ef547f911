"""Masks of an image of any size, from what its tiles said: areas are split, and those that are too small dropped.

Passes over files, none over the network. Nothing grows with the image but tables of numbers per area.
"""

from dataclasses import replace
from pathlib import Path
from secrets import token_hex

import numpy as np

from pixelwise.inference.streaming_instances import FOREGROUND, HALO, AreaSearch, strips_of
from pixelwise.io.label_writer import TileFile
from pixelwise.labels.split_regions import meeting_pixels
from pixelwise.labels.stitching import StripSmallRegions
from pixelwise.labels.targets import TargetOptions, splits
from pixelwise.progress import Progress


def finish_mask(decided: TileFile, target: TargetOptions, path: Path, progress: Progress, halo: int = HALO) -> TileFile:
    """Return the mask at `path` of an image whose every tile is decided: split, and without areas that are too small.

    `decided` holds what `pack` makes where areas are split, else classes; `halo` is that of `find_objects`.
    """
    if not splits(target):
        return find_areas(decided, target, path, progress)
    if not any(target.class_areas):
        return split_areas(decided, target, path, progress, decided.identity, halo)
    between = path.with_name(f"{path.name}.split")
    split = split_areas(decided, target, between, progress, token_hex(8), halo)  # never continued
    try:
        return find_areas(split, target, path, progress, decided.identity)
    finally:
        split.discard()


def split_areas(
    decided: TileFile, target: TargetOptions, path: Path, progress: Progress, identity: str, halo: int = HALO
) -> TileFile:
    """Return the mask at `path` with a line of background wherever areas that spread from two markers meet.

    What `labels.instances` makes of the whole image, as far as areas lie within the halo (`stitching.flood_window`).
    """
    height, width = decided.layout.height, decided.layout.width
    with AreaSearch(decided, target, path, progress, "splitting areas", halo) as search:
        numbered, _, _ = search.number()
        result = TileFile(path, replace(decided.layout, dtype="uint8"), identity)
        try:
            for window in search.windows():
                if window in result.done:
                    continue
                (top, bottom), (left, right) = window
                # a pixel more where `meeting_pixels` looks: below, to the left and to the right
                columns = max(0, left - 1), min(width, right + 1)
                lines = meeting_pixels(numbered.read((top, min(height, bottom + 1)), columns))
                lines = lines[: bottom - top, left - columns[0] : right - columns[0]]
                mask = (decided.read(*window) & FOREGROUND) > 0
                result.write(window, (mask & ~lines).astype(np.uint8))
        except BaseException:
            result.close()
            raise
    return result


def find_areas(
    decided: TileFile, target: TargetOptions, path: Path, progress: Progress, identity: str | None = None
) -> TileFile:
    """Return the mask at `path` of an image whose every tile is decided, without areas that are too small.

    Two passes over strips of rows: equal to `labels.postprocess.remove_small_regions` of the whole image.
    `identity` is that of the result; by default that of `decided`.
    """
    crumbs, layout = StripSmallRegions(target.class_areas), decided.layout
    strips = list(strips_of(layout))
    together = max(1, layout.tile // max(1, strips[0][0][1]))  # strips that hold whole tiles of the file
    with progress.bar("dropping small areas", 2 * len(strips)) as advance:
        for rows, columns in strips:
            crumbs.count(decided.read(rows, columns))
            advance(1, "")
        result = TileFile(path, layout, identity or decided.identity)
        try:
            for first in range(0, len(strips), together):
                some = strips[first : first + together]
                left = np.concatenate([crumbs.drop(decided.read(*strip)) for strip in some])
                window = (some[0][0][0], some[-1][0][1]), (0, layout.width)
                if window not in result.done:
                    result.write(window, left)
                advance(len(some), "")
        except BaseException:
            result.close()
            raise
    return result
