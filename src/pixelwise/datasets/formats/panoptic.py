"""COCO panoptic: PNG files whose colours are the numbers of segments, and a JSON file with the class of each.

Source: cocodataset.org, "Data format", panoptic segmentation: a number is ``red + 256 * green + 65536 * blue``; pixels
of 0 are not labelled. A class is a thing, of which each segment is one object, or stuff.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from pixelwise.datasets.annotations import AnnotatedSet, Bitmap, Shape, Shapes
from pixelwise.datasets.formats import json_content as content
from pixelwise.datasets.formats.image_index import FoundImage, ImageIndex, name_images, report_missing, split_of_stem
from pixelwise.datasets.options import DataOptions
from pixelwise.errors import BadDataset, BadImage, printable
from pixelwise.io.headers import MAX_PIXELS
from pixelwise.io.read import read_mask

NAME = "COCO panoptic"


@dataclass
class _Reading:
    """What the files of a set have in common while they are read."""

    root: Path
    options: DataOptions
    index: ImageIndex
    names: dict[int, str] = field(default_factory=dict[int, str])
    things: set[int] = field(default_factory=set[int])
    pixels: int = 0


def recognise(root: Path) -> bool:
    """Return whether a folder contains a file of panoptic segments."""
    return any(_is_panoptic(path) for path in content.find_files(root, ".json", some=20))


def read(root: Path, options: DataOptions) -> AnnotatedSet:
    """Read the segments of all images: as objects if all classes are things, else as classes."""
    reading = _Reading(root, options, ImageIndex(root))
    documents = [(path, content.read_json(path)) for path in content.find_files(root, ".json") if _is_panoptic(path)]
    for path, document in documents:
        for position, record in enumerate(content.field(document, "categories", list, "the file", path)):
            where = f"categories[{position}]"
            number = content.field(record, "id", int, where, path)
            reading.names[number] = content.field(record, "name", str, where, path)
            reading.things |= {number} if content.field(record, "isthing", int, where, path, 1) else set()
    found: list[FoundImage] = []
    messages: list[str] = []
    for path, document in documents:
        images, missing = _read_file(reading, document, path)
        found += images
        messages += report_missing(missing, len(images) + len(missing), path, options)
    instances = reading.things == set(reading.names)
    if not instances:
        messages.append("Segments are read as classes, as some classes are no things (--task instance: as objects).")
    return AnnotatedSet(
        format=NAME,
        images=name_images(root, found),
        classes=tuple(dict.fromkeys(reading.names[number] for number in sorted(reading.names))),
        instances=instances,
        messages=tuple(messages),
    )


def _is_panoptic(path: Path) -> bool:
    text = content.read_ends(path)
    return text.startswith("{") and '"segments_info"' in text and '"categories"' in text


def _read_file(reading: _Reading, document: Any, path: Path) -> tuple[list[FoundImage], list[str]]:
    """Return the images of a file, and the names of those that do not exist."""
    entries = content.field(document, "images", list, "the file", path)
    names = {
        content.field(entry, "id", (int, str), f"images[{i}]", path): content.field(
            entry, "file_name", str, f"images[{i}]", path
        )
        for i, entry in enumerate(entries)
    }
    split = split_of_stem(path.stem)
    found: list[FoundImage] = []
    missing: list[str] = []
    for position, record in enumerate(content.field(document, "annotations", list, "the file", path)):
        where = f"annotations[{position}]"
        segments = content.field(record, "file_name", str, where, path)
        name = names.get(content.field(record, "image_id", (int, str), where, path), segments)
        mask = reading.index.find(f"{path.stem}/{segments}", path.parent)
        if mask is None:
            hint = f"Unpack {path.stem}.zip beside it."
            raise BadDataset("a PNG of segments for each image", f"none called {printable(segments)}", hint, path)
        image = reading.index.find(name, path.parent, split)
        if image is None or image == mask:
            missing.append(name)
            continue
        found.append(
            FoundImage(image=image, annotation=_read_segments(reading, record, mask, where, path), split=split)
        )
    return found, missing


def _read_segments(reading: _Reading, record: Any, mask: Path, where: str, path: Path) -> Shapes:
    """Return the segments of one image."""
    try:
        values = read_mask(mask).values
    except BadImage as error:
        raise BadDataset(error.expected, error.got, error.hint, mask) from error
    if values.ndim != 3:
        raise BadDataset("numbers of segments as colours", "a gray image", "Export it again.", mask)
    numbers = values[..., 0].astype(np.int64) + (values[..., 1].astype(np.int64) << 8)
    numbers += values[..., 2].astype(np.int64) << 16
    reading.pixels += numbers.size
    if reading.pixels > MAX_PIXELS:
        raise BadDataset(f"at most {MAX_PIXELS:,} pixels in the masks of a set", "more", "Split the set.", path)
    present, index = np.unique(numbers, return_inverse=True)
    boxes = dict(zip(present.tolist(), ndimage.find_objects(index.reshape(numbers.shape) + 1), strict=True))
    shapes: list[Shape] = []
    for position, segment in enumerate(content.field(record, "segments_info", list, where, path)):
        here = f"{where}.segments_info[{position}]"
        number, category = (content.field(segment, key, int, here, path) for key in ("id", "category_id"))
        if category not in reading.names:
            content.refuse("`category_id` that `categories` lists", category, here, path)
        box = boxes.get(number)
        if box is None:
            content.refuse(f"pixels of segment {number} in {mask.name}", "none", here, path)
        region = Bitmap(row=box[0].start, column=box[1].start, pixels=numbers[box] == number)
        ignore = bool(segment.get("iscrowd"))
        shapes.append(Shape(class_name=reading.names[category], bitmap=region, ignore=ignore))
    height, width = numbers.shape
    complete = reading.things == set(reading.names)  # with stuff, pixels of no segment are not labelled
    return Shapes(shapes=tuple(shapes), source=path, size=(height, width), complete=complete)
