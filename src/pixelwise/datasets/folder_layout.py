"""Find pairs of image and mask in a folder, by name and never by sort order.

The key of a file is its path without the folder names for split and role. Images and masks of one key and split are
paired by name. Supported layouts: ``images/`` + ``masks/`` under their usual names, with ``train/``, ``val/``,
``test/`` above or below; masks and images in one folder, separated by suffix or extension; two folders with other names
whose files have the same names (among them StarDist, SegNet and Cellpose folders).
"""

import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pixelwise.datasets.annotations import Annotation, MaskFile
from pixelwise.datasets.folder_names import Role, looks_like_masks, natural_key, pairing_name, read_folder_name
from pixelwise.datasets.options import DataOptions
from pixelwise.datasets.pairing import has_fewer_values, pair_by_name, separate_masks
from pixelwise.datasets.problems import Problem
from pixelwise.datasets.records import Split
from pixelwise.errors import BadDataset, printable
from pixelwise.io.read import SUFFIXES
from pixelwise.text import pluralise

Key = tuple[str, ...]
ROLES: tuple[Role, Role] = ("image", "mask")


@dataclass(frozen=True, kw_only=True)
class Pair:
    """An image and its annotation, with the split and the group that the data set gives, if any."""

    name: str
    image: Path
    annotation: Annotation
    split: Split | None
    channel_files: tuple[Path, ...] = ()
    group: str = ""


@dataclass(frozen=True, kw_only=True)
class FolderLayout:
    """The pairs of a folder, with messages and problems."""

    pairs: tuple[Pair, ...]
    messages: tuple[str, ...]
    problems: tuple[Problem, ...]


@dataclass(kw_only=True)
class _Folder:
    """A folder that contains images, with its split and role."""

    parts: Key
    files: list[Path]
    split: Split | None = None
    role: Role | None = None
    mask_like: bool = False  # the name contains a word for masks, but is not a usual name
    ignored: bool = False  # the user named another folder for this role
    key: Key = ()


@dataclass
class _Notes:
    messages: list[str] = field(default_factory=list[str])
    problems: list[Problem] = field(default_factory=list[Problem])


