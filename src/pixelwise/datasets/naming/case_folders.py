"""A folder per case with the same few files in each, ``1/slice.png`` and ``1/lesion.png``, distinguished by pixels."""

import re
from collections import defaultdict
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

from pixelwise.datasets.masks.likeness import find_mask_side
from pixelwise.datasets.naming.folder_names import is_mask_word, pairing_name
from pixelwise.datasets.naming.folder_roles import Folder, Notes
from pixelwise.datasets.naming.pairing import separate_masks
from pixelwise.datasets.options import DataOptions
from pixelwise.errors import BadImage, printable
from pixelwise.io.read import probe
from pixelwise.io.volumes.names import is_volume_name

_MODALITIES = frozenset((
    "t1", "t1w", "t1c", "t1ce", "t1gd", "t1n", "t2", "t2w", "t2f", "flair", "pd", "pdw", "dwi", "adc", "swi", "dp",
    "ct", "pet", "mr", "mri",
))  # fmt: skip
_KINDS = 6  # files of a case, at most
_MIN_CASES = 2


class CaseFiles(NamedTuple):
    """A case: its folder, its images, one per channel, and its mask."""

    folder: Folder
    images: tuple[Path, ...]
    mask: Path


def pair_case_folders(folders: list[Folder], options: DataOptions, notes: Notes) -> list[CaseFiles]:
    """Return the files of each case, and remove their folders from the list.

    Only folders that are not for masks are cases, with files of the same names (without those of their folders), of
    which no name tells which is the mask; one of them must have the pixels of a mask of another one. Volumes of several
    modalities, such as T1 and FLAIR, are the channels of one image.
    """
    cases = [folder for folder in folders if folder.role != "mask" and 2 <= len(folder.files) <= _KINDS]
    if len(cases) < _MIN_CASES or len(cases) < len(folders) or options.images or options.masks:
        return []
    kinds: dict[str, list[Path]] = defaultdict(list)
    for folder in cases:
        for path in folder.files:
            kinds[_kind(path, folder)].append(path)
    if any(len(paths) != len(cases) for paths in kinds.values()) or separate_masks(cases[0].files, options).masks:
        return []
    found: list[tuple[str, str]] = []
    for first, second in combinations(kinds, 2):
        side = find_mask_side(kinds[first], kinds[second])
        if side is not None:
            found.append((second, first) if side == 0 else (first, second))
    images, masks = sorted({image for image, _ in found}), {mask for _, mask in found}
    if len(masks) > 1:  # one of them shows the same in colours
        numbers = {kind for kind in masks if _is_gray(kinds[kind][0])}
        kinds = {kind: paths for kind, paths in kinds.items() if kind not in masks - numbers}
        images, masks = [image for image in images if image in kinds and image not in numbers], numbers
    several = len(images) > 1 and not all(map(_is_modality, images, [kinds[image][0] for image in images]))
    if len(masks) != 1 or several or len(images) < len(kinds) - 1:
        return []
    mask = masks.pop()
    shown = " and ".join(printable(kinds[image][0].name) for image in images)
    channels = ", which are its channels" if len(images) > 1 else ""
    text = f"{printable(kinds[mask][0].name)} is used as the mask of {shown}{channels}, and so on"
    notes.messages.append(f"{text} (a list of files decides: --format list).")
    folders.clear()
    return [
        CaseFiles(folder, tuple(kinds[image][index] for image in images), kinds[mask][index])
        for index, folder in enumerate(cases)
    ]


def _kind(path: Path, folder: Folder) -> str:
    """Return the name of a file without those of its folders."""
    name = pairing_name(path)
    for part in sorted(folder.parts, key=len, reverse=True):
        name = name.replace(part.casefold(), "")
    return name.strip("_-. ")


def _is_gray(path: Path) -> bool:
    try:
        info = probe(path)
    except BadImage:  # reported when the masks are read
        return False
    return info.channels == 1 or info.palette


def _is_modality(kind: str, path: Path) -> bool:
    return is_volume_name(path.name) and bool(_MODALITIES & set(re.split(r"[\W_]+", kind)))


def pair_modalities(folders: list[Folder], options: DataOptions, notes: Notes) -> list[CaseFiles]:
    """Return the files of each case whose mask is named as one, and remove their folders from the list.

    All other files of such a folder are volumes of modalities, as in BraTS: ``case_t1.nii.gz``, ``case_flair.nii.gz``
    and ``case_seg.nii.gz``. They are the channels of one image.
    """
    if options.images or options.masks:
        return []
    found: dict[int, CaseFiles] = {}
    channels: set[str] = set()
    for index, folder in enumerate(folders):
        kinds = {_kind(path, folder): path for path in folder.files}
        images = sorted(kind for kind, path in kinds.items() if _is_modality(kind, path))
        masks = [path for kind, path in kinds.items() if is_mask_word(kind)]
        if folder.role is None and len(masks) == 1 and images and len(images) + 1 == len(folder.files):
            found[index] = CaseFiles(folder, tuple(kinds[kind] for kind in images), masks[0])
            channels.update(images)
    if len(found) < _MIN_CASES or len(channels) < 2:
        return []
    folders[:] = [folder for index, folder in enumerate(folders) if index not in found]
    mask = printable(next(iter(found.values())).mask.name)
    text = f"{', '.join(sorted(channels))} are the channels of one image, {mask} is the mask of its folder, and so on"
    notes.messages.append(f"{text} (a list of files decides: --format list).")
    return list(found.values())
