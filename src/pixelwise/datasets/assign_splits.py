"""Pairs become cases of train, val and test: by their folders where those say so, else by a fixed seeded split."""

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
from pixelwise.datasets.records import Case, Labelling, Part
from pixelwise.datasets.scan import ImageScan
from pixelwise.datasets.splits import choose_validation, join
from pixelwise.text import pluralise


@dataclass(frozen=True, kw_only=True)
class SplitAssignment:
    """Cases in the order of the pairs."""

    cases: tuple[Case, ...]
    messages: tuple[str, ...]
    problems: tuple[Problem, ...]
    made: bool


def assign_splits(
    pairs: Sequence[Pair],
    surveys: Sequence[ImageScan],
    copies: Copies,
    labelling: Labelling,
    options: DataOptions,
    seed: int,
    root: Path,
) -> SplitAssignment:
    """Give each pair its part.

    Parameters
    ----------
    pairs, surveys : sequences of equal length
    copies : Copies
        Equal images are never parted by a split made here, nor are near copies unless nothing would validate then.
    labelling : Labelling
        Its values keep a class that only one group shows in training.
    options : DataOptions
        `group_by` and `val_share` are used.
    seed : int
    root : Path
        The data folder, for the names of files.
    """
    messages: list[str] = []
    problems: list[Problem] = []
    parts: list[Part] = [pair.part or "train" for pair in pairs]
    trains = [index for index, part in enumerate(parts) if part == "train"]
    own = own_groups([pair.name for pair in pairs], options, messages)
    groups = join_families(own, copies, trains, messages)
    made = "val" not in parts and bool(trains)
    if not trains:
        given = ", ".join(sorted(set(parts)))
        problems.append(Problem(file=".", kind="no training images", text=f"only {given}"))
    if made and len(trains) < 2:
        problems.append(Problem(file=pairs[trains[0]].name, kind="one image only", text="1 training image"))
    elif made:
        holds = [_shows(surveys[index], labelling) for index in trains]
        chosen = choose_validation([groups[i] for i in trains], holds, options.val_share, seed)
        for index, validates in zip(trains, chosen, strict=True):
            parts[index] = "val" if validates else "train"
        text = f"{sum(chosen)} of {len(trains)} training images validate, drawn with seed {seed} (--val-share)."
        messages.append(f"No validation part was given: {text}")
        if not any(chosen):
            text = f"all {len(trains)} training images are one group"
            problems.append(Problem(file=".", kind="groups too large", text=text))
    if options.group_by is not None:
        problems += _parted_groups(pairs, groups, parts, root)
    cases = tuple(
        Case(name=pair.name, image=pair.image, mask=pair.mask, part=part, group=group, shows=_shows(seen, labelling))
        for pair, seen, part, group in zip(pairs, surveys, parts, groups, strict=True)
    )
    return SplitAssignment(cases=cases, messages=tuple(messages), problems=tuple(problems), made=made)


def join_families(own: Sequence[str], copies: Copies, trains: Sequence[int], messages: list[str]) -> list[str]:
    """Join the groups of the user over families of copies, so that copies stay in one split.

    Near copies alone never keep a set from being split: where they would make one group of all training images, the
    equal ones alone are kept together, and that is told.
    """
    groups = _joined(own, copies.family)
    if len(trains) > 1 and len({groups[index] for index in trains}) == 1:
        apart = _joined(own, copies.equal)
        if len({apart[index] for index in trains}) > 1:
            messages.append(
                "All training images are nearly equal to one another: only equal ones are kept in one split, and the "
                "validation score may be too good. --group-by says which images belong together."
            )
            return apart
    return groups


