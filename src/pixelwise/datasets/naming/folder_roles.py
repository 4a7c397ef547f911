"""Assign roles (image or mask) to the folders of a data set whose names do not give them; leave out other folders."""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

from pixelwise.datasets.masks.likeness import find_mask_side
from pixelwise.datasets.naming.folder_names import Role, has_image_word, pairing_name, without_parent
from pixelwise.datasets.naming.outputs import OUTPUT_FOLDERS, find_outputs
from pixelwise.datasets.naming.pairing import pair_up
from pixelwise.datasets.options import DataOptions
from pixelwise.datasets.problems import Problem
from pixelwise.datasets.records import Split
from pixelwise.errors import printable
from pixelwise.text import pluralise

Key = tuple[str, ...]
_COMPARED = 6  # folders whose pixels are compared


@dataclass(kw_only=True)
class Folder:
    """A folder that contains images, with its split and role."""

    parts: Key
    files: list[Path]
    split: Split | None = None
    role: Role | None = None
    mask_like: bool = False  # the name contains a word for masks, but is not a usual name
    ignored: bool = False  # the user named another folder for this role
    key: Key = ()


@dataclass
class Notes:
    """The messages and problems that reading a layout gives."""

    messages: list[str] = field(default_factory=list[str])
    problems: list[Problem] = field(default_factory=list[Problem])


def leave_out_outputs(folders: Sequence[Folder], options: DataOptions, notes: Notes) -> list[Folder]:
    """Return the folders without files and folders that a program made from the images; report them."""
    kept: list[Folder] = []
    for folder in folders:
        others = [other for other in folders if other is not folder and other.role != "mask"]
        named = folder.parts and folder.parts[-1].casefold() in OUTPUT_FOLDERS and not _is_given(folder, options)
        inside = (other for other in others if folder.parts and folder.parts[:-1] == other.parts)
        beside = folder.role is None and any(_siblings(folder, other) for other in others)
        if named and (beside or any(2 * len(_pair_folders(folder, other)) >= len(folder.files) for other in inside)):
            name = printable("/".join(folder.parts))
            files = pluralise(len(folder.files), "file")
            notes.messages.append(f"{name} ({files}) was left out: results of a program (--images, --masks).")
        else:
            kept.append(folder)
    given = (options.masks, options.image_prefix, options.image_suffix, options.mask_prefix, options.mask_suffix)
    outputs = find_outputs((path for folder in kept for path in folder.files), [affix for affix in given if affix])
    for affix, paths in outputs.items():
        where = "beginning with" if affix.endswith("_") else "ending in"
        files = pluralise(len(paths), "file")
        notes.messages.append(f"Left out: {files} {where} {affix}, which a program made (--masks, --mask-suffix).")
    excluded = {path for paths in outputs.values() for path in paths}
    for folder in kept:
        folder.files = [path for path in folder.files if path not in excluded]
    return [folder for folder in kept if folder.files]


def _is_given(folder: Folder, options: DataOptions) -> bool:
    """Return whether the user named the folder."""
    given = {name.strip("/").rpartition("/")[2].casefold() for name in (options.images, options.masks) if name}
    return bool(folder.parts) and folder.parts[-1].casefold() in given


def pair_numbered_folders(folders: Sequence[Folder], notes: Notes) -> None:
    """Assign roles to folders that are numbered alike, such as ``Slide_01``, ``Slide_02`` and ``GT_01``, ``GT_02``."""
    by_text: dict[tuple[Key, str], dict[tuple[str, ...], Folder]] = defaultdict(dict)
    for folder in (folder for folder in folders if folder.parts and folder.role is None):
        name = folder.parts[-1]
        if numbers := tuple(re.findall(r"\d+", name)):  # also of a date: 2023-05-12_masks
            by_text[folder.parts[:-1], re.sub(r"\d+", "", name)][numbers] = folder
    for (above, text), masks in by_text.items():
        others = [found for (place, other), found in by_text.items() if place == above and other != text]
        partners = [found for found in others if set(found) == set(masks)]
        if len(masks) < 2 or len(partners) != 1 or not all(folder.mask_like for folder in masks.values()):
            continue
        images = partners[0]
        if any(folder.mask_like for folder in images.values()):
            continue
        for number, folder in masks.items():
            folder.role, images[number].role = "mask", "image"
            folder.key = images[number].key
        first = min(masks)
        named = printable(masks[first].parts[-1]), printable(images[first].parts[-1])
        notes.messages.append(f"{named[0]} holds the masks of {named[1]}, and so on (--format list decides otherwise).")


