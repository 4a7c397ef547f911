"""nnU-Net and Medical Decathlon folders: imagesTr, labelsTr, imagesTs, labelsTs and dataset.json.

Layout of nnU-Net v2 (documentation/dataset_format.md of MIC-DKFZ/nnUNet): images are ``{CASE}_{XXXX}.{END}`` with a
four-digit channel number, labels ``{CASE}.{END}``. The older form of dataset.json (v1, and the Medical Decathlon) has
``modality`` and labels as value -> name; its images may lack the channel number.
"""

import json
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pixelwise.datasets.annotations import AnnotatedImage, AnnotatedSet, MaskFile, NamedRegion
from pixelwise.datasets.layouts.image_folders import find_base, images_in, list_names
from pixelwise.datasets.options import DataOptions
from pixelwise.datasets.records import Split
from pixelwise.errors import BadDataset
from pixelwise.io.volumes.names import stem_of
from pixelwise.text import list_first, pluralise

NAME = "nnU-Net"
MAX_BYTES = 16 << 20  # of dataset.json
_CHANNEL = re.compile(r"^(.+)_(\d{4})$")
_FOLDERS: tuple[tuple[Split, str, str], ...] = (
    ("train", "imagesTr", "labelsTr"),
    ("val", "imagesVa", "labelsVa"),  # AMOS
    ("val", "imagesVal", "labelsVal"),
    ("test", "imagesTs", "labelsTs"),
)


@dataclass(frozen=True, kw_only=True)
class _Description:
    """What dataset.json states: classes with their values, ignore value, names of the channels, regions."""

    classes: dict[str, int]
    ignore_value: int | None
    channels: tuple[str, ...]
    regions: tuple[NamedRegion, ...] = ()


def recognise(root: Path) -> bool:
    """Return whether a folder, or the only such folder in it, has imagesTr, labelsTr and channel numbers or a json."""
    return find_base(root, _has_format) is not None


def read(root: Path, options: DataOptions) -> AnnotatedSet:
    """Read an nnU-Net folder.

    Raises
    ------
    BadDataset
        dataset.json is malformed; an image lacks a channel file.
    """
    base = find_base(root, _has_format) or root
    path = base / "dataset.json"
    description = _describe(path)
    images: list[AnnotatedImage] = []
    messages: list[str] = []
    numbered = not _has_whole_names(base)
    for split, image_folder, label_folder in _FOLDERS:
        labels = {stem_of(label): label for label in images_in(base / label_folder)}
        cases = _cases(base / image_folder, numbered=numbered)
        if split == "val" and cases and not labels:
            count = pluralise(len(cases), "image")
            messages.append(f"{image_folder} has {count} without labels: ignored (use predict on them).")
            continue
        for name, files in cases.items():
            channel_files = _channel_files(name, files, description, path)
            images.append(
                AnnotatedImage(
                    name=name if split == "train" else f"{split}/{name}",
                    image=channel_files[0],
                    channel_files=channel_files if len(channel_files) > 1 else (),
                    annotation=MaskFile(path=labels[name]) if name in labels else None,
                    split=split,
                )
            )
        orphans = [label for stem, label in labels.items() if stem not in cases]
        if orphans:
            count = pluralise(len(orphans), "label file has", "label files have")
            messages.append(
                f"{count} no image in {image_folder} and {'is' if len(orphans) == 1 else 'are'} left out: "
                f"{list_names(orphans)}."
            )
    if not images:
        raise BadDataset("images or volumes in imagesTr", "none", "Check that the folder was unpacked.", base)
    if len(description.channels) > 1 and any(image.channel_files for image in images):
        messages.append(f"Each image has a file per channel: {', '.join(description.channels)} (dataset.json).")
    return AnnotatedSet(
        format=NAME,
        images=tuple(images),
        classes=tuple(description.classes),
        values=tuple(description.classes.values()),
        ignore_value=description.ignore_value,
        instances=False,
        regions=description.regions,
        messages=tuple(messages),
    )


def _has_format(folder: Path) -> bool:
    if not (folder / "imagesTr").is_dir() or not (folder / "labelsTr").is_dir():
        return False
    return (folder / "dataset.json").is_file() or any(
        _CHANNEL.match(stem_of(path)) for path in images_in(folder / "imagesTr")
    )


