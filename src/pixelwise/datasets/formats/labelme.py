"""Labelme: one JSON file per image, beside it (labelme documentation and `labelme/_label_file.py`).

Shapes of equal label and `group_id` are one object. ``__ignore__`` is excluded from loss and scores, ``_background_``
is background, as in the export scripts of Labelme. The image inside the file is not needed and not read.
"""

import base64
import binascii
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np

from pixelwise.atomic_write import atomic_write_json, new_folder
from pixelwise.datasets.annotations import AnnotatedSet, Bitmap, Shape, Shapes
from pixelwise.datasets.formats import json_content as content
from pixelwise.datasets.formats.image_index import ImageIndex, Reading, name_indexed_images, report_missing
from pixelwise.datasets.formats.objects import are_objects
from pixelwise.datasets.formats.output_folder import OutputObject, objects_of, place_images
from pixelwise.datasets.naming.folder_names import natural_key
from pixelwise.datasets.options import DataOptions
from pixelwise.datasets.shapes.rasterise import is_background
from pixelwise.datasets.shapes.round_shapes import ellipse
from pixelwise.errors import BadDataset, BadImage, printable
from pixelwise.io.png import decode_png_mask
from pixelwise.io.write import png_bytes
from pixelwise.text import pluralise

NAME = "Labelme"
_IGNORE, _BACKGROUND = "__ignore__", "_background_"
_OUTLINES = ("polygon", "oriented_rectangle", "rotation", "quadrilateral")
_MAX_MASK = 64 << 20  # characters of one mask in base64


@dataclass
class _Reading(Reading):
    flags: set[bool] = field(default_factory=set[bool])


def recognise(root: Path) -> bool:
    """Return whether a folder contains Labelme files."""
    return any(_is_labelme(path) for path in content.find_files(root, ".json", some=20))


def read(root: Path, options: DataOptions) -> AnnotatedSet:
    """Read the Labelme files of a folder and its subfolders."""
    reading = _Reading(root, ImageIndex(root))
    annotations: dict[Path, Shapes] = {}
    missing: list[str] = []
    embedded = 0
    files = [path for path in content.find_files(root, ".json") if _is_labelme(path)]
    for path in files:
        document = content.read_json(path)
        image = _find_image(reading, document, path)
        if image is None:
            missing.append(path.with_suffix("").name)
            embedded += bool(document.get("imageData"))
            continue
        if image in annotations:
            got = f"{path.name} and {annotations[image].source.name}"
            raise BadDataset(f"one file for {printable(image.name)}", got, "Remove one of them.", root)
        annotations[image] = _read_shapes(reading, document, path)
    if embedded and len(missing) == len(files):
        hint = "Save them beside the files: labelme_export_json writes one image file for each."
        raise BadDataset("image files", f"images inside {pluralise(embedded, 'Labelme file')} (imageData)", hint, root)
    messages = list(report_missing(missing, len(files), root, options))
    without = len(reading.index.files) - len(annotations)
    if without:
        messages.append(f"{pluralise(without, 'image')} without a Labelme file: not annotated.")
    for kind, count in sorted(reading.left_out.items()):
        messages.append(f"{pluralise(count, 'shape')} of type {printable(kind)} without an area: left out.")
    shapes = [members.shapes for members in annotations.values()]
    return AnnotatedSet(
        format=NAME,
        images=name_indexed_images(reading.index, annotations),
        classes=_order_classes(reading, options),
        instances=reading.flags.pop() if len(reading.flags) == 1 else are_objects(shapes),
        messages=tuple(messages),
    )


def write(dataset: AnnotatedSet, out: Path) -> tuple[str, ...]:
    """Write a data set as a new folder of images with a Labelme file beside each, objects as masks.

    Parameters and result are those of `coco.write`: what Labelme cannot express.
    """
    messages: list[str] = []
    with new_folder(out) as folder:
        for image, path in place_images(dataset, folder, lambda split: split or "", messages):
            size, objects = objects_of(image, dataset)
            document: dict[str, Any] = {
                "version": "5.5.0",
                "flags": {} if dataset.instances is None else {"objects": dataset.instances},
                "shapes": [_to_shape(member, dataset.classes) for member in objects],
                "imagePath": path.name,
                "imageData": None,
                "imageHeight": size[0],
                "imageWidth": size[1],
            }
            atomic_write_json(path.with_suffix(".json"), document)
        names = [_IGNORE, _BACKGROUND, *(dataset.classes or ("object",))]
        (folder / "labels.txt").write_text("".join(f"{name}\n" for name in names), "utf-8")
    return tuple(messages)


def _is_labelme(path: Path) -> bool:
    text = content.read_ends(path)
    return text.startswith("{") and '"shapes"' in text and ('"imagePath"' in text or '"imageData"' in text)