def part_problems(
    cases: Sequence[Case], surveys: Sequence[ImageScan], labelling: Labelling, root: Path
) -> list[Problem]:
    """Report classes that are missing in training, and parts where nothing is marked."""
    shown: dict[str, Counter[Hashable]] = {part: Counter() for part in ("train", "val", "test")}
    for case, seen in zip(cases, surveys, strict=True):
        shown[case.part].update(_shows(seen, labelling))
    problems: list[Problem] = []
    names = dict(zip(labelling.values, labelling.classes, strict=False))
    for value, name in names.items():
        seen = [part for part in ("val", "test") if shown[part][value]]
        if seen and not shown["train"][value] and shown["train"]:
            text = f"class {name} ({name_of(value, labelling.coded_by_colour)}) occurs in {' and '.join(seen)} only"
            files = tuple(
                file
                for case, measured in zip(cases, surveys, strict=True)
                if case.part in seen and value in _shows(measured, labelling)
                for file in files_of(root, case.image)
            )
            problems.append(Problem(file=seen[0], kind="class missing in training", text=text, files=files))
        elif not seen and not shown["train"][value]:
            text = f"class {name} ({name_of(value, labelling.coded_by_colour)}) is named but occurs in no mask"
            problems.append(Problem(file="train", kind="class missing in training", text=text, fatal=False))
    ground = labelling.values[0] if labelling.values else 0
    marked = {part: any(value != ground for value in counts) for part, counts in shown.items()}
    if any(marked.values()):
        for part, counts in shown.items():
            if counts and not marked[part]:
                text = "every mask is empty"
                problems.append(Problem(file=part, kind="part without foreground", text=text, fatal=part == "train"))
    return problems


def _shows(seen: ImageScan, labelling: Labelling) -> frozenset[Hashable]:
    """Return the values that a mask holds; for instances, whether it holds an object."""
    if seen.mask is None:
        return frozenset()
    values = {v for v in coded_values(seen.mask, labelling.coded_by_colour) if v != labelling.ignore_value}
    if labelling.task == "instance":
        return frozenset(min(value, 1) for value in values)
    return frozenset(values)


def own_groups(names: Sequence[str], options: DataOptions, messages: list[str]) -> list[str]:
    """Name the group of each case: what --group-by finds in its name, else the case itself."""
    own = list(names)
    if options.group_by is None:
        return own
    pattern = re.compile(options.group_by)
    finds = [pattern.search(Path(name).name) for name in own]
    missed = sum(find is None for find in finds)
    own = [(find[1] or "") if find else name for find, name in zip(finds, own, strict=True)]
    alone = pluralise(missed, "name that did not match stands", "names that did not match stand")
    messages.append(f"--group-by found {pluralise(len(set(own)), 'group')}; {alone} alone.")
    return own


def _joined(own: Sequence[str], family: Sequence[int]) -> list[str]:
    """Give all groups that reach into one family of copies one name, over any chain: the first in order of names."""
    first: dict[str, int] = {}
    links = [(index, first.setdefault(name, index)) for index, name in enumerate(own)]
    roots = join(len(own), [*links, *enumerate(family)])
    names: dict[int, str] = {}
    for name, root in zip(own, roots, strict=True):
        names[root] = min(name, names.get(root, name))
    return [names[root] for root in roots]


def _parted_groups(pairs: Sequence[Pair], groups: Sequence[str], parts: Sequence[Part], root: Path) -> list[Problem]:
    """Refuse given parts that tear a group which the user named; what is tested on stays when files are left out."""
    where: dict[str, set[Part]] = {}
    for group, part in zip(groups, parts, strict=True):
        where.setdefault(group, set()).add(part)
    order = ("train", "val", "test")
    problems: list[Problem] = []
    for group, found in where.items():
        if len(found) < 2 or all(pair.part is None for pair in pairs):
            continue
        last = max(found, key=order.index)
        files = tuple(
            file
            for pair, own, part in zip(pairs, groups, parts, strict=True)
            if own == group and part != last
            for file in files_of(root, pair.image)
        )
        text = f"group {group} lies in {' and '.join(sorted(found))}"
        problems.append(Problem(file=group, kind="group across parts", text=text, files=files))
    return problems
