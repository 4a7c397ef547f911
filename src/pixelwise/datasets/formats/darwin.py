"""V7 Darwin: a JSON file per image, with polygons, ellipses and pixels as run lengths (versions 1 and 2).

Source: V7 documentation, "Darwin JSON" and `darwin-py`. The paths of a polygon are combined by the even-odd rule. The
masks of an image are one `raster_layer`: `dense_rle` has a number and a count of pixels for each run along the rows,
and `mask_annotation_ids_mapping` the number of each annotation.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pixelwise.datasets.annotations import AnnotatedSet, Bitmap, Shape, Shapes
from pixelwise.datasets.formats import json_content as content
from pixelwise.datasets.formats.image_index import name_images, read_each
from pixelwise.datasets.formats.objects import are_objects
from pixelwise.datasets.naming.folder_names import natural_key
from pixelwise.datasets.options import DataOptions
from pixelwise.datasets.shapes.rasterise import is_background
from pixelwise.datasets.shapes.round_shapes import ellipse
from pixelwise.errors import BadDataset
from pixelwise.io.headers import MAX_PIXELS
from pixelwise.text import pluralise

NAME = "V7 Darwin"
_GEOMETRIES = ("polygon", "complex_polygon", "ellipse", "mask", "raster_layer", "bounding_box")


@dataclass
class _Reading:
    """What the files of a set have in common while they are read."""

    labels: set[str] = field(default_factory=set[str])
    boxes: int = 0
    other: int = 0
    pixels: int = 0


def recognise(root: Path) -> bool:
    """Return whether a folder contains annotations of V7 Darwin."""
    return any(_is_annotation(path) for path in content.find_files(root, ".json", some=20))


def read(root: Path, options: DataOptions) -> AnnotatedSet:
    """Read the annotations of all images. Raises `BadDataset` if a file annotates a video."""
    reading = _Reading()
    files = [path for path in content.find_files(root, ".json") if _is_annotation(path)]
    found, messages = read_each(root, files, options, lambda path: _read_file(reading, path))
    if reading.boxes:
        boxes = pluralise(reading.boxes, "box", "boxes")
        messages += (f"{boxes} without an outline: excluded from loss and scores.",)
    if reading.other:
        messages += (f"{pluralise(reading.other, 'annotation')} without an area: left out.",)
    shapes = [entry.annotation.shapes for entry in found if isinstance(entry.annotation, Shapes)]
    if reading.boxes and not reading.labels:
        hint = "Annotate polygons or masks; boxes alone cannot train a segmentation."
        raise BadDataset("polygons or masks", f"boxes alone ({reading.boxes})", hint, root)
    return AnnotatedSet(
        format=NAME,
        images=name_images(root, found),
        classes=tuple(sorted((name for name in reading.labels if not is_background(name)), key=natural_key)),
        instances=are_objects(shapes),
        messages=messages,
    )


def _is_annotation(path: Path) -> bool:
    text = content.read_ends(path)
    if not text.startswith("{") or '"annotations"' not in text:
        return False
    second = '"item"' in text and '"slots"' in text
    return second or ('"image"' in text and '"original_filename"' in text)


def _read_file(reading: _Reading, path: Path) -> tuple[str, Shapes]:
    """Return the name of the image of a file, and its shapes."""
    document = content.read_json(path)
    item = content.field(document, "item", dict, "the file", path, None)
    if item is None:
        item = content.field(document, "image", dict, "the file", path)
        name, slot = content.field(item, "filename", str, "`image`", path), item
    else:
        name = content.field(item, "name", str, "`item`", path)
        slots = content.field(item, "slots", list, "`item`", path)
        slot = slots[0] if slots else {}
        if content.field(slot, "type", str, "`slots[0]`", path, "image") != "image":
            raise BadDataset("images", "a video or volume", "Export its frames as images, with annotations.", path)
    height, width = (content.field(slot, key, int, "the size of the image", path, 0) for key in ("height", "width"))
    size = (height, width) if min(height, width) > 0 else None
    folder = content.field(item, "path", str, "`item`", path, "")
    records = content.field(document, "annotations", list, "the file", path)
    layer, numbers = _read_layer(reading, records, size, path)
    shapes: list[Shape] = []
    for position, record in enumerate(records):
        where = f"annotations[{position}]"
        label = content.field(record, "name", str, where, path)
        kind = next((kind for kind in _GEOMETRIES if isinstance(record.get(kind), dict)), "")
        if kind == "raster_layer":
            continue
        shape = (
            Shape(class_name=label, bitmap=_cut(layer == numbers.get(str(record.get("id")), -1)))
            if kind == "mask" and layer is not None
            else _read_shape(reading, record, kind, label, where, path)
        )
        if shape is not None:
            shapes.append(shape)
            reading.labels |= set() if shape.ignore else {label}
    shapes.sort(key=lambda shape: not shape.ignore)
    return f"{folder}/{name}", Shapes(shapes=tuple(shapes), source=path, size=size)


def _read_shape(reading: _Reading, record: Any, kind: str, label: str, where: str, path: Path) -> Shape | None:
    """Return the outline of an annotation; None if it has no area."""
    geometry = record.get(kind)
    if kind == "bounding_box":
        x, y, width, height = (content.field(geometry, key, (int, float), where, path) for key in ("x", "y", "w", "h"))
        reading.boxes += 1
        corners = [(x, y), (x + width, y), (x + width, y + height), (x, y + height)]
        return Shape(class_name=label, rings=(content.read_points(corners, where, path),), ignore=True)
    if kind == "ellipse":
        centre, radius = (content.field(geometry, key, dict, where, path) for key in ("center", "radius"))
        (x, y), (across, down) = (_points([point], where, path)[0].tolist() for point in (centre, radius))
        angle = float(content.field(geometry, "angle", (int, float), where, path, 0))
        return Shape(class_name=label, rings=(ellipse(np.array([x, y]), across, down, np.degrees(angle)),))
    paths = _paths(geometry, where, path) if kind in ("polygon", "complex_polygon") else []
    rings = tuple(ring for ring in (_points(points, where, path) for points in paths) if len(ring) > 2)
    reading.other += not rings
    return Shape(class_name=label, rings=rings) if rings else None


def _paths(geometry: Any, where: str, path: Path) -> list[Any]:
    """Return the paths of a polygon: `paths`; or `path`, one or several, with `additional_paths`."""
    paths = content.field(geometry, "paths", list, where, path, None)
    if paths is not None:
        return paths
    first = content.field(geometry, "path", list, where, path, [])
    several = first if first and isinstance(first[0], list) else [first]
    return [*several, *content.field(geometry, "additional_paths", list, where, path, [])]


def _points(points: Any, where: str, path: Path) -> np.ndarray:
    if not isinstance(points, list):
        content.refuse("a list of points", points, where, path)
    return content.read_points(
        [[content.field(point, key, (int, float), where, path) for key in ("x", "y")] for point in points], where, path
    )


def _read_layer(
    reading: _Reading, records: list[Any], size: tuple[int, int] | None, path: Path
) -> tuple[np.ndarray | None, dict[str, int]]:
    """Return the pixels of the raster layer (height, width), and the number of each annotation in it."""
    record = next((r["raster_layer"] for r in records if isinstance(r, dict) and r.get("raster_layer")), None)
    if record is None or size is None:
        return None, {}
    where = "`raster_layer`"
    runs = content.field(record, "dense_rle", list, where, path)
    numbers = content.field(record, "mask_annotation_ids_mapping", dict, where, path)
    reading.pixels += size[0] * size[1]
    if reading.pixels > MAX_PIXELS:
        raise BadDataset(f"at most {MAX_PIXELS:,} pixels in the masks of a set", "more", "Split the set.", path)
    try:
        pairs = np.array(runs, np.int64).reshape(-1, 2)
        if (pairs < 0).any() or int(pairs[:, 1].sum()) != size[0] * size[1]:
            raise ValueError("the runs do not fill the image")
        layer = np.repeat(pairs[:, 0], pairs[:, 1]).reshape(size)
    except (ValueError, TypeError, OverflowError) as error:
        expected = f"run lengths of {size[0]} x {size[1]} pixels in {where}"
        raise BadDataset(expected, "damaged ones, or others", "Export the file again.", path) from error
    return layer, {str(key): value for key, value in numbers.items() if isinstance(value, int)}


def _cut(pixels: np.ndarray) -> Bitmap:
    """Return a region without the rows and columns around it."""
    rows, columns = np.flatnonzero(pixels.any(1)), np.flatnonzero(pixels.any(0))
    if not len(rows):
        return Bitmap(row=0, column=0, pixels=np.zeros((0, 0), bool))
    box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    return Bitmap(row=int(rows[0]), column=int(columns[0]), pixels=np.ascontiguousarray(pixels[box]))
