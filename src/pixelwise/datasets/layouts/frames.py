"""Videos and animated pictures: each frame is an image, and the frames of a file are a group.

Masks are a file of equally many frames (``masks/a.mp4``, ``a_mask.gif``) or a folder of files named after the video
(``masks/a/0000.png``): one for each frame in order or, if there are fewer, with the number of the frame, from 0, as the
last number in their names; frames without a mask are not used.
"""

import os
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pixelwise.datasets.annotations import AnnotatedImage, AnnotatedSet, MaskFile
from pixelwise.datasets.layouts.image_folders import folders_below, images_in, split_in_name
from pixelwise.datasets.naming.folder_names import (
    normalised,
    pairing_name,
    read_folder_name,
    strip_image_words,
    strip_mask_words,
)
from pixelwise.datasets.options import DataOptions
from pixelwise.datasets.records import Split
from pixelwise.errors import BadDataset, printable
from pixelwise.io.array_paths import ANIMATED, VIDEOS
from pixelwise.io.arrays.frames import count_frames, is_animated
from pixelwise.io.volumes.names import stem_of
from pixelwise.text import pluralise

NAME = "frames of videos"
_DEPTH = 4  # folders below
_MASKS = "mask"


def recognise(root: Path) -> bool:
    """Return whether a folder has videos or animated pictures with masks."""
    return bool(_pairs(root))


def read(root: Path, options: DataOptions) -> AnnotatedSet:
    """Read the frames of each video; of a single one the last frames are for validation.

    Raises `BadDataset` if a video and its masks have other numbers of frames.
    """
    pairs = _pairs(root)
    images: list[AnnotatedImage] = []
    unused = 0
    for video, masks in pairs:
        count = count_frames(video)
        by_frame = _masks_of_frames(video, masks, count)
        unused += count - len(by_frame)
        name, split = "/".join((*video.relative_to(root).parts[:-1], stem_of(video))), _split_of(root, video)
        digits = len(str(count - 1))
        images += [
            AnnotatedImage(
                name=f"{name}_{index:0{digits}}",
                image=video / str(index),
                annotation=MaskFile(path=mask),
                split=split,
                group=name,
            )
            for index, mask in sorted(by_frame.items())
        ]
    names = ", ".join(printable(video.name) for video, _ in pairs[:3])
    messages = [f"Each frame of {pluralise(len(pairs), 'video')} ({names}) is an image; a video stays in one split."]
    if unused:
        messages.append(f"{pluralise(unused, 'frame has', 'frames have')} no mask: not used.")
    if len(pairs) == 1 and images[0].split is None:
        first = len(images) - max(1, round(options.val_share * len(images)))
        images = [
            replace(image, split="train" if index < first else "val", group="") for index, image in enumerate(images)
        ]
        messages.append("The last frames are for validation, as neighbouring frames are alike (--val-share).")
    return AnnotatedSet(format=NAME, images=tuple(images), messages=tuple(messages))


def _pairs(root: Path) -> list[tuple[Path, Path]]:
    """Return each video with its masks: a file of frames, or a folder."""
    videos: dict[str, list[Path]] = defaultdict(list)
    masks: dict[str, list[Path]] = defaultdict(list)
    folders = folders_below(root, _DEPTH)
    films = [_films_in(folder) for folder in folders]
    for folder, own in zip(folders, films, strict=True) if any(films) else ():
        role = _role_of(root, folder)
        for path in own:
            stem = pairing_name(path)
            if role == _MASKS or strip_mask_words(stem) != stem:
                masks[strip_mask_words(stem)].append(path)
            else:
                videos[strip_image_words(stem)].append(path)
        name = normalised(folder.name)
        if (role == _MASKS or strip_mask_words(name) != name) and images_in(folder):
            masks[strip_mask_words(name)].append(folder)
    pairs: list[tuple[Path, Path]] = []
    for name, found in videos.items():
        partners = masks.get(name, [])
        if len(found) == 1 and len(partners) == 1:
            pairs.append((found[0], partners[0]))
    return sorted(pairs) if pairs and 2 * len(pairs) >= len(videos) else []


def _films_in(folder: Path) -> list[Path]:
    """Return the videos of a folder, and its animated pictures if the first picture of their kind is one."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if not entry.name.startswith(".")]
    except OSError:  # the readers of images say what is the matter
        return []
    videos = [folder / name for name in names if name.casefold().endswith(VIDEOS)]
    films = [path for path in videos if path.is_file()]
    for ending in ANIMATED:
        pictures = sorted(name for name in names if name.casefold().endswith(ending))
        if pictures and is_animated(folder / pictures[0]):
            films += [path for name in pictures if is_animated(path := folder / name)]
    return sorted(films)


def _masks_of_frames(video: Path, masks: Path, count: int) -> dict[int, Path]:
    """Return the mask of each frame that has one."""
    if masks.is_file():
        other = count_frames(masks)
        if other != count:
            got = f"{count} frames of {printable(video.name)} and {other} of {printable(masks.name)}"
            raise BadDataset("a mask for each frame", got, "Export both at the same frame rate.", masks)
        return {index: masks / str(index) for index in range(count)}
    files = images_in(masks)
    if len(files) == count:
        return dict(enumerate(files))
    numbers = [re.findall(r"\d+", stem_of(path)) for path in files]
    found = {int(own[-1]): path for own, path in zip(numbers, files, strict=True) if own}
    if len(found) < len(files) or not found or max(found) >= count:
        got = f"{pluralise(count, 'frame')} of {printable(video.name)} and {pluralise(len(files), 'mask')}"
        hint = "Name the masks by the number of their frame, from 0, such as 0012.png."
        raise BadDataset("a mask for each frame, or masks with the number of their frame", got, hint, masks)
    return found


def _role_of(root: Path, folder: Path) -> str | None:
    roles = [read_folder_name(name)[1] for name in folder.relative_to(root).parts]
    return _MASKS if _MASKS in roles else next((role for role in roles if role is not None), None)


def _split_of(root: Path, video: Path) -> Split | None:
    parts: Sequence[str] = video.relative_to(root).parts[:-1]
    return next((split for part in parts if (split := split_in_name(part)) is not None), None)