def check_folder(root: Path) -> None:
    """Raise `BadDataset` unless `root` is an existing folder."""
    text = str(root)
    if text.startswith(("http:/", "https:/", "s3:/", "gs:/", "ftp:/")):
        raise BadDataset("a folder", "a URL", "Download it first.", text)
    if not root.exists():
        raise BadDataset("a folder of images and masks", "a path that does not exist", "Check the path.", root)
    if root.is_file():
        archive = root.suffix.casefold() in (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar", ".bz2", ".xz")
        got, hint = ("an archive", "Unpack it first.") if archive else ("a file", "Give its folder.")
        raise BadDataset("a folder of images and masks", got, hint, root)


def read_layout(root: Path, options: DataOptions) -> FolderLayout:
    """Find the pairs of image and mask in a folder.

    Parameters
    ----------
    root : Path
    options : DataOptions
        `images`, `masks` and `allow_missing` are used.

    Raises
    ------
    BadDataset
        `root` is not a folder, or contains no image.
    """
    check_folder(root)
    folders, files = _scan(root)
    if not folders:
        expected = f"images (files ending in {', '.join(sorted(set(SUFFIXES)))})"
        raise BadDataset(expected, f"none among {pluralise(files, 'file')}", "Check the path.", root)
    notes = _Notes()
    _check_named(root, folders, options)
    for folder in folders:
        _read_folder_names(folder, options)
    for folder in (f for f in folders if f.ignored):
        notes.messages.append(f"{printable('/'.join(folder.parts))} was ignored: another folder was given.")
    folders = [folder for folder in folders if not folder.ignored]
    _assign_roles(folders, notes)
    pairs: list[Pair] = []
    for (split, key), images, masks in _group_folders(root, folders, options, notes):
        pairing = pair_by_name(root, images, masks, options)
        notes.messages += pairing.messages
        notes.problems += pairing.problems
        prefix = ((split,) if split else ()) + key
        pairs += [
            Pair(name="/".join((*prefix, name)), image=image, annotation=MaskFile(path=mask), split=split)
            for name, image, mask in pairing.pairs
        ]
    pairs.sort(key=lambda pair: (("train", "val", "test").index(pair.split or "train"), natural_key(pair.name)))
    return FolderLayout(
        pairs=tuple(pairs), messages=tuple(dict.fromkeys(notes.messages)), problems=tuple(notes.problems)
    )


def _scan(root: Path) -> tuple[list[_Folder], int]:
    """Return the folders that contain images, each real folder once, without hidden ones, and the number of files."""
    folders: list[_Folder] = []
    visited: set[str] = set()
    count = 0
    for here, inner, names in os.walk(root, followlinks=True):
        real = os.path.realpath(here)
        inner[:] = sorted(name for name in inner if not name.startswith((".", "__")))
        if real in visited:
            inner.clear()
            continue
        visited.add(real)
        count += len(names)
        files = [Path(here, name) for name in names if is_image_name(name)]
        if files:
            files.sort(key=lambda path: natural_key(path.name))
            folders.append(_Folder(parts=Path(here).relative_to(root).parts, files=files))
    return folders, count


def is_image_name(name: str) -> bool:
    """Return whether a file name has an image extension and is not hidden."""
    return not name.startswith(".") and name.casefold().endswith(tuple(SUFFIXES))


def _read_folder_names(folder: _Folder, options: DataOptions) -> None:
    """Set split, role and key of a folder from the names in its path."""
    requested: dict[Role, str | None] = {
        "image": options.images,
        "mask": None if _is_suffix(options.masks) else options.masks,
    }
    key: list[str] = []
    for index, name in enumerate(folder.parts):
        path = "/".join(folder.parts[: index + 1])
        split, role = read_folder_name(name)
        given: Role | None = next((r for r in ROLES if _is_named(requested[r], name, path)), None)
        if given is None and role is not None and requested[role] is not None:
            # another folder was named for this role
            folder.ignored = folder.role is None
            role = None
        role = given or role
        folder.split = folder.split or split
        if role is not None:
            folder.role, folder.ignored = role, False
        elif split is None:
            folder.mask_like = folder.mask_like or looks_like_masks(name)
            key.append(name)
    folder.mask_like = folder.mask_like and folder.role is None
    folder.key = tuple(name for name in key if not (folder.mask_like and looks_like_masks(name)))


def _is_suffix(masks: str | None) -> bool:
    """Return whether --masks is a file name suffix rather than a folder."""
    return masks is not None and masks.startswith(("_", "-", "."))


def _is_named(requested: str | None, name: str, path: str) -> bool:
    return requested is not None and requested.strip("/").casefold() in (name.casefold(), path.casefold())


def _check_named(root: Path, folders: Sequence[_Folder], options: DataOptions) -> None:
    """Raise `BadDataset` if the folder of --images or --masks does not exist."""
    for flag, requested in (("--images", options.images), ("--masks", options.masks)):
        if requested is None or (flag == "--masks" and _is_suffix(requested)):
            continue
        paths = [folder.parts for folder in folders]
        if not any(_is_named(requested, path[i], "/".join(path[: i + 1])) for path in paths for i in range(len(path))):
            names = ", ".join(printable("/".join(path)) for path in paths[:10]) or "none"
            raise BadDataset(
                f"an image folder called {requested} ({flag})", f"the folders {names}", "Name one of them.", root
            )


def _assign_roles(folders: list[_Folder], notes: _Notes) -> None:
    """Assign roles to folders without a usual name: other mask folders, and images next to a mask folder."""
    with_masks = {(folder.split, folder.key) for folder in folders if folder.role == "mask"}
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


def _assign_roles_by_sibling(folders: list[_Folder], notes: _Notes) -> None:
    """Assign the missing role to folders next to a folder with a role, if their files have the same names."""
    for folder in folders:
        if folder.role is not None:
            continue
        others = [other for other in folders if other is not folder and other.split == folder.split]
        roles = {other.role for other in others if _siblings(folder, other)}
        if roles == {"mask"}:
            folder.role = "image"
        elif roles == {"image"} and folder.parts:
            folder.role = "mask"
        else:
            continue
        folder.key = next(o.key for o in others if o.role is not None and _siblings(folder, o))
        named = printable("/".join(folder.parts) or "this folder")
        notes.messages.append(f"{named} is used as {folder.role}s (--{folder.role}s).")


def _siblings(folder: _Folder, other: _Folder) -> bool:
    """Return whether two folders are siblings or nested and share most file names."""
    if not (folder.parts[:-1] == other.parts[:-1] or other.parts[:-1] == folder.parts or folder.key == other.key):
        return False
    names = {pairing_name(path) for path in folder.files}
    return 2 * len(names & {pairing_name(path) for path in other.files}) >= len(names)


def _group_folders(
    root: Path, folders: Sequence[_Folder], options: DataOptions, notes: _Notes
) -> Iterator[tuple[tuple[Split | None, Key], list[Path], list[Path]]]:
    """Yield images and masks for each split and key."""
    by_key: dict[tuple[Split | None, Key], list[_Folder]] = defaultdict(list)
    for folder in _assign_roles_by_content(folders, notes):
        by_key[folder.split, folder.key].append(folder)
    splits_with_masks = {split for (split, _), group in by_key.items() if any(f.role != "image" for f in group)}
    for (split, key), group in by_key.items():
        held = {role: [f for f in group if f.role == role] for role in ("image", "mask")}
        for role, role_folders in held.items():
            if len(role_folders) > 1 and _overlap(role_folders):
                names = ", ".join(printable("/".join(f.parts)) for f in role_folders)
                text = f"{len(role_folders)} folders of {role}s for the same files"
                notes.problems.append(Problem(file=names, kind="ambiguous folders", text=text))
        images = [path for f in held["image"] for path in f.files]
        masks = [path for f in held["mask"] for path in f.files]
        # a folder called images may contain the masks too, with a suffix
        mixed = held["image"] if images and not masks else []
        images = [] if mixed else images
        for folder in (*mixed, *(f for f in group if f.role is None)):
            separated = separate_masks(folder.files, options)
            name = printable("/".join(folder.parts) or root.name)
            notes.messages += [f"{name}: {text}" for text in separated.messages]
            images += separated.images
            masks += separated.masks
        if split == "test" and images and not masks and split not in splits_with_masks:
            unlabelled = pluralise(len(images), "image")
            notes.messages.append(f"test has {unlabelled} without masks: ignored (use predict on them).")
            continue
        yield (split, key), images, masks


def _overlap(folders: Sequence[_Folder]) -> bool:
    """Return whether files in different folders have the same name; otherwise the folders are merged."""
    names = [pairing_name(path) for folder in folders for path in folder.files]
    total = sum(len({pairing_name(path) for path in folder.files}) for folder in folders)
    return len(set(names)) < total


def _assign_roles_by_content(folders: Sequence[_Folder], notes: _Notes) -> list[_Folder]:
    """Assign roles to two sibling folders without usual names, by the number of values in their files."""
    unknown = [folder for folder in folders if folder.role is None]
    counts = Counter((folder.split, folder.parts[:-1]) for folder in unknown if folder.parts)
    for key in (key for key, count in counts.items() if count == 2):
        first, second = (f for f in unknown if f.parts and (f.split, f.parts[:-1]) == key)
        if not _siblings(first, second):
            continue
        masks, images = (first, second) if has_fewer_values(first.files, second.files) else (second, first)
        masks.role, images.role = "mask", "image"
        masks.key = images.key = tuple(name for name in masks.key if name != masks.parts[-1])
        names = printable("/".join(images.parts)), printable("/".join(masks.parts))
        notes.messages.append(f"{names[0]} is used as images and {names[1]} as masks (--images, --masks).")
    return list(folders)


def find_unlabelled(root: Path, options: DataOptions) -> list[Path]:
    """Return the images of a data set without a mask, in natural order, without decoding them.

    Images of a test split without any mask are excluded: they are for prediction.

    Raises
    ------
    BadDataset
        `root` is not a folder, or contains no image.
    """
    layout = read_layout(root, replace(options, allow_missing=False))
    missing = {problem.file for problem in layout.problems if problem.kind == "missing mask"}
    if not missing:
        return []
    files = (path for path in root.rglob("*") if is_image_name(path.name))
    unlabelled = (path for path in files if printable(path.relative_to(root)) in missing)
    return sorted(unlabelled, key=lambda path: natural_key(str(path.relative_to(root))))
