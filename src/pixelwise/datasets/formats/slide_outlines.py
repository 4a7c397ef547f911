"""Outlines that viewers of slides save as XML, one file per image: Aperio ImageScope, and ASAP.

ImageScope (MoNuSeg, MoNuSAC): ``Annotation`` with the class as its name or as an attribute, and regions of vertices;
ASAP (CAMELYON): ``Annotation`` with coordinates and the group that is its class. Points are pixels (x, y) of the full
resolution. Files without classes hold objects.
"""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from pixelwise.datasets.annotations import AnnotatedSet, Shape, Shapes
from pixelwise.datasets.formats import json_content as content
from pixelwise.datasets.formats.image_index import FoundImage, ImageIndex, name_images, report_missing, split_of
from pixelwise.datasets.formats.objects import are_objects
from pixelwise.datasets.formats.xml_content import Attributes, XmlReading
from pixelwise.datasets.naming.folder_names import natural_key
from pixelwise.datasets.options import DataOptions
from pixelwise.datasets.shapes.rasterise import is_background
from pixelwise.text import pluralise

NAME = "outlines of slides (ImageScope, ASAP)"
_POINTS = ("Vertex", "Coordinate")
_NOT_A_CLASS = ("", "Description", "Region", "Text")  # attributes of other meanings


@dataclass
class _Reading(XmlReading):
    layer: str = ""  # the name of the annotation of ImageScope that holds the regions
    in_region: bool = False
    attributes: Attributes = field(default_factory=dict[str, str])
    points: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    shapes: list[Shape] = field(default_factory=list[Shape])
    left_out: Counter[str] = field(default_factory=Counter[str])

    def start(self, name: str, attributes: Attributes) -> None:
        """Handle a start tag."""
        super().start(name, attributes)
        if name == "Annotation":
            self.layer = attributes.get("Name", "").strip()
        if name == "Attribute" and not self.in_region and attributes.get("Name", "").strip() not in _NOT_A_CLASS:
            self.layer = attributes["Name"].strip()
        if name in ("Annotation", "Region"):
            self.attributes, self.points, self.in_region = attributes, [], name == "Region"
        elif name in _POINTS:
            self.points.append((attributes.get("X", ""), attributes.get("Y", "")))

    def end(self, name: str) -> None:
        """Handle an end tag."""
        super().end(name)
        self.in_region &= name != "Region"
        if name == "Region" or (name == "Annotation" and self.points):
            self._add(name)

    def _add(self, name: str) -> None:
        group = self.attributes.get("PartOfGroup", "")
        class_name = self.layer if name == "Region" else "" if group == "None" else group
        hole = self.attributes.get("NegativeROA") == "1"
        ring = content.read_points(self.points, f"line {self.parser.CurrentLineNumber}", self.path)
        self.points = []
        if len(ring) < 3:
            self.left_out["outline without an area"] += 1
        else:
            self.shapes.append(Shape(class_name="background" if hole else class_name, rings=(ring,)))


def recognise(root: Path) -> bool:
    """Return whether a folder contains outlines of one of the programs."""
    return any(_is_outlines(path) for path in content.find_files(root, ".xml", some=20))


def read(root: Path, options: DataOptions) -> AnnotatedSet:
    """Read the outlines of all images. Raises `BadDataset` if a file has a document type."""
    index = ImageIndex(root)
    found: dict[Path, FoundImage] = {}
    missing: list[str] = []
    left_out: Counter[str] = Counter()
    files = [path for path in content.find_files(root, ".xml") if _is_outlines(path)]
    for path in files:
        reading = _Reading(path)
        reading.parse()
        left_out += reading.left_out
        image = index.find(f"{path.stem}.tif", path.parent, by_stem=True)
        if image is None:
            missing.append(path.stem)
            continue
        split = split_of(image.relative_to(root).parts[:-1])
        shapes = Shapes(shapes=tuple(reading.shapes), source=path)
        found[image] = FoundImage(image=image, annotation=shapes, split=split)
    messages = list(report_missing(missing, len(files), root, options)) if files else []
    messages += [f"{pluralise(count, kind)}: left out." for kind, count in left_out.items()]
    shapes = [entry.annotation.shapes for entry in found.values() if isinstance(entry.annotation, Shapes)]
    names = {shape.class_name for members in shapes for shape in members if shape.class_name}
    return AnnotatedSet(
        format=NAME,
        images=name_images(root, list(found.values())),
        classes=tuple(sorted((name for name in names if not is_background(name)), key=natural_key)),
        instances=are_objects(shapes),
        messages=tuple(messages),
    )


def _is_outlines(path: Path) -> bool:
    text = content.read_ends(path)
    return ("<Annotations" in text and "<Vertex" in text) or "<ASAP_Annotations" in text
