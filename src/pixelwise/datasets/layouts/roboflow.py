"""Roboflow semantic masks: ``a.jpg`` with ``a_mask.png``, and a table of pixel values in ``_classes.csv``.

The COCO and YOLO exports of Roboflow are read as such.
"""

import csv
import re
from pathlib import Path

from pixelwise.datasets.annotations import AnnotatedSet, MaskFile
from pixelwise.datasets.formats.image_index import FoundImage, name_images, split_of
from pixelwise.datasets.options import DataOptions
from pixelwise.datasets.shapes.rasterise import is_background
from pixelwise.errors import BadDataset, printable
from pixelwise.io.read import SUFFIXES
from pixelwise.text import pluralise

NAME = "Roboflow masks"
_TABLE, _MASK = "_classes.csv", "_mask.png"
_HASH = re.compile(r"\.rf\.[0-9A-Za-z]{8,}$")


def recognise(root: Path) -> bool:
    """Return whether a folder or one of its subfolders has a table of pixel values."""
    return any(_read_table(path) for path in _tables(root)[:3])


def read(root: Path, options: DataOptions) -> AnnotatedSet:
    """Read the masks of a Roboflow export. Raises `BadDataset` if tables differ."""
    tables = {path: _read_table(path) for path in _tables(root)}
    classes = next(iter(tables.values()), {})
    for path, other in tables.items():
        if other != classes:
            raise BadDataset("the same classes in all splits", "another table", "Make the tables equal.", path)
    found: list[FoundImage] = []
    without: list[Path] = []
    for folder in [path.parent for path in tables]:
        by_name = _masks_by_name(folder)
        for image in sorted(folder.iterdir()):
            if image.name.endswith(_MASK) or not image.name.casefold().endswith(SUFFIXES):
                continue
            mask = image.with_name(f"{image.stem}{_MASK}")
            mask = mask if mask.is_file() else by_name.get(_HASH.sub("", image.stem), mask)
            if mask.is_file():
                split = split_of(image.relative_to(root).parts[:-1])
                found.append(FoundImage(image=image, annotation=MaskFile(path=mask), split=split))
            else:
                without.append(image)
    if without and (not options.allow_missing or not found):
        hint = "Add it, or leave such images out with --allow-missing."
        raise BadDataset(f"a file ...{_MASK} for every image", f"none for {without[0].name}", hint, root)
    left_out = (f"{pluralise(len(without), 'image')} without a mask: left out (--allow-missing).",) if without else ()
    named = {value: name for value, name in classes.items() if not (value == 0 or is_background(name))}
    return AnnotatedSet(
        format=NAME,
        images=name_images(root, found),
        classes=tuple(named.values()),
        values=tuple(named),
        instances=False,
        messages=left_out,
    )


def _masks_by_name(folder: Path) -> dict[str, Path]:
    """Return the masks by the names of their images without hashes, of which exports of two times have different ones.

    Names of several masks, which are augmented copies of one image, are left out.
    """
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.glob(f"*{_MASK}")):
        found.setdefault(_HASH.sub("", path.name.removesuffix(_MASK)), []).append(path)
    return {name: paths[0] for name, paths in found.items() if len(paths) == 1}


def _tables(root: Path) -> list[Path]:
    return [path for path in (root / _TABLE, *sorted(root.glob(f"*/{_TABLE}"))) if path.is_file()]


def _read_table(path: Path) -> dict[int, str]:
    """Return class names by pixel value; empty if it is a table of other things."""
    try:
        if path.stat().st_size > 1 << 20:
            return {}
        rows = list(csv.reader(path.read_text("utf-8-sig", "replace").splitlines(), skipinitialspace=True))
    except (OSError, csv.Error):
        return {}
    if not rows or [cell.strip().casefold() for cell in rows[0]] != ["pixel value", "class"]:
        return {}
    classes: dict[int, str] = {}
    for number, row in enumerate(rows[1:], start=2):
        if not row:
            continue
        if len(row) != 2 or not row[0].strip().isdecimal():
            got = printable(",".join(row))[:60]
            raise BadDataset(f"a pixel value and a class in line {number}", got, "Correct the line.", path)
        classes[int(row[0])] = row[1].strip()
    return classes
