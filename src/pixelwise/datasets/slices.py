"""Numbered slices as volumes (``--stack``): images and masks whose names differ in their last number are one case.

``case1_z001.png``, ``case1_z002.png`` ... or ``case1/001.png``, ``case1/002.png`` ..., in the order of their numbers.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, cast

from pixelwise.datasets.annotations import MaskFile
from pixelwise.datasets.folder_layout import FolderLayout, Pair
from pixelwise.datasets.options import DataOptions, parse_voxel_size
from pixelwise.errors import BadDataset
from pixelwise.io.volumes.slices import slices_path
from pixelwise.text import pluralise

_NUMBER = re.compile(r"\d+(?=\D*$)")
_WORD = re.compile(r"(?:(?:^|[-_. ]+)(?:z|s|slice|section|plane|frame|image|img))?[-_. ]*$", re.IGNORECASE)
_MAX_BYTES = 1 << 20  # of dataset.json


class _Slice(NamedTuple):
    """A pair with its number, and the number as it is written."""

    number: int
    digits: str
    pair: Pair


def with_stacks(root: Path, layout: FolderLayout, options: DataOptions) -> FolderLayout:
    """Return a layout with a pair per volume, whose paths stand for the files of its slices, if the options say so.

    Raises
    ------
    BadDataset
        A name without a number, a volume of one slice, or numbers that are missing or twice; annotations that are no
        mask files.
    """
    if not options.stack or not layout.pairs:
        return layout
    pairs = layout.pairs
    groups: dict[tuple[str, str, str], list[_Slice]] = defaultdict(list)
    for pair in pairs:
        folder, _, name = pair.name.rpartition("/")
        match = _NUMBER.search(name)
        if match is None:
            hint = "Rename it, or leave out --stack."
            raise BadDataset("a number at the end of the name of each slice", pair.image.name, hint, pair.image)
        place = f"{folder}/" if folder else ""
        key = (pair.split or "", f"{place}{name[: match.start()]}", name[match.end() :])
        groups[key].append(_Slice(int(match[0]), match[0], pair))
    ordered = {key: sorted(group, key=lambda one: one.number) for key, group in groups.items()}
    names = _names([before + after for _, before, after in ordered])
    volumes = [_volume(root, name, group) for name, group in zip(names, ordered.values(), strict=True)]
    sizes = [len(group) for group in ordered.values()]
    many = f"{min(sizes)} to {max(sizes)}" if len(set(sizes)) > 1 else f"{sizes[0]}" if sizes else "no"
    count = pluralise(len(volumes), "volume")
    text = f"{pluralise(len(pairs), 'file')} are {count} of {many} slices, in the order of their numbers (--stack)."
    return replace(layout, pairs=tuple(volumes), messages=(*layout.messages, text))


def with_voxel_size(root: Path, options: DataOptions) -> tuple[DataOptions, tuple[str, ...]]:
    """Return the options with the size of a voxel that ``dataset.json`` states for slices, and messages.

    Raises
    ------
    BadDataset
        ``spacing`` in it is not three positive numbers.
    """
    path = root / "dataset.json"
    if not options.stack or options.voxel_size is not None or not path.is_file() or path.stat().st_size > _MAX_BYTES:
        return options, ()
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return options, ()  # reported where the classes are read
    stated: Any = cast(dict[str, Any], content).get("spacing") if isinstance(content, dict) else None
    if stated is None:
        return options, ()
    try:
        text = ",".join(str(float(side)) for side in stated)
        parse_voxel_size(text)
    except (TypeError, ValueError) as error:
        hint = "Write [depth, height, width] in millimetres."
        raise BadDataset("three positive numbers as spacing", f"{stated}", hint, path) from error
    return replace(options, voxel_size=text), (f"Voxels are {text} mm (dataset.json; --voxel-size).",)


def _volume(root: Path, name: str, slices: Sequence[_Slice]) -> Pair:
    hint = "Correct the names, or leave out --stack."
    if len(slices) < 2:
        raise BadDataset("several slices per volume", f"one of {name}", hint, slices[0].pair.image)
    for one, following in pairwise(slices):
        if following.number != one.number + 1:
            twice = following.number == one.number
            got = f"number {one.number} twice in {name}" if twice else f"no number {one.number + 1} in {name}"
            raise BadDataset("one slice of each number", got, "Add it, or move the volume out of the folder.", root)
    digits, pair = [one.digits for one in slices], slices[0].pair
    masks = [mask for one in slices if (mask := _plain_mask(one.pair)) is not None]
    image = slices_path([one.pair.image for one in slices], digits)
    stacked = slices_path(masks, digits) if len(masks) == len(slices) else None
    if image is None or stacked is None:
        expected = "images and mask files that differ in their number alone"
        raise BadDataset(expected, f"others in {name}", hint, pair.image)
    return replace(pair, name=name, image=image, annotation=MaskFile(path=stacked), group="")


def _plain_mask(pair: Pair) -> Path | None:
    """Return the mask file of a pair; None if it is not all of its annotation."""
    annotation = pair.annotation
    plain = isinstance(annotation, MaskFile) and annotation == MaskFile(path=annotation.path)
    return annotation.path if plain and isinstance(annotation, MaskFile) else None


def _names(stems: Sequence[str]) -> list[str]:
    """Return the names of volumes, without the word and the separators before the number if they stay different.

    Examples
    --------
    >>> _names(["case1_z", "case2_z"]), _names(["p1/", "p2/"]), _names(["a_", "a-"]), _names(["cells"])
    (['case1', 'case2'], ['p1', 'p2'], ['a_', 'a-'], ['cells'])
    """
    short = [_WORD.sub("", stem).rstrip("/") or "volume" for stem in stems]
    return short if max(Counter(short).values(), default=0) < 2 else [stem.strip("/") or "volume" for stem in stems]
