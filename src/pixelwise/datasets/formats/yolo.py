"""YOLO polygons: a text file per image, one object per line: class, then x and y of every point as fractions.

Source: Ultralytics documentation, "Instance Segmentation Datasets Overview". The label file of ``images/.../a.jpg`` is
``labels/.../a.txt``; it may also lie beside the image. An empty file means that there is no object, and so does a
missing one.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from pixelwise.atomic_write import atomic_write_text, new_folder
from pixelwise.datasets.annotations import AnnotatedSet, Shape, Shapes
from pixelwise.datasets.formats.image_index import (
    SPLITS,
    FoundImage,
    ImageIndex,
    name_images,
    split_of,
)
from pixelwise.datasets.formats.json_content import find_files, read_ends
from pixelwise.datasets.formats.objects import are_objects
from pixelwise.datasets.formats.output_folder import (
    OutputObject,
    describe_ignored,
    objects_of,
    place_images,
)
from pixelwise.datasets.formats.yolo_config import find_yaml, read_names, read_splits, read_yaml
from pixelwise.datasets.options import DataOptions
from pixelwise.datasets.records import Split
from pixelwise.datasets.shapes.trace import trace
from pixelwise.errors import BadDataset, BadImage, printable
from pixelwise.io.read import SUFFIXES, probe
from pixelwise.text import pluralise

NAME = "YOLO"
_ROW = re.compile(r"^\d+(\.0*)?(\s+-?\d*\.?\d+([eE][-+]?\d+)?){4,}\s*$")
_MAX_BYTES = 64 << 20  # of one label file: a million points
_LIMIT = 1.5  # fractions of the image; larger coordinates are pixels


@dataclass
class _Reading:
    """What is known about a set while its label files are read."""

    root: Path
    names: dict[int, str]
    counts: Counter[str] = field(default_factory=Counter[str])
    used: set[int] = field(default_factory=set[int])
    boxes: list[str] = field(default_factory=list[str])
    unlisted: int = 0


def recognise(root: Path) -> bool:
    """Return whether a folder contains a YOLO data.yaml, or label files with rows of numbers for images."""
    if find_yaml(root) is not None:
        return True
    return any(_is_label_file(path) for path in find_files(root, ".txt", some=20))


def read(root: Path, options: DataOptions) -> AnnotatedSet:
    """Read a YOLO data set.

    `options.classes` names the classes in the order of their numbers; `options.allow_missing` leaves out images without
    a label file instead of taking them as background.

    Raises `BadDataset` if there are boxes alone.
    """
    file = find_yaml(root)
    description = read_yaml(file) if file is not None else {}
    reading = _Reading(root, read_names(root, file, description, options))
    splits = read_splits(root, description)
    index = ImageIndex(root)
    found: list[FoundImage] = []
    without: list[Path] = []
    for image in index.files:
        split = _split_of_image(root, image, splits)
        if splits and split is None:
            reading.unlisted += 1
            continue
        labels = _label_file(root, image)
        if labels is None:
            without.append(image)
            if options.allow_missing:
                continue
            labels = image.with_suffix(".txt")
        found.append(FoundImage(image=image, annotation=_read_labels(reading, labels, image), split=split))
    shapes = [entry.annotation.shapes for entry in found if isinstance(entry.annotation, Shapes)]
    messages = _describe(reading, shapes, without, options)
    if reading.names:
        classes = [reading.names[number] for number in sorted(reading.names)]
    else:
        classes = [f"class {number}" for number in sorted(reading.used)]
        messages.append("No names of classes (data.yaml, classes.txt): they are named by their numbers (--classes).")
    stated = description.get("objects")
    return AnnotatedSet(
        format=NAME,
        images=name_images(root, found),
        classes=tuple(dict.fromkeys(classes)),
        instances=stated if isinstance(stated, bool) else are_objects(shapes),
        messages=tuple(messages),
    )


def write(dataset: AnnotatedSet, out: Path) -> tuple[str, ...]:
    """Write a data set as a new folder of images, label files and data.yaml.

    An outline is one line of points: holes and parts are joined to it by a line there and back, which covers nothing.

    Parameters and result are those of `coco.write`: what YOLO cannot express.
    """
    classes = dataset.classes or ("object",)
    messages: list[str] = []
    ignored = joined = 0
    with new_folder(out) as folder:
        placed = place_images(dataset, folder, lambda split: f"images/{split}" if split else "images", messages)
        for image, path in placed:
            size, objects = objects_of(image, dataset)
            rows: list[str] = []
            for member in objects:
                if member.ignore:
                    ignored += 1
                    continue
                rings = trace(member.region.pixels)
                joined += len(rings) > 1
                name = member.class_name if member.class_name in classes else classes[0]
                rows.append(" ".join([str(classes.index(name)), *_fractions(member, rings, size)]))
            labels = folder / "labels" / path.relative_to(folder / "images").with_suffix(".txt")
            atomic_write_text(labels, "".join(f"{row}\n" for row in rows))
        splits = {image.split for image, _ in placed}
        document: dict[str, Any] = {"path": "."}
        for split in SPLITS:
            if split in splits or (split != "test" and None in splits):
                document[split] = f"images/{split}" if split in splits else "images"
        document["names"] = dict(enumerate(classes))
        if dataset.instances is not None:
            document["objects"] = dataset.instances
        atomic_write_text(folder / "data.yaml", yaml.safe_dump(document, sort_keys=False, allow_unicode=True))
    if joined:
        what = "object has a hole or parts", "objects have holes or parts"
        messages.append(f"{pluralise(joined, *what)}, joined by lines of no width: programs that draw lines show them.")
    if ignored:
        messages.append(describe_ignored(ignored))
    return tuple(messages)


def _is_label_file(path: Path) -> bool:
    lines = [line for line in read_ends(path).splitlines()[:20] if line.strip()]
    if not lines or not all(_ROW.match(line) for line in lines[:5]):
        return False
    if "labels" in map(str.casefold, path.parts):
        return True
    fractions = all(0 <= float(word) <= 1 for line in lines[:5] for word in line.split()[1:])
    return fractions and any(path.with_suffix(ending).exists() for ending in (*SUFFIXES, *map(str.upper, SUFFIXES)))


def _split_of_image(root: Path, image: Path, splits: dict[Path, Split]) -> Split | None:
    listed: Split | None = next((splits[path] for path in (image, *image.parents) if path in splits), None)
    return listed or split_of(image.relative_to(root).parts[:-1])


def _label_file(root: Path, image: Path) -> Path | None:
    """Return the label file of an image: in `labels` instead of the last `images`, or beside the image."""
    parts = image.relative_to(root).parts
    names = [part.casefold() for part in parts[:-1]]
    candidates = [image.with_suffix(".txt")]
    if "images" in names:
        position = len(names) - 1 - names[::-1].index("images")
        swapped = root.joinpath(*parts[:position], "labels", *parts[position + 1 :]).with_suffix(".txt")
        candidates.insert(0, swapped)
    candidates.append((image.parent / "labels" / image.name).with_suffix(".txt"))
    candidates.append((root / "labels" / image.name).with_suffix(".txt"))
    return next((path for path in candidates if path.is_file()), None)


def _read_labels(reading: _Reading, path: Path, image: Path) -> Shapes:
    try:
        info = probe(image)
    except BadImage:  # reported with all others when the images are read
        return Shapes(shapes=(), source=path)
    scale = np.array([info.width, info.height], float)
    shapes: list[Shape] = []
    text = ""
    if path.exists():
        size = path.stat().st_size
        if size > _MAX_BYTES:
            raise BadDataset(f"a label file of at most {_MAX_BYTES:,} bytes", f"{size:,} bytes", "Split it.", path)
        text = path.read_bytes().decode("utf-8-sig", "replace")
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            shapes.append(_read_row(reading, line.split(), path, number, scale))
    shapes.sort(key=lambda shape: not shape.ignore)
    return Shapes(shapes=tuple(shapes), source=path, size=(info.height, info.width))


def _read_row(reading: _Reading, words: list[str], path: Path, number: int, scale: np.ndarray) -> Shape:
    where = f"in line {number}"
    try:
        values = np.array([float(word) for word in words])
        class_number = int(values[0])
    except (ValueError, OverflowError) as error:
        got = printable(" ".join(words))[:60]
        raise BadDataset(f"a class and coordinates {where}", got, "Correct or remove the line.", path) from error
    if class_number != values[0] or class_number < 0 or (reading.names and class_number not in reading.names):
        known = f"0 to {max(reading.names)}" if reading.names else "from 0"
        raise BadDataset(f"a class number {known} {where}", words[0], "Name every class in data.yaml.", path)
    if len(values) != 5 and (len(values) < 7 or len(values) % 2 == 0):
        hint = "A polygon needs 3 points; a confidence at the end must be removed (save_conf=False)."
        raise BadDataset(f"pairs of x and y {where}", f"{len(values) - 1} numbers after the class", hint, path)
    points = values[1:].reshape(-1, 2)
    if not np.all(np.abs(points) <= _LIMIT):
        hint = "Divide x by the width and y by the height of the image."
        raise BadDataset(f"coordinates between 0 and 1 {where}", f"{np.abs(points).max():g}", hint, path)
    reading.used.add(class_number)
    name = reading.names.get(class_number, f"class {class_number}")
    if len(points) > 2:
        reading.counts[str(len(points))] += 1
        return Shape(class_name=name, rings=(points * scale,))
    reading.boxes.append(f"{path.name}:{number}")
    (x, y), (width, height) = points * scale
    corners = [(-1, -1), (1, -1), (1, 1), (-1, 1)]
    return Shape(
        class_name=name, rings=(np.array([(x, y)]) + np.array(corners) * (width / 2, height / 2),), ignore=True
    )


def _describe(
    reading: _Reading, shapes: list[tuple[Shape, ...]], without: list[Path], options: DataOptions
) -> list[str]:
    """Return the messages about a set.

    Raises
    ------
    BadDataset
        There is no outline at all.
    """
    if not any(not shape.ignore for members in shapes for shape in members):
        got = "boxes alone (five numbers in a line)" if reading.boxes else "no label file with an object"
        hint = "Export for segmentation; boxes alone cannot train one."
        raise BadDataset("polygons: a class and at least 3 points in a line", got, hint, reading.root)
    messages: list[str] = []
    if reading.unlisted:
        messages.append(f"{pluralise(reading.unlisted, 'image')} in no split of data.yaml: left out.")
    if reading.boxes:
        lines = pluralise(len(reading.boxes), "line is a box", "lines are boxes")
        messages.append(f"{lines} ({reading.boxes[0]}): excluded from loss and scores.")
    if set(reading.counts) == {"4"}:
        messages.append("All outlines have four points: if they are rotated boxes, they are not outlines of objects.")
    if without and options.allow_missing:
        messages.append(f"{pluralise(len(without), 'image')} without a label file: left out (--allow-missing).")
    elif without:
        images = pluralise(len(without), "image has", "images have")
        messages.append(f"{images} no label file: background, as in YOLO (--allow-missing leaves them out).")
    return messages


def _fractions(member: OutputObject, rings: tuple[np.ndarray, ...], size: tuple[int, int]) -> Iterator[str]:
    """Yield the coordinates of one outline that visits all rings and returns to the start after each."""
    points = [rings[0]]
    for ring in rings[1:]:
        points += [rings[0][:1], ring, ring[:1]]
    outline = np.concatenate(points) + np.array([member.region.column, member.region.row])
    for x, y in outline / np.array([size[1], size[0]]):
        yield f"{x:.9g}"
        yield f"{y:.9g}"
