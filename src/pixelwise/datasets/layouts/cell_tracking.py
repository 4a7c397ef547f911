"""Cell Tracking Challenge: a folder of frames per video, with reference segmentations beside it.

Ulman et al. 2017, "An objective comparison of cell-tracking algorithms"; naming of files:
celltrackingchallenge.net/datasets. Frames are ``01/t000.tif``; the gold truth is ``01_GT/SEG/man_seg000.tif``, for some
frames and cells; the silver truth ``01_ST/SEG`` has the same names, for all of them, and is preferred.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pixelwise.datasets.annotations import AnnotatedImage, AnnotatedSet, MaskFile
from pixelwise.datasets.layouts.image_folders import find_base, folders_in, images_in
from pixelwise.datasets.options import DataOptions
from pixelwise.errors import BadDataset, BadImage
from pixelwise.io.read import read_mask
from pixelwise.text import pluralise

NAME = "Cell Tracking Challenge"
_VIDEO = re.compile(r"^\d{2,3}$")
_FRAME = re.compile(r"^t(\d+)$", re.IGNORECASE)
_MASK = re.compile(r"^man_seg_?(\d+)(_\d+)?$", re.IGNORECASE)


def recognise(root: Path) -> bool:
    """Return whether a folder, or the only such folder in it, has videos with a reference segmentation."""
    return find_base(root, lambda folder: bool(_videos(folder))) is not None


def read(root: Path, options: DataOptions) -> AnnotatedSet:
    """Read the videos of a folder. Raises `BadDataset` if the frames are volumes."""
    base = find_base(root, lambda folder: bool(_videos(folder))) or root
    images: list[AnnotatedImage] = []
    messages: list[str] = []
    for video in _videos(base):
        images += _read_video(base, video, messages)
    if len(_videos(base)) > 1:
        messages.append("Frames of a video stay in one split (--group-by).")
    else:
        messages.append("There is one video: validation frames resemble training frames, so scores are optimistic.")
    return AnnotatedSet(format=NAME, images=tuple(images), instances=True, messages=tuple(messages))


def _videos(base: Path) -> list[str]:
    """Return the names of the videos with a segmentation."""
    names = [folder.name for folder in folders_in(base) if _VIDEO.match(folder.name)]
    return [name for name in names if any((base / f"{name}_{kind}/SEG").is_dir() for kind in ("ST", "GT"))]


def _read_video(base: Path, video: str, messages: list[str]) -> list[AnnotatedImage]:
    frames = {int(match[1]): path for path in images_in(base / video) if (match := _FRAME.match(path.stem))}
    silver, gold = (_masks(base / f"{video}_{kind}/SEG") for kind in ("ST", "GT"))
    chosen = silver or gold
    annotated = sorted(frames.keys() & chosen.keys())
    rest = len(frames) - len(annotated)
    kind = "silver truth" if silver else "gold truth"
    left_out = f"; {pluralise(rest, 'frame')} without it left out" if rest else ""
    messages.append(f"Video {video}: {kind} of {pluralise(len(annotated), 'frame')}{left_out}.")
    complete = dict.fromkeys(annotated, True) if silver else _complete(base / f"{video}_GT/TRA", gold, annotated)
    incomplete = sum(not value for value in complete.values())
    if incomplete:
        messages.append(
            f"Video {video}: the gold truth of {pluralise(incomplete, 'frame')} does not cover every cell: what it "
            "does not cover is ignored, not background. The silver truth is complete."
        )
    return [
        AnnotatedImage(
            name=f"{video}/{frames[frame].stem}",
            image=frames[frame],
            annotation=MaskFile(path=chosen[frame], complete=complete[frame]),
            group=video,
        )
        for frame in annotated
    ]


def _masks(folder: Path) -> dict[int, Path]:
    """Return the segmentations by frame number."""
    masks: dict[int, Path] = {}
    for path in images_in(folder):
        match = _MASK.match(path.stem)
        if match and match[2]:
            hint = "Save the slices that are to be segmented as 2-D frames."
            raise BadDataset("a segmentation per frame", f"one of a slice of a volume, {path.name}", hint, folder)
        if match:
            masks[int(match[1])] = path
    return masks


def _complete(markers: Path, masks: dict[int, Path], frames: Sequence[int]) -> dict[int, bool]:
    """Return for each frame whether every tracked cell has a segmentation; False without tracking markers."""
    paths = {
        int(match[1]): path
        for path in images_in(markers)
        if (match := re.match(r"^man_track(\d+)$", path.stem, re.IGNORECASE))
    }
    return {frame: frame in paths and _covers(masks[frame], paths[frame]) for frame in frames}


def _covers(mask: Path, markers: Path) -> bool:
    """Return whether every marker touches a segmented cell; False if a file is unreadable, as the scan reports."""
    try:
        cells, tracked = read_mask(mask).values, read_mask(markers).values
    except BadImage:
        return False
    if cells.shape != tracked.shape:
        return False
    return set(np.unique(tracked[tracked > 0]).tolist()) <= set(np.unique(tracked[cells > 0]).tolist())