def assign_roles(folders: list[Folder], notes: Notes) -> None:
    """Assign roles to folders without a usual name: other mask folders, and images next to a mask folder."""
    with_masks = {(folder.split, folder.key) for folder in folders if folder.role == "mask"}
    _find_images_with_masks(folders)
    spare = [folder for folder in folders if folder.mask_like and folder.role is None]
    ignored: dict[str, int] = defaultdict(int)
    for folder in spare:
        here = [other for other in spare if (other.split, other.key) == (folder.split, folder.key)]
        if (folder.split, folder.key) in with_masks:
            ignored[folder.parts[-1]] += len(folder.files)
        elif len(here) > 1:
            names = ", ".join("/".join(other.parts) for other in here)
            if folder is here[0]:
                notes.problems.append(
                    Problem(file=names, kind="ambiguous folders", text=f"{len(here)} folders look like masks")
                )
        else:
            folder.role = "mask"
            notes.messages.append(f"Masks are read from {printable('/'.join(folder.parts))} (--masks).")
    for name, count in ignored.items():
        name, files = printable(name), pluralise(count, "file")
        notes.messages.append(f"{name} also looks like masks ({files}); it was ignored (--masks {name}).")
    folders[:] = [folder for folder in folders if not (folder.mask_like and folder.role is None)]
    _assign_roles_by_sibling(folders, notes)


def _find_images_with_masks(folders: Sequence[Folder]) -> None:
    """Give the role of images to a folder whose name has words for images and masks, beside one for masks alone.

    Such as ``frames-with-annotations`` beside ``annotations``.
    """
    by_place: dict[tuple[Split | None, Key], list[Folder]] = defaultdict(list)
    for folder in folders:
        by_place[folder.split, folder.key].append(folder)
    for group in by_place.values():
        like = [folder for folder in group if folder.mask_like and folder.role is None]
        both = [folder for folder in like if any(map(has_image_word, folder.parts))]
        if len(like) == 2 and len(both) == 1 and len(group) == 2:
            both[0].role = "image"


def _assign_roles_by_sibling(folders: list[Folder], notes: Notes) -> None:
    """Assign the missing role to folders next to a folder with a role, if their files have the same names."""
    for folder in (folder for folder in folders if folder.role is None):
        others = [other for other in folders if other is not folder and other.split == folder.split]
        known = [other for other in others if other.role is not None and _siblings(folder, other)]
        beside = [other for other in known if folder.parts and other.parts[:-1] == folder.parts[:-1]]
        if beside:  # not the folders of other sequences, whose frames have the same names
            known, others = beside, [other for other in others if other.parts[:-1] == folder.parts[:-1]]
        roles = {other.role for other in known}
        if len(roles) != 1 or (roles == {"image"} and not folder.parts):
            continue
        if any(other.role is None and _siblings(folder, other) for other in others):
            continue
        folder.role = "image" if roles == {"mask"} else "mask"
        folder.key = known[0].key
        named = printable("/".join(folder.parts) or "this folder")
        notes.messages.append(f"{named} is used as {folder.role}s (--{folder.role}s).")


def _siblings(folder: Folder, other: Folder) -> bool:
    """Return whether two folders are siblings or nested, or differ in one name, and most of their files pair."""
    nested = other.parts[:-1] == folder.parts or folder.key == other.key
    if not nested and sum(a != b for a, b in zip(folder.parts, other.parts, strict=False)) > 1:
        return False
    if not nested and len(folder.parts) != len(other.parts):
        return False
    return 2 * len(_pair_folders(folder, other)) >= len(folder.files)


