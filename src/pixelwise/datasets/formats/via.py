"""VGG Image Annotator (VIA 1 and 2): one JSON file, or one CSV file, with the regions of every image.

A saved project holds the same under ``_via_img_metadata``. The class of a region is its only attribute, or the one
called ``class``, ``label``, ``type`` or ``name``. Sizes of images are not stored.
"""

import csv
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pixelwise.datasets.annotations import AnnotatedSet, Shape, Shapes
from pixelwise.datasets.formats import json_content as content
from pixelwise.datasets.formats.image_index import FoundImage, ImageIndex, name_images, report_missing, split_of
from pixelwise.datasets.formats.objects import are_objects
from pixelwise.datasets.naming.folder_names import natural_key
from pixelwise.datasets.options import DataOptions
from pixelwise.datasets.shapes.rasterise import is_background
from pixelwise.datasets.shapes.round_shapes import ellipse
from pixelwise.errors import BadDataset, printable
from pixelwise.text import pluralise

NAME = "VIA"
_COLUMNS = ("region_shape_attributes", "region_attributes")
_CLASS_NAMES = ("class", "label", "type", "name", "category")


@dataclass
class _Reading:
    path: Path
    attribute: str | None = None  # that names the class
    labels: set[str] = field(default_factory=set[str])
    left_out: Counter[str] = field(default_factory=Counter[str])


def recognise(root: Path) -> bool:
    """Return whether a folder contains a VIA file."""
    return any(_find_files(root, some=20))


def read(root: Path, options: DataOptions) -> AnnotatedSet:
    """Read the VIA files of a folder.

    `options.classes` orders the classes; `options.allow_missing` leaves out images that do not exist.
    """
    index = ImageIndex(root)
    found: dict[Path, FoundImage] = {}
    labels: set[str] = set()
    messages: list[str] = []
    for path in _find_files(root):
        records = _read_table(path) if path.suffix.casefold() == ".csv" else _read_records(path)
        reading = _Reading(path, _class_attribute(records))
        missing: list[str] = []
        for position, record in enumerate(records):
            name = content.field(record, "filename", str, f"image {position + 1}", path)
            image = index.find(name, path.parent)
            if image is None:
                missing.append(name)
                continue
            if image in found:
                raise BadDataset("every image once", f"{printable(name)} twice", "Remove one of them.", path)
            shapes = _read_shapes(reading, record, f"image {position + 1}")
            split = split_of(image.relative_to(root).parts[:-1])
            found[image] = FoundImage(image=image, annotation=shapes, split=split)
        labels |= reading.labels
        messages += report_missing(missing, len(records), path, options)
        messages += [
            f"{pluralise(count, 'region')} of type {printable(kind)} without an area: left out."
            for kind, count in sorted(reading.left_out.items())
        ]
        if reading.attribute is not None:
            messages.append(f"The classes of {path.name} are read from the attribute {printable(reading.attribute)}.")
    shapes = [entry.annotation.shapes for entry in found.values() if isinstance(entry.annotation, Shapes)]
    classes = sorted((label for label in labels if label and not is_background(label)), key=natural_key)
    return AnnotatedSet(
        format=NAME,
        images=name_images(root, list(found.values())),
        classes=tuple(dict.fromkeys((*options.classes, *classes))),
        instances=are_objects(shapes),
        messages=tuple(messages),
    )


def _find_files(root: Path, some: int | None = None) -> Iterator[Path]:
    """Yield the JSON files; if there are none, which hold the same, the CSV files."""
    files = [path for path in content.find_files(root, ".json", some=some) if _is_via(path)]
    tables = () if files else content.find_files(root, ".csv", some=some)
    yield from files
    yield from (path for path in tables if _COLUMNS[0] in content.read_ends(path)[:1000])


