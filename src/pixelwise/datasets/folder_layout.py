"""Find pairs of image and mask in a folder, by name and never by sort order.

The key of a file is its path without the folder names for split and role. Images and masks of one key and split are
paired by name. Supported layouts: ``images/`` + ``masks/`` under their usual names, with ``train/``, ``val/``,
``test/`` above or below; masks and images in one folder, separated by suffix or extension; two folders with other names
whose files have the same names, or names that a constant prefix or suffix makes equal (`naming.rules`).
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path

from pixelwise.datasets.annotations import Annotation, MaskFile, ObjectMasks, files_of_annotation
from pixelwise.datasets.naming.case_folders import pair_case_folders, pair_modalities
from pixelwise.datasets.naming.folder_names import (
    Role,
    is_hidden_folder,
    is_split_word,
    looks_like_masks,
    natural_key,
    read_folder_name,
    split_beside_role,
    splits_in_names,
    splits_of_siblings,
    without_parent,
)
from pixelwise.datasets.naming.folder_roles import (
    Folder,
    Notes,
    assign_roles,
    leave_out_outputs,
    pair_numbered_folders,
)
from pixelwise.datasets.naming.outputs import PICKLED_SUFFIX
from pixelwise.datasets.naming.pairing import is_suffix, pair_by_name
from pixelwise.datasets.naming.places import find_places
from pixelwise.datasets.naming.split_lists import find_split_lists
from pixelwise.datasets.naming.unmarked import find_unmarked
from pixelwise.datasets.options import DataOptions
from pixelwise.datasets.other_files import describe_arrays, describe_unread_images, describe_without_images
from pixelwise.datasets.problems import Problem
from pixelwise.datasets.records import Split
from pixelwise.errors import BadDataset, printable
from pixelwise.io.read import SUFFIXES, is_image_folder
from pixelwise.io.volumes.names import stem_of
from pixelwise.text import list_first, pluralise

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
    options : DataOptions
        `images`, `masks`, the prefixes and suffixes, and `allow_missing` are used.

    Raises
    ------
    BadDataset
        `root` is not a folder, or contains no image.
    """
    check_folder(root)
    folders, others = _scan(root)
    if not folders:
        expected = f"images (files ending in {', '.join(sorted(set(SUFFIXES)))})"
        got, hint = describe_arrays(root) or describe_without_images([path.name for path in others])
        raise BadDataset(expected, got, hint, root)
    notes = Notes()
    _check_named(root, folders, options)
    _read_names(root, folders, options)
    for folder in (f for f in folders if f.ignored):
        notes.messages.append(f"{printable('/'.join(folder.parts))} was ignored: another folder was given.")
    folders = leave_out_outputs([folder for folder in folders if not folder.ignored], options, notes)
    pair_numbered_folders(folders, notes)
    assign_roles(folders, notes)
    pairs = [
        Pair(
            name="/".join((*((case.folder.split,) if case.folder.split else ()), *case.folder.key)),
            image=case.images[0],
            annotation=ObjectMasks(paths=(case.mask,)),
            split=case.folder.split,
            channel_files=case.images if len(case.images) > 1 else (),
        )
        for case in (*pair_modalities(folders, options, notes), *pair_case_folders(folders, options, notes))
    ]
    missing: list[tuple[Path, str, Split | None]] = []
    united = False
    for place in find_places(root, folders, options, notes):
        pairing = pair_by_name(root, place.images, place.masks, options)
        prefix = ((place.split,) if place.split else ()) + place.key
        where = "/".join(prefix) or "."
        notes.messages += pairing.messages
        notes.problems += [replace(p, file=where) if p.file == "." else p for p in pairing.problems]
        united = united or bool(pairing.further)
        pairs += [
            Pair(
                name="/".join((*prefix, name)),
                image=image,
                annotation=ObjectMasks(paths=(mask, *pairing.further.get(mask, ()))),
                split=place.split,
            )
            for name, image, mask in [*pairing.pairs, *place.given]
        ]
        for path in pairing.missing:
            missing.append((path, "/".join((*prefix, stem_of(path))), place.split))
    if not united:
        pairs = [replace(pair, annotation=MaskFile(path=files_of_annotation(pair.annotation)[0])) for pair in pairs]
    if not pairs and options.mask_values == "alpha":
        pairs = [
            Pair(name=name, image=path, annotation=MaskFile(path=path), split=split) for path, name, split in missing
        ]
        notes.problems = [problem for problem in notes.problems if problem.kind != "missing mask"]
        missing = []
    if pairs:
        unmarked = _unmarked(root, missing, options, notes)
        bare = [path for path, _, _ in missing if path not in {pair.image for pair in unmarked}]
        pairs = _with_listed_splits(root, [*pairs, *unmarked], bare, others, notes)
    if any(problem.kind == "ambiguous folders" for problem in notes.problems):  # what is missing follows from it
        follows = ("missing mask", "orphan mask", "names differ", "duplicate name")
        notes.problems = [p for p in notes.problems if p.kind not in follows]
    pairs = _with_named_splits(pairs, notes)
    names = [path.name for path in others]
    _report_unread(names, notes)
    _report_pickled([name for name in names if name.casefold().endswith(PICKLED_SUFFIX)], pairs, notes)
    pairs.sort(key=lambda pair: (("train", "val", "test").index(pair.split or "train"), natural_key(pair.name)))
    return FolderLayout(
        pairs=tuple(pairs), messages=tuple(dict.fromkeys(notes.messages)), problems=tuple(notes.problems)
    )


