"""A folder of binary masks per class: ``images/3.png`` with ``masks/cat/3.png`` and ``masks/dog/3.png``.

Splits may be above (``train/masks/cat``), between (``masks/train/cat``) or below (``masks/cat/train``). Names of masks
may have a suffix that is the same in the whole folder (``3_cat.png``). Folders
whose masks mark the same pixels are versions, such as those of several observers, and refused.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import numpy as np

from pixelwise.datasets.annotations import AnnotatedImage, AnnotatedSet, ClassMasks
from pixelwise.datasets.layouts.image_folders import folders_below, images_in
from pixelwise.datasets.layouts.mask_overlap import refuse_versions
from pixelwise.datasets.masks.class_table import NAMES_OF_IGNORE, read_class_table
from pixelwise.datasets.naming.folder_names import (
    Role,
    looks_like_masks,
    natural_key,
    normalised,
    pairing_name,
    read_folder_name,
    strip_role_words,
)
from pixelwise.datasets.options import DataOptions
from pixelwise.datasets.records import Split
from pixelwise.errors import BadImage
from pixelwise.io.read import read_mask
from pixelwise.io.volumes.names import stem_of
from pixelwise.text import pluralise

NAME = "one folder of masks per class"
MAX_CLASSES = 254
MAX_DEPTH = 4
# pictures for people, beside masks
_Key = tuple[Split | None, tuple[str, ...]]  # of a place
_PICTURES = re.compile(r"colou?r|overlay|preview|visuali[sz]|thumb", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class _Place:
    """The images of one split, and the masks of each class by the name of their image."""

    split: Split | None
    images: list[Path]
    classes: dict[str, dict[str, Path]]


def recognise(root: Path) -> bool:
    """Return whether a folder has images, and at least two folders of binary masks of them."""
    return bool(_find(root))


def read(root: Path, options: DataOptions) -> AnnotatedSet:
    """Read the masks of every class; a class without a file of an image does not occur in it.

    Raises `BadDataset` if the masks of an image mark the same pixels.
    """
    places = _find(root)
    masks = [
        [found[stem_of(path)] for found in place.classes.values() if stem_of(path) in found]
        for place in places
        for path in place.images
    ]
    hint = "Choose one folder with --masks."
    refuse_versions(masks, options, "folder-per-class", hint, root)
    found = {name for place in places for name in place.classes}
    void = sorted(name for name in found if name.casefold() in NAMES_OF_IGNORE)
    ignored = void[0] if len(void) == 1 < len(found) and options.ignore_index != -1 else ""
    names, ordered = _order(root, found - {ignored})
    images: list[AnnotatedImage] = []
    for place in places:
        prefix = f"{place.split}/" if place.split else ""
        for path in place.images:
            own = {name: found[stem_of(path)] for name, found in place.classes.items() if stem_of(path) in found}
            masks = tuple((name, own[name]) for name in names if name in own)
            annotation = ClassMasks(masks=masks, ignored=own.get(ignored)) if own else None
            images.append(
                AnnotatedImage(name=f"{prefix}{stem_of(path)}", image=path, annotation=annotation, split=place.split)
            )
    partial = sum(
        len(image.annotation.masks) < len(names) for image in images if isinstance(image.annotation, ClassMasks)
    )
    order = f" in the order of {ordered}" if ordered else ""
    messages = [f"Each folder of masks is a class{order}: {', '.join(names)} (--classes renames them)."]
    if ignored:
        messages.append(f"Pixels of the masks in {ignored} are ignored (--ignore-index -1: it is a class).")
    if partial:
        text = "has no file of some class" if partial == 1 else "have no file of some class"
        messages.append(f"{pluralise(partial, 'image')} {text}: it does not occur there.")
    pictures = {
        folder.name for folder in folders_below(root, MAX_DEPTH) if _PICTURES.search(folder.name) and images_in(folder)
    }
    if pictures:
        messages.append(f"Not used: {', '.join(sorted(pictures))} (--format folders).")
    return AnnotatedSet(
        format=NAME, images=tuple(images), classes=tuple(names), instances=False, messages=tuple(messages)
    )


def _order(root: Path, names: set[str]) -> tuple[list[str], str]:
    """Return the classes in the order of a class table that names all of them, and its file; else in natural order."""
    table = read_class_table(root)
    listed = [entry.name for entry in table.entries if entry.name in names]
    return (listed, table.source) if set(listed) == names else (sorted(names, key=natural_key), "")


def _find(root: Path) -> list[_Place]:
    """Return the images and masks of every split; empty if the folder has another layout."""
    folders = folders_below(root, MAX_DEPTH)
    images: dict[_Key, list[Path]] = {}
    masks: dict[_Key, dict[str, list[Path]]] = defaultdict(dict)
    held = [(folder.relative_to(root).parts, files) for folder in folders if (files := images_in(folder))]
    shared = _shared([names for names, _ in held])
    for names, files in held:
        split, roles, rest = _read_path(names, shared)
        if rest and _PICTURES.search(rest[-1]):
            continue
        if roles == {"image"}:
            images[split, rest] = files
        elif rest and (roles == {"mask"} or (not roles and not looks_like_masks(rest[-1]))):
            masks[split, rest[:-1]][rest[-1]] = files
        else:
            return []  # masks directly in their folder: one file has all classes
    if not images and not _take_pictures(masks, images):
        return []
    places = _match_places(images, masks)
    return places if _are_classes(places, masks) else []


def _read_path(names: tuple[str, ...], shared: int) -> tuple[Split | None, set[Role], tuple[str, ...]]:
    """Return split, roles and other names of a path; the first `shared` names are those of all, and no masks."""
    split: Split | None = None
    roles: set[Role] = set()
    rest: list[str] = []
    for index, name in enumerate(names):
        found, role = read_folder_name(name)
        role = None if role == "mask" and index < shared else role
        split = split or found
        roles |= {role} if role is not None else set()
        rest += [name] if found is None and role is None else []
    return split, roles, tuple(rest)


def _match_places(images: dict[_Key, list[Path]], masks: dict[_Key, dict[str, list[Path]]]) -> list[_Place]:
    """Return images with the masks of each class; nothing if images of a place, or masks of one, have no other."""
    places: list[_Place] = []
    for key, files in images.items():
        if key not in masks and key[0] != "test":
            return []
        classes = {name: _match(name, files, found) for name, found in masks.get(key, {}).items()}
        places.append(_Place(split=key[0], images=files, classes=classes))
    return places if set(masks) <= set(images) else []


def _shared(paths: Sequence[Sequence[str]]) -> int:
    """Return how many names all paths begin with."""
    return len(list(takewhile(lambda names: len(set(names)) == 1, zip(*paths, strict=False)))) if len(paths) > 1 else 0


def _take_pictures(masks: dict[_Key, dict[str, list[Path]]], images: dict[_Key, list[Path]]) -> bool:
    """Move the one folder of each place whose files are not binary to the images; return whether each place has one."""
    for key, found in masks.items():
        pictures: list[str] = []
        for name, files in found.items():
            pictures += [] if _is_binary(files[len(files) // 2]) else [name]
            if len(pictures) > 1:
                return False
        if not pictures or len(found) < 3:
            return False
        images[key] = found.pop(pictures[0])
    return bool(images)


def _are_classes(places: Sequence[_Place], masks: dict[_Key, dict[str, list[Path]]]) -> bool:
    """Return whether the folders are classes: several, with binary masks that belong to images."""
    names = {name for place in places for name in place.classes}
    if not 2 <= len(names) <= MAX_CLASSES:
        return False
    stems = {pairing_name(path) for place in places for path in place.images}
    if 2 * len(names) > len(stems) and all(normalised(name) in stems for name in names):
        return False  # a folder per image
    files = [(name, found) for classes in masks.values() for name, found in classes.items()]
    matched = sum(len(found) for place in places for found in place.classes.values())
    if 2 * matched < sum(len(found) for _, found in files):
        return False
    return all(_is_binary(found[len(found) // 2]) for _, found in files)


def _match(name: str, images: Sequence[Path], masks: Sequence[Path]) -> dict[str, Path]:
    """Return the mask of each image by the image's name: the same, or with a suffix or prefix common to the folder."""
    by_name = {pairing_name(path): stem_of(path) for path in images}
    by_base = {strip_role_words(stem): own for stem, own in by_name.items()}
    suffix = _common_end([pairing_name(path) for path in masks])
    found: dict[str, Path] = {}
    for path in masks:
        stem = pairing_name(path)
        bare = stem.removesuffix(suffix) if suffix else stem
        without_class = re.sub(rf"[_\-. ]*{re.escape(name.casefold())}[_\-. ]*", "", stem)
        options = (stem, strip_role_words(stem), bare, strip_role_words(without_class))
        own = next((known[one] for one in options for known in (by_name, by_base) if one in known), None)
        if own is not None:
            found.setdefault(own, path)
    return found


def _common_end(names: Sequence[str]) -> str:
    """Return the ending that all names share, from a separator on; empty if there is none, or for one name."""
    if len(names) < 2:
        return ""
    length = 0
    while all(len(name) > length for name in names) and len({name[-length - 1] for name in names}) == 1:
        length += 1
    end = names[0][len(names[0]) - length :]
    start = re.search(r"[_\-. ]", end)
    return end[start.start() :] if start else ""


def _is_binary(path: Path) -> bool:
    """Return whether a mask has one or two values, or the intermediate values of smoothed or lossy edges."""
    try:
        mask = read_mask(path)
    except BadImage:
        return True  # the scan reports it
    values, counts = np.unique(mask.values, return_counts=True)
    if mask.values.ndim == 3:
        return False
    smooth = mask.lossy or len(values) > 16
    return len(values) <= 2 or (smooth and int(counts[0] + counts[-1]) > 0.5 * int(counts.sum()))
