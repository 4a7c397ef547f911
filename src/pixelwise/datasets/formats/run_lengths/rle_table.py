"""Run lengths in a table, as Kaggle publishes masks: a row per image, per object, or per image and class.

The header names an image and its run lengths, ``ImageId,EncodedPixels``, and perhaps a class. Run lengths are pairs of
the first pixel, from 1, and the number of pixels; pixels are counted down the columns (kaggle.com/c/airbus-ship-
detection, "Evaluation") or, in some tables, along the rows. Which of the two is meant is decided over the whole table:
by the length of the outlines, and for square images by the edges in the images. Some tables count from 0: they have
a pixel 0, or runs that would go around a border by one pixel if they were counted from 1.
"""

import csv
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pixelwise.datasets.annotations import AnnotatedSet, Bitmap, Shape, Shapes
from pixelwise.datasets.formats.image_index import FoundImage, ImageIndex, name_images, report_missing, split_of
from pixelwise.datasets.formats.json_content import find_files
from pixelwise.datasets.formats.objects import are_objects
from pixelwise.datasets.formats.run_lengths.coco_rle import decode_rle
from pixelwise.datasets.images.missing_pixels import edge_agreement
from pixelwise.datasets.naming.folder_names import looks_like_masks, natural_key, read_folder_name
from pixelwise.datasets.options import DataOptions
from pixelwise.datasets.records import Split
from pixelwise.errors import BadDataset, BadImage, printable
from pixelwise.io.headers import MAX_PIXELS
from pixelwise.io.read import SUFFIXES, probe, read_image
from pixelwise.text import pluralise

NAME = "table of run lengths"
COLUMNS, ROWS = "rle-table", "rle-table-rows"  # values of --format
_MAX_BYTES = 1 << 30
_RUNS = frozenset((
    "encodedpixels", "encoded_pixels", "rle", "rle_mask", "mask_rle", "rle_encoding", "encoding", "segmentation",
    "annotation", "mask", "pixels",
))  # fmt: skip
_IMAGES = frozenset((
    "imageid", "image_id", "image", "id", "img", "img_id", "filename", "file_name", "image_name", "imagename", "file",
    "name", "image_label", "imageid_classid", "image_id_class_id",
))  # fmt: skip
_CLASSES = frozenset(("classid", "class_id", "class", "label", "category", "class_name", "classname"))
_EMPTY = frozenset(("", "-1", "nan", "none"))
_DUMMY = ("sample_submission", "submission")
_PEEKED = 200  # rows that are examined to recognise a table, until some of them have run lengths
_COMPARED = 12  # images whose outlines are compared in both orders
_SHORTER = 0.8  # outlines are so much shorter in the right order
_TESTED = 2000  # rows that show whether pixels are counted from 0
_AROUND = 3  # runs around a border by one pixel that show it, if a quarter of them at most is left
_CLEARER = 1.2  # edges in square images are so much stronger along the right outlines


@dataclass(frozen=True, kw_only=True)
class _Row:
    """A row of a table, with its line number for errors."""

    line: int
    image: str
    runs: str
    class_name: str


@dataclass(kw_only=True)
class _Rows:
    """The rows of each image of a table, the images of the table that do not exist, and what is empty."""

    by_image: dict[Path, list[_Row]] = field(default_factory=lambda: defaultdict(list))
    missing: list[str] = field(default_factory=list[str])
    states_empty: bool = False  # images without a mask have a row of their own


def recognise(root: Path) -> bool:
    """Return whether a folder has a table of run lengths of its images, and no folder of masks."""
    tables = _tables(root)
    if not tables:
        return False
    index = ImageIndex(root)
    folders = {path.relative_to(root).parts[:-1] for path in index.files}
    named = {name for parts in folders for name in parts}
    if any(read_folder_name(name)[1] == "mask" or looks_like_masks(name) for name in named):
        return False
    return any(_find(index, row.image, path)[0] is not None for path in tables for row in _first_rows(path))