def _report_unread(others: Sequence[str], notes: Notes) -> None:
    """Name the files in formats that cannot be read where masks lack their image, or images their mask."""
    unread = describe_unread_images(others)
    kinds = ("orphan mask", "missing mask", "names differ")
    if unread:
        notes.problems[:] = [
            replace(p, text=f"{p.text}; {unread[:-1]}") if p.kind in kinds else p for p in notes.problems
        ]


def _unmarked(
    root: Path, missing: Sequence[tuple[Path, str, Split | None]], options: DataOptions, notes: Notes
) -> list[Pair]:
    """Return images in which nothing is marked, with an empty mask; their problem is removed."""
    empty, message = find_unmarked(root, [path for path, _, _ in missing], options)
    notes.messages += [message] if message else []
    files = {printable(path.relative_to(root)) for path in empty}
    notes.problems[:] = [p for p in notes.problems if p.kind != "missing mask" or p.file not in files]
    return [
        Pair(name=name, image=path, annotation=ObjectMasks(paths=()), split=split)
        for path, name, split in missing
        if path in set(empty)
    ]


def _with_named_splits(pairs: list[Pair], notes: Notes) -> list[Pair]:
    """Return pairs with the splits that begin the names of all files, such as ``train_1`` and ``testA_1``."""
    if any(pair.split is not None for pair in pairs):
        return pairs
    splits = splits_in_names([pair.image.stem for pair in pairs])
    if not splits:
        return pairs
    notes.messages.append(
        f"File names begin with their split: {', '.join(sorted(set(splits)))} (a column split in pairs.csv decides)."
    )
    return [replace(pair, split=split) for pair, split in zip(pairs, splits, strict=True)]


def _with_listed_splits(
    root: Path, pairs: list[Pair], missing: Sequence[Path], others: Sequence[Path], notes: Notes
) -> list[Pair]:
    """Return pairs with the splits that lists of names state, without images that no list names.

    Images without a mask that are not for training or validation are no problem then.
    """
    if any(pair.split is not None for pair in pairs):
        return pairs
    splits, message = find_split_lists(root, others, [*(pair.image for pair in pairs), *missing])
    notes.messages += [message] if message else []
    if not splits:
        return pairs
    unused = {printable(path.relative_to(root)) for path in missing if splits.get(path, "test") == "test"}
    notes.problems[:] = [p for p in notes.problems if p.kind != "missing mask" or p.file not in unused]
    if unlabelled := [path for path in missing if splits.get(path) == "test"]:
        count = pluralise(len(unlabelled), "image")
        notes.messages.append(f"test has {count} without masks: ignored (use predict on them).")
    return [replace(pair, split=splits[pair.image]) for pair in pairs if pair.image in splits]


