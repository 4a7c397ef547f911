"""A folder becomes pairs of image and mask, by name and never by sort order.

Every picture file gets a place: the folders on its way, without the words for part and role. Images and masks
of one place and part are paired by name. Layouts known: ``images/`` + ``masks/`` under their usual names, with
``train/``, ``val/``, ``test/`` above or below; masks beside images, told by suffix or by ending; two folders
whose names say nothing but whose files have the same names (StarDist, SegNet and Cellpose folders among them).
"""

import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pixelwise.datasets.folder_names import Role, looks_like_masks, natural, pairing_name, read_folder_name
from pixelwise.datasets.options import DataOptions
from pixelwise.datasets.pairing import fewer_values, pair_place, part_by_suffix
from pixelwise.datasets.problems import Problem
from pixelwise.datasets.records import Part
from pixelwise.errors import BadDataset, printable
from pixelwise.io.read import SUFFIXES
from pixelwise.text import pluralise

Place = tuple[str, ...]
ROLES: tuple[Role, Role] = ("image", "mask")


@dataclass(frozen=True, kw_only=True)
class Pair:
    """An image and its mask, with the part that folders gave (None when they gave none)."""

    name: str
    image: Path
    mask: Path
    part: Part | None


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What the names in a folder say."""

    pairs: tuple[Pair, ...]
    messages: tuple[str, ...]
    problems: tuple[Problem, ...]


@dataclass(kw_only=True)
class _Folder:
    """One folder that holds picture files, and what its way from the root says."""

    way: Place
    files: list[Path]
    part: Part | None = None
    role: Role | None = None
    extra: bool = False  # looks like masks, but is not the plain name
    aside: bool = False  # the user named another folder for its role
    place: Place = ()


@dataclass
class _Notes:
    messages: list[str] = field(default_factory=list[str])
    problems: list[Problem] = field(default_factory=list[Problem])


def check_folder(root: Path) -> None:
    """Refuse what is no folder: a URL, an archive, a file, nothing at all."""
    text = str(root)
    if text.startswith(("http:/", "https:/", "s3:/", "gs:/", "ftp:/")):
        raise BadDataset("a folder", "a URL", "Nothing is fetched: download it first.", text)
    if not root.exists():
        raise BadDataset("a folder of images and masks", "nothing at this place", "Check the path.", root)
    if root.is_file():
        archive = root.suffix.casefold() in (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar", ".bz2", ".xz")
        got, hint = ("an archive", "Unpack it first.") if archive else ("a file", "Give its folder.")
        raise BadDataset("a folder of images and masks", got, hint, root)


def read_layout(root: Path, options: DataOptions) -> Layout:
    """Find the pairs of image and mask in a folder.

    Parameters
    ----------
    root : Path
    options : DataOptions
        `images`, `masks` and `allow_missing` are used.

    Raises
    ------
    BadDataset
        `root` is no folder, or holds no picture.
    """
    check_folder(root)
    folders, files = _scan(root)
    if not folders:
        expected = f"images (files ending in {', '.join(sorted(set(SUFFIXES)))})"
        raise BadDataset(expected, f"none among {pluralise(files, 'file')}", "Check the path.", root)
    notes = _Notes()
    _check_named(root, folders, options)
    for folder in folders:
        _read_way(folder, options)
    for folder in (f for f in folders if f.aside):
        notes.messages.append(f"{printable('/'.join(folder.way))} was left aside, as another folder was named.")
    folders = [folder for folder in folders if not folder.aside]
    _settle(folders, notes)
    pairs: list[Pair] = []
    for (part, place), images, masks in _places(root, folders, options, notes):
        found = pair_place(root, images, masks, options)
        notes.messages += found.messages
        notes.problems += found.problems
        prefix = ((part,) if part else ()) + place
        pairs += [
            Pair(name="/".join((*prefix, name)), image=image, mask=mask, part=part) for name, image, mask in found.pairs
        ]
    pairs.sort(key=lambda pair: (("train", "val", "test").index(pair.part or "train"), natural(pair.name)))
    return Layout(pairs=tuple(pairs), messages=tuple(dict.fromkeys(notes.messages)), problems=tuple(notes.problems))


def _scan(root: Path) -> tuple[list[_Folder], int]:
    """List the folders that hold pictures, each real folder once; hidden things are passed over."""
    folders: list[_Folder] = []
    seen: set[str] = set()
    count = 0
    for here, inner, names in os.walk(root, followlinks=True):
        real = os.path.realpath(here)
        inner[:] = sorted(name for name in inner if not name.startswith((".", "__")))
        if real in seen:
            inner.clear()
            continue
        seen.add(real)
        count += len(names)
        files = [Path(here, name) for name in names if is_picture(name)]
        if files:
            files.sort(key=lambda path: natural(path.name))
            folders.append(_Folder(way=Path(here).relative_to(root).parts, files=files))
    return folders, count


def is_picture(name: str) -> bool:
    """Say whether a file name ends like a picture and is not hidden."""
    return not name.startswith(".") and name.casefold().endswith(tuple(SUFFIXES))


def _read_way(folder: _Folder, options: DataOptions) -> None:
    """Read part and role from the folders on the way; what is left is the place."""
    wanted: dict[Role, str | None] = {
        "image": options.images,
        "mask": None if _is_suffix(options.masks) else options.masks,
    }
    place: list[str] = []
    for index, name in enumerate(folder.way):
        path = "/".join(folder.way[: index + 1])
        part, role = read_folder_name(name)
        given: Role | None = next((r for r in ROLES if _is_named(wanted[r], name, path)), None)
        if given is None and role is not None and wanted[role] is not None:
            # another folder was named for this role
            folder.aside = folder.role is None
            role = None
        role = given or role
        folder.part = folder.part or part
        if role is not None:
            folder.role, folder.aside = role, False
        elif part is None:
            folder.extra = folder.extra or looks_like_masks(name)
            place.append(name)
    folder.extra = folder.extra and folder.role is None
    folder.place = tuple(name for name in place if not (folder.extra and looks_like_masks(name)))


def _is_suffix(masks: str | None) -> bool:
    """Say whether --masks names the end of file names rather than a folder."""
    return masks is not None and masks.startswith(("_", "-", "."))


def _is_named(wanted: str | None, name: str, path: str) -> bool:
    return wanted is not None and wanted.strip("/").casefold() in (name.casefold(), path.casefold())


def _check_named(root: Path, folders: Sequence[_Folder], options: DataOptions) -> None:
    """Refuse --images or --masks when no folder is called so."""
    for flag, wanted in (("--images", options.images), ("--masks", options.masks)):
        if wanted is None or (flag == "--masks" and _is_suffix(wanted)):
            continue
        ways = [folder.way for folder in folders]
        if not any(_is_named(wanted, way[i], "/".join(way[: i + 1])) for way in ways for i in range(len(way))):
            found = ", ".join(printable("/".join(way)) for way in ways[:10]) or "none"
            raise BadDataset(
                f"a folder of pictures called {wanted} ({flag})", f"the folders {found}", "Name one of them.", root
            )


def _settle(folders: list[_Folder], notes: _Notes) -> None:
    """Decide on folders whose name is not plain: spare mask folders, and images beside a mask folder."""
    with_masks = {(folder.part, folder.place) for folder in folders if folder.role == "mask"}
    spare = [folder for folder in folders if folder.extra and folder.role is None]
    aside: dict[str, int] = defaultdict(int)
    for folder in spare:
        here = [other for other in spare if (other.part, other.place) == (folder.part, folder.place)]
        if (folder.part, folder.place) in with_masks:
            aside[folder.way[-1]] += len(folder.files)
        elif len(here) > 1:
            names = ", ".join("/".join(other.way) for other in here)
            if folder is here[0]:
                notes.problems.append(
                    Problem(file=names, kind="ambiguous folders", text=f"{len(here)} folders look like masks")
                )
        else:
            folder.role = "mask"
            notes.messages.append(f"Masks are taken from {printable('/'.join(folder.way))} (--masks).")
    for name, count in aside.items():
        name, files = printable(name), pluralise(count, "file")
        notes.messages.append(f"{name} also looks like masks ({files}); it was left aside (--masks {name}).")
    folders[:] = [folder for folder in folders if not (folder.extra and folder.role is None)]
    _settle_plain(folders, notes)


def _settle_plain(folders: list[_Folder], notes: _Notes) -> None:
    """Give folders without a role the one that their neighbour lacks, when their files have the same names."""
    for folder in folders:
        if folder.role is not None:
            continue
        others = [other for other in folders if other is not folder and other.part == folder.part]
        roles = {other.role for other in others if _siblings(folder, other)}
        if roles == {"mask"}:
            folder.role = "image"
        elif roles == {"image"} and folder.way:
            folder.role = "mask"
        else:
            continue
        folder.place = next(o.place for o in others if o.role is not None and _siblings(folder, o))
        named = printable("/".join(folder.way) or "this folder")
        notes.messages.append(f"{named} is taken as {folder.role}s (--{folder.role}s).")


def _siblings(folder: _Folder, other: _Folder) -> bool:
    """Say whether two folders stand side by side or in one another and share most names of files."""
    ways = (folder.way[:-1] == other.way[:-1]) or other.way[:-1] == folder.way or folder.place == other.place
    if not ways:
        return False
    names = {pairing_name(path) for path in folder.files}
    return 2 * len(names & {pairing_name(path) for path in other.files}) >= len(names)


def _places(
    root: Path, folders: Sequence[_Folder], options: DataOptions, notes: _Notes
) -> Iterator[tuple[tuple[Part | None, Place], list[Path], list[Path]]]:
    """Yield images and masks for each part and place."""
    by_place: dict[tuple[Part | None, Place], list[_Folder]] = defaultdict(list)
    for folder in _twins(folders, notes):
        by_place[folder.part, folder.place].append(folder)
    parts_with_masks = {part for (part, _), group in by_place.items() if any(f.role != "image" for f in group)}
    for (part, place), group in by_place.items():
        held = {role: [f for f in group if f.role == role] for role in ("image", "mask")}
        for role, several in held.items():
            if len(several) > 1 and _overlap(several):
                names = ", ".join(printable("/".join(f.way)) for f in several)
                text = f"{len(several)} folders of {role}s for the same files"
                notes.problems.append(Problem(file=names, kind="ambiguous folders", text=text))
        images = [path for f in held["image"] for path in f.files]
        masks = [path for f in held["mask"] for path in f.files]
        # a folder called images may hold the masks too, told by their suffix
        mixed = held["image"] if images and not masks else []
        images = [] if mixed else images
        for folder in (*mixed, *(f for f in group if f.role is None)):
            beside = part_by_suffix(folder.files, options)
            notes.messages += [f"{printable('/'.join(folder.way) or root.name)}: {text}" for text in beside.messages]
            images += beside.images
            masks += beside.masks
        if part == "test" and images and not masks and part not in parts_with_masks:
            unmasked = pluralise(len(images), "image")
            notes.messages.append(f"test has {unmasked} without masks: left aside (use predict on them).")
            continue
        yield (part, place), images, masks


def _overlap(folders: Sequence[_Folder]) -> bool:
    """Say whether two folders hold files of the same name; otherwise they simply add up."""
    names = [pairing_name(path) for folder in folders for path in folder.files]
    own = sum(len({pairing_name(path) for path in folder.files}) for folder in folders)
    return len(set(names)) < own


def _twins(folders: Sequence[_Folder], notes: _Notes) -> list[_Folder]:
    """Tell images from masks for two folders whose names say nothing, by their files' contents."""
    unknown = [folder for folder in folders if folder.role is None]
    counts = Counter((folder.part, folder.way[:-1]) for folder in unknown if folder.way)
    for key in (key for key, count in counts.items() if count == 2):
        first, second = (f for f in unknown if f.way and (f.part, f.way[:-1]) == key)
        if not _siblings(first, second):
            continue
        masks, images = (first, second) if fewer_values(first.files, second.files) else (second, first)
        masks.role, images.role = "mask", "image"
        masks.place = images.place = tuple(name for name in masks.place if name != masks.way[-1])
        names = printable("/".join(images.way)), printable("/".join(masks.way))
        notes.messages.append(f"{names[0]} is taken as images and {names[1]} as masks (--images, --masks).")
    return list(folders)


def find_unlabelled(root: Path, options: DataOptions) -> list[Path]:
    """List the images of a data set that the door leaves aside because they have no mask, in natural order.

    Nothing is decoded. Images of a test part without any mask are not among them: they are there to be predicted.

    Raises
    ------
    BadDataset
        `root` is no folder, or holds no picture.
    """
    layout = read_layout(root, replace(options, allow_missing=False))
    missing = {problem.file for problem in layout.problems if problem.kind == "missing mask"}
    if not missing:
        return []
    found = [path for path in root.rglob("*") if is_picture(path.name) and printable(path.relative_to(root)) in missing]
    return sorted(found, key=lambda path: natural(str(path.relative_to(root))))
