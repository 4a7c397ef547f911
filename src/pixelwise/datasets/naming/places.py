"""Collect the images and masks of each place: what the paths of folders share without names for split and role.

Masks may be in another place than their images, such as ``annotations/trimaps`` beside ``images``: such places are
joined if their names pair. Single images outside the folders of images are left out.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pixelwise.datasets.naming.folder_names import Role, normalised, pairing_name, strip_mask_words, strip_role_words
from pixelwise.datasets.naming.folder_roles import Folder, Key, Notes, assign_roles_by_content, report_unclear_images
from pixelwise.datasets.naming.pairing import pair_up, separate_masks
from pixelwise.datasets.options import DataOptions
from pixelwise.datasets.problems import Problem
from pixelwise.datasets.records import Split
from pixelwise.errors import printable
from pixelwise.io.volumes.names import stem_of
from pixelwise.text import pluralise

_FEW = 0.1  # fraction of the paired images: so many, or three, images beside the folders of a set are left out


@dataclass(kw_only=True)
class Place:
    """The images and masks of one split and key, with their folders."""

    split: Split | None
    key: Key
    images: list[Path]
    masks: list[Path]
    folders: list[Folder]
    given: list[tuple[str, Path, Path]] = field(default_factory=list[tuple[str, Path, Path]])  # named by their folder

    @property
    def named(self) -> str:
        """Its folders, for messages."""
        return ", ".join(printable("/".join(folder.parts) or ".") for folder in self.folders)

    @property
    def has_role(self) -> bool:
        """Whether the name of some folder gives a role."""
        return any(folder.role is not None for folder in self.folders)


def find_places(root: Path, folders: Sequence[Folder], options: DataOptions, notes: Notes) -> list[Place]:
    """Return the places of a data set, without splits that are for prediction alone.

    Parameters
    ----------
    folders : sequence of Folder
        With split, role and key.
    options : DataOptions
        The prefixes and suffixes and `masks` are used.
    notes : Notes
        Extended by what was decided, and by folders whose roles are unclear.
    """
    by_key: dict[tuple[Split | None, Key], list[Folder]] = defaultdict(list)
    folders = assign_roles_by_content(folders, notes)
    report_unclear_images(folders, notes)
    for folder in folders:
        by_key[folder.split, folder.key].append(folder)
    separations: dict[str, list[str]] = defaultdict(list)
    places = [_collect(root, split, key, group, options, notes, separations) for (split, key), group in by_key.items()]
    for text, names in separations.items():
        more = f" and {pluralise(len(names) - 1, 'more folder')}" if len(names) > 1 else ""
        notes.messages.append(f"{names[0]}{more}: {text}")
    _pair_with_folders(places, notes)
    _join_places(places, notes)
    places = _without_strays(places, notes)
    with_masks = {place.split for place in places if place.masks}
    kept: list[Place] = []
    for place in places:
        if place.split in ("val", "test") and place.images and with_masks and place.split not in with_masks:
            count = pluralise(len(place.images), "image")
            notes.messages.append(f"{place.split} has {count} without masks: ignored (use predict on them).")
        else:
            kept.append(place)
    return kept


def _collect(
    root: Path,
    split: Split | None,
    key: Key,
    group: list[Folder],
    options: DataOptions,
    notes: Notes,
    separations: dict[str, list[str]],
) -> Place:
    """Return the place of folders with one split and key; how files of one folder were separated is added."""
    held = {role: [f for f in group if f.role == role] for role in ("image", "mask")}
    for role, role_folders in held.items():
        if len(role_folders) > 1 and _overlap(role_folders):
            names = ", ".join(printable("/".join(f.parts)) for f in role_folders)
            text = f"{len(role_folders)} folders of {role}s for the same files"
            notes.problems.append(Problem(file=names, kind="ambiguous folders", text=text))
    images = [path for f in held["image"] for path in f.files]
    masks = [path for f in held["mask"] for path in f.files]
    others = [f for f in group if f.role is None]
    if images and masks:
        others = _without_outer(others, held["image"], masks, options, notes)
    else:  # a folder called images may contain the masks too, with a suffix
        others = [*held["image"], *others]
        images = []
    for folder in others:
        separated = separate_masks(folder.files, options)
        name = printable("/".join(folder.parts) or root.name)
        for text in separated.messages:
            separations[text].append(name)
        images += separated.images
        masks += separated.masks
    return Place(split=split, key=key, images=images, masks=masks, folders=group)


def _without_outer(
    others: Sequence[Folder], inner: Sequence[Folder], masks: Sequence[Path], options: DataOptions, notes: Notes
) -> list[Folder]:
    """Return the folders without those around the folders of images whose files have no mask, such as a preview."""
    names = {name for path in masks for name in (pairing_name(path), strip_mask_words(pairing_name(path)))}
    kept: list[Folder] = []
    for folder in others:
        around = all(len(one.parts) > len(folder.parts) == _shared(one.parts, folder.parts) for one in inner)
        paired = any(pairing_name(path) in names for path in folder.files)
        if around and not paired and not separate_masks(folder.files, options).masks:
            _report_left_out(folder.files, notes)
        else:
            kept.append(folder)
    return kept


def _overlap(folders: Sequence[Folder]) -> bool:
    """Return whether files in different folders have the same name; otherwise the folders are merged."""
    names = [pairing_name(path) for folder in folders for path in folder.files]
    total = sum(len({pairing_name(path) for path in folder.files}) for folder in folders)
    return len(set(names)) < total


def _join_places(places: list[Place], notes: Notes) -> None:
    """Give masks without images beside them to the places whose images they are named after.

    If only the masks are in folders of splits, the images go to a place of that split, which is added.
    """
    lone = [place for place in places if place.masks and not place.images]
    bare = [place for place in places if place.images and not place.masks]
    found = [(place, _images_of(place, bare)) for place in lone]
    owners: dict[Path, list[Place]] = defaultdict(list)
    for place, pairs in found:
        for image in pairs:
            owners[image].append(place)
    unclear = {id(place): place for shared in owners.values() if len(shared) > 1 for place in shared}
    if unclear:
        names = ", ".join(place.named for place in unclear.values())
        text = f"{len(unclear)} folders of masks for the same files"
        notes.problems.append(Problem(file=names, kind="ambiguous folders", text=text))
    for place, pairs in found:
        takers = [taker for taker in bare if any(image in pairs for image in taker.images)]
        if not pairs or id(place) in unclear:
            continue
        for taker in takers:
            own = [image for image in taker.images if image in pairs]
            if taker.split is None and place.split is not None:
                taker.images = [image for image in taker.images if image not in pairs]
                taker = replace(taker, split=place.split, images=own, masks=[])
                places.append(taker)
            taker.masks += [pairs[image] for image in own]
        used = set(pairs.values())
        place.masks = [mask for mask in place.masks if mask not in used]
        images = ", ".join(taker.named for taker in takers[:3]) + (", ..." if len(takers) > 3 else "")
        notes.messages.append(f"The masks of {images} are read from {place.named} (--images, --masks).")


def _pair_with_folders(places: Sequence[Place], notes: Notes) -> None:
    """Pair a file that is alone in a folder with the file that the folder is named after.

    Such as ``masks/case1/mask.png`` with ``images/case1.png``.
    """
    named: dict[tuple[Role, str], list[tuple[Place, Path]]] = defaultdict(list)
    for place in places:
        for path in place.images:
            named["image", strip_role_words(pairing_name(path))].append((place, path))
        for path in place.masks:
            named["mask", strip_role_words(pairing_name(path))].append((place, path))
    roles: tuple[tuple[Role, Role], ...] = (("mask", "image"), ("image", "mask"))
    for role, other in roles:
        alone = [place for place in places if len(place.images) + len(place.masks) == 1 and place.key]
        alone = [place for place in alone if (place.masks if role == "mask" else place.images)]
        found: list[tuple[Place, Place, Path]] = []
        for place in alone:
            partners = [
                (one, path)
                for name in place.key
                for one, path in named[other, normalised(name)]
                if one is not place and (one.split == place.split or None in (one.split, place.split))
            ]
            if len(partners) == 1:
                found.append((place, *partners[0]))
        if len(found) < 2 or 2 * len(found) < len(alone):
            continue
        for place, owner, path in found:
            image, mask = (path, place.masks.pop()) if role == "mask" else (place.images.pop(), path)
            (owner.images if role == "mask" else owner.masks).remove(path)
            owner.given.append((stem_of(path) if role == "mask" else "/".join(place.key), image, mask))
            owner.split = owner.split or place.split
        first = printable("/".join(found[0][0].folders[0].parts))
        notes.messages.append(f"{first} holds the {role} of {printable(found[0][2].name)}, and so on (--format list).")


def _images_of(masks: Place, bare: Sequence[Place]) -> dict[Path, Path]:
    """Return the masks of images of places without masks, by image, if most masks have one; else nothing."""
    takers = [place for place in bare if masks.split in (None, place.split) or place.split is None]
    nearest = [place for place in takers if _have_same_end(place.key, masks.key)]
    others = [place for place in takers if _may_belong_together(place.key, masks.key)]
    for chosen in (nearest, others):
        images = [path for place in chosen for path in place.images]
        names = {pairing_name(path) for path in images}
        if len(names) < len(images) or (chosen is others and any(re.fullmatch(r"\d{0,4}", name) for name in names)):
            continue  # names that are short numbers occur in any folder
        pairs = pair_up(images, masks.masks)
        if pairs and 2 * len(pairs) >= len(masks.masks):
            return pairs
    return {}


def _have_same_end(one: Key, other: Key) -> bool:
    short, long = sorted((one, other), key=len)
    return long[len(long) - len(short) :] == short


def _may_belong_together(one: Key, other: Key) -> bool:
    """Return whether two keys are not those of two cases, which differ in a number: ``p1`` and ``p2``."""
    if len(one) != len(other):
        return True
    words = [[re.sub(r"\d+", "", name) for name in key] for key in (one, other)]
    return one == other or words[0] != words[1]


def _without_strays(places: Sequence[Place], notes: Notes) -> list[Place]:
    """Return the places without further folders beside those of images and masks; report them.

    They have a few images, or those of other kinds for the same names, such as depths or edges.
    """
    paired = [place for place in places if place.images and place.masks and place.has_role]
    names: dict[tuple[Split | None, Key], set[str]]
    names = {(one.split, one.key): {pairing_name(path) for path in one.images} for one in paired}
    most = max(3, _FEW * sum(len(place.images) for place in paired))
    covered = {pairing_name(path) for place in paired for path in (*place.images, *place.masks)}
    kept: list[Place] = []
    for place in places:
        if place.masks and not place.images and {pairing_name(path) for path in place.masks} <= covered:
            text = f"{place.named} also looks like masks ({pluralise(len(place.masks), 'file')}); it was ignored"
            notes.messages.append(f"{text} (--masks {printable(place.folders[0].parts[-1])}).")
            continue
        beside = all(len(place.key) > len(one.key) == _shared(place.key, one.key) for one in paired)
        if paired and beside and not (place.masks or place.has_role or place.split) and len(place.images) <= most:
            _report_left_out(place.images, notes)
        elif not (place.masks or place.has_role) and _are_named_like(place, names):
            files = f"{place.named}, {pluralise(len(place.images), 'file')} named like images with a mask"
            notes.messages.append(f"Left out: {files} (--images, --masks).")
        else:
            kept.append(place)
    return kept


def _are_named_like(place: Place, names: Mapping[tuple[Split | None, Key], set[str]]) -> bool:
    """Return whether files of a place are named like images of a place whose key has one name less."""
    own = {pairing_name(path) for path in place.images}
    keys = [(*place.key[:index], *place.key[index + 1 :]) for index in range(len(place.key))]
    return any(own <= names.get((place.split, key), set()) for key in keys)


def _report_left_out(files: Sequence[Path], notes: Notes) -> None:
    count = pluralise(len(files), "image")
    example = printable(files[0].name)
    notes.messages.append(f"Left out: {count} outside the folders of images and masks, such as {example} (--images).")


def _shared(one: Key, other: Key) -> int:
    """Return the number of names with which both paths begin."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
