"""From a set that a reader found to what the scan needs: pairs, class table, options."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from pixelwise.datasets.annotations import AnnotatedImage, AnnotatedSet, ClassMasks, ObjectMasks, Shapes
from pixelwise.datasets.folder_layout import FolderLayout, Pair
from pixelwise.datasets.masks.class_table import ClassTable, Entry, read_class_table
from pixelwise.datasets.masks.values import name_of
from pixelwise.datasets.naming.folder_names import natural_key
from pixelwise.datasets.options import DataOptions
from pixelwise.datasets.problem_report import files_of
from pixelwise.datasets.problems import Problem
from pixelwise.datasets.records import Task
from pixelwise.datasets.scan import ImageScan, ScanOptions
from pixelwise.errors import printable
from pixelwise.text import pluralise

SPLITS = ("train", "val", "test")


class PreparedSet(NamedTuple):
    """A set as the scan reads it."""

    layout: FolderLayout
    class_table: ClassTable
    options: DataOptions
    reading: ScanOptions


def prepare(root: Path, annotated: AnnotatedSet, options: DataOptions) -> PreparedSet:
    """Prepare the scan of a set.

    Parameters
    ----------
    options : DataOptions
        The task and the ignore index are those of the format, unless the user sets them. `allow_missing` leaves out
        images without an annotation; those of a test split without any annotation are always left out.
    """
    messages = [f"The format is {annotated.format} (--format folders reads plain folders).", *annotated.messages]
    problems: list[Problem] = []
    pairs = _pairs(root, annotated, options, messages, problems)
    drawn = any(isinstance(pair.annotation, ObjectMasks | ClassMasks | Shapes) for pair in pairs)
    if options.task == "auto" and (task := _task(annotated, pairs)) is not None:
        options = replace(options, task=task)
        messages.append(f"Task {task} ({annotated.format}; --task).")
        if task == "instance" and len(annotated.classes) > 1:
            names = ", ".join(printable(name) for name in annotated.classes[:4])
            names += ", ..." if len(annotated.classes) > 4 else ""
            count = len(annotated.classes)
            messages.append(f"Objects of {count} classes ({names}) count as one; --task multiclass learns the classes.")
    ignore = options.ignore_index if options.ignore_index is not None else annotated.ignore_value
    if ignore != options.ignore_index:
        options = replace(options, ignore_index=ignore)
        shown = "" if ignore is None else name_of(ignore, bool(annotated.colours))
        messages.append(f"Pixels of value {shown} are ignored ({annotated.format}; --ignore-index).")
    layout = FolderLayout(pairs=tuple(pairs), messages=tuple(messages), problems=tuple(problems))
    classes = annotated.classes if drawn else ()
    reading = ScanOptions(pages=options.pages, classes=classes, objects=options.task == "instance")
    table = _class_table(annotated) if annotated.classes else read_class_table(root)
    return PreparedSet(layout, table, options, reading)


def restrict(table: ClassTable, annotated: AnnotatedSet | None, items: Sequence[tuple[Pair, ImageScan]]) -> ClassTable:
    """Return the class table without classes that are there by rule alone and occur in no mask.

    These are the classes of a fixed list, and the background of a format that does not name it: if every pixel is of a
    named class, there is none.
    """
    if annotated is None or not annotated.classes:
        return table
    present = {value for _, scan in items if scan.mask is not None for value in scan.mask.values}
    if annotated.fixed_classes:
        return replace(table, entries=tuple(entry for entry in table.entries if entry.value in present))
    added = len(table.entries) > len(annotated.classes) > 1
    if not added or annotated.instances or 0 in present or not present:
        return table
    source = f"{table.source}; every pixel is of one of them: no background"
    return replace(table, entries=table.entries[1:], source=source)


def _pairs(
    root: Path, annotated: AnnotatedSet, options: DataOptions, messages: list[str], problems: list[Problem]
) -> list[Pair]:
    """Return the annotated images, sorted; report the others."""
    missing = [image for image in annotated.images if image.annotation is None]
    annotated_test = any(image.split == "test" and image.annotation is not None for image in annotated.images)
    for_prediction = [image for image in missing if image.split == "test" and not annotated_test]
    missing = [image for image in missing if image not in for_prediction]
    empty: list[AnnotatedImage] = []
    if options.missing_empty and missing:
        empty = [replace(image, annotation=ObjectMasks(paths=())) for image in missing]
        count = pluralise(len(empty), "image has", "images have")
        messages.append(f"{count} no mask: nothing is marked in them (--missing-empty).")
        missing = []
    if for_prediction:
        count = pluralise(len(for_prediction), "image")
        messages.append(f"test has {count} without masks: ignored (use predict on them).")
    if missing and options.allow_missing:
        messages.append(f"Ignored: {pluralise(len(missing), 'image')} without annotation.")
    elif missing:
        problems += [
            Problem(file=files_of(root, image.image)[0], kind="missing mask", text="no annotation") for image in missing
        ]
    images = [*(image for image in annotated.images if image.annotation is not None), *empty]
    images.sort(key=lambda image: (SPLITS.index(image.split or "train"), natural_key(image.name)))
    grouped = _divisible(images)
    return [
        Pair(
            name=image.name,
            image=image.image,
            annotation=image.annotation,
            split=image.split,
            channel_files=image.channel_files,
            group=image.group if grouped else "",
        )
        for image in images
        if image.annotation is not None
    ]


def _divisible(images: Sequence[AnnotatedImage]) -> bool:
    """Return whether the training images have several groups, so that groups can be kept in one split."""
    return len({image.group for image in images if image.split in (None, "train") and image.group}) > 1


def _task(annotated: AnnotatedSet, pairs: Sequence[Pair]) -> Task | None:
    """Return the task of a format; None if the values of the masks decide."""
    if annotated.instances is not None:
        return "instance" if annotated.instances else None
    shapes = any(isinstance(pair.annotation, ObjectMasks | Shapes) for pair in pairs)
    return "instance" if shapes and len(annotated.classes) <= 1 else None


def _class_table(annotated: AnnotatedSet) -> ClassTable:
    """Return the classes of a format as a class table."""
    colours = annotated.colours or (None,) * len(annotated.classes)
    values: Sequence[int] = annotated.values or range(1, len(annotated.classes) + 1)
    rows = zip(annotated.classes, values, colours, strict=True)
    entries = [Entry(name=name, value=value, colour=colour) for name, value, colour in rows]
    if entries and all(entry.value != 0 for entry in entries):
        entries.insert(0, Entry(name="background", value=0, colour=(0, 0, 0) if annotated.colours else None))
    return ClassTable(entries=tuple(entries), source=annotated.format)
