"""Assign image-mask pairs to the splits train, val and test: by folder, else by a seeded random split."""

import re
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pixelwise.datasets.duplicates import Copies
from pixelwise.datasets.folder_layout import Pair
from pixelwise.datasets.mask_values import coded_values, name_of
from pixelwise.datasets.options import DataOptions
from pixelwise.datasets.problem_report import files_of
from pixelwise.datasets.problems import Problem
from pixelwise.datasets.records import Case, Labelling, Split
from pixelwise.datasets.scan import ImageScan
from pixelwise.datasets.splits import choose_validation, union_find
from pixelwise.text import pluralise


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
    pairs, scans : sequences of equal length
    copies : Copies
        Equal images stay in one split; so do near copies, unless no validation image would remain.
    labelling : Labelling
        A class that only one group contains stays in training.
    options : DataOptions
        `group_by` and `val_share` are used.
    seed : int
    root : Path
        The data folder, for file names.
    """
    messages: list[str] = []
    problems: list[Problem] = []
    label_sets = [_label_set(scan, labelling) for scan in scans]
    splits: list[Split] = [pair.split or "train" for pair in pairs]
    train_indices = [index for index, split in enumerate(splits) if split == "train"]
    names = group_names([pair.name for pair in pairs], options, messages)
    groups = merge_copies(names, copies, train_indices, messages)
    made = "val" not in splits and bool(train_indices)
    if not train_indices:
        given = ", ".join(sorted(set(splits)))
        problems.append(Problem(file=".", kind="no training images", text=f"only {given}"))
    if made and len(train_indices) < 2:
        problems.append(Problem(file=pairs[train_indices[0]].name, kind="one image only", text="1 training image"))
    elif made:
        train_labels = [label_sets[i] for i in train_indices]
        validation = choose_validation([groups[i] for i in train_indices], train_labels, options.val_share, seed)
        for index, is_validation in zip(train_indices, validation, strict=True):
            splits[index] = "val" if is_validation else "train"
        text = f"{sum(validation)} of {len(train_indices)} training images, drawn with seed {seed} (--val-share)."
        messages.append(f"Validation split: {text}")
        if not any(validation):
            text = f"all {len(train_indices)} training images are one group"
            problems.append(Problem(file=".", kind="groups too large", text=text))
    if options.group_by is not None:
        problems += _groups_across_splits(pairs, groups, splits, root)
    cases = tuple(
        Case(name=pair.name, image=pair.image, mask=pair.mask, split=split, group=group, label_set=labels)
        for pair, labels, split, group in zip(pairs, label_sets, splits, groups, strict=True)
    )
    return SplitAssignment(cases=cases, messages=tuple(messages), problems=tuple(problems), made=made)


def merge_copies(names: Sequence[str], copies: Copies, train_indices: Sequence[int], messages: list[str]) -> list[str]:
    """Merge groups that share copies, so that copies stay in one split.

    If near copies would merge all training images into one group, only equal images are kept together, with a message.
    """
    groups = _merge_groups(names, copies.family)
    if len(train_indices) > 1 and len({groups[index] for index in train_indices}) == 1:
        equal_only = _merge_groups(names, copies.equal)
        if len({equal_only[index] for index in train_indices}) > 1:
            messages.append(
                "All training images are nearly equal to one another: only equal ones are kept in one split, and the "
                "validation score may be too optimistic. Use --group-by to define which images belong together."
            )
            return equal_only
    return groups


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


def _label_set(scan: ImageScan, labelling: Labelling) -> frozenset[Hashable]:
    """Return the values in a mask; for instances, 0 and 1 for background and object."""
    if scan.mask is None:
        return frozenset()
    values = {v for v in coded_values(scan.mask, labelling.coded_by_colour) if v != labelling.ignore_value}
    if labelling.task == "instance":
        return frozenset(min(value, 1) for value in values)
    return frozenset(values)


def group_names(names: Sequence[str], options: DataOptions, messages: list[str]) -> list[str]:
    """Return the group of each case: the match of --group-by in its name, else its name."""
    if options.group_by is None:
        return list(names)
    pattern = re.compile(options.group_by)
    matches = [pattern.search(Path(name).name) for name in names]
    groups = [(match[1] or "") if match else name for match, name in zip(matches, names, strict=True)]
    unmatched = pluralise(sum(match is None for match in matches), "name")
    messages.append(f"--group-by found {pluralise(len(set(groups)), 'group')}; {unmatched} without a match.")
    return groups


def _merge_groups(groups: Sequence[str], family: Sequence[int]) -> list[str]:
    """Merge all groups that are connected by copies; the merged group has the first of their names."""
    first: dict[str, int] = {}
    links = [(index, first.setdefault(name, index)) for index, name in enumerate(groups)]
    roots = union_find(len(groups), [*links, *enumerate(family)])
    names: dict[int, str] = {}
    for name, root in zip(groups, roots, strict=True):
        names[root] = min(name, names.get(root, name))
    return [names[root] for root in roots]


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
