"""Supervisely: folders ``img`` and ``ann`` per data set, with a JSON file per image; classes in ``meta.json``.

Source: docs.supervisely.com, "Supervisely annotation format": polygons and rectangles are corners of pixels, both ends
included; a bitmap is a PNG, compressed by zlib and written as base64, with its origin (x, y).
"""

import base64
import binascii
import zlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pixelwise.datasets.annotations import AnnotatedSet, Bitmap, Shape, Shapes
from pixelwise.datasets.formats import json_content as content
from pixelwise.datasets.formats.image_index import FoundImage, ImageIndex, name_images, report_missing, split_of
from pixelwise.datasets.formats.objects import are_objects
from pixelwise.datasets.options import DataOptions
from pixelwise.datasets.shapes.rasterise import is_background
from pixelwise.datasets.shapes.trace import signed_area
from pixelwise.errors import BadDataset, BadImage
from pixelwise.io.headers import MAX_PIXELS
from pixelwise.io.png import decode_png_mask
from pixelwise.text import pluralise

NAME = "Supervisely"
_FOLDER, _META = "ann", "meta.json"
_MAX_BITMAP = 256 << 20  # bytes of one bitmap before it is a picture
_SHAPES = ("polygon", "rectangle", "bitmap")


@dataclass
class _Reading:
    """What the files of a set have in common while they are read."""

    labels: list[str] = field(default_factory=list[str])
    left_out: Counter[str] = field(default_factory=Counter[str])
    pixels: int = 0


def recognise(root: Path) -> bool:
    """Return whether a folder has annotations in a folder ``ann`` with objects of a geometry."""
    return any(
        path.parent.name == _FOLDER and _is_annotation(path) for path in content.find_files(root, ".json", some=20)
    )


def read(root: Path, options: DataOptions) -> AnnotatedSet:
    """Read the annotations of all data sets of a project."""
    reading, index = _Reading(labels=_read_classes(root)), ImageIndex(root)
    found: dict[Path, FoundImage] = {}
    missing: list[str] = []
    files = [path for path in content.find_files(root, ".json") if path.parent.name == _FOLDER]
    for path in files:
        image = index.find(f"{path.parent.parent.name}/img/{path.stem}", path.parent, by_stem=True)
        if image is None:
            missing.append(path.stem)
            continue
        split = split_of(image.relative_to(root).parts[:-1])
        found[image] = FoundImage(image=image, annotation=_read_file(reading, path), split=split)
    messages = list(report_missing(missing, len(files), root, options)) if files else []
    messages += [f"{pluralise(count, 'shape')} of type {kind}: left out." for kind, count in reading.left_out.items()]
    shapes = [entry.annotation.shapes for entry in found.values() if isinstance(entry.annotation, Shapes)]
    return AnnotatedSet(
        format=NAME,
        images=name_images(root, list(found.values())),
        classes=tuple(dict.fromkeys(name for name in reading.labels if not is_background(name))),
        instances=are_objects(shapes),
        messages=tuple(messages),
    )


def _is_annotation(path: Path) -> bool:
    text = content.read_ends(path)
    return text.startswith("{") and '"objects"' in text and '"size"' in text and '"tags"' in text


def _read_classes(root: Path) -> list[str]:
    """Return the class names in the order of meta.json; none without it."""
    path = next((path for path in content.find_files(root, _META)), None)
    if path is None:
        return []
    records = content.field(content.read_json(path), "classes", list, "the file", path, [])
    return [content.field(record, "title", str, f"classes[{i}]", path) for i, record in enumerate(records)]


def _read_file(reading: _Reading, path: Path) -> Shapes:
    document = content.read_json(path)
    size = content.field(document, "size", dict, "the file", path)
    height, width = (content.field(size, key, int, "`size`", path) for key in ("height", "width"))
    shapes: list[Shape] = []
    for position, record in enumerate(content.field(document, "objects", list, "the file", path)):
        where = f"objects[{position}]"
        shape = _read_object(reading, record, where, path)
        if shape is not None:
            shapes.append(shape)
            reading.labels += [shape.class_name] * (shape.class_name not in reading.labels)
    return Shapes(shapes=tuple(shapes), source=path, size=(height, width))


def _read_object(reading: _Reading, record: Any, where: str, path: Path) -> Shape | None:
    name = content.field(record, "classTitle", str, where, path)
    kind = content.field(record, "geometryType", str, where, path, "bitmap" if record.get("bitmap") else "polygon")
    if kind not in _SHAPES:
        reading.left_out[kind] += 1
        return None
    if kind == "bitmap":
        bitmap = _read_bitmap(reading, record, where, path)
        return Shape(class_name=name, bitmap=bitmap) if bitmap.pixels.any() else None
    points = content.field(record, "points", dict, where, path)
    outline = content.read_points(content.field(points, "exterior", list, where, path), where, path)
    if kind == "rectangle":
        (left, top), (right, bottom) = outline.min(0), outline.max(0)
        outline = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
    if len(outline) < 3:
        reading.left_out[f"{kind} without an area"] += 1
        return None
    holes = [
        content.read_points(hole, where, path) for hole in content.field(points, "interior", list, where, path, [])
    ]
    rings = tuple(_around(ring) for ring in (outline, *holes) if len(ring) > 2)
    return Shape(class_name=name, rings=rings)


def _around(ring: np.ndarray) -> np.ndarray:
    """Return the outline of the pixels whose centres a ring passes through: its points, moved out by half a pixel.

    >>> _around(np.array([[1.0, 1], [2, 1], [2, 3], [1, 3]])).tolist()
    [[1.0, 1.0], [3.0, 1.0], [3.0, 4.0], [1.0, 4.0]]
    """
    edges = np.roll(ring, -1, 0) - ring
    lengths = np.maximum(np.hypot(*edges.T), 1e-9)[:, None]
    normals = np.stack([edges[:, 1], -edges[:, 0]], 1) / lengths * np.sign(signed_area(ring))
    out = normals + np.roll(normals, 1, 0)
    return ring + 0.5 + 0.5 * np.where(np.abs(out) > 1e-6, np.sign(out), 0)


def _read_bitmap(reading: _Reading, record: Any, where: str, path: Path) -> Bitmap:
    bitmap = content.field(record, "bitmap", dict, where, path)
    text = content.field(bitmap, "data", str, where, path)
    origin = content.read_points(content.field(bitmap, "origin", list, where, path), where, path)
    if origin.shape != (1, 2):
        content.refuse("`origin` as x and y", bitmap["origin"], where, path)
    column, row = origin.astype(int)[0].tolist()
    try:
        stream = zlib.decompressobj()
        picture = stream.decompress(base64.b64decode(text, validate=True), _MAX_BITMAP)
        values = decode_png_mask(picture, path)
    except (binascii.Error, zlib.error, ValueError, BadImage) as error:
        expected = f"a bitmap as a compressed PNG in {where}"
        raise BadDataset(expected, "damaged data", "Export the project again.", path) from error
    reading.pixels += values.size
    if reading.pixels > MAX_PIXELS:
        raise BadDataset(f"at most {MAX_PIXELS:,} pixels in the masks of a set", "more", "Split the data set.", path)
    return Bitmap(row=row, column=column, pixels=values > 0)