def _pair_folders(folder: Folder, other: Folder) -> list[tuple[Path, Path]]:
    """Return the files of two folders that pair by name, whichever of them has the masks."""
    names = {pairing_name(path): path for path in other.files}
    same = [(path, names[pairing_name(path)]) for path in folder.files if pairing_name(path) in names]
    if 2 * len(same) >= len(folder.files):
        return same
    turned = [(mask, image) for image, mask in pair_up(other.files, folder.files).items()]
    return max(same, list(pair_up(folder.files, other.files).items()), turned, key=len)


def assign_roles_by_content(folders: Sequence[Folder], notes: Notes) -> list[Folder]:
    """Assign roles to folders without usual names that differ in one name, by the pixels of files that pair.

    Return the folders without those among which masks look like images.
    """
    by_rest: dict[tuple[Split | None, Key, Key], list[Folder]] = defaultdict(list)
    complete = {(f.split, f.key) for f in folders if f.role == "image"} & {
        (f.split, f.key) for f in folders if f.role == "mask"
    }
    beside = [f for f in folders if f.role is None and (f.split, f.key[:-1]) not in complete]  # others are strays
    for folder in beside:
        for index in range(len(folder.parts)):
            by_rest[folder.split, folder.parts[:index], folder.parts[index + 1 :]].append(folder)
    unclear: list[Folder] = []
    found: list[str] = []
    for (_, before, _), group in by_rest.items():
        if len(group) < 2 or any(folder.role is not None for folder in group):
            continue
        if len(group) > 2:
            unclear += _report_unclear(group, notes)
            continue
        first, second = group
        pairs = _pair_folders(first, second)
        if not pairs or 2 * len(pairs) < len(first.files):
            continue
        sides = [[pair[side] for pair in pairs] for side in (0, 1)]
        side = find_mask_side(*sides)
        if side is None:
            continue  # two cases, or two kinds of photos
        masks, images = group[side], group[1 - side]
        masks.role, images.role = "mask", "image"
        masks.key = images.key = tuple(name for name in masks.key if name != masks.parts[len(before)])
        names = printable("/".join(images.parts)), printable("/".join(masks.parts))
        found.append(f"{names[0]} is used as images and {names[1]} as masks")
    if found:
        more = f", and so on in {len(found) - 1} more places" if len(found) > 1 else ""
        notes.messages.append(f"{found[0]}{more} (--images, --masks).")
    return [folder for folder in folders if folder not in unclear]


def report_unclear_images(folders: Sequence[Folder], notes: Notes) -> None:
    """Report several folders without a role of which each may hold the images of one folder of masks."""
    for masks in (folder for folder in folders if folder.role == "mask"):
        beside = [f for f in folders if f is not masks and f.split == masks.split and f.role != "mask"]
        beside = [f for f in beside if f.parts[:-1] == masks.parts[:-1] and _siblings(f, masks)]
        if len(beside) > 1 and all(folder.role is None for folder in beside):
            names = ", ".join(printable("/".join(folder.parts)) for folder in beside)
            text = f"{len(beside)} folders may hold the images of {printable('/'.join(masks.parts))}"
            notes.problems.append(Problem(file=names, kind="ambiguous folders", text=text))


def _report_unclear(group: Sequence[Folder], notes: Notes) -> list[Folder]:
    """Report more than two folders of which some hold masks of others; return them."""
    for first, second in combinations(group[:_COMPARED], 2):
        pairs = _pair_folders(first, second)
        if 2 * len(pairs) < len(first.files) or not pairs:
            continue
        if find_mask_side(*([pair[side] for pair in pairs] for side in (0, 1))) is not None:
            around = [folder.parts[-2] if len(folder.parts) > 1 else "" for folder in group]
            inner = [without_parent(f.parts[-1], parent) for f, parent in zip(group, around, strict=True)]
            own = any(name != folder.parts[-1] for name, folder in zip(inner, group, strict=True))
            names = ", ".join(printable(n if own else "/".join(f.parts)) for n, f in zip(inner, group, strict=True))
            text = f"{len(group)} folders, of which some hold masks of others"
            if all(problem.file != names for problem in notes.problems):
                notes.problems.append(Problem(file=names, kind="ambiguous folders", text=text))
            return list(group)
    return []
