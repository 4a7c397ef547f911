"""Read the splits that text files beside the images state: ``train.txt`` and ``val.txt`` with a name per line.

A table with columns for image and split, without one for masks, states them too.
"""

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from pixelwise.datasets.naming.folder_names import (
    SPLIT_WORDS,
    natural_key,
    normalised,
    pairing_name,
    read_folder_name,
    strip_image_words,
)
from pixelwise.datasets.records import Split
from pixelwise.errors import printable
from pixelwise.io.volumes.names import stem_of
from pixelwise.text import list_first, pluralise

IMAGE_COLUMNS = (
    "image", "images", "img", "image_path", "img_path", "image_file", "image_filename", "image_name", "img_name",
    "filename", "file_name", "file", "image_id", "id", "name", "x",
)  # fmt: skip
SPLIT_COLUMNS = ("split", "set", "subset", "partition", "part")
_SUFFIXES = (".txt", ".lst", ".csv", ".tsv")
_MAX_BYTES = 64 << 20  # of one list
_DEPTH = 2  # folders below the data set
_KNOWN = 0.9  # fraction of the lines of a list that name images of the set, at least
_WORDS: Mapping[str, Split] = {**SPLIT_WORDS, "trn": "train"}
# what names of lists are about, as in train_ids.txt
_FILLERS = frozenset((
    "list", "lists", "set", "split", "image", "images", "img", "ids", "id", "file", "files", "name", "names",
    "filenames", "data",
))  # fmt: skip


class SplitLists(NamedTuple):
    """The splits of images that lists name, and a message; an image that no list names has none."""

    splits: dict[Path, Split]
    message: str


def find_split_lists(root: Path, files: Iterable[Path], images: Sequence[Path]) -> SplitLists:
    """Return the splits that lists state.

    Lists of one folder count if each of them names images of the set, and no image is in two of them. Lists for
    training need one for validation or testing beside them; without them, images in no list are for training.

    Parameters
    ----------
    root : Path
    files : iterable of Path
        Files that are no images.
    images : sequence of Path
        Images of the set, with or without a mask.

    Returns
    -------
    SplitLists
        Without splits if there are no such lists; the message may then say why they are not used.
    """
    lists = [path for path in files if _may_be_list(path.relative_to(root))]
    if not lists:
        return SplitLists({}, "")
    index = _index(root, images)
    found: dict[Path, list[tuple[Path, dict[Path, Split]]]] = {}  # by folder
    for path in sorted(lists, key=lambda path: (len(path.parts), natural_key(str(path)))):
        named = _read(path, index)
        if named:
            found.setdefault(path.parent, []).append((path, named))
    usable: list[SplitLists] = []
    unused = ""
    for group in found.values():
        shown = list_first([printable(path.relative_to(root).as_posix()) for path, _ in group], 3)
        stated: set[Split] = {split for _, named in group for split in named.values()}
        splits: dict[Path, Split] = {}
        several = None
        for _, named in group:
            several = several or next((path for path, split in named.items() if splits.get(path, split) != split), None)
            splits = {**named, **splits}
        if several is not None:
            unused = f"{shown} were not used as splits: {printable(several.name)} is in several of them"
        elif stated == {"train"}:
            count = f"{len(splits)} of {pluralise(len(images), 'image')}"
            unused = f"{shown} was not used: it names {count} for training, and no list those for validation"
        else:
            usable.append(_complete(splits, stated, images, shown))
    if len(usable) == 1:
        return usable[0]
    if usable:
        folders = list_first([printable(folder.relative_to(root).as_posix()) for folder in found], 3)
        unused = f"Lists of splits in several folders ({folders}) were not used"
    hint = "a column split in pairs.csv decides"
    return SplitLists({}, f"{unused} ({hint})." if unused else "")


