"""Pairs become cases of train, val and test: by their folders where those say so, else by a fixed seeded split."""

import re
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pixelwise.images.layouts import Pair
from pixelwise.images.records import Case, DataOptions, Labelling, Part, Problem
from pixelwise.images.splits import choose_validation
from pixelwise.images.survey import Survey
from pixelwise.images.value_table import coded_values, name_of
from pixelwise.wording import counted


@dataclass(frozen=True, kw_only=True)
class Division:
    """Cases in the order of the pairs."""

    cases: tuple[Case, ...]
    told: tuple[str, ...]
    problems: tuple[Problem, ...]
    made: bool


def divide(
    pairs: Sequence[Pair],
    surveys: Sequence[Survey],
    family: Sequence[int],
    labelling: Labelling,
    options: DataOptions,
    seed: int,
) -> Division:
    """Give each pair its part.

    Parameters
    ----------
    pairs, surveys : sequences of equal length
    family : sequence of int
        Equal and near-equal images share a number; they are never parted by a split made here.
    labelling : Labelling
        Its values keep a class that only one group shows in training.
    options : DataOptions
        `group_by` and `val_share` are used.
    seed : int
    """
    told: list[str] = []
    problems: list[Problem] = []
    parts: list[Part] = [pair.part or "train" for pair in pairs]
    groups = _groups(pairs, family, options, told)
    trains = [index for index, part in enumerate(parts) if part == "train"]
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
        told.append(f"No validation part was given: {text}")
        if not any(chosen):
            text = f"all {len(trains)} training images are one group"
            problems.append(Problem(file=".", kind="groups too large", text=text))
    if options.group_by is not None:
        problems += _parted_groups(pairs, groups, parts)
    cases = tuple(
        Case(name=pair.name, image=pair.image, mask=pair.mask, part=part, group=group, shows=_shows(seen, labelling))
        for pair, seen, part, group in zip(pairs, surveys, parts, groups, strict=True)
    )
    return Division(cases=cases, told=tuple(told), problems=tuple(problems), made=made)


def part_problems(cases: Sequence[Case], surveys: Sequence[Survey], labelling: Labelling) -> list[Problem]:
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
            problems.append(Problem(file=seen[0], kind="class missing in training", text=text))
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


def _shows(seen: Survey, labelling: Labelling) -> frozenset[Hashable]:
    """Return the values that a mask holds; for instances, whether it holds an object."""
    if seen.mask is None:
        return frozenset()
    values = {v for v in coded_values(seen.mask, labelling.coded_by_colour) if v != labelling.ignore_value}
    if labelling.task == "instance":
        return frozenset(min(value, 1) for value in values)
    return frozenset(values)


def _groups(pairs: Sequence[Pair], family: Sequence[int], options: DataOptions, told: list[str]) -> list[str]:
    """Name the group of each pair: what --group-by finds, joined over families of copies."""
    own = [pair.name for pair in pairs]
    if options.group_by is not None:
        pattern = re.compile(options.group_by)
        finds = [pattern.search(Path(name).name) for name in own]
        missed = sum(find is None for find in finds)
        own = [(find[1] or "") if find else name for find, name in zip(finds, own, strict=True)]
        names = counted(missed, "name that did not match stands", "names that did not match stand")
        told.append(f"--group-by found {counted(len(set(own)), 'group')}; {names} alone.")
    first_of_family = [own[index] for index in family]
    # a group that reaches into a family takes the family's name, until nothing changes
    names = {name: name for name in {*own, *first_of_family}}

    def root(name: str) -> str:
        while names[name] != name:
            name = names[name]
        return name

    for mine, other in zip(own, first_of_family, strict=True):
        low, high = sorted((root(mine), root(other)))
        names[high] = low
    return [root(name) for name in own]


def _parted_groups(pairs: Sequence[Pair], groups: Sequence[str], parts: Sequence[Part]) -> list[Problem]:
    """Refuse given parts that tear a group which the user named."""
    where: dict[str, set[Part]] = {}
    for group, part in zip(groups, parts, strict=True):
        where.setdefault(group, set()).add(part)
    return [
        Problem(file=group, kind="group across parts", text=f"group {group} lies in {' and '.join(sorted(found))}")
        for group, found in where.items()
        if len(found) > 1 and any(pair.part is not None for pair in pairs)
    ]
