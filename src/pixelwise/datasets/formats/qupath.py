"""QuPath: GeoJSON of objects in pixels.

Source: QuPath documentation, "Exporting annotations": features with ``properties.objectType``, ``classification`` and
``name``, in pixels of the full resolution from the top left corner; RFC 7946 for the geometries.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pixelwise.datasets.annotations import AnnotatedSet, Shape, Shapes
from pixelwise.datasets.formats.image_index import ImageIndex, name_indexed_images, split_of
from pixelwise.datasets.formats.json_content import field, find_files, read_ends, read_json, read_points
from pixelwise.datasets.options import DataOptions
from pixelwise.datasets.records import Colour
from pixelwise.errors import BadDataset
from pixelwise.text import pluralise

IGNORE_CLASS = "Ignore*"  # QuPath's own name of what classifiers leave out
_OBJECTS = ("detection", "cell")
_KEYS = ("objectType", "object_type", "classification", "PathAnnotationObject", "PathDetectionObject", "PathCellObject")
_EMPTY = ("[]", '{"type":"FeatureCollection","features":[]}')
_LEFT_OUT = ("tmaCore", "root")
_MAX_DEPTH = 8  # of geometry collections


@dataclass(frozen=True, kw_only=True)
class _Feature:
    """An object of QuPath: its kind, such as "annotation", and its class as (name, colour)."""

    kind: str
    shape: Shape
    colour: Colour | None


def recognise(root: Path) -> bool:
    """Return whether a folder contains GeoJSON in pixels."""
    return any(_is_geojson(path) for path in _geojson_files(root, some=3))


def read(root: Path, options: DataOptions) -> AnnotatedSet:
    """Read the objects of each image from the GeoJSON of its name.

    Cells and detections are objects, and so are annotations without a class; classified annotations are regions. The
    class ``Ignore*`` is ignored.

    Raises
    ------
    BadDataset
        A file is not GeoJSON, a geometry is damaged, or no image fits.
    """
    index = ImageIndex(root)
    files = [path for path in _geojson_files(root) if _is_geojson(path)]
    features: dict[Path, list[_Feature]] = {}
    sources: dict[Path, Path] = {}
    messages: list[str] = []
    without_image: list[str] = []
    left_out: Counter[str] = Counter()
    for path in files:
        split = split_of(path.relative_to(root).parts[:-1])
        image = index.find(path.stem, path.parent, split)  # a.tif.geojson
        image = image or index.find(f"{path.stem}.png", path.parent, split, by_stem=True)
        if image is None:
            without_image.append(path.name)
            continue
        features[image] = list(_read_features(path, left_out))
        sources[image] = path
    if not features:
        expected = "an image with the name of each GeoJSON file, such as a.tif and a.geojson"
        raise BadDataset(expected, ", ".join(without_image[:5]), "Add the images.", root)
    if without_image:
        files_text = pluralise(len(without_image), "GeoJSON file")
        messages.append(f"{files_text} without an image, such as {without_image[0]}: left out.")
    everything = [feature for found in features.values() for feature in found]
    instances = _are_objects(everything, options, messages)
    kept = {image: _select(found, instances, everything) for image, found in features.items()}
    unnamed = 0 if instances else len(everything) - sum(map(len, kept.values()))
    left_out |= {"annotation without a class": unnamed} if unnamed else {}
    messages += [f"{pluralise(count, 'object')} left out: {kind}." for kind, count in left_out.items()]
    classes, colours = _class_list(root, [feature for found in kept.values() for feature in found])
    shapes = {
        image: Shapes(shapes=tuple(feature.shape for feature in found), source=sources[image])
        for image, found in kept.items()
    }
    return AnnotatedSet(
        format="QuPath",
        images=name_indexed_images(index, shapes),
        classes=classes,
        colours=colours,
        instances=instances,
        messages=tuple(messages),
    )


def _geojson_files(root: Path, some: int | None = None) -> Iterator[Path]:
    for suffix in (".geojson", ".json"):
        yield from find_files(root, suffix, some=some)


def _is_geojson(path: Path) -> bool:
    """Return whether a file contains objects of QuPath: other GeoJSON is a map, whose coordinates are not pixels."""
    text = read_ends(path)
    head = "".join(text[:4096].split())
    if path.suffix.casefold() == ".geojson" and head in _EMPTY:
        return True
    return '"type":"Feature' in head and any(f'"{key}"' in text for key in _KEYS)


def _read_features(path: Path, left_out: Counter[str]) -> Iterator[_Feature]:
    """Yield the objects of a file: a collection, a list or one feature."""
    content = read_json(path)
    if isinstance(content, dict) and content.get("type") == "FeatureCollection":
        content = field(content, "features", list, "the collection", path)
    for number, record in enumerate(content if isinstance(content, list) else [content], 1):
        where = f"feature {number}"
        properties = field(record, "properties", dict, where, path, {})
        kind = str(properties.get("objectType") or properties.get("object_type") or record.get("id") or "annotation")
        kind = _LEGACY.get(kind, kind if kind in (*_OBJECTS, *_LEFT_OUT, "annotation", "tile") else "annotation")
        if kind in _LEFT_OUT:
            left_out[kind] += 1
            continue
        geometry = field(record, "geometry", dict, where, path, {})
        rings = tuple(read_rings(geometry, where, path, left_out, 0))
        if rings:
            name, colour = _classification(properties)
            ignore = name.casefold() == IGNORE_CLASS.casefold()
            yield _Feature(kind=kind, shape=Shape(class_name=name, rings=rings, ignore=ignore), colour=colour)


_LEGACY = {
    "PathAnnotationObject": "annotation",
    "PathDetectionObject": "detection",
    "PathCellObject": "cell",
    "PathTileObject": "tile",
    "TMACoreObject": "tmaCore",
    "PathRootObject": "root",
}


def read_rings(geometry: Any, where: str, path: Path, left_out: Counter[str], depth: int) -> Iterator[np.ndarray]:
    """Yield the rings of the polygons of a GeoJSON geometry, and count what has no area."""
    kind = field(geometry, "type", str, f"the geometry of {where}", path, "")
    if kind == "GeometryCollection" and depth < _MAX_DEPTH:
        for inner in field(geometry, "geometries", list, where, path):
            yield from read_rings(inner, where, path, left_out, depth + 1)
        return
    if kind not in ("Polygon", "MultiPolygon"):
        left_out[f"{kind or 'no geometry'} has no area"] += 1
        return
    coordinates = field(geometry, "coordinates", list, where, path)
    for polygon in coordinates if kind == "MultiPolygon" else [coordinates]:
        if not _is_list(polygon):
            raise BadDataset(f"rings of points in {where}", type(polygon).__name__, "Export the file again.", path)
        for ring in polygon:
            flat = (
                [point[:2] if isinstance(point, list) else point for point in ring] if isinstance(ring, list) else ring
            )
            points = read_points(flat, where, path)
            closed = len(points) > 1 and np.array_equal(points[0], points[-1])
            yield points[:-1] if closed else points


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _classification(properties: dict[str, Any]) -> tuple[str, Colour | None]:
    """Return the name and the colour of a class; the name is empty if there is none."""
    given = properties.get("classification")
    if not isinstance(given, dict):
        return "", None
    names = given.get("names")
    name = given.get("name") or (": ".join(map(str, names)) if isinstance(names, list) else "")
    colour = given.get("color")
    packed = given.get("colorRGB")  # until QuPath 0.3: ARGB in one signed number
    if isinstance(packed, int):
        return str(name), (packed >> 16 & 255, packed >> 8 & 255, packed & 255)
    if isinstance(colour, list) and len(colour) == 3 and all(isinstance(c, int) and 0 <= c < 256 for c in colour):
        return str(name), (colour[0], colour[1], colour[2])
    return str(name), None


def _are_objects(features: Sequence[_Feature], options: DataOptions, messages: list[str]) -> bool:
    """Return whether the features are objects, and report it."""
    if options.task != "auto":
        return options.task == "instance"
    names = {feature.shape.class_name for feature in features if not feature.shape.ignore}
    if any(feature.kind in _OBJECTS for feature in features):
        messages.append("QuPath detections and cells are objects: task instance (--task).")
        return True
    if names == {""}:
        messages.append("QuPath annotations without a class are objects: task instance (--task).")
        return True
    messages.append(f"QuPath annotations of {pluralise(len(names), 'class')} are regions (--task).")
    return False


def _select(found: Sequence[_Feature], instances: bool, everything: Sequence[_Feature]) -> list[_Feature]:
    """Return the features that are labels: beside detections annotations are the places where these were searched.

    Of regions that overlap the smaller one is on top, as in the viewer.
    """
    detected = any(feature.kind in _OBJECTS for feature in everything)
    if instances and detected:
        return [feature for feature in found if feature.kind in _OBJECTS or feature.shape.ignore]
    if instances:
        return list(found)
    # an annotation without a class, between others, is the outline of what was annotated
    classified = any(feature.shape.class_name for feature in everything)
    named = [feature for feature in found if feature.shape.class_name or not classified]
    return sorted(named, key=lambda feature: (feature.shape.ignore, -feature.shape.extent))


def _class_list(root: Path, features: Sequence[_Feature]) -> tuple[tuple[str, ...], tuple[Colour, ...]]:
    """Return class names and colours, in the order of the class list of the project if there is one."""
    given = {feature.shape.class_name: feature.colour for feature in features if not feature.shape.ignore}
    colours = {name: colour for name, colour in given.items() if name}
    order: list[str] = []
    listed = root / "classifiers" / "classes.json"
    if listed.is_file():
        entries = field(read_json(listed), "pathClasses", list, "the class list", listed)
        order = [str(field(entry, "name", str, "a class", listed)) for entry in entries]
    names = tuple(sorted(colours, key=lambda name: (order.index(name) if name in order else len(order), name)))
    known = tuple(colour for name in names if (colour := colours[name]) is not None)
    return names, known if len(known) == len(names) else ()