def read(root: Path, options: DataOptions) -> AnnotatedSet:
    """Read the tables of a folder.

    Images without a row, in a folder in which others have one, have no object, unless the table has rows without run
    lengths for such images. `options.allow_missing` leaves them out, and rows of images that do not exist.

    Raises
    ------
    BadDataset
        Run lengths are damaged, or do not fit their image; images are missing.
    """
    index = ImageIndex(root)
    found: dict[Path, FoundImage] = {}
    messages: list[str] = []
    names: set[str] = set()
    along_rows = options.format == ROWS
    for path in _tables(root):
        rows = _read_rows(index, path)
        messages += report_missing(rows.missing, len(rows.by_image) + len(rows.missing), path, options)
        sizes = {image: _size_of(image) for image in rows.by_image}
        first = 0 if any(_starts_at_zero(row.runs) for members in rows.by_image.values() for row in members) else 1
        if options.format != ROWS and options.format != COLUMNS:
            along_rows = _runs_along_rows(rows.by_image, sizes, first)
        if first == 1 and _counts_from_zero(rows.by_image, sizes, along_rows=along_rows):
            first = 0
        order, other = ("along the rows", COLUMNS) if along_rows else ("down the columns", ROWS)
        counted = f"run lengths count pixels {order} (--format {other}: the other way), from {first}."
        messages.append(f"{printable(path.name)}: {counted}")
        pixels = 0
        for image, members in rows.by_image.items():
            shapes = _shapes(members, sizes[image], first, path, along_rows=along_rows)
            names |= {shape.class_name for shape in shapes if shape.class_name}
            pixels += sum(shape.bitmap.pixels.size for shape in shapes if shape.bitmap is not None)
            if pixels > MAX_PIXELS:
                raise BadDataset(f"at most {MAX_PIXELS:,} pixels in the masks of a set", "more", "Split it.", path)
            annotation = Shapes(shapes=shapes, source=path, size=sizes[image])
            found[image] = FoundImage(image=image, annotation=annotation, split=_split(root, image))
        messages += _add_unlisted(index, found, path, rows, options)
    others = len(index.files) - len(found)
    if others:
        messages.append(f"{pluralise(others, 'image')} in other folders, without a row: left out.")
    shapes = [image.annotation.shapes for image in found.values() if isinstance(image.annotation, Shapes)]
    return AnnotatedSet(
        format=NAME,
        images=name_images(root, list(found.values())),
        classes=tuple(sorted(names, key=natural_key)),
        instances=are_objects(shapes),
        messages=tuple(messages),
    )


def _tables(root: Path) -> list[Path]:
    """Return the tables whose first rows have run lengths."""
    return [path for path in find_files(root, ".csv", some=20) if _is_named(path) and _has_runs(path)]


def _is_named(path: Path) -> bool:
    return path.is_file() and path.stat().st_size <= _MAX_BYTES and not path.name.casefold().startswith(_DUMMY)


def _has_runs(path: Path) -> bool:
    rows = list(_first_rows(path))
    return any(row.runs for row in rows) and all(_are_runs(row.runs) for row in rows)


def _are_runs(text: str) -> bool:
    """Return whether a text is pairs of whole numbers; long ones by their beginning."""
    numbers = text[:1000].split()
    return all(number.isdecimal() for number in numbers) and (len(numbers) % 2 == 0 or len(text) > 1000)


def _first_rows(path: Path) -> Iterator[_Row]:
    """Yield the first rows, up to one with run lengths."""
    for number, row in enumerate(_rows(path)):
        yield row
        if row.runs or number >= _PEEKED:
            return


def _rows(path: Path) -> Iterator[_Row]:
    """Yield the rows of a table; none if its header does not name images and run lengths."""
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            first = file.readline()
            separator = max(",;\t", key=first.count)
            header = [name.strip().casefold() for name in _cells(first, separator)]
            image = next((header.index(name) for name in header if name in _IMAGES), -1)
            runs = next((header.index(name) for name in header if name in _RUNS), -1)
            label = next((header.index(name) for name in header if name in _CLASSES), -1)
            if image < 0 or runs < 0:
                return
            for number, line in enumerate(file, 2):
                cells = _cells(line, separator)
                if len(cells) > max(image, runs, label):
                    text = cells[runs].strip()
                    name = cells[label].strip() if label >= 0 else ""
                    empty = text.casefold() in _EMPTY
                    yield _Row(line=number, image=cells[image].strip(), runs="" if empty else text, class_name=name)
    except OSError:
        return


