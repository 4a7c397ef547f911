r"""A table of images and masks: CSV, or lines of two paths.

A table has a header with the columns ``image`` and ``mask``, and if wanted ``split`` and ``group``; the separator is a
comma, semicolon or tab. A list without a header has an image and a mask per line; its file name may state the split,
such as ``train.txt``. Paths are relative to the file, or those of another machine, of which the longest matching end
counts: ``C:\Users\me\images\1.png``.
"""

import csv
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath

from pixelwise.datasets.annotations import AnnotatedImage, AnnotatedSet, MaskFile
from pixelwise.datasets.formats.image_index import ImageIndex
from pixelwise.datasets.layouts.image_folders import is_image, split_in_name
from pixelwise.datasets.naming.folder_names import normalised, read_folder_name
from pixelwise.datasets.options import DataOptions
from pixelwise.datasets.records import Split
from pixelwise.errors import BadDataset, printable
from pixelwise.io.volumes.names import stem_of
from pixelwise.text import pluralise

NAME = "list of files"
SUFFIXES = (".csv", ".tsv", ".txt", ".lst")
MAX_BYTES = 64 << 20  # of one list
COLUMNS = {
    "image": ("image", "images", "img", "image_path", "img_path", "image_file",
              "image_filename", "image_name", "img_name", "filename", "file", "x"),
    "mask": ("mask", "masks", "label", "labels", "mask_path", "label_path", "mask_file", "mask_filename", "mask_name",
             "label_file", "label_name", "segmentation", "annotation", "y"),
    "split": ("split", "set", "subset", "partition", "part"),
    "group": ("group", "patient", "patient_id", "subject", "subject_id", "case_id", "video", "scene"),
}  # fmt: skip
_MOST = 0.8  # fraction of the images of a folder that a list names if its paths are those of another machine
_PEEKED = 3  # rows that must name existing files for a list to be recognised


@dataclass(frozen=True, kw_only=True)
class _Row:
    """A row of a list, with its line number for errors."""

    line: int
    image: str
    mask: str
    split: str = ""
    group: str = ""


def recognise(root: Path) -> bool:
    """Return whether a folder contains a list whose first rows name files that exist."""
    return bool(_lists(_Files(root)))


def read(root: Path, options: DataOptions) -> AnnotatedSet:
    """Read the lists of a folder; an empty mask means that an image is not annotated.

    Raises
    ------
    BadDataset
        A file of a row does not exist, an image is listed twice, or a split is unknown.
    """
    images: list[AnnotatedImage] = []
    files = _Files(root)
    lists = _lists(files)
    for path in lists:
        for row in _rows(path):
            images.append(_image(files, path, row))
    twice = [image for image, count in Counter(image.image for image in images).items() if count > 1]
    if twice:
        got = f"{twice[0].name} in several rows"
        raise BadDataset("each image once", got, "Remove the other rows.", lists[0])
    names = Counter(image.name for image in images)
    images = [
        image if names[image.name] == 1 else _renamed(image, str(number)) for number, image in enumerate(images, 1)
    ]
    shown = ", ".join(path.name for path in lists)
    groups = {image.group for image in images if image.group}
    messages = [
        f"{pluralise(len(images), 'image')} listed in {printable(shown)}; files that no list names are not used."
    ]
    if groups:
        messages.append(f"{pluralise(len(groups), 'group')}: images of a group stay in one split (--group-by).")
    return AnnotatedSet(format=NAME, images=tuple(images), messages=tuple(messages))


