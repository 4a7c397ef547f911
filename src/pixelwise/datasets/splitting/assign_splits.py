"""Assign image-mask pairs to the splits train, val and test: by folder, else by a seeded random split."""

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pixelwise.datasets.cases import Case
from pixelwise.datasets.folder_layout import Pair
from pixelwise.datasets.masks.values import name_of, values_in
from pixelwise.datasets.options import NO_GROUPS, DataOptions
from pixelwise.datasets.problem_report import files_of
from pixelwise.datasets.problems import Problem
from pixelwise.datasets.records import Labelling, Split
from pixelwise.datasets.scan import ImageScan
from pixelwise.datasets.splitting.duplicates import Copies
from pixelwise.datasets.splitting.grouping import GroupedImage, assign_groups
from pixelwise.datasets.splitting.map_blocks import footprint_of
from pixelwise.datasets.splitting.splits import choose_validation
from pixelwise.io.volumes.names import stem_of
from pixelwise.text import list_first

_SHOWN = 4  # images named in a message


@dataclass(frozen=True, kw_only=True)
class SplitAssignment:
    """Cases in the order of the pairs; `made`: the validation split was drawn at random."""

    cases: tuple[Case, ...]
    messages: tuple[str, ...]
    problems: tuple[Problem, ...]
    made: bool


def assign_splits(
    pairs: Sequence[Pair],
    scans: Sequence[ImageScan],
    copies: Copies,
    labelling: Labelling,
    options: DataOptions,
    seed: int,
    root: Path,
) -> SplitAssignment:
    """Assign each pair to a split.

    Parameters
    ----------
    copies : Copies
        Equal images stay in one split; so do near copies, unless no validation image would remain.
    labelling : Labelling
        A class that only one group contains stays in training, and so does a kind of image (`image_kind`).
    options : DataOptions
        `group_by` and `val_share` are used.
    root : Path
        The data folder, for file names.
    """
    messages: list[str] = []
    problems: list[Problem] = []
    label_sets = [label_set(scan, labelling) for scan in scans]
    splits: list[Split] = [pair.split or "train" for pair in pairs]
    train_indices = [index for index, split in enumerate(splits) if split == "train"]
    groups = assign_groups(
        [_grouped(pair, scan, root) for pair, scan in zip(pairs, scans, strict=True)], copies, options, messages
    )
    made = "val" not in splits and bool(train_indices)
    if not train_indices:
        given = ", ".join(sorted(set(splits)))
        problems.append(Problem(file=".", kind="no training images", text=f"only {given}"))
    if made and len(train_indices) < 2:
        problems.append(Problem(file=pairs[train_indices[0]].name, kind="one image only", text="1 training image"))
    elif made:
        kinds = [scans[i].kind for i in train_indices]
        drawn = [groups[i] for i in train_indices], [label_sets[i] for i in train_indices], options.val_share, seed
        validation = choose_validation(*drawn, kinds)
        for index, is_validation in zip(train_indices, validation, strict=True):
            splits[index] = "val" if is_validation else "train"
        text = f"{sum(validation)} of {len(train_indices)} training images, drawn with seed {seed} (--val-share)."
        messages.append(f"Validation split: {text}")
        names = [pairs[i].name for i in train_indices]
        messages += _kept_for_their_kind(names, kinds, validation, choose_validation(*drawn))
        if not any(validation):
            text = f"all {len(train_indices)} training images are one group"
            problems.append(Problem(file=".", kind="groups too large", text=text))
    if options.group_by not in (None, NO_GROUPS):
        problems += _groups_across_splits(pairs, groups, splits, root)
    cases = tuple(
        Case(
            name=pair.name,
            image=pair.image,
            channel_files=pair.channel_files,
            annotation=pair.annotation,
            split=split,
            group=group,
            label_set=labels,
        )
        for pair, labels, split, group in zip(pairs, label_sets, splits, groups, strict=True)
    )
    return SplitAssignment(cases=cases, messages=tuple(messages), problems=tuple(problems), made=made)