def _cells(line: str, separator: str) -> list[str]:
    """Return the cells of a line; the run lengths of a large image are longer than the csv module reads."""
    line = line.rstrip("\r\n")
    if '"' not in line:
        return line.split(separator)
    try:
        return next(csv.reader([line], delimiter=separator), [])
    except csv.Error:
        return [cell.strip('"') for cell in line.split(separator)]


def _find(index: ImageIndex, name: str, path: Path) -> tuple[Path | None, str]:
    """Return the image that a cell names, and the class after it, as in ``0002.jpg_Fish``."""
    plain = not Path(name).suffix or name.casefold().endswith(SUFFIXES)  # else the class is taken for an ending
    image = index.find(name, path.parent, by_stem=plain)
    if image is not None or "_" not in name:
        return image, ""
    base, _, label = name.rpartition("_")
    image = index.find(base, path.parent, by_stem=True)
    return (index.find_by_folder(name), "") if image is None else (image, label)


def _read_rows(index: ImageIndex, path: Path) -> _Rows:
    rows = _Rows()
    missing: dict[str, None] = {}
    known: dict[str, tuple[Path | None, str]] = {}
    for row in _rows(path):
        if row.image not in known:
            known[row.image] = _find(index, row.image, path)
        image, label = known[row.image]
        if image is None:
            missing[row.image] = None
            continue
        rows.states_empty |= not row.runs
        named = (
            row
            if row.class_name or not label
            else _Row(line=row.line, image=row.image, runs=row.runs, class_name=label)
        )
        rows.by_image[image].append(named)
    rows.missing = list(missing)
    return rows


def _add_unlisted(
    index: ImageIndex, found: dict[Path, FoundImage], path: Path, rows: _Rows, options: DataOptions
) -> list[str]:
    """Add the images without a row that are in one folder with images that have one."""
    folders = {image.parent for image in rows.by_image if len(rows.by_image) > 1}
    several = {folder for folder in folders if sum(image.parent == folder for image in rows.by_image) > 1}
    unlisted = [image for image in index.files if image.parent in several and image not in rows.by_image]
    if not unlisted or options.allow_missing:
        return []
    for image in unlisted:
        empty = None if rows.states_empty else Shapes(shapes=(), source=path, size=_size_of(image))
        found.setdefault(image, FoundImage(image=image, annotation=empty, split=_split(index.root, image)))
    if rows.states_empty:
        return []  # reported as images without a mask
    count = pluralise(len(unlisted), "image has", "images have")
    return [f"{count} no row in {printable(path.name)}: nothing is marked in them (--allow-missing leaves them out)."]


def _split(root: Path, image: Path) -> Split | None:
    return split_of(image.relative_to(root).parts[:-1])


def _size_of(image: Path) -> tuple[int, int]:
    try:
        info = probe(image)
    except BadImage:
        return 0, 0  # the scan reports it
    return info.height, info.width


def _starts_at_zero(runs: str) -> bool:
    return runs.startswith("0 ")


def _pairs(runs: str) -> np.ndarray:
    """Return starts and lengths as two columns; one row of -1 if they are damaged."""
    try:
        numbers = np.array(runs.split(), np.int64)
    except (ValueError, OverflowError):
        return np.array([[-1, -1]])
    return numbers.reshape(-1, 2) if len(numbers) % 2 == 0 else np.array([[-1, -1]])


def _decode(row: _Row, size: tuple[int, int], first: int, path: Path, *, along_rows: bool) -> Bitmap:
    """Return the region of a row.

    Raises
    ------
    BadDataset
        The run lengths are damaged, or go beyond the image.
    """
    pairs = _pairs(row.runs)
    pairs = pairs[np.argsort(pairs[:, 0], kind="stable")]
    starts, stops = pairs[:, 0] - first, pairs.sum(1) - first
    where = f"line {row.line}"
    fits = bool(len(starts)) and starts[0] >= 0 and bool((pairs[:, 1] > 0).all()) and stops[-1] <= size[0] * size[1]
    if not fits or bool((starts[1:] < stops[:-1]).any()):
        expected = f"run lengths of {size[0]} × {size[1]} pixels, the size of {printable(row.image)}, in {where}"
        hint = "Check that the images are those of the table, in their first size."
        raise BadDataset(expected, "damaged ones, or others", hint, path)
    ends = np.stack([starts, stops], axis=1).ravel()
    counts = np.diff(np.concatenate([[0], ends, [size[0] * size[1]]]))
    if not along_rows:
        return decode_rle(counts, size, where, path)
    turned = decode_rle(counts, (size[1], size[0]), where, path)
    return Bitmap(row=turned.column, column=turned.row, pixels=np.ascontiguousarray(turned.pixels.T))