def _read_table(path: Path) -> list[Any]:
    """Return the images of a CSV export, which has a row per region, as records of the JSON export."""
    records: dict[str, dict[str, Any]] = {}
    rows = 0
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for row in csv.DictReader(file):
                rows += 1
                name = row.get("filename") or row.get("#filename") or ""
                record = records.setdefault(name, {"filename": name, "regions": []})
                shape, attributes = (json.loads(row.get(key) or "{}") for key in _COLUMNS)
                if shape:  # an image without regions has one row
                    record["regions"].append({"shape_attributes": shape, "region_attributes": attributes})
    except (OSError, ValueError, csv.Error) as error:
        got = f"another content near row {rows + 1}"
        raise BadDataset("a table of regions, with JSON in its cells", got, "Export it again.", path) from error
    return list(records.values())


def _is_via(path: Path) -> bool:
    text = content.read_ends(path)
    return text.startswith("{") and (
        '"_via_img_metadata"' in text or ('"shape_attributes"' in text and '"filename"' in text)
    )


def _read_records(path: Path) -> list[Any]:
    document = content.read_json(path)
    records = content.field(document, "_via_img_metadata", dict, "the file", path, document)
    if not isinstance(records, dict):
        content.refuse("an object of images", records, "the file", path)
    return list(records.values())


def _regions(record: Any, where: str, path: Path) -> list[Any]:
    """Return the regions of an image; VIA 1 numbers them in an object."""
    regions = content.field(record, "regions", (list, dict), where, path, [])
    return list(regions.values()) if isinstance(regions, dict) else regions


def _class_attribute(records: Sequence[Any]) -> str | None:
    """Return the attribute of regions that names the class, or None if there is none."""
    found: Counter[str] = Counter()
    for record in records:
        regions: Any = record.get("regions") if isinstance(record, dict) else None
        for region in regions.values() if isinstance(regions, dict) else regions if isinstance(regions, list) else ():
            attributes = region.get("region_attributes") if isinstance(region, dict) else None
            if isinstance(attributes, dict):
                found.update(str(key) for key in attributes)
    usual = [name for name in found if name.strip().casefold() in _CLASS_NAMES]
    return min(usual or found, key=lambda name: -found[name], default=None)


def _read_shapes(reading: _Reading, record: Any, where: str) -> Shapes:
    shapes: list[Shape] = []
    for position, region in enumerate(_regions(record, where, reading.path)):
        place = f"{where}, region {position + 1}"
        outline = content.field(region, "shape_attributes", dict, place, reading.path)
        kind = content.field(outline, "name", str, place, reading.path)
        ring = _read_ring(outline, kind, place, reading.path)
        if len(ring) < 3:
            reading.left_out[kind] += 1
            continue
        attributes = content.field(region, "region_attributes", dict, place, reading.path, {})
        label = _label(attributes.get(reading.attribute))
        reading.labels.add(label)
        shapes.append(Shape(class_name=label, rings=(ring,)))
    return Shapes(shapes=tuple(shapes), source=reading.path)


def _label(value: object) -> str:
    """Return the value of an attribute; of checkboxes the first that is set."""
    if isinstance(value, dict):
        return next((str(key) for key, chosen in value.items() if chosen), "")
    return str(value).strip() if isinstance(value, str | int) else ""


def _read_ring(outline: Any, kind: str, where: str, path: Path) -> np.ndarray:
    """Return the outline of a region; without points for points, lines and unknown types."""
    if kind == "polygon":
        xs, ys = (content.field(outline, key, list, where, path) for key in ("all_points_x", "all_points_y"))
        if len(xs) != len(ys):
            content.refuse("as many x as y", len(xs), where, path)
        return content.read_points([list(pair) for pair in zip(xs, ys, strict=True)], where, path)
    keys = {"rect": ("x", "y", "width", "height"), "circle": ("cx", "cy", "r"), "ellipse": ("cx", "cy", "rx", "ry")}
    if kind not in keys:
        return np.zeros((0, 2))
    numbers = [content.field(outline, key, (int, float), where, path) for key in keys[kind]]
    first, second = content.read_points([*numbers, *numbers[2:3]][:4], where, path)
    if kind == "rect":
        return first + np.array([(0, 0), (1, 0), (1, 1), (0, 1)]) * second
    theta = content.field(outline, "theta", (int, float), where, path, 0)
    content.read_points([theta, 0], where, path)
    return ellipse(first, float(second[0]), float(second[1]), float(np.degrees(theta)))