def _complete(splits: dict[Path, Split], stated: set[Split], images: Sequence[Path], shown: str) -> SplitLists:
    """Return the splits with images that no list names, which are for training if there is no list for it."""
    rest = [path for path in images if path not in splits]
    more = ""
    if "train" not in stated:
        splits = {**splits, **dict.fromkeys(rest, "train")}
    elif rest:
        more = f"; {pluralise(len(rest), 'image')} in no list, such as {printable(rest[0].name)}, left out"
    counts = [(split, sum(one == split for one in splits.values())) for split in ("train", "val", "test")]
    given = ", ".join(f"{split} {count}" for split, count in counts if count)
    return SplitLists(splits, f"The splits are those of {shown}: {given}{more} (a column split in pairs.csv decides).")


def _may_be_list(path: Path) -> bool:
    """Return whether a file may be a list: by the words of its name, or as a table with a column for splits."""
    if len(path.parts) > _DEPTH + 1 or path.name.startswith(".") or path.suffix.casefold() not in _SUFFIXES:
        return False
    return _split_of(path) is not None or path.suffix.casefold() in (".csv", ".tsv")


def _split_of(path: Path) -> Split | None:
    words = [word for word in re.findall(r"[a-z]+", normalised(path.stem)) if word not in _FILLERS]
    return _WORDS.get(words[0]) if len(words) == 1 else None


def _index(root: Path, images: Sequence[Path]) -> dict[str, list[Path]]:
    """Return the images by the last part of the names by which lists may call them."""
    index: dict[str, list[Path]] = {}
    for path in images:
        name = pairing_name(path)
        for key in {name, normalised(path.name), strip_image_words(name)}:
            index.setdefault(key, []).append(path)
    return index


def _read(path: Path, index: Mapping[str, Sequence[Path]]) -> dict[Path, Split]:
    """Return the images that a file names, with their split; nothing if it is no list of images of the set."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            return {}
        text = path.read_text("utf-8-sig", "replace")
    except OSError:
        return {}
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    rows = _rows_of_table(lines) if path.suffix.casefold() in (".csv", ".tsv") else None
    split = _split_of(path)
    if rows is None and split is not None:
        own: list[tuple[str, Split]] = [(line, split) for line in lines if not line.startswith("#")]
        rows = own
    found: dict[Path, Split] = {}
    for name, given in rows or ():
        if (image := _find(name, index)) is not None:
            found[image] = given
    return found if rows and len(found) >= _KNOWN * len(rows) else {}


def _rows_of_table(lines: Sequence[str]) -> list[tuple[str, Split]] | None:
    """Return the names and splits of a table that has columns for both; None if it has not, or for other splits."""
    if not lines:
        return None
    separator = next((mark for mark in "\t;," if mark in lines[0]), ",")
    header, *rows = csv.reader(lines, delimiter=separator, skipinitialspace=True)
    names = [name.strip().casefold() for name in header]
    image = next((names.index(name) for name in IMAGE_COLUMNS if name in names), None)
    column = next((names.index(name) for name in SPLIT_COLUMNS if name in names), None)
    if image is None or column is None:
        return None
    found: list[tuple[str, Split]] = []
    for row in rows:
        split = read_folder_name(row[column].strip())[0] if len(row) > max(image, column) else None
        if split is None:
            return None
        found.append((row[image].strip(), split))
    return found


def _find(name: str, index: Mapping[str, Sequence[Path]]) -> Path | None:
    """Return the only image that a line names: as a whole, or with its first word, by the end of its path."""
    for called in dict.fromkeys((name, re.split(r"[\s,;]", name)[0])):
        wanted = [normalised(part) for part in called.replace("\\", "/").split("/") if part not in ("", ".", "..")]
        if not wanted:
            continue
        last = PurePosixPath(wanted[-1])
        found = index.get(last.name) or index.get(normalised(stem_of(Path(last)))) or ()
        if len(found) > 1:  # of the same name in several folders
            best = max(_common(wanted, path) for path in found)
            found = [path for path in found if _common(wanted, path) == best]
        if len(found) == 1:
            return found[0]
    return None


def _common(wanted: Sequence[str], path: Path) -> int:
    """Return how many folders above a file a line names."""
    folders = [normalised(part) for part in reversed(path.parts[:-1])]
    pairs = zip(reversed(wanted[:-1]), folders, strict=False)
    return next((count for count, (one, other) in enumerate(pairs) if one != other), min(len(wanted) - 1, len(folders)))
