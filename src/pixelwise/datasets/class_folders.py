"""Find class folders: one folder per class for whole-image classification.

Supported layouts: ``<class>/*.jpg`` and ``train/<class>/*.jpg``, with ``val/`` and ``test/``. Subfolders of a class
folder belong to it. Folders that may contain images and masks are not class folders, unless the user sets the task.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path

from pixelwise.datasets.folder_layout import check_folder, is_image_name, walk_folders
from pixelwise.datasets.masks.likeness import are_flat, find_mask_side
from pixelwise.datasets.naming.folder_names import (
    Role,
    is_hidden_folder,
    is_split_word,
    looks_like_masks,
    natural_key,
    pairing_name,
    read_folder_name,
)
from pixelwise.datasets.naming.pairing import pair_up, separate_masks
from pixelwise.datasets.naming.rules import boundaries
from pixelwise.datasets.naming.split_lists import find_split_lists
from pixelwise.datasets.options import DataOptions
from pixelwise.datasets.problems import Problem
from pixelwise.datasets.records import Split
from pixelwise.errors import printable
from pixelwise.io.volumes.names import is_volume_name
from pixelwise.text import pluralise

_COMPARED = 6  # class folders among which masks are looked for
# folders beside those of the images, as in Food-101
_LISTS = frozenset(("meta", "metadata", "list", "lists", "splits", "imagesets", "doc", "docs", "info"))


@dataclass(frozen=True, kw_only=True)
class LabelledImage:
    """An image with its class and the split given by the folders, if any."""

    name: str
    path: Path
    label: str
    split: Split | None


@dataclass(frozen=True, kw_only=True)
class ClassFolders:
    """Images and classes in natural order, with messages and problems."""

    images: tuple[LabelledImage, ...]
    classes: tuple[str, ...]
    messages: tuple[str, ...]
    problems: tuple[Problem, ...]


_ClassKey = tuple[Split | None, str]


@dataclass
class _FolderContents:
    """Images per (split, class), images outside class folders, empty folders and ignored folders."""

    files: dict[_ClassKey, list[Path]] = field(default_factory=dict[_ClassKey, list[Path]])
    unsorted: dict[Split | None, list[Path]] = field(default_factory=dict[Split | None, list[Path]])
    empty: list[Path] = field(default_factory=list[Path])
    ignored: list[str] = field(default_factory=list[str])


def read_class_folders(root: Path, options: DataOptions) -> ClassFolders | None:
    """Return the class of every image from its folder; None if the folders are not class folders.

    Parameters
    ----------
    options : DataOptions
        With task "classification" every folder is a class. "auto" requires two class folders, at least one with images,
        and no masks. Any other task, or given image and mask folders, return None.

    Raises
    ------
    BadDataset
        `root` is not a folder.
    """
    if options.task not in ("auto", "classification") or options.images or options.masks:
        return None
    check_folder(root)
    top = _unwrap(root)
    contents = _scan(top)
    classes = sorted({label for _, label in contents.files}, key=natural_key)
    explicit = options.task == "classification"
    if not explicit and all(is_volume_name(path.name) for paths in contents.files.values() for path in paths):
        return None  # classes are learned from images of two dimensions
    if not explicit and (len(classes) + len(contents.empty) < 2 or not classes or not _are_classes(top, contents)):
        return None
    if explicit and not classes:
        return None
    # in the user's order if it names the same classes; otherwise a problem is reported later
    messages = [_summary(options.classes if set(options.classes) == set(classes) else classes, explicit)]
    if top != root:
        messages.append(f"The class folders are in {printable(top.relative_to(root))}.")
    problems = [
        Problem(file=printable(path.relative_to(root)), kind="empty class folder", text="no files")
        for path in contents.empty
    ]
    if len(classes) < 2:
        problems.append(Problem(file=".", kind="one class folder only", text=f"only {printable(classes[0])}"))
    messages += _report_unsorted(root, contents, problems)
    messages += [f"{printable(name)} contains no images and was ignored." for name in contents.ignored]
    images = _list_images(contents)
    if all(image.split is None for image in images):
        images = _with_listed_splits(root, images, messages)
    return ClassFolders(images=images, classes=tuple(classes), messages=tuple(messages), problems=tuple(problems))


def _unwrap(root: Path) -> Path:
    """Descend while a folder contains only one folder that is not a split, beside those of lists without images."""
    while True:
        inner = [folder for folder in _folders(root) if folder.name.casefold() not in _LISTS or any(_walk(folder))]
        if len(inner) != 1 or is_split_word(inner[0].name) or _image_files(root) or not _folders(inner[0]):
            return root
        root = inner[0]


def _scan(root: Path) -> _FolderContents:
    """Collect the images of every class folder, below split folders if there are any."""
    contents = _FolderContents()
    inner = _folders(root)
    splits: list[tuple[Path, Split | None]] = [(folder, _split_of(folder)) for folder in inner]
    tops: list[tuple[Split | None, Path]] = [(split, folder) for folder, split in splits if split is not None]
    if tops:
        contents.ignored += [folder.name for folder, split in splits if split is None and not any(_walk(folder))]
        # images in folders next to the splits have no split: `_report_unsorted` reports them
        contents.unsorted[None] = [path for folder, split in splits if split is None for path in _walk(folder)]
    without_splits: list[tuple[Split | None, Path]] = [(None, root)]
    for split, top in tops or without_splits:
        contents.unsorted.setdefault(split, []).extend(_image_files(top))
        for folder in _folders(top):
            if images := list(_walk(folder)):
                contents.files[split, folder.name] = contents.files.get((split, folder.name), []) + images
            elif any(folder.iterdir()):
                contents.ignored.append(folder.name)
            else:
                contents.empty.append(folder)
    return contents


def _are_classes(root: Path, contents: _FolderContents) -> bool:
    """Return whether the folders do not look like images with masks."""
    if all(is_split_word(label) for _, label in contents.files):
        return False  # a folder of the same name in each folder of a split
    # a class may be called `mask`, of people who wear one: its pixels are not those of masks
    for paths in (*contents.files.values(), *contents.unsorted.values()):
        roles = {path: set(map(_role_of, path.relative_to(root).parts[:-1])) for path in paths}
        masks = [path for path, found in roles.items() if "mask" in found or looks_like_masks(path.stem)]
        if any("image" in found for found in roles.values()) or (masks and are_flat(masks)):
            return False
    by_folder: dict[Path, list[Path]] = {}
    for paths in contents.files.values():
        for path in paths:
            by_folder.setdefault(path.parent, []).append(path)
    if any(separate_masks(paths, DataOptions()).masks for paths in by_folder.values()):
        return False
    if _are_cases(contents):
        return False
    splits = {split for split, _ in contents.files}
    return not any(
        _hold_masks([paths for (other, _), paths in contents.files.items() if other == split]) for split in splits
    )


def _role_of(name: str) -> Role | None:
    """Return the role that a folder name gives, or a word in it, as in ``GT_01``."""
    return read_folder_name(name)[1] or ("mask" if looks_like_masks(name) else None)


def _are_cases(contents: _FolderContents) -> bool:
    """Return whether every folder has the same few kinds of files, of which one has the masks of another.

    Kinds are the names inside a folder, without the name of the folder: ``1/slice.png`` and ``1/lesion.png``, or
    ``A/A_image/1.png`` and ``A/A_lesion/1.png``.
    """
    by_parent: dict[str, list[Path]] = {}
    by_stem: dict[str, list[Path]] = {}
    for (_, label), paths in contents.files.items():
        for path in paths:
            inner = _relative_name(path, label).casefold().rpartition("/")[0].replace(label.casefold(), "")
            by_parent.setdefault(inner, []).append(path)
            by_stem.setdefault(path.stem.casefold().replace(label.casefold(), ""), []).append(path)
    least = max(2, len(contents.files))
    for kinds in (by_parent, by_stem):
        if not 2 <= len(kinds) <= _COMPARED or any(len(paths) < least for paths in kinds.values()):
            continue
        for first, second in combinations(kinds.values(), 2):
            if find_mask_side(*_equally_many(first, second), strict=True) is not None:
                return True
    return False


def _equally_many(first: Sequence[Path], second: Sequence[Path]) -> tuple[Sequence[Path], Sequence[Path]]:
    count = min(len(first), len(second))
    return first[:count], second[:count]


def _hold_masks(folders: Sequence[Sequence[Path]]) -> bool:
    """Return whether one folder holds the masks of another: the pixels are those of masks, and most names pair.

    Two folders of equally many files may have names that do not pair.
    """
    if len(folders) > _COMPARED:
        return False
    if len(folders) == 2 and len(folders[0]) == len(folders[1]) and find_mask_side(*folders, strict=True) is not None:
        return True
    for first, second in combinations(folders, 2):
        named = _are_named_after(first, second) or _are_named_after(second, first)
        if named and find_mask_side(*_equally_many(first, second), strict=True) is not None:
            return True
        pairs = max((_pair(first, second), _pair(second, first)), key=len)
        if 2 * len(pairs) < max(len(first), len(second)) or not pairs:
            continue
        if find_mask_side([pair[0] for pair in pairs], [pair[1] for pair in pairs]) is not None:
            return True
    return False


def _are_named_after(masks: Sequence[Path], images: Sequence[Path]) -> bool:
    """Return whether most files are named like an image with something added, before or after its name."""
    names = {pairing_name(path) for path in images}
    parts = [
        {part for cut in boundaries(name) for part in (name[:cut], name[cut:])} for name in map(pairing_name, masks)
    ]
    return len(masks) > 1 and 2 * sum(bool(names & found) for found in parts) > len(masks)


def _pair(images: Sequence[Path], masks: Sequence[Path]) -> list[tuple[Path, Path]]:
    return list(pair_up(images, masks).items())


def _summary(classes: Sequence[str], explicit: bool) -> str:
    shown = ", ".join(printable(name) for name in classes[:12]) + (", ..." if len(classes) > 12 else "")
    reason = "set by the user" if explicit else "class folders without masks"
    return f"Task classification ({reason}; --task), {pluralise(len(classes), 'class')}: {shown}."


def _report_unsorted(root: Path, contents: _FolderContents, problems: list[Problem]) -> list[str]:
    """Report images outside class folders; in the test split they are ignored."""
    messages: list[str] = []
    for split, paths in contents.unsorted.items():
        if not paths:
            continue
        if split == "test":
            images = pluralise(len(paths), "image")
            messages.append(f"test has {images} outside the class folders: ignored (use predict on them).")
            continue
        text = f"{pluralise(len(paths), 'image')} outside the class folders"
        files = tuple(printable(path.relative_to(root)) for path in paths)
        problems.append(Problem(file=files[0], kind="image outside a class", text=text, files=files))
    return messages


def _list_images(contents: _FolderContents) -> tuple[LabelledImage, ...]:
    images: list[LabelledImage] = []
    for (split, label), paths in contents.files.items():
        stems = Counter(path.stem for path in paths)
        for path in paths:
            short = path.stem if stems[path.stem] == 1 else _relative_name(path, label)
            name = "/".join([*((split,) if split else ()), label, short])
            images.append(LabelledImage(name=name, path=path, label=label, split=split))
    images.sort(key=lambda image: (("train", "val", "test").index(image.split or "train"), natural_key(image.name)))
    return tuple(images)


def _with_listed_splits(
    root: Path, images: tuple[LabelledImage, ...], messages: list[str]
) -> tuple[LabelledImage, ...]:
    """Return the images with the splits that lists of names state, without images that no list names."""
    others = (here / name for here, _, names in walk_folders(root) for name in names if not is_image_name(name))
    splits, message = find_split_lists(root, others, [image.path for image in images])
    messages += [message] if message else []
    if not splits:
        return images
    named = (replace(one, split=splits[one.path]) for one in images if one.path in splits)
    return tuple(sorted(named, key=lambda one: ("train", "val", "test").index(one.split or "train")))


def _relative_name(path: Path, label: str) -> str:
    """Return the path of a file relative to its class folder."""
    parts = path.parts
    return "/".join(parts[len(parts) - parts[::-1].index(label) :])


def _split_of(folder: Path) -> Split | None:
    split, role = read_folder_name(folder.name)
    return split if role is None else None


def _folders(folder: Path) -> list[Path]:
    """Return the visible inner in natural order."""
    inner = [path for path in folder.iterdir() if path.is_dir() and not is_hidden_folder(path.name)]
    return sorted(inner, key=lambda path: natural_key(path.name))


def _image_files(folder: Path) -> list[Path]:
    return sorted(
        (path for path in folder.iterdir() if is_image_name(path.name) and path.is_file()),
        key=lambda path: natural_key(path.name),
    )


def _walk(folder: Path) -> Iterator[Path]:
    """Yield the images of a folder and its inner, each real folder once."""
    for here, _, names in walk_folders(folder):
        yield from (here / name for name in sorted(names, key=natural_key) if is_image_name(name))
