"""Tables with the class of each image, as Kaggle publishes them: ``id,label`` beside a folder of images.

A row names its image, with or without folder and extension, and its class: as text or number in a column, or as one
column of 0 and 1 per class.
"""

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from pixelwise.datasets.class_folders import ClassFolders, LabelledImage
from pixelwise.datasets.formats.image_index import ImageIndex, split_of
from pixelwise.datasets.formats.json_content import find_files
from pixelwise.datasets.naming.folder_names import natural_key, read_folder_name
from pixelwise.datasets.options import PLAIN_FOLDERS, DataOptions
from pixelwise.datasets.problems import Problem
from pixelwise.datasets.records import Split
from pixelwise.errors import BadDataset, printable
from pixelwise.text import pluralise

MAX_CLASSES = 1000
_MAX_BYTES = 256 << 20
_MAX_NAME = 200  # characters of a class
_MAX_ROWS = 5_000_000
_LABELS = (
    "label", "labels", "class", "class_name", "classname", "class_label", "category", "category_name", "target",
    "breed", "diagnosis", "level", "dx", "species", "label_name", "cultivar", "grade", "type", "y",
)  # fmt: skip
_SPLITS = ("split", "set", "subset", "partition", "dataset", "data_type")
_DUMMY = ("sample_submission", "submission", "sample-submission")
_PEEKED = 20  # rows whose images are looked for to recognise a table
_FOUND = 0.5  # fraction of them that must exist
_UNIQUE = 0.8  # fraction of different images in a table; one with several rows per image is about objects
_REPEATED = 2  # images per class on average, at least: numbers that differ in each row are no classes


@dataclass(frozen=True, kw_only=True)
class _Table:
    """A table, with the columns of images, classes and splits."""

    path: Path
    header: list[str]
    rows: list[list[str]]
    image: int
    split: int
    classes: tuple[int, ...]  # one column, or one per class

    def label_of(self, row: Sequence[str]) -> str | None:
        """Return the class in a row; None if it has none."""
        if len(self.classes) == 1:
            return row[self.classes[0]].strip() or None
        marked = [self.header[column] for column in self.classes if _number(row[column]) == 1]
        return marked[0] if len(marked) == 1 else None


def read_label_table(root: Path, options: DataOptions) -> ClassFolders | None:
    """Return the class of every image that a table lists; None if there is no such table.

    Parameters
    ----------
    options : DataOptions
        Given image and mask folders, and other tasks, return None.

    Raises
    ------
    BadDataset
        A class or an image is named in two ways.
    """
    if options.task not in ("auto", "classification") or options.images or options.masks or not root.is_dir():
        return None
    if options.format == PLAIN_FOLDERS:
        return None
    candidates = [path for path in find_files(root, ".csv", some=20) if not path.name.casefold().startswith(_DUMMY)]
    if not candidates:
        return None
    index = ImageIndex(root)
    tables = [table for path in candidates if (table := _read_table(path, index)) is not None]
    if not tables:
        return None
    # of several tables about the same images the one with most rows is read
    tables.sort(key=lambda table: -len(table.rows))
    return _read_images(root, index, tables)


def _read_images(root: Path, index: ImageIndex, tables: Sequence[_Table]) -> ClassFolders:
    found: dict[Path, LabelledImage] = {}
    missing: list[str] = []
    unlabelled = 0
    read: list[str] = []
    for table in tables:
        images = {path: label for path, label in _labelled(index, table, missing) if path not in found}
        if not images:
            continue
        read.append(f"{printable(table.path.relative_to(root))} (columns {_columns(table)})")
        for path, (label, split) in images.items():
            unlabelled += label is None
            if label is not None:
                name = path.relative_to(root).with_suffix("").as_posix()
                found[path] = LabelledImage(name=name, path=path, label=label, split=split)
    classes = sorted({image.label for image in found.values()}, key=natural_key)
    shown = ", ".join(map(printable, classes[:12])) + (", ..." if len(classes) > 12 else "")
    messages = [
        f"Task classification (--task): the class of each image is read from {' and '.join(read)}, "
        f"{pluralise(len(classes), 'class')}: {shown} (--format folders: folders are the classes)."
    ]
    others = len(index.files) - len(found)
    if others:
        messages.append(f"{pluralise(others, 'image')} without a class in the table: ignored (use predict on them).")
    problems = _missing(tables[0].path, root, missing)
    images = sorted(
        found.values(),
        key=lambda image: (("train", "val", "test").index(image.split or "train"), natural_key(image.name)),
    )
    return ClassFolders(
        images=tuple(images), classes=tuple(classes), messages=tuple(messages), problems=tuple(problems)
    )


def _columns(table: _Table) -> str:
    labels = [table.header[column] for column in table.classes]
    shown = labels[0] if len(labels) == 1 else f"{labels[0]} to {labels[-1]}"
    return f"{printable(table.header[table.image])} and {printable(shown)}"


