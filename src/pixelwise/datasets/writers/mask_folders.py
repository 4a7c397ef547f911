"""Write images and label files side by side: plain folders, StarDist and Cellpose."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int32, Int64, Integer

from pixelwise.atomic_write import atomic_write_json, atomic_write_text
from pixelwise.datasets.masks.class_table import parse_table
from pixelwise.datasets.writers.image_files import save_image, with_suffix, write_file
from pixelwise.datasets.writers.labelled_set import LabelledImage, LabelledSet
from pixelwise.datasets.writers.objects import class_losses, objects_of
from pixelwise.io.read import SUFFIXES, mask_bytes, write_labels
from pixelwise.labels.targets import IGNORE

IGNORED_OBJECT = 65_535  # the highest 16-bit number


@dataclass(frozen=True, kw_only=True)
class WrittenPair:
    """An image and its mask; `ignored` is the value of ignored pixels in the mask, 0 if there are none."""

    image: Path
    mask: Path
    ignored: int


def write_folders(data: LabelledSet, out: Path) -> tuple[str, ...]:
    """Write ``[split/]images`` and ``[split/]masks``, ``classes.txt`` and ``dataset.json``.

    Masks are indexed PNG with a palette for classes, and 16- or 32-bit TIFF for objects. Nothing is lost: the numbers
    of objects and classes, ignored pixels, sub-folders and given splits are kept.
    """
    ignored = max(data.map(lambda image: write_pair(data, image, out, SUFFIXES).ignored), default=0)
    write_description(data, out, ignored)
    return ()


def write_description(data: LabelledSet, out: Path, ignored: int) -> None:
    """Write ``classes.txt`` and ``dataset.json``; `ignored` is the value of ignored pixels in masks of objects."""
    description: dict[str, Any] = {"task": data.task, "channels": data.dataset.channels}
    if data.task == "instance":
        description |= {"classes": list(data.classes), "ignore_index": ignored or None}
    else:
        description |= {"ignore_index": IGNORE, "foreground_value": 1 if data.task == "binary" else None}
        table = _class_table(data)
        if _is_readable(table, data.classes):
            atomic_write_text(out / "classes.txt", table)
        else:  # such as a class called "2nd observer 1,2,3"
            description["labels"] = {name: index for index, name in enumerate(data.classes)}
    atomic_write_json(out / "dataset.json", description)


def write_stardist(data: LabelledSet, out: Path) -> tuple[str, ...]:
    """Write ``[split/]images/NAME.tif`` and ``[split/]masks/NAME.tif`` with object numbers, as StarDist trains on."""

    def write(image: LabelledImage) -> tuple[str, ...]:
        objects = objects_of(data, image)
        save_image(image, out / image.path("images"), (".tif", ".tiff"))
        write_labels(out / with_suffix(image.path("masks"), ".tif"), objects.labels, image.spacing)
        return objects.losses

    return class_losses(data) + data.describe_losses(data.map(write))


def write_cellpose(data: LabelledSet, out: Path) -> tuple[str, ...]:
    """Write ``[split/]NAME.EXT`` with ``NAME_masks.tif`` beside it, as Cellpose trains on."""

    def write(image: LabelledImage) -> tuple[str, ...]:
        objects = objects_of(data, image)
        save_image(image, out / image.path())
        write_labels(out / with_suffix(image.path(), "_masks.tif"), objects.labels, image.spacing)
        return objects.losses

    return class_losses(data) + data.describe_losses(data.map(write))


def write_pair(data: LabelledSet, image: LabelledImage, out: Path, accepted: Sequence[str]) -> WrittenPair:
    """Write an image and its mask; `accepted` are the extensions of images that may be copied."""
    written = save_image(image, out / image.path("images"), accepted)
    mask, ignored = write_label_file(data, image, out / image.path("masks"))
    return WrittenPair(image=written, mask=mask, ignored=ignored)


def write_label_file(data: LabelledSet, image: LabelledImage, mask: Path) -> tuple[Path, int]:
    """Write the labels of an image to `mask` with an extension; return the path and the value of ignored pixels."""
    labels, ignored = numbers_of(data, image)
    if data.task != "instance":
        mask = with_suffix(mask, ".png")
        write_file(mask, mask_bytes(labels, data.colours))
        return mask, ignored
    return write_labels(with_suffix(mask, ".tif"), labels, image.spacing), ignored


def numbers_of(data: LabelledSet, image: LabelledImage) -> tuple[Integer[np.ndarray, "height width"], int]:
    """Return labels without negative values, bytes for classes, and the value of ignored pixels, 0 if there is none."""
    if data.task != "instance":
        return image.labels.astype(np.uint8), IGNORE
    return number_ignored(image.labels, data.ignored)


def number_ignored(labels: Int32[np.ndarray, "*size"], ignored_value: int) -> tuple[Int64[np.ndarray, "*size"], int]:
    """Return object numbers with a number for ignored pixels, and that number; 0 if no pixel is ignored."""
    numbers, ignored = labels.astype(np.int64), labels == ignored_value
    if (taken := numbers == IGNORED_OBJECT).any():
        numbers[taken] = numbers.max() + 1
    numbers[ignored] = IGNORED_OBJECT
    return numbers, IGNORED_OBJECT if ignored.any() else 0


def _class_table(data: LabelledSet) -> str:
    """Return ``classes.txt``: index, name and colour of each class."""
    rows = zip(data.classes, data.colours, strict=True)
    lines = [f"{index} {name} {red},{green},{blue}" for index, (name, (red, green, blue)) in enumerate(rows)]
    return "\n".join(["# index name R,G,B", *lines]) + "\n"


def _is_readable(table: str, classes: tuple[str, ...]) -> bool:
    try:
        return tuple(entry.name for entry in parse_table(table)) == classes
    except ValueError:
        return False
