"""A folder with a folder per class: its names say the class of every image (whole-image classification).

Layouts known: ``<class>/*.jpg`` and ``train/<class>/*.jpg`` with ``val/`` and ``test/`` beside. Folders inside a class
folder belong to it. A folder that could hold images and masks is none of these, unless the user says so.
"""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pixelwise.datasets.folder_layout import check_folder, is_picture
from pixelwise.datasets.folder_names import looks_like_masks, natural, pairing_name, read_folder_name
from pixelwise.datasets.options import DataOptions
from pixelwise.datasets.pairing import alike_in_values, part_by_suffix
from pixelwise.datasets.problems import Problem
from pixelwise.datasets.records import Part
from pixelwise.errors import BadImage, printable
from pixelwise.io.read import probe
from pixelwise.text import pluralise


@dataclass(frozen=True, kw_only=True)
class LabelledImage:
    """An image with the class and the part that its folders say (part None when they say none)."""

    name: str
    path: Path
    label: str
    part: Part | None


@dataclass(frozen=True, kw_only=True)
class ClassFolders:
    """What the folders say: photos in natural order, classes in natural order, sentences and problems."""

    photos: tuple[LabelledImage, ...]
    classes: tuple[str, ...]
    messages: tuple[str, ...]
    problems: tuple[Problem, ...]


@dataclass
class _Found:
    """Pictures per (part, class), and what was seen on the way."""

    files: dict[tuple[Part | None, str], list[Path]] = field(default_factory=dict[tuple[Part | None, str], list[Path]])
    loose: dict[Part | None, list[Path]] = field(default_factory=dict[Part | None, list[Path]])
    empty: list[Path] = field(default_factory=list[Path])
    aside: list[str] = field(default_factory=list[str])


def read_class_folders(root: Path, options: DataOptions) -> ClassFolders | None:
    """Read the class of every image from its folder; None when the folders are no class folders.

    Parameters
    ----------
    root : Path
    options : DataOptions
        Task "classification" takes every folder as a class. With "auto" there must be two class folders, at least one
        with images, and nothing that looks like masks. Any other task, or named folders of images and masks, give None.

    Raises
    ------
    BadDataset
        `root` is no folder.
    """
    if options.task not in ("auto", "classification") or options.images or options.masks:
        return None
    check_folder(root)
    top = _unwrap(root)
    found = _scan(top)
    classes = sorted({label for _, label in found.files}, key=natural)
    certain = options.task == "classification"
    if not certain and (len(classes) + len(found.empty) < 2 or not classes or not _are_classes(top, found)):
        return None
    if certain and not classes:
        return None
    # in the user's order, where it names the same classes; else the problem is told later
    messages = [_say(found, options.classes if set(options.classes) == set(classes) else classes, certain)]
    if top != root:
        messages.append(f"The class folders lie in {printable(top.relative_to(root))}.")
    problems = [
        Problem(file=printable(path.relative_to(root)), kind="empty class folder", text="no file at all")
        for path in found.empty
    ]
    if len(classes) < 2:
        problems.append(Problem(file=".", kind="one class folder only", text=f"only {printable(classes[0])}"))
    messages += _tell_loose(root, found, problems)
    messages += [f"{printable(name)} holds no pictures and was left aside." for name in found.aside]
    return ClassFolders(
        photos=_photos(found), classes=tuple(classes), messages=tuple(messages), problems=tuple(problems)
    )


def _unwrap(root: Path) -> Path:
    """Go down as long as a folder holds nothing but one folder that is no part."""
    while True:
        inner = _folders(root)
        if len(inner) != 1 or _part(inner[0]) is not None or _pictures(root) or not _folders(inner[0]):
            return root
        root = inner[0]


def _scan(root: Path) -> _Found:
    """Collect the pictures of every class folder; below part folders where there are any."""
    found = _Found()
    inner = _folders(root)
    parts: list[tuple[Path, Part | None]] = [(folder, _part(folder)) for folder in inner]
    tops: list[tuple[Part | None, Path]] = [(part, folder) for folder, part in parts if part is not None]
    if tops:
        found.aside += [folder.name for folder, part in parts if part is None and not any(_walk(folder))]
        # folders with pictures beside the parts belong to nothing: `_tell_loose` names them
        found.loose[None] = [path for folder, part in parts if part is None for path in _walk(folder)]
    whole: list[tuple[Part | None, Path]] = [(None, root)]
    for part, top in tops or whole:
        found.loose.setdefault(part, []).extend(_pictures(top))
        for folder in _folders(top):
            pictures = list(_walk(folder))
            if pictures:
                found.files[part, folder.name] = found.files.get((part, folder.name), []) + pictures
            elif any(folder.iterdir()):
                found.aside.append(folder.name)
            else:
                found.empty.append(folder)
    return found