def _missing(path: Path, root: Path, missing: Sequence[str]) -> list[Problem]:
    """Return a problem for images that are listed and do not exist; it does not stop a training."""
    if not missing:
        return []
    shown = ", ".join(map(printable, missing[:5])) + (", ..." if len(missing) > 5 else "")
    text = f"{pluralise(len(missing), 'listed image is', 'listed images are')} missing: {shown}"
    return [Problem(file=printable(path.relative_to(root)), kind="image outside a class", text=text, fatal=False)]


def _labelled(
    index: ImageIndex, table: _Table, missing: list[str]
) -> list[tuple[Path, tuple[str | None, Split | None]]]:
    """Return image, class and split of each row whose image exists.

    Raises
    ------
    BadDataset
        An image has two classes.
    """
    found: dict[Path, tuple[str | None, Split | None]] = {}
    for number, row in enumerate(table.rows, 2):
        path = _find(index, row[table.image], table.path)
        if path is None:
            missing.append(row[table.image])
            continue
        stated: Split | None = read_folder_name(row[table.split])[0] if table.split >= 0 else None
        stated = stated or split_of(path.relative_to(index.root).parts[:-1])
        label = table.label_of(row)
        known = found.setdefault(path, (label, stated))
        if known[0] != label:
            got = f"{printable(str(known[0]))} and {printable(str(label))} for {printable(row[table.image])}"
            raise BadDataset("one class per image", got, "Remove one of the rows.", f"{printable(table.path)}:{number}")
    given = {split for _, split in found.values()}
    if given == {"train"} or not given - {None, "test"}:  # a folder called train alone is no given split
        return [(path, (label, split if split == "test" else None)) for path, (label, split) in found.items()]
    return list(found.items())


def _find(index: ImageIndex, name: str, path: Path) -> Path | None:
    """Return the image of a cell: in a folder of the training split, if several have its name."""
    if not name.strip():
        return None
    split: Split = "test" if "test" in path.stem.casefold() else "train"
    try:
        return index.find(name.strip(), path.parent, split, by_stem=True)
    except BadDataset:
        return None


def _read_table(path: Path, index: ImageIndex) -> _Table | None:
    """Return a table of images and classes; None for another file."""
    rows = _read_rows(path)
    if len(rows) < 3 or len(rows[0]) < 2:
        return None
    header, body = [name.strip() for name in rows[0]], [row for row in rows[1:] if len(row) == len(rows[0])]
    image = _image_column(index, body, path)
    if image is None:
        return None
    classes = _class_columns([name.casefold() for name in header], body, image)
    if not classes:
        return None
    names = [name.casefold() for name in header]
    split = next((names.index(name) for name in _SPLITS if name in names), -1)
    return _Table(path=path, header=header, rows=body, image=image, split=split, classes=classes)


def _read_rows(path: Path) -> list[list[str]]:
    try:
        if path.stat().st_size > _MAX_BYTES:
            return []
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            first = file.readline()
            file.seek(0)
            separator = next((mark for mark in "\t;," if mark in first), ",")
            return list(islice(csv.reader(file, delimiter=separator, skipinitialspace=True), _MAX_ROWS))
    except (OSError, csv.Error):
        return []


def _image_column(index: ImageIndex, rows: Sequence[Sequence[str]], path: Path) -> int | None:
    """Return the column whose cells name images; None if there is none."""
    step = max(1, len(rows) // _PEEKED)
    peeked = rows[::step][:_PEEKED]
    if not peeked:
        return None
    counts = [sum(_find(index, row[column], path) is not None for row in peeked) for column in range(len(peeked[0]))]
    distinct = [len({row[column] for row in rows}) for column in range(len(peeked[0]))]
    best = max(range(len(counts)), key=lambda column: (counts[column], distinct[column]))
    return best if counts[best] >= _FOUND * len(peeked) and distinct[best] >= _UNIQUE * len(rows) else None


def _class_columns(names: Sequence[str], rows: Sequence[Sequence[str]], image: int) -> tuple[int, ...]:
    """Return the column of classes, or one column per class; none if it is unclear."""
    named = [names.index(name) for name in _LABELS if name in names]
    others = [column for column in range(len(names)) if column != image]
    for column in named or (others if len(others) == 1 else ()):
        if column != image and _are_classes([row[column].strip() for row in rows]):
            return (column,)
    marks = [column for column in others if all(_number(row[column]) in (0, 1) for row in rows)]
    several = len(marks) > 1 and all(sum(_number(row[column]) == 1 for column in marks) == 1 for row in rows)
    return tuple(marks) if several else ()


def _are_classes(cells: Sequence[str]) -> bool:
    """Return whether cells are classes: a few names or whole numbers, each of several rows on average."""
    counts = Counter(cell for cell in cells if cell)
    if not 2 <= len(counts) <= MAX_CLASSES or _REPEATED * len(counts) > counts.total():
        return False
    return all(len(cell) < _MAX_NAME and not (_number(cell) or 0.0) % 1 for cell in counts)


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None
