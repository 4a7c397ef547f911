"""COCO: one JSON file of images, annotations and categories (cocodataset.org, "Data format").

Outlines of one annotation are joined, not subtracted; a crowd is ignored, and so is the box of an annotation without an
outline. Files of several splits are read together. Images that no file lists are left out.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pixelwise.atomic_write import atomic_write_json, new_folder
from pixelwise.datasets.annotations import AnnotatedSet, Bitmap, Shape, Shapes
from pixelwise.datasets.formats import json_content as content
from pixelwise.datasets.formats.image_index import (
    FoundImage,
    ImageIndex,
    name_images,
    report_missing,
    split_of,
    split_of_stem,
)
from pixelwise.datasets.formats.objects import are_objects
from pixelwise.datasets.formats.output_folder import OutputObject, objects_of, place_images
from pixelwise.datasets.formats.run_lengths.coco_rle import decode_rle, encode_rle
from pixelwise.datasets.options import DataOptions
from pixelwise.datasets.records import Split
from pixelwise.datasets.shapes.trace import signed_area, trace
from pixelwise.errors import BadDataset, printable
from pixelwise.io.headers import MAX_PIXELS
from pixelwise.text import pluralise

NAME = "COCO"
_KEYS = ('"images"', '"annotations"', '"categories"', '"image_id"', '"file_name"')


@dataclass
class _Reading:
    """What the files of a set have in common while they are read."""

    root: Path
    options: DataOptions
    index: ImageIndex
    classes: list[str] = field(default_factory=list[str])
    images: dict[Path, FoundImage] = field(default_factory=dict[Path, FoundImage])
    left_out: Counter[str] = field(default_factory=Counter[str])
    messages: list[str] = field(default_factory=list[str])
    objects: set[bool] = field(default_factory=set[bool])  # what the files state about themselves
    pixels: int = 0  # of all bitmaps


def recognise(root: Path) -> bool:
    """Return whether a folder contains a COCO file."""
    return any(_is_coco(path) for path in content.find_files(root, ".json", some=20))


def read(root: Path, options: DataOptions) -> AnnotatedSet:
    """Read the COCO files of a folder.

    `options.masks` names one file among several; `options.allow_missing` leaves out images that do not exist.

    Raises `BadDataset` if a file contains boxes alone.
    """
    reading = _Reading(root, options, ImageIndex(root))
    files = _choose_files(reading)
    for path, split in files:
        _read_file(reading, path, split)
    shapes = [image.annotation.shapes for image in reading.images.values() if isinstance(image.annotation, Shapes)]
    if not any(not shape.ignore for members in shapes for shape in members):
        got = f"{pluralise(reading.left_out['box'], 'box', 'boxes')} and no outlines"
        hint = "Export polygons or RLE masks; boxes alone cannot train a segmentation."
        raise BadDataset("annotations with `segmentation`", got, hint, files[0][0])
    unlisted = len(reading.index.files) - len(reading.images)
    if unlisted:
        reading.messages.append(f"{pluralise(unlisted, 'image')} not listed in the COCO files: left out.")
    reading.messages += _describe_left_out(reading.left_out)
    return AnnotatedSet(
        format=NAME,
        images=name_images(root, list(reading.images.values())),
        classes=tuple(reading.classes),
        instances=reading.objects.pop() if len(reading.objects) == 1 else are_objects(shapes),
        messages=tuple(reading.messages),
    )


def write(dataset: AnnotatedSet, out: Path, *, polygons: bool = False) -> tuple[str, ...]:
    """Write a data set as a new folder of images and one COCO file per split.

    Parameters
    ----------
    out : Path
        A folder that does not exist, or is empty.
    polygons : bool
        Write outlines without holes as polygons, which some programs require, instead of run lengths.

    Returns
    -------
    tuple of str
        What COCO cannot express.
    """
    classes = dataset.classes or ("object",)
    messages: list[str] = []
    with new_folder(out) as folder:
        placed = place_images(dataset, folder, lambda split: split or "images", messages)
        documents: dict[Split | None, dict[str, Any]] = {}
        for number, (image, path) in enumerate(placed, start=1):
            document = documents.setdefault(image.split, _new_document(classes, dataset.instances))
            size, objects = objects_of(image, dataset)
            name = path.relative_to(folder / (image.split or "images")).as_posix()
            document["images"].append({"id": number, "file_name": name, "height": size[0], "width": size[1]})
            for member in objects:
                record = _to_annotation(member, size, classes, polygons)
                if record is not None:
                    count = sum(len(other["annotations"]) for other in documents.values())
                    document["annotations"].append({"id": count + 1, "image_id": number, **record})
        for split, document in documents.items():
            name = f"instances_{split}.json" if split else "instances.json"
            atomic_write_json(folder / "annotations" / name, document)
    return tuple(messages)


def _is_coco(path: Path) -> bool:
    text = content.read_ends(path)
    if not text.startswith("{") or '"segments_info"' in text or '"_via_' in text:
        return False
    return sum(key in text for key in _KEYS) >= 3 or ('"images"' in text and '"categories"' in text)


def _choose_files(reading: _Reading) -> list[tuple[Path, Split | None]]:
    """Return the COCO files to read, with their splits."""
    files = [path for path in content.find_files(reading.root, ".json") if _is_coco(path)]
    if not files:
        raise BadDataset("a COCO file", "none", "Check the path.", reading.root)
    wanted = reading.options.masks
    if wanted is not None:
        files = [path for path in files if path.relative_to(reading.root).as_posix().endswith(wanted.strip("/"))]
        if not files:
            raise BadDataset(f"a COCO file called {wanted} (--masks)", "none", "Check its name.", reading.root)
    preferred = [path for path in files if path.name.casefold().startswith("instances")]
    if preferred and len(preferred) < len(files):
        ignored = ", ".join(printable(path.name) for path in files if path not in preferred)
        reading.messages.append(f"Read {NAME} files called instances...; ignored {ignored} (--masks).")
        files = preferred
    return [(path, split_of_stem(path.stem) or split_of(path.relative_to(reading.root).parts[:-1])) for path in files]


def _read_file(reading: _Reading, path: Path, split: Split | None) -> None:
    document = content.read_json(path)
    info = content.field(document, "info", dict, "the file", path, {}) if isinstance(document, dict) else {}
    if isinstance(info, dict) and isinstance(info.get("objects"), bool):
        reading.objects.add(info["objects"])
    entries = content.field(document, "images", list, "the file", path)
    annotations = content.field(document, "annotations", (list, dict), "the file", path)
    annotations = list(annotations.values()) if isinstance(annotations, dict) else annotations  # LIVECell: by their ids
    categories = _read_categories(reading, document, annotations, path)
    by_image: dict[str, list[tuple[int, Any]]] = defaultdict(list)
    for position, record in enumerate(annotations):
        image_id = content.field(record, "image_id", (int, str, float), f"annotations[{position}]", path)
        by_image[_key(image_id)].append((position, record))
    missing: list[str] = []
    unknown = set(by_image)
    seen: dict[str, str] = {}
    for position, entry in enumerate(entries):
        where = f"images[{position}]"
        key = _key(content.field(entry, "id", (int, str, float), where, path))
        default = entry.get("coco_url", content.REQUIRED)  # LVIS
        name = content.field(entry, "file_name", str, where, path, default)
        unknown.discard(key)
        if key in seen and seen[key] == name:
            continue  # listed twice
        if key in seen:
            got = f"{printable(key)} for {printable(seen[key])} and {printable(name)}"
            raise BadDataset(f"an `id` of its own in {where}", got, "Number the images anew.", path)
        seen[key] = name
        image = reading.index.find(name, path.parent, split)
        if image is None:
            missing.append(name)
            continue
        shapes = _read_shapes(reading, by_image.get(key, []), categories, _read_size(entry, where, path), path)
        _add_image(reading, image, shapes, split)
    if unknown:
        got = f"annotations of {pluralise(len(unknown), 'other image')}, such as {printable(min(unknown))}"
        if not reading.options.allow_missing:
            hint = "Correct them, or leave them out with --allow-missing."
            raise BadDataset("`image_id` to be an id in `images`", got, hint, path)
        reading.messages.append(f"{printable(path.name)} has {got}: left out (--allow-missing).")
    reading.messages += report_missing(missing, len(seen), path, reading.options)


def _add_image(reading: _Reading, image: Path, shapes: Shapes, split: Split | None) -> None:
    """Add an image; annotations of an image that is listed under several ids are joined."""
    known = reading.images.get(image)
    if known is not None and isinstance(known.annotation, Shapes):
        if known.annotation.source != shapes.source:
            listed = f"{printable(image.name)} in {known.annotation.source.name} and {shapes.source.name}"
            hint = "Remove it from one of them, or choose a file with --masks."
            raise BadDataset("every image in one file", listed, hint, reading.root)
        joined = (*known.annotation.shapes, *shapes.shapes)
        shapes = Shapes(shapes=joined, source=shapes.source, size=shapes.size)
    reading.images[image] = FoundImage(image=image, annotation=shapes, split=split)


def _read_categories(reading: _Reading, document: Any, annotations: Sequence[Any], path: Path) -> dict[str, str]:
    """Return class names by category id, and add them to the classes of the set in the order of their ids."""
    categories: dict[str, str] = {}
    records = content.field(document, "categories", list, "the file", path, [])
    parents: set[str] = set()
    for position, record in enumerate(records):
        where = f"categories[{position}]"
        key = _key(content.field(record, "id", (int, str, float), where, path))
        categories[key] = str(content.field(record, "name", (str, int), where, path))
        parents.add(str(record.get("supercategory")))
    used = {_key(record.get("category_id")) for record in annotations if isinstance(record, dict)}
    if not records:
        categories = {key: "object" if key == "None" else f"class {key}" for key in used}
        reading.messages.append(f"{printable(path.name)} has no categories: classes are named by their numbers.")
    # Roboflow lists the project itself as category 0, the parent of the others
    for key, name in list(categories.items()):
        if key not in used and name in parents and len(categories) > 1:
            del categories[key]
    for key in sorted(categories, key=lambda key: (not key.isdecimal(), key.zfill(12))):
        if categories[key] not in reading.classes:
            reading.classes.append(categories[key])
    return categories


def _read_size(entry: Any, where: str, path: Path) -> tuple[int, int] | None:
    size = tuple(content.field(entry, key, (int, float), where, path, 0) for key in ("height", "width"))
    return (int(size[0]), int(size[1])) if min(size) > 0 else None


def _read_shapes(
    reading: _Reading,
    records: Sequence[tuple[int, Any]],
    names: dict[str, str],
    size: tuple[int, int] | None,
    path: Path,
) -> Shapes:
    """Read the annotations of one image, what is ignored first so that objects lie above it."""
    shapes: list[Shape] = []
    for position, record in records:
        where = f"annotations[{position}]"
        key = _key(record.get("category_id"))
        if key not in names:
            content.refuse("`category_id` that `categories` lists", record.get("category_id"), where, path)
        shapes += _read_annotation(reading, record, names[key], size, (where, path))
    shapes.sort(key=lambda shape: not shape.ignore)
    return Shapes(shapes=tuple(shapes), source=path, size=size)


def _read_annotation(
    reading: _Reading, record: Any, name: str, size: tuple[int, int] | None, place: tuple[str, Path]
) -> Iterator[Shape]:
    where, path = place
    ignore = bool(record.get("iscrowd") or record.get("ignore"))
    outline = record.get("segmentation")
    if isinstance(outline, dict):
        bitmap = _read_rle(outline, size, where, path)
        reading.pixels += bitmap.pixels.size
        if reading.pixels > MAX_PIXELS:
            hint = "Split the data set."
            raise BadDataset(f"at most {MAX_PIXELS:,} pixels in the masks of a set", "more", hint, path)
        if bitmap.pixels.size:
            yield Shape(class_name=name, bitmap=bitmap, ignore=ignore)
        else:
            reading.left_out["empty"] += 1
        return
    if outline is not None and not isinstance(outline, list):
        content.refuse("`segmentation` as polygons or RLE", outline, where, path)
    if not outline:
        yield from _read_box(reading, record, name, place)
        return
    nested = outline if isinstance(outline[0], list) else [outline]
    rings = [content.read_points(ring, f"{where}.segmentation", path) for ring in nested]
    rings = [ring for ring in rings if len(ring) > 2]
    if not rings:
        reading.left_out["empty"] += 1
    object_id = None if len(rings) < 2 else f"{path.name} {where}"
    for ring in rings:
        yield Shape(class_name=name, rings=(ring,), object_id=object_id, ignore=ignore)


def _read_box(reading: _Reading, record: Any, name: str, place: tuple[str, Path]) -> Iterator[Shape]:
    box = record.get("bbox")
    if not box:
        reading.left_out["empty"] += 1
        return
    corners = content.read_points(box, f"{place[0]}.bbox", place[1])
    if corners.shape != (2, 2):
        content.refuse("`bbox` of four numbers", box, *place)
    (left, top), (width, height) = corners
    reading.left_out["box"] += 1
    ring = np.array([(left, top), (left + width, top), (left + width, top + height), (left, top + height)])
    yield Shape(class_name=name, rings=(ring,), ignore=True)


def _read_rle(record: Any, size: tuple[int, int] | None, where: str, path: Path) -> Bitmap:
    where = f"{where}.segmentation"
    stated = content.field(record, "size", list, where, path)
    if len(stated) != 2 or not all(isinstance(side, int) and side >= 0 for side in stated):
        content.refuse("`size` as height and width", stated, where, path)
    height, width = stated
    if size is not None and (height, width) != size:
        got = f"{height} × {width}"
        hint = "RLE sizes are [height, width]; export the annotation again."
        raise BadDataset(f"run lengths of the size of the image, {size[0]} × {size[1]}, in {where}", got, hint, path)
    return decode_rle(content.field(record, "counts", (list, str), where, path), (height, width), where, path)


def _describe_left_out(left_out: Counter[str]) -> Iterator[str]:
    if left_out["box"]:
        boxes = pluralise(left_out["box"], "annotation has", "annotations have")
        yield f"{boxes} a box but no outline: the boxes are excluded from loss and scores."
    if left_out["empty"]:
        yield f"{pluralise(left_out['empty'], 'annotation')} without an area: left out."


def _key(identifier: object) -> str:
    """Return an id as text: programs write 1, 1.0 and "1"."""
    return str(int(identifier)) if isinstance(identifier, float) and identifier.is_integer() else str(identifier)


def _new_document(classes: Sequence[str], objects: bool | None) -> dict[str, Any]:
    info: dict[str, Any] = {"description": "Written by pixelwise"}
    if objects is not None:
        info["objects"] = objects  # False: one annotation per class and image
    categories = [{"id": number, "name": name, "supercategory": ""} for number, name in enumerate(classes, start=1)]
    return {"info": info, "licenses": [], "images": [], "annotations": [], "categories": categories}


def _to_annotation(
    member: OutputObject, size: tuple[int, int], classes: Sequence[str], polygons: bool
) -> dict[str, Any] | None:
    region = member.region
    if not region.pixels.any():
        return None
    name = member.class_name if member.class_name in classes else classes[0]
    height, width = region.pixels.shape
    rings = trace(region.pixels) if polygons and not member.ignore else ()
    if rings and all(signed_area(ring) > 0 for ring in rings):
        outline: Any = [(ring + np.array([region.column, region.row])).ravel().tolist() for ring in rings]
    else:
        outline = {"size": list(size), "counts": encode_rle(region, size)}
    return {
        "category_id": classes.index(name) + 1,
        "segmentation": outline,
        "area": int(region.pixels.sum()),
        "bbox": [region.column, region.row, width, height],
        "iscrowd": int(member.ignore),
    }
