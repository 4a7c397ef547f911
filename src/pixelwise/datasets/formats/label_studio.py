"""Label Studio: the exports JSON, a list of tasks with annotations and their results, and JSON-MIN.

Polygons, rectangles and ellipses are in percent of the image; brush strokes are the run lengths of Label Studio
(`label-studio-sdk`, `converter/brush.py`). Of several annotations of a task the ground truth is taken, else the first.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr, unescape

import numpy as np

from pixelwise.atomic_write import atomic_write_json, atomic_write_text, new_folder
from pixelwise.datasets.annotations import AnnotatedSet, Shape, Shapes
from pixelwise.datasets.formats import json_content as content
from pixelwise.datasets.formats.image_index import (
    FoundImage,
    ImageIndex,
    Reading,
    name_images,
    report_missing,
    split_of,
)
from pixelwise.datasets.formats.objects import are_objects
from pixelwise.datasets.formats.output_folder import OutputObject, describe_ignored, objects_of, place_images
from pixelwise.datasets.formats.run_lengths.brush_rle import decode_brush, encode_brush
from pixelwise.datasets.naming.folder_names import natural_key
from pixelwise.datasets.options import DataOptions
from pixelwise.datasets.shapes.rasterise import is_background
from pixelwise.datasets.shapes.round_shapes import ellipse, rotate
from pixelwise.errors import BadDataset
from pixelwise.io.headers import MAX_PIXELS
from pixelwise.text import pluralise

NAME = "Label Studio"
_CONFIGURATION = "label_config.xml"
_UPLOAD = re.compile(r"^[0-9a-f]{8}-")
_SUFFIX = "labels"  # of result types: polygonlabels, brushlabels, ...
_KINDS = ("polygon", "rectangle", "ellipse", "brush")


@dataclass
class _Reading(Reading):
    pixels: int = 0
    objects: set[bool] = field(default_factory=set[bool])  # what `write` states about its masks


def recognise(root: Path) -> bool:
    """Return whether a folder contains a JSON export of Label Studio."""
    return any(_is_export(path) for path in content.find_files(root, ".json", some=20))


def read(root: Path, options: DataOptions) -> AnnotatedSet:
    """Read the JSON exports of Label Studio in a folder. Raises `BadDataset` if an image was rotated in the program."""
    reading = _Reading(root, ImageIndex(root))
    found: dict[Path, FoundImage] = {}
    messages: list[str] = []
    for path in [path for path in content.find_files(root, ".json") if _is_export(path)]:
        tasks = content.read_json(path)
        missing: list[str] = []
        for position, task in enumerate(tasks):
            where, task = f"task {position + 1}", _full(task)
            name = _image_name(task, where, path)
            image = _find_image(reading, name, path)
            if image is None:
                missing.append(name)
                continue
            if image in found:
                hint = "Remove one of the tasks, or one of the exports."
                raise BadDataset("one task per image", f"a second one for {image.name} in {where}", hint, path)
            stated = content.field(task, "meta", dict, where, path, {}).get("objects")
            reading.objects |= {stated} if isinstance(stated, bool) else set()
            annotation = _read_task(reading, task, where, path)
            split = split_of(image.relative_to(root).parts[:-1])
            found[image] = FoundImage(image=image, annotation=annotation, split=split)
        messages += report_missing(missing, len(tasks), path, options)
    messages += _describe(reading, found)
    shapes = [entry.annotation.shapes for entry in found.values() if isinstance(entry.annotation, Shapes)]
    labels = sorted((label for label in reading.labels if label and not is_background(label)), key=natural_key)
    return AnnotatedSet(
        format=NAME,
        images=name_images(root, list(found.values())),
        classes=options.classes or tuple(dict.fromkeys([*_configured(root), *labels])),
        instances=reading.objects.pop() if len(reading.objects) == 1 else are_objects(shapes),
        messages=tuple(messages),
    )


def write(dataset: AnnotatedSet, out: Path) -> tuple[str, ...]:
    """Write a data set as a new folder of images, tasks with brush strokes, and the labelling configuration.

    Parameters and result are those of `coco.write`: what Label Studio cannot express.
    """
    classes = dataset.classes or ("object",)
    messages: list[str] = []
    tasks: list[dict[str, Any]] = []
    ignored = 0
    with new_folder(out) as folder:
        placed = place_images(dataset, folder, lambda split: f"images/{split}" if split else "images", messages)
        for number, (image, path) in enumerate(placed, 1):
            size, objects = objects_of(image, dataset)
            results = [
                _to_result(f"{number}_{index}", member, size, classes)
                for index, member in enumerate(member for member in objects if not member.ignore)
            ]
            ignored += sum(member.ignore for member in objects)
            tasks.append(
                {
                    "id": number,
                    "data": {"image": path.relative_to(folder).as_posix()},
                    "meta": {} if dataset.instances is None else {"objects": dataset.instances},
                    "annotations": [{"id": number, "was_cancelled": False, "ground_truth": False, "result": results}],
                }
            )
        atomic_write_json(folder / "tasks.json", tasks)
        labels = "".join(f"<Label value={quoteattr(name)}/>" for name in classes)
        brush = f'<BrushLabels name="tag" toName="image">{labels}</BrushLabels>'
        view = f'<View><Image name="image" value="$image"/>{brush}</View>\n'
        atomic_write_text(folder / _CONFIGURATION, view)
    return (*messages, *((describe_ignored(ignored),) if ignored else ()))


def _to_result(number: str, member: OutputObject, size: tuple[int, int], classes: Sequence[str]) -> dict[str, Any]:
    name = member.class_name if member.class_name in classes else classes[0]
    return {
        "id": number,
        "type": "brushlabels",
        "from_name": "tag",
        "to_name": "image",
        "original_width": size[1],
        "original_height": size[0],
        "image_rotation": 0,
        "value": {"format": "rle", "rle": encode_brush(member.region, size), "brushlabels": [name]},
    }


def _configured(root: Path) -> list[str]:
    """Return the class names in the order of the labelling configuration; none without it."""
    path = root / _CONFIGURATION
    if not path.is_file() or path.stat().st_size > 1 << 20:
        return []
    names = re.findall(r"<Label\s+value=(\"[^\"]*\"|'[^']*')", path.read_text("utf-8-sig", "replace"))
    found = [unescape(name[1:-1], {"&quot;": '"', "&apos;": "'"}) for name in names]
    return [name for name in found if name and not is_background(name)]


def _is_export(path: Path) -> bool:
    text = content.read_ends(path)
    if not text.startswith("["):
        return False
    minimal = '"annotation_id"' in text and '"original_width"' in text
    return minimal or ('"annotations"' in text and '"result"' in text and '"data"' in text)


def _full(task: Any) -> Any:
    """Return a task of JSON-MIN as one of JSON: its lists of values under the names of the controls are the results."""
    if not isinstance(task, dict) or "annotations" in task or "annotation_id" not in task:
        return task
    members = [
        member for values in task.values() if isinstance(values, list) for member in values if isinstance(member, dict)
    ]
    results = [
        {
            "type": next((key for key in member if key.endswith(_SUFFIX)), ""),
            "value": member,
            **{key: member[key] for key in ("original_width", "original_height", "image_rotation") if key in member},
        }
        for member in members
    ]
    return {"data": task, "annotations": [{"result": results}]}


def _image_name(task: Any, where: str, path: Path) -> str:
    """Return the path or URL of the image of a task, its first text that ends like an image."""
    data = content.field(task, "data", dict, where, path)
    texts = [value for value in data.values() if isinstance(value, str)]
    chosen = next((text for text in texts if re.search(r"\.\w{2,5}($|\?)", text)), None)
    if chosen is None:
        content.refuse("an image in `data`", data, where, path)
    return chosen


def _find_image(reading: _Reading, name: str, path: Path) -> Path | None:
    """Find an image by its URL: uploads carry eight hexadecimal digits before their name."""
    plain = _unquote(name.split("?d=")[-1].split("?")[0])
    image = reading.index.find(plain, path.parent)
    if image is None:
        folder, _, last = plain.rpartition("/")
        image = reading.index.find(f"{folder}/{_UPLOAD.sub('', last)}", path.parent)
    return image


def _unquote(text: str) -> str:
    """Replace %20 and the like."""
    raw = re.sub(rb"%([0-9a-fA-F]{2})", lambda match: bytes([int(match[1], 16)]), text.encode("utf-8"))
    return raw.decode("utf-8", "replace")


def _read_task(reading: _Reading, task: Any, where: str, path: Path) -> Shapes | None:
    """Return the shapes of a task; None if nobody annotated it."""
    annotations = content.field(task, "annotations", list, where, path)
    done = [record for record in annotations if isinstance(record, dict) and not record.get("was_cancelled")]
    if not done:
        return None
    if len(done) > 1:
        reading.left_out["several annotations"] += 1
    chosen = next((record for record in done if record.get("ground_truth")), done[0])
    results = content.field(chosen, "result", list, where, path)
    names = {str(record.get("id")): _label(record) for record in results if isinstance(record, dict) and _label(record)}
    sizes: set[tuple[int, int]] = set()
    shapes: list[Shape] = []
    for position, record in enumerate(results):
        place = f"{where}, result {position + 1}"
        kind = content.field(record, "type", str, place, path, "").removesuffix(_SUFFIX)
        if kind not in _KINDS or not isinstance(record.get("value"), dict):
            reading.left_out[kind] += bool(kind)  # `labels` alone names the class of another result
            continue
        size = _read_size(record, place, path)
        sizes.add(size)
        shape = _read_result(reading, record, kind, names.get(str(record.get("id")), ""), size, place, path)
        if shape is not None:
            reading.labels.add(shape.class_name)
            shapes.append(shape)
    return Shapes(shapes=tuple(shapes), source=path, size=sizes.pop() if len(sizes) == 1 else None)


def _label(record: Any) -> str:
    """Return the class of a result, under a key such as `polygonlabels`."""
    value = record.get("value")
    for key, given in value.items() if isinstance(value, dict) else ():
        if key.endswith(_SUFFIX) and isinstance(given, list) and given and isinstance(given[0], str):
            return given[0]
    return ""


def _read_size(record: Any, where: str, path: Path) -> tuple[int, int]:
    height = content.field(record, "original_height", (int, float), where, path)
    width = content.field(record, "original_width", (int, float), where, path)
    if not (0 < height * width <= MAX_PIXELS and height > 0):
        content.refuse("the size of the image", height, where, path)
    rotation = content.field(record, "image_rotation", (int, float), where, path, 0)
    if rotation % 360:
        hint = "Rotate the image back in Label Studio, and export again."
        raise BadDataset(f"an image that was not rotated in {where}", f"{rotation} degrees", hint, path)
    return int(height), int(width)


def _read_result(
    reading: _Reading, record: Any, kind: str, name: str, size: tuple[int, int], where: str, path: Path
) -> Shape | None:
    value = record["value"]
    if kind == "brush":
        reading.pixels += size[0] * size[1]
        bitmap = decode_brush(content.field(value, "rle", list, where, path), size, where, path)
        return Shape(class_name=name, bitmap=bitmap) if bitmap.pixels.any() else None
    ring = _read_ring(value, kind, np.array([size[1], size[0]], float), where, path)
    if len(ring) < 3:
        reading.left_out[f"{kind} without an area"] += 1
        return None
    return Shape(class_name=name, rings=(ring,))


def _read_ring(value: Any, kind: str, scale: np.ndarray, where: str, path: Path) -> np.ndarray:
    """Return an outline in pixels; values are in percent of the width or height."""
    if kind == "polygon":
        return content.read_points(content.field(value, "points", list, where, path), where, path) / 100 * scale
    keys = ("x", "y", "radiusX", "radiusY") if kind == "ellipse" else ("x", "y", "width", "height")
    numbers = [content.field(value, key, (int, float), where, path) for key in keys]
    first, extent = content.read_points(numbers, where, path) / 100 * scale
    degrees = float(content.field(value, "rotation", (int, float), where, path, 0))
    if kind == "ellipse":
        return ellipse(first, float(extent[0]), float(extent[1]), degrees)
    corners = first + np.array([(0, 0), (1, 0), (1, 1), (0, 1)]) * extent
    return rotate(corners, first, degrees)  # about the top left corner


def _describe(reading: _Reading, found: dict[Path, FoundImage]) -> Iterator[str]:
    several = reading.left_out.pop("several annotations", 0)
    if several:
        yield f"{pluralise(several, 'task')} with several annotations: the ground truth or the first one was used."
    for kind, count in sorted(reading.left_out.items()):
        if count:
            yield f"{pluralise(count, 'result')} of type {kind}: left out."
    unlabelled = sum(entry.annotation is None for entry in found.values())
    if unlabelled:
        yield f"{pluralise(unlabelled, 'task')} without annotation: not annotated."