def _scan(root: Path) -> tuple[list[Folder], list[Path]]:
    """Return the folders that contain images, each real folder once, without hidden ones, and the other files.

    A folder of OME-Zarr, or of a DICOM series, counts as an image.
    """
    folders: list[Folder] = []
    others: list[Path] = []
    for here, inner, names in walk_folders(root):
        stores = [name for name in inner if is_image_folder(here / name)]
        inner[:] = [name for name in inner if name not in stores]
        others += [here / name for name in names if not is_image_name(name)]
        files = [here / name for name in (*stores, *names) if name in stores or is_image_name(name)]
        if files:
            files.sort(key=lambda path: natural_key(path.name))
            folders.append(Folder(parts=here.relative_to(root).parts, files=files))
    return folders, others


def walk_folders(root: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Yield each real folder once, without hidden ones, with the names of its folders and files, as `os.walk` does.

    What is removed from the names of the folders is not visited.

    Raises
    ------
    BadDataset
        A folder may not be listed.
    """
    visited: set[str] = set()
    for here, inner, names in os.walk(root, followlinks=True, onerror=_refuse_unreadable):
        real = os.path.realpath(here)
        inner[:] = sorted(name for name in inner if not is_hidden_folder(name))
        if real in visited:
            inner.clear()
            continue
        visited.add(real)
        yield Path(here), inner, names


def _refuse_unreadable(error: OSError) -> None:
    """Raise `BadDataset` for a folder that may not be listed: its files would be missing without a word."""
    reason = (error.strerror or str(error)).lower()
    hint = "Make it readable (chmod u+rx), or take it out of the data folder."
    raise BadDataset("readable folders", reason, hint, str(error.filename)) from error


def is_image_name(name: str) -> bool:
    """Return whether a file name has an image extension and is not hidden."""
    return not name.startswith(".") and name.casefold().endswith(tuple(SUFFIXES))


def _read_names(root: Path, folders: Sequence[Folder], options: DataOptions) -> None:
    """Set split, role and key of all folders.

    Raises
    ------
    BadDataset
        Folders divide the same files into splits in several ways.
    """
    levels = zip(*(folder.parts for folder in folders), strict=False)
    shared = len(list(takewhile(lambda names: len(set(names)) == 1, levels)))
    stated = {split_beside_role(name) for folder in folders for name in folder.parts} - {None}
    siblings = splits_of_siblings(dict.fromkeys(name for folder in folders for name in folder.parts))
    for folder in folders:
        _read_folder_names(folder, options, shared, siblings, several=len(stated) > 1)
    if not options.images:
        _find_masks_called_images(folders, shared)
    _check_divisions(root, folders, shared)


def _read_folder_names(
    folder: Folder, options: DataOptions, shared: int, siblings: Mapping[str, Split], *, several: bool
) -> None:
    """Set split, role and key of a folder from the names in its path.

    The first `shared` names are those of all folders. If `several` splits are words in longer names, these count;
    `siblings` are names that differ in their split alone.
    """
    requested: dict[Role, str | None] = {
        "image": options.images,
        "mask": None if is_suffix(options.masks) else options.masks,
    }
    mask_like = named = False
    key: list[tuple[str, bool]] = []  # names, and whether they look like those of masks
    for index, name in enumerate(folder.parts):
        path = "/".join(folder.parts[: index + 1])
        inner = without_parent(name, folder.parts[index - 1]) if index else name
        split, role = read_folder_name(inner)
        if index < shared and role is None and not is_split_word(inner):
            split = None  # the name of the whole set, such as "test_data"
        split = split or (siblings.get(name) if role is None else None)
        given: Role | None = next(
            (r for r in ROLES if _is_named(requested[r], name, path) or _is_named(requested[r], inner, path)), None
        )
        if index < shared and role == "mask" and given is None:
            split = role = None  # the name of the whole set, such as "Lung Segmentation"
        if given is None and role is not None and named:
            folder.split = folder.split or split
            continue  # "images" below a folder that the user named
        if given is None and role is not None and requested[role] is not None:
            # another folder was named for this role
            folder.ignored = folder.role is None
            role = None
        if given is not None:  # the folder may be inside one whose name has a role, such as masks/first
            key = [(outer, like) for outer, like in key if read_folder_name(outer)[1] is None]
        role = given or role
        named = named or given is not None
        folder.split = folder.split or split
        if role is not None:
            folder.role, folder.ignored = role, False
        elif split is None:
            like = index >= shared and looks_like_masks(name)
            mask_like = mask_like or like
            folder.split = folder.split or (split_beside_role(name) if several else None)
            if folder.split is None or split_beside_role(name) is None:
                key.append((name, like))
    folder.ignored = folder.ignored or (folder.role is None and all(requested.values()))
    folder.mask_like = folder.role is None and mask_like
    folder.key = tuple(name for name, like in key if not (folder.mask_like and like))


def _find_masks_called_images(folders: Sequence[Folder], shared: int) -> None:
    """Take the role of images from ``Semantic_masks/images`` beside ``images``, unless masks are inside, too."""
    inside: list[tuple[Folder, Sequence[str]]] = []
    for folder in (folder for folder in folders if folder.role == "image"):
        like = (i for i, name in enumerate(folder.parts[:-1]) if i >= shared and looks_like_masks(name))
        if (index := next(like, None)) is not None:
            inside.append((folder, folder.parts[: index + 1]))
    if len(inside) == sum(folder.role == "image" for folder in folders):
        return
    for folder, above in inside:
        if not any(other.role == "mask" and other.parts[: len(above)] == above for other in folders):
            folder.role, folder.mask_like = None, True
            folder.key = tuple(name for name in folder.key if not looks_like_masks(name))


def _check_divisions(root: Path, folders: Sequence[Folder], shared: int) -> None:
    """Raise `BadDataset` if folders divide the same files into splits in several ways, as for cross-validation."""
    ways: dict[str, list[Folder]] = {}
    for folder in folders:
        ways.setdefault("/".join(folder.parts[shared : shared + 1]), []).append(folder)
    files = [{path.name for folder in way for path in folder.files} for way in ways.values()]
    divided = all(len({folder.split for folder in way} - {None}) > 1 for way in ways.values())
    alike = len({re.sub(r"\d+", "", name) for name in ways}) == 1
    if len(ways) > 1 and alike and divided and all(names == files[0] for names in files):
        given = [printable("/".join((*folders[0].parts[:shared], name))) for name in ways]
        hint = f"Give one of them, such as {given[0]}, or use train --folds with undivided images."
        raise BadDataset("one division into splits", f"the same files in {list_first(given, 3)}", hint, root)


def _is_named(requested: str | None, name: str, path: str) -> bool:
    """Return whether a folder is meant: by its name, its path, or the end of its path."""
    wanted = (requested or "").strip("/").casefold()
    return bool(wanted) and (wanted in (name.casefold(), path.casefold()) or path.casefold().endswith(f"/{wanted}"))


def _check_named(root: Path, folders: Sequence[Folder], options: DataOptions) -> None:
    """Raise `BadDataset` if the folder of --images or --masks does not exist."""
    for flag, requested in (("--images", options.images), ("--masks", options.masks)):
        if requested is None or (flag == "--masks" and is_suffix(requested)):
            continue
        paths = [folder.parts for folder in folders]
        names = [
            (path, i, without_parent(path[i], path[i - 1] if i else "")) for path in paths for i in range(len(path))
        ]
        if not any(
            _is_named(requested, name, "/".join(path[: i + 1])) for path, i, own in names for name in (path[i], own)
        ):
            names = ", ".join(printable("/".join(path)) for path in paths[:10]) or "none"
            raise BadDataset(
                f"an image folder called {requested} ({flag})", f"the folders {names}", "Name one of them.", root
            )


def _report_pickled(names: Sequence[str], pairs: Sequence[Pair], notes: Notes) -> None:
    """Report masks that Cellpose pickled; without other masks, they are the problem of the set."""
    if not names:
        return
    files = f"{pluralise(len(names), 'file')} ending in {PICKLED_SUFFIX}"
    if pairs:
        notes.messages.append(f"Left out: {files}, which are pickled and could run code when opened.")
        return
    text = f"{files}, which are pickled and could run code when opened"
    notes.problems[:] = [Problem(file=".", kind="pickled masks", text=text)]


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