def _find_image(reading: _Reading, document: Any, path: Path) -> Path | None:
    """Return the image that a file names, or one with the name of the file."""
    name = content.field(document, "imagePath", str, "the file", path, "")
    image = reading.index.find(name, path.parent) if name else None
    if image is not None and image.parent == path.parent:
        return image
    beside = reading.index.find(f"{path.stem}.png", path.parent, by_stem=True)
    same_stem = beside is not None and (image is None or PureWindowsPath(name).stem != path.stem)
    return beside if same_stem else image


def _read_shapes(reading: _Reading, document: Any, path: Path) -> Shapes:
    flags = content.field(document, "flags", dict, "the file", path, {})
    if isinstance(flags.get("objects"), bool):
        reading.flags.add(flags["objects"])
    size = tuple(content.field(document, key, int, "the file", path, 0) for key in ("imageHeight", "imageWidth"))
    shapes: list[Shape] = []
    for position, record in enumerate(content.field(document, "shapes", list, "the file", path)):
        shape = _read_shape(reading, record, f"shapes[{position}]", path)
        if shape is not None:
            shapes.append(shape)
    return Shapes(shapes=tuple(shapes), source=path, size=(size[0], size[1]) if min(size) > 0 else None)


def _read_shape(reading: _Reading, record: Any, where: str, path: Path) -> Shape | None:
    label = str(content.field(record, "label", (str, int), where, path))
    kind = content.field(record, "shape_type", str, where, path, "polygon")
    group = content.field(record, "group_id", (int, str), where, path, None)
    points = content.read_points(content.field(record, "points", list, where, path), where, path)
    bitmap = _read_mask(record, points, where, path) if kind == "mask" else None
    rings = () if bitmap is not None else _read_rings(kind, points)
    if not rings and (bitmap is None or not bitmap.pixels.any()):
        reading.left_out[kind] += 1
        return None
    if label == _IGNORE:
        return Shape(rings=rings, bitmap=bitmap, ignore=True)
    reading.labels.add(label)
    return Shape(class_name=label, rings=rings, bitmap=bitmap, object_id=group)


def _read_rings(kind: str, points: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return the outline of a shape; none for points, lines and unknown types."""
    if kind == "rectangle" and len(points) == 2:
        (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
        return (np.array([(left, top), (right, top), (right, bottom), (left, bottom)]),)
    if kind == "circle" and len(points) == 2:
        radius = float(np.hypot(*(points[1] - points[0])))
        return (ellipse(points[0], radius, radius),)
    return (points,) if kind in (*_OUTLINES, "rectangle") and len(points) > 2 else ()


def _read_mask(record: Any, points: np.ndarray, where: str, path: Path) -> Bitmap:
    """Read a mask: `points` are its first and last pixel, both inside."""
    text = content.field(record, "mask", str, where, path)
    try:
        if len(text) > _MAX_MASK or len(points) != 2:
            raise ValueError("two points and a mask of usual size are needed")
        pixels = decode_png_mask(base64.b64decode(text, validate=True), path) > 0
    except (binascii.Error, ValueError, BadImage) as error:
        reason = printable(str(error))[:100]
        raise BadDataset(f"a PNG in base64 in {where}", f"another mask ({reason})", "Export it again.", path) from error
    column, row = np.round(points.min(axis=0)).astype(int).tolist()
    return Bitmap(row=row, column=column, pixels=pixels)


def _order_classes(reading: _Reading, options: DataOptions) -> tuple[str, ...]:
    """Return the labels of all files in the order of --classes or labels.txt, others after them by name."""
    labels = {label for label in reading.labels if not is_background(label)}
    listed = list(options.classes)
    path = reading.root / "labels.txt"
    if not listed and path.is_file() and path.stat().st_size < 1 << 20:
        listed = [line.strip() for line in path.read_text("utf-8-sig", "replace").splitlines()]
    listed = [name for name in listed if name and name != _IGNORE and not is_background(name)]
    return tuple(dict.fromkeys([*listed, *sorted(labels, key=natural_key)]))


def _to_shape(member: OutputObject, classes: tuple[str, ...]) -> dict[str, Any]:
    region = member.region
    height, width = region.pixels.shape
    last = [float(region.column + width - 1), float(region.row + height - 1)]
    image = png_bytes(region.pixels[None].astype(np.uint8) * np.uint8(255))
    return {
        "label": _IGNORE if member.ignore else member.class_name or (classes[0] if classes else "object"),
        "points": [[float(region.column), float(region.row)], last],
        "group_id": None,
        "shape_type": "mask",
        "flags": {},
        "description": "",
        "mask": base64.b64encode(image).decode("ascii"),
    }