def _describe(path: Path) -> _Description:
    """Read dataset.json; without it, classes are those of the masks."""
    if not path.is_file():
        return _Description(classes={}, ignore_value=None, channels=())
    content = _load(path)
    labels: Any = content.get("labels", {})
    if not isinstance(labels, dict):
        raise BadDataset("labels as names and values", type(labels).__name__, "Correct dataset.json.", path)
    values: dict[str, int] = {}
    channels: Any = content.get("channel_names", content.get("modality", {}))
    names = tuple(map(str, cast(dict[str, Any], channels).values())) if isinstance(channels, dict) else ()
    if "regions_class_order" in content:
        return _describe_regions(path, cast(dict[str, Any], labels), content["regions_class_order"], names)
    for key, value in cast(dict[str, Any], labels).items():
        if isinstance(value, list):
            hint = "Add regions_class_order: the value that is written for each region, in their order."
            raise BadDataset("regions_class_order", f"the region {key} of several values without it", hint, path)
        name, number = (str(value), key) if key.isdecimal() and not str(value).isdecimal() else (key, value)
        if not str(number).isdecimal():
            raise BadDataset("a whole number per class", f"{name}: {number}", "Correct dataset.json.", path)
        values[name] = int(number)
    ignore = next((value for name, value in values.items() if name.casefold() == "ignore"), None)
    classes = {name: value for name, value in values.items() if value not in (0, ignore)}
    return _Description(classes=classes, ignore_value=ignore, channels=names)


def _describe_regions(path: Path, labels: dict[str, Any], order: Any, channels: tuple[str, ...]) -> _Description:
    """Return the regions, and a class for each of their values: named like a region of this value alone, or by it."""
    hint = "Correct dataset.json: labels as NAME: VALUE or [VALUES], regions_class_order as [VALUES]."
    sets = {name: [value] if isinstance(value, int) else value for name, value in labels.items()}
    lists = [*sets.values(), order]
    if not all(isinstance(one, list) and one and all(_is_number(value) for value in one) for one in lists):
        raise BadDataset("regions as lists of whole numbers", "something else", hint, path)
    ignore = next((values[0] for name, values in sets.items() if name.casefold() == "ignore"), None)
    stated = {name: values for name, values in sets.items() if values not in ([0], [ignore])}
    if len(order) != len(stated):
        got = f"{len(order)} for {len(stated)} regions"
        raise BadDataset("a value in regions_class_order for each region", got, hint, path)
    regions = tuple(
        NamedRegion(name, tuple(dict.fromkeys(values)), written)
        for (name, values), written in zip(stated.items(), order, strict=True)
    )
    alone = {region.values[0]: region.name for region in regions if len(region.values) == 1}
    values = sorted({value for region in regions for value in region.values})
    classes = {alone.get(value, f"class_{value}"): value for value in values}
    return _Description(classes=classes, ignore_value=ignore, channels=channels, regions=regions)


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _load(path: Path) -> dict[str, Any]:
    hint = "Correct dataset.json, or use --format folders."
    try:
        if path.stat().st_size > MAX_BYTES:
            raise BadDataset(f"at most {MAX_BYTES >> 20} MB", "a larger file", hint, path)
        content: Any = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise BadDataset("a JSON file", str(error), hint, path) from error
    if not isinstance(content, dict):
        raise BadDataset("a JSON object", type(content).__name__, hint, path)
    return cast(dict[str, Any], content)


def _has_whole_names(base: Path) -> bool:
    """Return whether labels have the whole names of images: what ends in four digits is then a case, not a channel."""
    for _, images, labels in _FOLDERS:
        names = {stem_of(path) for path in images_in(base / images)}
        if any(_CHANNEL.match(stem) and stem in names for stem in map(stem_of, images_in(base / labels))):
            return True
    return False


def _cases(folder: Path, *, numbered: bool) -> dict[str, dict[int, Path]]:
    """Return the files of each image by channel number; without numbers, each file is an image."""
    cases: dict[str, dict[int, Path]] = defaultdict(dict)
    for path in images_in(folder):
        stem = stem_of(path)
        match = _CHANNEL.match(stem)
        name, channel = (match[1], int(match[2])) if match and numbered else (stem, 0)
        if channel in cases[name]:
            text = f"{cases[name][channel].name} and {path.name}"
            raise BadDataset(f"one file of channel {channel} for image {name}", text, "Remove one of them.", folder)
        cases[name][channel] = path
    return dict(cases)


def _channel_files(name: str, files: dict[int, Path], description: _Description, path: Path) -> tuple[Path, ...]:
    """Return the channel files in order, checked against dataset.json; one file may contain all channels."""
    expected = max(len(description.channels), max(files) + 1)
    if len(files) == 1 and 0 in files:
        expected = 1
    missing = [f"_{number:04}" for number in range(expected) if number not in files]
    if missing or len(files) > expected:
        got = f"no file {list_first(missing)} for image {name}" if missing else f"{len(files)} files for image {name}"
        raise BadDataset(f"{pluralise(expected, 'channel file')} per image", got, "Add it, or remove the image.", path)
    return tuple(files[number] for number in sorted(files))