def _kept_for_their_kind(
    names: Sequence[str], kinds: Sequence[str], validation: Sequence[bool], otherwise: Sequence[bool]
) -> list[str]:
    """Return a message on images that stay in training because no other group has images of their kind."""
    shown = {kind for kind, chosen in zip(kinds, validation, strict=True) if chosen}
    kept: dict[str, list[str]] = {}
    for name, kind, chosen in zip(names, kinds, otherwise, strict=True):
        if chosen and kind and kind not in shown:
            kept.setdefault(kind, []).append(name)
    return [
        f"{list_first(found, _SHOWN)}, {'the only image' if len(found) == 1 else 'the only ones'} of the kind {kind}, "
        f"{'stays' if len(found) == 1 else 'stay'} in training: the validation says nothing about such images."
        for kind, found in kept.items()
    ]


def check_splits(cases: Sequence[Case], labelling: Labelling, root: Path) -> list[Problem]:
    """Report classes that are missing in training, and splits without foreground."""
    counts: dict[str, Counter[Hashable]] = {split: Counter() for split in ("train", "val", "test")}
    for case in cases:
        counts[case.split].update(case.label_set)
    problems: list[Problem] = []
    names = dict(zip(labelling.values, labelling.classes, strict=False))
    for value, name in names.items():
        others = [split for split in ("val", "test") if counts[split][value]]
        if others and not counts["train"][value] and counts["train"]:
            text = f"class {name} ({name_of(value, labelling.coded_by_colour)}) occurs in {' and '.join(others)} only"
            files = tuple(
                file
                for case in cases
                if case.split in others and value in case.label_set
                for file in files_of(root, case.image)
            )
            problems.append(Problem(file=others[0], kind="class missing in training", text=text, files=files))
        elif not others and not counts["train"][value]:
            text = f"class {name} ({name_of(value, labelling.coded_by_colour)}) is named but occurs in no mask"
            problems.append(Problem(file="train", kind="class missing in training", text=text, fatal=False))
    background = labelling.values[0] if labelling.values else 0
    foreground = {split: any(value != background for value in count) for split, count in counts.items()}
    if any(foreground.values()):
        problems += [
            Problem(file=split, kind="split without foreground", text="every mask is empty", fatal=split == "train")
            for split, count in counts.items()
            if count and not foreground[split]
        ]
    return problems


def label_set(scan: ImageScan, labelling: Labelling) -> frozenset[Hashable]:
    """Return the values in a mask, as those of a case."""
    return frozenset() if scan.mask is None else frozenset(values_in(scan.mask, labelling))


def _grouped(pair: Pair, scan: ImageScan, root: Path) -> GroupedImage:
    image = pair.image.with_name(stem_of(pair.image))
    path = (image.relative_to(root) if image.is_relative_to(root) else image).as_posix()
    key = pair.name.removeprefix(f"{pair.split}/") if pair.split else pair.name
    place = None if scan.size is None else footprint_of(scan.georeference, scan.size)
    return GroupedImage(name=pair.name, path=path, key=key, split=pair.split, group=pair.group, place=place)


def _groups_across_splits(
    pairs: Sequence[Pair], groups: Sequence[str], splits: Sequence[Split], root: Path
) -> list[Problem]:
    """Report groups in several given splits; the files of the last one (test before val before train) are kept."""
    splits_of: dict[str, set[Split]] = {}
    for group, split in zip(groups, splits, strict=True):
        splits_of.setdefault(group, set()).add(split)
    order = ("train", "val", "test")
    problems: list[Problem] = []
    for group, group_splits in splits_of.items():
        if len(group_splits) < 2 or all(pair.split is None for pair in pairs):
            continue
        last = max(group_splits, key=order.index)
        files = tuple(
            file
            for pair, other, split in zip(pairs, groups, splits, strict=True)
            if other == group and split != last
            for file in files_of(root, pair.image)
        )
        text = f"group {group} is in {' and '.join(sorted(group_splits))}"
        problems.append(Problem(file=group, kind="group across splits", text=text, files=files))
    return problems
