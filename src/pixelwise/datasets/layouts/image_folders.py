"""Folders of image files, as formats that are made of folders use them."""

import os
import re
from collections.abc import Callable
from pathlib import Path

from pixelwise.datasets.naming.folder_names import SPLIT_WORDS, is_hidden_folder, natural_key
from pixelwise.datasets.records import Split
from pixelwise.io.read import SUFFIXES
from pixelwise.text import list_first

_SUFFIXES = (*SUFFIXES, ".gif")


def is_image(path: Path) -> bool:
    """Return whether a file is an image by its name."""
    return _is_image_name(path.name)


def _is_image_name(name: str) -> bool:
    return not name.startswith(".") and name.casefold().endswith(_SUFFIXES)


def images_in(folder: Path) -> list[Path]:
    """Return the image files directly in a folder, in natural order; none if there is no such folder."""
    names = [one.name for one in _listed(folder) if _is_image_name(one.name) and _is_file(one)]
    return [folder / name for name in sorted(names, key=natural_key)]


def images_below(folder: Path) -> list[Path]:
    """Return the image files below a folder, in natural order, without hidden folders."""
    if not folder.is_dir():
        return []
    return [*images_in(folder), *(path for inner in folders_in(folder) for path in images_below(inner))]


def folders_in(folder: Path) -> list[Path]:
    """Return the folders directly in a folder, in natural order, without hidden ones and links."""
    real = [one.name for one in _listed(folder) if one.is_dir(follow_symlinks=False)]
    return [folder / name for name in sorted(real, key=natural_key) if not is_hidden_folder(name)]


def folders_below(root: Path, depth: int) -> list[Path]:
    """Return a folder and those below it, to a depth."""
    if depth < 0:
        return []
    return [root, *(below for inner in folders_in(root) for below in folders_below(inner, depth - 1))]


def _is_file(entry: os.DirEntry[str]) -> bool:
    return Path(entry.path).is_file() if entry.is_symlink() else entry.is_file(follow_symlinks=False)


def _listed(folder: Path) -> list[os.DirEntry[str]]:
    """Return what is in a folder, without a look at each file; nothing of one that does not exist or is unreadable.

    That a folder is unreadable is reported where it is walked.
    """
    if not folder.is_dir():
        return []
    try:
        with os.scandir(folder) as found:
            return list(found)
    except PermissionError:
        return []


def find_base(root: Path, has_format: Callable[[Path], bool]) -> Path | None:
    """Return the folder that has a format: `root`, or the only folder in it that has."""
    if has_format(root):
        return root
    found = [folder for folder in folders_in(root) if has_format(folder)]
    return found[0] if len(found) == 1 else None


def split_in_name(name: str) -> Split | None:
    """Return the split that a word of a folder name states.

    >>> split_in_name("stage1_train"), split_in_name("a. Training Set"), split_in_name("strain")
    ('train', 'train', None)
    """
    words = [re.sub(r"\d+$", "", word) for word in re.findall(r"[a-z]+\d*", name.casefold())]
    found: set[Split] = {SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS and len(word) > 2}
    return found.pop() if len(found) == 1 else None


def list_names(paths: list[Path]) -> str:
    """Return the names of the first files, and the number of the others."""
    return list_first([path.name for path in paths])
