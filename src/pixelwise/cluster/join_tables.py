"""Tables about all images, joined from the parts that units contribute: the bytes that one process would write."""

import csv
import io
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from pixelwise.atomic_write import atomic_write, atomic_write_json


def join_parts(name: str, parts: Sequence[Path], path: Path) -> None:
    """Write a file about all images from its parts, in order.

    Parameters
    ----------
    name : str
        ``*.csv``: the rows follow each other; ``coco.json``: images and annotations are numbered again; others are the
        same in all parts.
    parts : sequence of Path
        At least one.
    path : Path
        Of the result.
    """
    if name.endswith(".csv"):
        atomic_write(path, lambda file: _join_csv(parts, file))
    elif name == "coco.json":
        atomic_write_json(path, _join_coco([json.loads(part.read_bytes()) for part in parts]))
    else:
        shutil.copyfile(parts[0], path)


def _join_csv(parts: Sequence[Path], file: BinaryIO) -> None:
    """Write the header of the first part with rows, and the rows of all."""
    heads = [_head(part) for part in parts]
    chosen = next((number for number, part in enumerate(parts) if part.stat().st_size > heads[number]), 0)
    with parts[chosen].open("rb") as part:
        file.write(part.read(heads[chosen]))
    for head, path in zip(heads, parts, strict=True):
        with path.open("rb") as part:
            part.seek(head)
            shutil.copyfileobj(part, file)


def _head(path: Path) -> int:
    """Return the number of bytes of the first row of a CSV file, which may contain line breaks in quotes."""
    with path.open("rb") as file:
        text = io.TextIOWrapper(file, "utf-8", "surrogateescape", newline="")
        lines = 0
        reader = csv.reader(text)
        if next(reader, None) is not None:
            lines = reader.line_num
    with path.open("rb") as file:
        return sum(len(file.readline()) for _ in range(lines))


def _join_coco(documents: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return one COCO document with the images and annotations of all."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for document in documents:
        first = len(images)
        images += [{**image, "id": first + image["id"]} for image in document["images"]]
        for entry in document["annotations"]:
            number = len(annotations) + 1
            annotations.append({**entry, "id": number, "image_id": first + entry["image_id"]})
    return {**documents[0], "images": images, "annotations": annotations}