def _shapes(
    rows: Sequence[_Row], size: tuple[int, int], first: int, path: Path, *, along_rows: bool
) -> tuple[Shape, ...]:
    if size == (0, 0):
        return ()
    return tuple(
        Shape(class_name=row.class_name, bitmap=_decode(row, size, first, path, along_rows=along_rows))
        for row in rows
        if row.runs
    )


def _runs_along_rows(rows: dict[Path, list[_Row]], sizes: dict[Path, tuple[int, int]], first: int) -> bool:
    """Return whether run lengths count pixels along the rows: the outlines are shorter, or the edges clearer."""
    drawn = [image for image, members in rows.items() if sizes[image] != (0, 0) and any(row.runs for row in members)]
    chosen = drawn[:: max(1, len(drawn) // _COMPARED)][:_COMPARED]
    outlines = np.zeros(2)
    for image in chosen:
        for order in (0, 1):
            outlines[order] += sum(_outline(row, sizes[image], first, order == 1) for row in rows[image] if row.runs)
    if outlines[1] <= _SHORTER * outlines[0] or outlines[0] <= _SHORTER * outlines[1]:
        return bool(outlines[1] < outlines[0])
    edges = np.array([_edges(image, rows[image], sizes[image], first) for image in chosen]).reshape(-1, 2).sum(0)
    return bool(edges[1] > _CLEARER * edges[0])


def _counts_from_zero(rows: dict[Path, list[_Row]], sizes: dict[Path, tuple[int, int]], *, along_rows: bool) -> bool:
    """Return whether runs go around a border by one pixel if they are counted from 1, and do not if from 0.

    Where an object touches a border, its runs begin or end there. Read one pixel too early or too late they have one
    pixel at the opposite border.
    """
    sides = {image: size[along_rows] for image, size in sizes.items() if size != (0, 0)}
    drawn = [(sides[image], row.runs) for image in sides for row in rows[image] if row.runs]
    around = np.zeros(2, np.int64)
    for side, runs in drawn[:: max(1, len(drawn) // _TESTED)]:
        pairs = _pairs(runs)[:, :, None] - np.array([[0, 1], [0, 0]])  # the first pixel if counted from 0, from 1
        starts, stops = pairs[:, 0], pairs.sum(1)
        one_pixel = ((starts + 1) % side == 0) | (stops % side == 1)
        around += (one_pixel & (starts // side < (stops - 1) // side)).sum(0)
    return bool(around[1] >= _AROUND and 4 * around[0] <= around[1])


def _outline(row: _Row, size: tuple[int, int], first: int, along_rows: bool) -> int:
    """Return the number of neighbours that differ; damaged run lengths are reported where they are read."""
    try:
        pixels = np.pad(_decode(row, size, first, Path(), along_rows=along_rows).pixels, 1)
    except BadDataset:
        return 0
    return int(np.count_nonzero(pixels[1:] != pixels[:-1]) + np.count_nonzero(pixels[:, 1:] != pixels[:, :-1]))


def _edges(image: Path, rows: Sequence[_Row], size: tuple[int, int], first: int) -> tuple[float, float]:
    """Return how strong the edges of an image are along the outlines in both orders."""
    found: list[float] = []
    try:
        pixels = read_image(image).pixels
        both = [_drawn(rows, size, first, along_rows=along_rows) for along_rows in (False, True)]
    except (BadImage, BadDataset):
        return 0.0, 0.0
    for drawn in both:
        found.append(edge_agreement(pixels, drawn) if pixels.shape[1:] == size else 0.0)
    return found[0], found[1]


def _drawn(rows: Sequence[_Row], size: tuple[int, int], first: int, *, along_rows: bool) -> np.ndarray:
    drawn = np.zeros(size, np.uint8)
    for row in (row for row in rows if row.runs):
        region = _decode(row, size, first, Path(), along_rows=along_rows)
        height, width = region.pixels.shape
        drawn[region.row : region.row + height, region.column : region.column + width] |= region.pixels
    return drawn
