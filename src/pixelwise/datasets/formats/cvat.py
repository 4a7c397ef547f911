"""CVAT for images 1.1: one XML file (CVAT documentation, "XML annotation format").

Shapes are drawn by z_order. Shapes of one label and group are one object. Boxes are excluded from loss and scores.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from pixelwise.atomic_write import atomic_write_text, new_folder
from pixelwise.datasets.annotations import AnnotatedSet, Bitmap, Shape, Shapes
from pixelwise.datasets.formats import json_content as content
from pixelwise.datasets.formats.image_index import (
    FoundImage,
    ImageIndex,
    name_images,
    report_missing,
    split_of,
)
from pixelwise.datasets.formats.objects import are_objects
from pixelwise.datasets.formats.output_folder import OutputObject, describe_ignored, objects_of, place_images
from pixelwise.datasets.formats.xml_content import Attributes, XmlReading
from pixelwise.datasets.options import DataOptions
from pixelwise.datasets.records import Split
from pixelwise.datasets.shapes.rasterise import is_background
from pixelwise.datasets.shapes.round_shapes import ellipse
from pixelwise.errors import BadDataset, printable
from pixelwise.io.headers import MAX_PIXELS
from pixelwise.text import pluralise

NAME = "CVAT"
_FILE = "annotations.xml"
_SHAPES = ("polygon", "mask", "ellipse", "box")
_OTHERS = ("polyline", "points", "cuboid", "skeleton", "tag")


@dataclass
class _Image:
    attributes: Attributes
    shapes: list[tuple[int, Shape]] = field(default_factory=list[tuple[int, Shape]])


@dataclass
class _Reading(XmlReading):
    text: str = ""
    labels: list[str] = field(default_factory=list[str])
    images: list[_Image] = field(default_factory=list[_Image])
    left_out: Counter[str] = field(default_factory=Counter[str])
    boxes: int = 0
    pixels: int = 0
    objects: bool | None = None  # what `write` states about its masks

    def start(self, name: str, attributes: Attributes) -> None:
        """Handle a start tag."""
        super().start(name, attributes)
        self.text = ""
        if name == "track":
            raise self.error("CVAT for images 1.1", "the tracks of a video", "Export as `CVAT for images 1.1`.")
        if name == "image":
            self.images.append(_Image(attributes))
        elif self.images and name in _SHAPES and "image" in self.open_elements:
            self._add(name, attributes)
        elif name in _OTHERS and self.open_elements[-2:-1] == ["image"]:
            self.left_out[name] += name != "tag"

    def end(self, name: str) -> None:
        """Handle an end tag."""
        if name == "name" and self.open_elements[-2:-1] == ["label"]:
            self.labels.append(self.text.strip())
        if name == "objects" and self.open_elements[-2:-1] == ["meta"]:
            self.objects = self.text.strip() == "true"
        super().end(name)

    def characters(self, text: str) -> None:
        """Collect the text of an element."""
        if self.open_elements[-1:] in (["name"], ["objects"]):
            self.text += text

    def _add(self, name: str, attributes: Attributes) -> None:
        group = attributes.get("group_id", "0")
        bitmap = self._read_mask(attributes) if name == "mask" else None
        rings = () if name == "mask" else (self._read_ring(name, attributes),)
        if (bitmap is None or not bitmap.pixels.any()) and not any(len(ring) > 2 for ring in rings):
            self.left_out[f"{name} without an area"] += 1
            return
        self.boxes += name == "box"
        shape = Shape(
            class_name=attributes.get("label", ""),
            rings=rings,
            bitmap=bitmap,
            object_id=None if group in ("", "0") else group,
            ignore=name == "box",
        )
        z_order = int(self._number(attributes, "z_order", "0"))
        self.images[-1].shapes.append((-(1 << 31) if shape.ignore else z_order, shape))

    def _read_ring(self, name: str, attributes: Attributes) -> np.ndarray:
        if name == "polygon":
            pairs = [pair.split(",") for pair in attributes.get("points", "").split(";")]
            return content.read_points(pairs, f"line {self.parser.CurrentLineNumber}", self.path)
        if name == "ellipse":
            x, y, rx, ry = (self._number(attributes, key) for key in ("cx", "cy", "rx", "ry"))
            return ellipse(np.array([x, y]), rx, ry, self._number(attributes, "rotation", "0"))
        left, top, right, bottom = (self._number(attributes, key) for key in ("xtl", "ytl", "xbr", "ybr"))
        return np.array([(left, top), (right, top), (right, bottom), (left, bottom)])

    def _read_mask(self, attributes: Attributes) -> Bitmap:
        """Read run lengths along the rows of a box, the first one of zeros."""
        row, column, height, width = (int(self._number(attributes, k)) for k in ("top", "left", "height", "width"))
        try:
            counts = np.array(attributes.get("rle", "").split(","), np.int64)
        except (ValueError, OverflowError):
            counts = np.array([-1])
        self.pixels += max(0, height * width)
        if counts.min() < 0 or min(height, width) < 1 or counts.sum() != height * width or self.pixels > MAX_PIXELS:
            raise self.error(f"run lengths of {height} × {width} pixels", "damaged ones, or too many")
        pixels = np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(height, width)
        return Bitmap(row=row, column=column, pixels=pixels)

    def _number(self, attributes: Attributes, key: str, default: str = "") -> float:
        try:
            value = float(attributes.get(key, default))
        except ValueError:
            value = np.inf
        if not abs(value) < 1e8:
            raise self.error(f"a number `{key}`", attributes.get(key, "nothing"))
        return value


def recognise(root: Path) -> bool:
    """Return whether a folder contains a CVAT file."""
    return any(_is_cvat(path) for path in content.find_files(root, ".xml", some=20))


def read(root: Path, options: DataOptions) -> AnnotatedSet:
    """Read the CVAT files of a folder. Raises `BadDataset` if a file contains a document type or tracks."""
    index = ImageIndex(root)
    found: dict[Path, FoundImage] = {}
    labels: list[str] = []
    messages: list[str] = []
    stated: set[bool | None] = set()
    for path in [path for path in content.find_files(root, ".xml") if _is_cvat(path)]:
        reading = _Reading(path)
        reading.parse()
        stated.add(reading.objects)
        labels += reading.labels
        missing: list[str] = []
        for record in reading.images:
            name = record.attributes.get("name", "")
            split = _read_split(record)
            image = index.find(name, path.parent, split)
            if image is None:
                missing.append(name)
                continue
            if image in found:
                raise BadDataset("every image once", f"{printable(name)} twice", "Remove one of them.", path)
            split = split or split_of(image.relative_to(root).parts[:-1])
            found[image] = FoundImage(image=image, annotation=_shapes_of(record, path), split=split)
        messages += report_missing(missing, len(reading.images), path, options)
        messages += _describe(reading)
    shapes = [entry.annotation.shapes for entry in found.values() if isinstance(entry.annotation, Shapes)]
    labels += [shape.class_name for members in shapes for shape in members]
    return AnnotatedSet(
        format=NAME,
        images=name_images(root, list(found.values())),
        classes=tuple(dict.fromkeys(label for label in labels if label and not is_background(label))),
        instances=stated.pop() if len(stated) == 1 and None not in stated else are_objects(shapes),
        messages=tuple(messages),
    )


def write(dataset: AnnotatedSet, out: Path) -> tuple[str, ...]:
    """Write a data set as a new folder of images and one file of CVAT for images 1.1, objects as masks.

    Parameters and result are those of `coco.write`: what CVAT cannot express.
    """
    classes = dataset.classes or ("object",)
    messages: list[str] = []
    elements: list[str] = []
    ignored = 0
    with new_folder(out) as folder:
        placed = place_images(dataset, folder, lambda split: f"images/{split}" if split else "images", messages)
        for number, (image, path) in enumerate(placed):
            size, objects = objects_of(image, dataset)
            fields = {"id": number, "name": path.relative_to(folder / "images").as_posix()}
            fields |= {"subset": image.split} if image.split else {}
            elements.append(_tag("image", {**fields, "width": size[1], "height": size[0]}, end=">"))
            for order, member in enumerate(member for member in objects if not member.ignore):
                elements.append(_mask_element(member, order, classes))
            elements.append("</image>")
            ignored += sum(member.ignore for member in objects)
        labels = "".join(f"<label><name>{escape(name)}</name><attributes></attributes></label>" for name in classes)
        objects_stated = "" if dataset.instances is None else f"<objects>{str(dataset.instances).lower()}</objects>"
        meta = f"<meta><task><labels>{labels}</labels></task>{objects_stated}</meta>"
        lines = ['<?xml version="1.0" encoding="utf-8"?>', "<annotations>", "<version>1.1</version>", meta, *elements]
        atomic_write_text(folder / _FILE, "\n".join([*lines, "</annotations>", ""]))
    return (*messages, *((describe_ignored(ignored),) if ignored else ()))


def _tag(name: str, attributes: Mapping[str, object], end: str = "/>") -> str:
    return f"<{name} {' '.join(f'{key}={quoteattr(str(value))}' for key, value in attributes.items())}{end}"


def _mask_element(member: OutputObject, order: int, classes: Sequence[str]) -> str:
    """Return a mask as run lengths along the rows of its box, the first one of zeros."""
    pixels = member.region.pixels
    changes = np.flatnonzero(np.diff(pixels.ravel().astype(np.int8), prepend=0, append=0))
    counts = np.diff(np.concatenate([[0], changes, [pixels.size]]))
    counts = counts[:-1] if counts[-1] == 0 else counts
    name = member.class_name if member.class_name in classes else classes[0]
    attributes = {"label": name, "source": "manual", "occluded": 0, "rle": ", ".join(map(str, counts.tolist()))}
    place = {
        "left": member.region.column,
        "top": member.region.row,
        "width": pixels.shape[1],
        "height": pixels.shape[0],
    }
    return _tag("mask", {**attributes, **place, "z_order": order})


def _is_cvat(path: Path) -> bool:
    text = content.read_ends(path)
    return ("<annotations>" in text and "<image " in text) or ("<annotations>" in text and "<track " in text)


def _read_split(record: _Image) -> Split | None:
    subset = split_of([record.attributes.get("subset", "")])
    return subset if subset in get_args(Split) else None


def _shapes_of(record: _Image, path: Path) -> Shapes:
    ordered = [shape for _, shape in sorted(record.shapes, key=lambda member: member[0])]
    height, width = (record.attributes.get(key, "") for key in ("height", "width"))
    known = all(side.isdecimal() and len(side) < 10 for side in (height, width))
    size = (int(height), int(width)) if known else None
    return Shapes(shapes=tuple(ordered), source=path, size=size)


def _describe(reading: _Reading) -> list[str]:
    messages = [
        f"{pluralise(count, 'shape')} of type {kind}: left out." for kind, count in reading.left_out.items() if count
    ]
    if reading.boxes:
        messages.append(f"{pluralise(reading.boxes, 'box', 'boxes')}: excluded from loss and scores.")
    return messages
