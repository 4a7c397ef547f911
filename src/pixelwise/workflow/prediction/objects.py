"""Predicted objects as files for other programs: QuPath, ImageJ, COCO, maps, and tables in physical units.

Where a model predicts classes, each connected component of a class is an object.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Integer
from scipy import ndimage

from pixelwise.atomic_write import atomic_write_bytes, atomic_write_json
from pixelwise.csv_table import atomic_write_csv
from pixelwise.datasets.annotations import Bitmap
from pixelwise.datasets.formats.imagej_roi import roi_library
from pixelwise.datasets.formats.run_lengths.coco_rle import encode_rle
from pixelwise.datasets.writers.geopackage import geopackage_bytes
from pixelwise.datasets.writers.imagej_roi import roi_zip_bytes
from pixelwise.datasets.writers.map_polygons import AREA_COLUMNS, area_rows, outline_objects
from pixelwise.datasets.writers.object_table import COLUMNS, Cells, object_rows
from pixelwise.datasets.writers.objects import number_objects
from pixelwise.datasets.writers.qupath import geojson_bytes
from pixelwise.errors import BadOption, nearest
from pixelwise.io.read import Image
from pixelwise.model_file.model_card import ModelCard

FORMATS = ("geojson", "imagej", "coco", "csv", "polygons", "geopackage")


@dataclass(frozen=True, kw_only=True, eq=False)
class SavedObjects:
    """The objects of one image: files written, rows of the tables, annotations of COCO, and messages."""

    image: str
    size: tuple[int, int]
    files: tuple[Path, ...]
    rows: Sequence[Cells]
    annotations: Sequence[dict[str, Any]]
    areas: Sequence[Cells] = ()
    messages: tuple[str, ...] = ()


def check_formats(formats: Sequence[str]) -> None:
    """Check that the formats are known, and their libraries installed.

    Raises
    ------
    BadOption
        Otherwise.
    """
    for name in formats:
        if name not in FORMATS:
            raise BadOption("formats for --save", f"`{name}`", nearest(name, FORMATS))
    if "imagej" in formats:
        roi_library()


def save_objects(
    folder: Path,
    name: str,
    image_name: str,
    image: Image,
    labels: Integer[np.ndarray, "height width"],
    model_card: ModelCard,
    formats: Sequence[str],
) -> SavedObjects:
    """Write a file per format, such as ``NAME.geojson`` and ``NAME.gpkg``, and measure what all images need."""
    objects, class_index = number_objects(labels.astype(np.int32), model_card.task, model_card.classes)
    classes = [model_card.classes[index] for index in class_index.tolist()]
    files: list[Path] = []
    if "geojson" in formats:
        colours = dict(zip(model_card.classes, model_card.colours, strict=False))
        detected = model_card.task == "instance"
        files.append(folder / f"{name}.geojson")
        atomic_write_bytes(files[-1], geojson_bytes(objects, classes, colours, image_name, objects=detected))
    if "imagej" in formats:
        files.append(folder / f"{name}_rois.zip")
        atomic_write_bytes(files[-1], roi_zip_bytes(objects, classes, class_index.tolist()))
    areas, messages = list[Cells](), tuple[str, ...]()
    if "polygons" in formats:
        found = outline_objects(objects, classes, georeference=image.georeference, spacing=image.spacing)
        files.append(folder / f"{name}.polygons.geojson")
        atomic_write_bytes(files[-1], found.content)
        areas, messages = area_rows(found.areas, model_card.classes[model_card.first_class :]), found.messages
    if "geopackage" in formats:
        content, reason = geopackage_bytes(objects, classes, image.georeference)
        messages = (*messages, *reason)
        if content is not None:
            files.append(folder / f"{name}.gpkg")
            atomic_write_bytes(files[-1], content)
    return SavedObjects(
        areas=areas,
        messages=messages,
        image=image_name,
        size=(labels.shape[0], labels.shape[1]),
        files=tuple(files),
        rows=object_rows(objects, image.pixels, image.spacing, classes) if "csv" in formats else (),
        annotations=_annotations(objects, class_index) if "coco" in formats else (),
    )


def write_summaries(
    folder: Path, saved: Sequence[SavedObjects], model_card: ModelCard, formats: Sequence[str]
) -> list[Path]:
    """Write ``measurements.csv``, ``areas.csv`` and ``coco.json``, the files about all images; return their paths."""
    files: list[Path] = []
    if "polygons" in formats:
        files.append(folder / "areas.csv")
        sums = ([image.image, *row] for image in saved for row in image.areas)
        atomic_write_csv(files[-1], ("image", *AREA_COLUMNS), sums)
    if "csv" in formats:
        files.append(folder / "measurements.csv")
        rows = ([image.image, *row] for image in saved for row in image.rows)
        atomic_write_csv(files[-1], ("image", *COLUMNS), rows)
    if "coco" in formats:
        files.append(folder / "coco.json")
        atomic_write_json(files[-1], _coco_document(saved, model_card))
    return files


def _annotations(objects: np.ndarray, class_index: np.ndarray) -> list[dict[str, Any]]:
    """Return an annotation per object, without its numbers in the file."""
    height, width = objects.shape
    annotations: list[dict[str, Any]] = []
    for number, box in enumerate(ndimage.find_objects(objects), 1):
        if box is None:
            continue
        pixels = objects[box] == number
        region = Bitmap(row=box[0].start, column=box[1].start, pixels=pixels)
        annotations.append(
            {
                "category_id": int(class_index[number]),
                "segmentation": {"size": [height, width], "counts": encode_rle(region, (height, width))},
                "area": int(pixels.sum()),
                "bbox": [box[1].start, box[0].start, pixels.shape[1], pixels.shape[0]],
                "iscrowd": 0,
            }
        )
    return annotations


def _coco_document(saved: Sequence[SavedObjects], model_card: ModelCard) -> dict[str, Any]:
    first = model_card.first_class
    categories = [
        {"id": index, "name": name, "supercategory": ""}
        for index, name in enumerate(model_card.classes)
        if index >= first
    ]
    images = [
        {"id": number, "file_name": image.image, "height": image.size[0], "width": image.size[1]}
        for number, image in enumerate(saved, 1)
    ]
    numbered = [(number, entry) for number, image in enumerate(saved, 1) for entry in image.annotations]
    annotations = [{"id": i, "image_id": number, **entry} for i, (number, entry) in enumerate(numbered, 1)]
    return {"info": {}, "licenses": [], "images": images, "annotations": annotations, "categories": categories}
