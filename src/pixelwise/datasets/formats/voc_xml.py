"""An XML file per image with polygons: Pascal VOC files of Roboflow and Computer Vision Annotator, and LabelMe (MIT).

``object`` has a ``name`` and a ``polygon``, whose points are ``x1``, ``y1``, ``x2`` ..., or ``pt`` with ``x`` and ``y``
(labelme.csail.mit.edu, "LabelMe annotation file"). Objects that LabelMe marks as deleted are left out.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

from pixelwise.datasets.annotations import AnnotatedSet, Shape, Shapes
from pixelwise.datasets.formats import json_content as content
from pixelwise.datasets.formats.image_index import name_images, read_each
from pixelwise.datasets.formats.objects import are_objects
from pixelwise.datasets.formats.xml_content import Attributes, XmlReading
from pixelwise.datasets.naming.folder_names import natural_key
from pixelwise.datasets.options import DataOptions
from pixelwise.datasets.shapes.rasterise import is_background
from pixelwise.text import pluralise

NAME = "XML with polygons (Pascal VOC, LabelMe)"
_SIDE = re.compile(r"[xy]\d*")


@dataclass
class _Reading(XmlReading):
    text: list[str] = field(default_factory=list[str])
    filename: str = ""
    size: dict[str, str] = field(default_factory=dict[str, str])
    label: str = ""
    deleted: bool = False
    points: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    shapes: list[Shape] = field(default_factory=list[Shape])
    boxes: int = 0

    def start(self, name: str, attributes: Attributes) -> None:
        """Handle a start tag."""
        super().start(name, attributes)
        self.text = []
        if name == "object":
            self.label, self.deleted, self.points = "", False, {"x": [], "y": []}

    def characters(self, text: str) -> None:
        """Handle a part of the text of an element."""
        self.text.append(text)

    def end(self, name: str) -> None:
        """Handle an end tag."""
        super().end(name)
        text, above = "".join(self.text).strip(), self.open_elements[-1:]
        if name == "filename":
            self.filename = text
        elif above == ["object"] and name in ("name", "deleted"):
            self.label = text if name == "name" else self.label
            self.deleted |= name == "deleted" and text == "1"
        elif name in ("width", "height") and above == ["size"]:
            self.size[name] = text
        elif above[0:1] in (["polygon"], ["pt"]) and _SIDE.fullmatch(name):
            self.points[name[0]].append(text)
        elif name == "object" and not self.deleted:
            self._add()

    def _add(self) -> None:
        xs, ys = self.points["x"], self.points["y"]
        if len(xs) != len(ys):
            raise self.error("as many x as y", f"{len(xs)} and {len(ys)}")
        where = f"line {self.parser.CurrentLineNumber}"
        ring = content.read_points(list(zip(xs, ys, strict=True)), where, self.path)
        if len(ring) < 3:
            self.boxes += 1
        else:
            self.shapes.append(Shape(class_name=self.label, rings=(ring,)))


def recognise(root: Path) -> bool:
    """Return whether a folder contains files with polygons."""
    return any(_has_polygons(path) for path in content.find_files(root, ".xml", some=20))


def read(root: Path, options: DataOptions) -> AnnotatedSet:
    """Read the polygons of all images. Raises `BadDataset` if a file has a document type."""
    labels: set[str] = set()
    boxes = 0

    def read_file(path: Path) -> tuple[str, Shapes]:
        nonlocal boxes
        reading = _Reading(path)
        reading.parse()
        boxes += reading.boxes
        labels.update(shape.class_name for shape in reading.shapes)
        sides = [reading.size.get(key, "") for key in ("height", "width")]
        size = (int(sides[0]), int(sides[1])) if all(re.fullmatch(r"0*[1-9]\d{0,8}", side) for side in sides) else None
        return reading.filename or path.stem, Shapes(shapes=tuple(reading.shapes), source=path, size=size)

    files = [path for path in content.find_files(root, ".xml") if _is_annotation(path)]
    found, messages = read_each(root, files, options, read_file)
    if boxes:
        messages += (f"{pluralise(boxes, 'object')} without a polygon: left out.",)
    shapes = [entry.annotation.shapes for entry in found if isinstance(entry.annotation, Shapes)]
    return AnnotatedSet(
        format=NAME,
        images=name_images(root, found),
        classes=tuple(sorted((name for name in labels if name and not is_background(name)), key=natural_key)),
        instances=are_objects(shapes),
        messages=messages,
    )


def _is_annotation(path: Path) -> bool:
    text = content.read_ends(path)
    return "<annotation" in text and "<filename" in text


def _has_polygons(path: Path) -> bool:
    text = content.read_ends(path)
    return _is_annotation(path) and "<object" in text and "<polygon" in text