class _Files:
    """The files that lists name; all files of the folder are looked through only for a path that is not there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._index: ImageIndex | None = None

    @property
    def count(self) -> int | None:
        """The number of image files, if they had to be looked through."""
        return None if self._index is None else len(self._index.files)

    def find(self, source: Path, name: str) -> Path | None:
        """Return the file that a list calls `name`: relative to the list, or with the longest matching end.

        At least its folder has the name that the list states, if it states one.
        """
        plain = name.replace("\\", "/")
        if (path := source.parent / plain).is_file():
            return path
        self._index = self._index or ImageIndex(self.root)
        try:
            found = self._index.find(name, source.parent)
        except BadDataset:  # several match equally well
            return None
        above = PurePosixPath(plain).parent.name
        same = found is not None and (not above or normalised(found.parent.name) == normalised(above))
        return found if same else None


def _lists(files: _Files) -> list[Path]:
    """Return the lists of a folder: those whose first rows name an image and a mask that exist."""
    root = files.root
    if not root.is_dir():
        return []
    found = sorted(path for path in root.iterdir() if path.suffix.casefold() in SUFFIXES and path.is_file())
    return [path for path in found if path.stat().st_size <= MAX_BYTES and _is_list(files, path)]


def _is_list(files: _Files, path: Path) -> bool:
    try:
        rows = list(islice(_rows(path), _PEEKED))
    except (BadDataset, csv.Error):
        return False
    masked = [row for row in rows if row.mask]
    if not masked or not all(is_image(Path(name)) for row in masked for name in (row.image, row.mask)):
        return False
    pairs = [(files.find(path, row.image), files.find(path, row.mask)) for row in masked]
    if not all(image is not None and mask is not None and image != mask for image, mask in pairs):
        return False
    return files.count is None or 2 * sum(1 for _ in _rows(path)) >= _MOST * files.count


def _rows(path: Path) -> Iterator[_Row]:
    """Yield the rows of a table, or of a list without a header.

    Raises
    ------
    BadDataset
        The file cannot be read as text.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadDataset("a text file", str(error), "Save it as UTF-8.", path) from error
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    lines = [(number, line) for number, line in lines if line and not line.startswith("#")]
    if not lines:
        return
    separator = next((mark for mark in "\t;," if mark in lines[0][1]), " ")
    columns = _columns(next(csv.reader([lines[0][1]], delimiter=separator)))
    for number, line in lines[1:] if columns else lines:
        cells = [cell.strip() for cell in next(csv.reader([line], delimiter=separator, skipinitialspace=True))]
        if columns:
            named = {key: cells[index] if index < len(cells) else "" for key, index in columns.items()}
            yield _Row(line=number, **named)
        elif len(cells) >= 2:
            yield _Row(line=number, image=cells[0], mask=cells[1])


def _columns(header: list[str]) -> dict[str, int]:
    """Return the position of each known column; empty without an image and a mask column."""
    names = [name.strip().casefold() for name in header]
    found = {key: next((names.index(name) for name in known if name in names), -1) for key, known in COLUMNS.items()}
    return {key: index for key, index in found.items() if index >= 0} if min(found["image"], found["mask"]) >= 0 else {}


def _image(files: _Files, path: Path, row: _Row) -> AnnotatedImage:
    where = f"{printable(path)}, line {row.line}"
    image = files.find(path, row.image)
    mask = files.find(path, row.mask) if row.mask else None
    if image is None or (mask is None and row.mask) or image == mask:
        missing = row.image if image is None else row.mask
        raise BadDataset("a file that exists", printable(missing), "Correct the list, or add the file.", where)
    split: Split | None = split_in_name(path.stem)
    if row.split:
        split = read_folder_name(row.split)[0]
        if split is None:
            raise BadDataset("a split: train, val or test", row.split, "Correct the list.", where)
    return AnnotatedImage(
        name=stem_of(image),
        image=image,
        annotation=None if mask is None else MaskFile(path=mask),
        split=split,
        group=row.group,
    )


def _renamed(image: AnnotatedImage, number: str) -> AnnotatedImage:
    """Return an image of the same file name as another with its folder in its name."""
    return AnnotatedImage(
        name=f"{image.image.parent.name}/{image.name}_{number}",
        image=image.image,
        annotation=image.annotation,
        split=image.split,
        group=image.group,
    )
