"""Folders of image files, as formats that are made of folders use them."""

import re
from collections.abc import Callable
from pathlib import Path

from pixelwise.datasets.naming.folder_names import SPLIT_WORDS, natural_key
from pixelwise.datasets.records import Split
from pixelwise.io.read import SUFFIXES

MAX_LISTED = 5  # names in a message
_SUFFIXES = (*SUFFIXES, ".gif")


def is_image(path: Path) -> bool:
    """Return whether a file is an image by its name."""
    return not path.name.startswith(".") and path.name.casefold().endswith(_SUFFIXES)


def images_in(folder: Path) -> list[Path]:
    """Return the image files directly in a folder, in natural order; none if there is no such folder."""
    if not folder.is_dir():
        return []
    return sorted(
        (path for path in folder.iterdir() if is_image(path) and path.is_file()),
        key=lambda path: natural_key(path.name),
    )


def images_below(folder: Path) -> list[Path]:
    """Return the image files below a folder, in natural order, without hidden folders."""
    if not folder.is_dir():
        return []
    return [*images_in(folder), *(path for inner in folders_in(folder) for path in images_below(inner))]


def folders_in(folder: Path) -> list[Path]:
    """Return the folders directly in a folder, in natural order, without hidden ones and links."""
    if not folder.is_dir():
        return []
    inner = (path for path in folder.iterdir() if not path.name.startswith((".", "__")))
    real = (path for path in inner if path.is_dir() and not path.is_symlink())
    return sorted(real, key=lambda path: natural_key(path.name))


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
    more = f" and {len(paths) - MAX_LISTED} more" if len(paths) > MAX_LISTED else ""
    return ", ".join(path.name for path in paths[:MAX_LISTED]) + more