def _are_classes(root: Path, found: _Found) -> bool:
    """Say whether nothing in the folders looks like images and masks of the same things."""
    ways = {folder for paths in found.files.values() for path in paths for folder in path.relative_to(root).parts[:-1]}
    if any(read_folder_name(name)[1] is not None or looks_like_masks(name) for name in ways):
        return False
    by_folder: dict[Path, list[Path]] = {}
    for paths in found.files.values():
        for path in paths:
            by_folder.setdefault(path.parent, []).append(path)
    if any(part_by_suffix(paths, DataOptions()).masks for paths in by_folder.values()):
        return False
    parts = {part for part, _ in found.files}
    return not any(_twins([paths for (part, _), paths in found.files.items() if part == one]) for one in parts)


def _twins(folders: Sequence[Sequence[Path]]) -> bool:
    """Say whether two folders hold the same names, and one of them hardly any values: images and their masks."""
    if len(folders) != 2:
        return False
    first, second = ({pairing_name(path) for path in paths} for paths in folders)
    if 2 * len(first & second) < min(len(first), len(second)):
        return False
    shared = sorted(first & second)[:3]
    chosen = [[path for path in paths if pairing_name(path) in shared] for paths in folders]
    return _kinds(chosen[0]) != _kinds(chosen[1]) or not alike_in_values(chosen[0], chosen[1])


def _kinds(paths: Sequence[Path]) -> Counter[tuple[int, str]]:
    kinds: Counter[tuple[int, str]] = Counter()
    for path in paths:
        try:
            info = probe(path)
        except BadImage:
            continue
        kinds[info.channels, info.dtype] += 1
    return kinds


def _say(found: _Found, classes: Sequence[str], certain: bool) -> str:
    shown = ", ".join(printable(name) for name in classes[:12]) + (", ..." if len(classes) > 12 else "")
    how = "as you said" if certain else "no masks were found"
    return (
        f"A folder per class, {how}: whole images are told apart, task classification (--task). "
        f"{pluralise(len(classes), 'class')}: {shown}."
    )


def _tell_loose(root: Path, found: _Found, problems: list[Problem]) -> list[str]:
    """Report pictures outside of class folders; unsorted test images are for prediction."""
    messages: list[str] = []
    for part, paths in found.loose.items():
        if not paths:
            continue
        if part == "test":
            images = pluralise(len(paths), "image")
            messages.append(f"test has {images} outside of classes: left aside (use predict on them).")
            continue
        text = f"{pluralise(len(paths), 'image')} outside of the class folders"
        files = tuple(printable(path.relative_to(root)) for path in paths)
        problems.append(Problem(file=files[0], kind="image outside a class", text=text, files=files))
    return messages


def _photos(found: _Found) -> tuple[LabelledImage, ...]:
    photos: list[LabelledImage] = []
    for (part, label), paths in found.files.items():
        stems = Counter(path.stem for path in paths)
        for path in paths:
            short = path.stem if stems[path.stem] == 1 else _below(path, label)
            name = "/".join([*((part,) if part else ()), label, short])
            photos.append(LabelledImage(name=name, path=path, label=label, part=part))
    photos.sort(key=lambda photo: (("train", "val", "test").index(photo.part or "train"), natural(photo.name)))
    return tuple(photos)


def _below(path: Path, label: str) -> str:
    """Return the way of a file below its class folder."""
    parts = path.parts
    return "/".join(parts[len(parts) - parts[::-1].index(label) :])


def _part(folder: Path) -> Part | None:
    part, role = read_folder_name(folder.name)
    return part if role is None else None


def _folders(folder: Path) -> list[Path]:
    """List the folders inside, hidden ones passed over, in natural order."""
    inner = [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith((".", "__"))]
    return sorted(inner, key=lambda path: natural(path.name))


def _pictures(folder: Path) -> list[Path]:
    return sorted(
        (path for path in folder.iterdir() if is_picture(path.name) and path.is_file()),
        key=lambda path: natural(path.name),
    )


def _walk(folder: Path) -> Iterator[Path]:
    """Yield the pictures of a folder and of all folders in it, each real folder once."""
    seen: set[str] = set()
    for here, inner, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(here)
        inner[:] = sorted(name for name in inner if not name.startswith((".", "__")))
        if real in seen:
            inner.clear()
            continue
        seen.add(real)
        yield from (Path(here, name) for name in sorted(names, key=natural) if is_picture(name))
