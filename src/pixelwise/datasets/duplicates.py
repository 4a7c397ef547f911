"""Images that occur twice: in two splits, with answers that differ, or nearly the same.

The answer to an image is its mask, or its class. Equal images have the same pixels; near copies are alike
(`similarity`); re-encoded copies are so much alike, of the same size and orientation, that their masks must agree too.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pixelwise.datasets.options import DataOptions
from pixelwise.datasets.problems import Problem
from pixelwise.datasets.scan import SKETCH, ImageScan
from pixelwise.datasets.similarity import near_pairs
from pixelwise.datasets.splits import join
from pixelwise.text import pluralise

REENCODED = 0.998  # correlation of upright sketches from which on two images are one picture, saved again
_NAMED = 5  # pairs of files named; the rest is counted
_SPLITS = ("train", "val", "test")
_ANSWERS = {"conflicting masks": "masks", "image in two classes": "classes"}  # by kind of problem


class DuplicateCandidate(NamedTuple):
    """An image that may be a copy: its case, its file, its split, and its answer ("" where it is unknown)."""

    name: str
    file: str
    part: str
    answer: str
    survey: ImageScan


class NearPair(NamedTuple):
    """Two files that are nearly equal; `reencoded` when they are one picture that was saved again."""

    first: str
    second: str
    reencoded: bool


@dataclass(frozen=True, kw_only=True)
class Copies:
    """What was found.

    Attributes
    ----------
    family, equal : tuple of int
        For each image, the index of the first image of its family of copies; near copies belong to `family` alone.
    problems : tuple of Problem
        Equal images in two given splits (fatal); copies whose answers differ, copies in one split, and near copies in
        two given splits (not fatal).
    messages : tuple of str
    """

    family: tuple[int, ...]
    equal: tuple[int, ...]
    problems: tuple[Problem, ...]
    messages: tuple[str, ...]


def find_near(files: Sequence[str], surveys: Sequence[ImageScan], *, upright: bool = False) -> list[NearPair]:
    """Return the pairs of nearly equal images; with `upright` turned ones do not count."""
    if not surveys:
        return []
    blank = np.zeros(SKETCH * SKETCH, np.float32).tobytes()
    sketches = np.frombuffer(b"".join(s.sketch or blank for s in surveys), np.float32).reshape(len(surveys), -1)
    return [
        NearPair(
            files[one],
            files[other],
            surveys[one].size == surveys[other].size and float(sketches[one] @ sketches[other]) >= REENCODED,
        )
        for one, other in near_pairs(sketches, upright=upright)
    ]


def find_copies(
    subjects: Sequence[DuplicateCandidate], near: Sequence[NearPair], options: DataOptions, *, conflict: str
) -> Copies:
    """Find equal and near-equal images among the subjects.

    Parameters
    ----------
    subjects : sequence of DuplicateCandidate
    near : sequence of NearPair
        Pairs with a file that is no subject are passed over: it was left out.
    options : DataOptions
        `allow_duplicates` and `conflicts` are used.
    conflict : str
        The kind of problem when answers differ: "conflicting masks" or "image in two classes".
    """
    place = {subject.file: index for index, subject in enumerate(subjects)}
    known = [(place[p.first], place[p.second], p.reencoded) for p in near if p.first in place and p.second in place]
    equal = _equal(subjects)
    loose = [(one, other) for one, other, _ in known]
    same = [(one, other) for one, other, reencoded in known if reencoded]
    family = join(len(subjects), [*equal, *loose])
    differing = _differing(subjects, join(len(subjects), [*equal, *same]))
    conflicts = [_conflict(group, options, conflict) for group in differing]
    across = _near_across(subjects, loose)
    messages = [*_tell_related(subjects, family), *_tell_across(across), *_tell_differing(differing, options, conflict)]
    return Copies(
        family=tuple(family),
        equal=tuple(join(len(subjects), equal)),
        problems=(*conflicts, *_exact(subjects, equal, options), *across),
        messages=tuple(messages),
    )


def _equal(subjects: Sequence[DuplicateCandidate]) -> list[tuple[int, int]]:
    """Link images of the same pixels with the first of them."""
    first: dict[str, int] = {}
    found = [(first.setdefault(s.survey.digest, i), i) for i, s in enumerate(subjects) if s.survey.digest]
    return [(one, other) for one, other in found if one != other]


def _families(family: Sequence[int]) -> list[list[int]]:
    """Return the members of each family of at least two."""
    members: dict[int, list[int]] = defaultdict(list)
    for index, first in enumerate(family):
        members[first].append(index)
    return [indices for indices in members.values() if len(indices) > 1]


def _differing(subjects: Sequence[DuplicateCandidate], family: Sequence[int]) -> list[list[DuplicateCandidate]]:
    """Return the groups of copies whose answers differ."""
    groups = [[subjects[index] for index in indices] for indices in _families(family)]
    return [group for group in groups if len({subject.answer for subject in group if subject.answer}) > 1]


def _conflict(group: Sequence[DuplicateCandidate], options: DataOptions, kind: str) -> Problem:
    """Return the problem of copies whose answers differ, with the files that `--conflicts` leaves out."""
    gone = {"keep": (), "drop": group, "first": group[1:]}[options.conflicts]
    text = f"the same image as {_others(group)}, but their {_ANSWERS[kind]} differ"
    files = tuple(subject.file for subject in gone)
    return Problem(file=group[0].name, kind=kind, text=text, fatal=False, files=files)


def _exact(
    subjects: Sequence[DuplicateCandidate], equal: Sequence[tuple[int, int]], options: DataOptions
) -> list[Problem]:
    """Report equal images: in two splits, or twice in one with the same answer."""
    problems: list[Problem] = []
    for indices in _families(join(len(subjects), equal)):
        group = [subjects[index] for index in indices]
        splits = {subject.part for subject in group}
        text = f"the same pixels as {_others(group)}"
        if len(splits) > 1:
            # what is tested on stays as it was given: the copies in the other splits go
            last = max(splits, key=_SPLITS.index)
            files = tuple(subject.file for subject in group if subject.part != last)
            fatal = not options.allow_duplicates
            problems.append(
                Problem(file=group[0].name, kind="duplicate across parts", text=text, fatal=fatal, files=files)
            )
        elif len({subject.answer for subject in group}) <= 1:
            problems.append(Problem(file=group[0].name, kind="duplicate image", text=text, fatal=False))
    return problems


def _others(group: Sequence[DuplicateCandidate]) -> str:
    return ", ".join(subject.name for subject in group[1:4]) + (" and more" if len(group) > 4 else "")


def _near_across(subjects: Sequence[DuplicateCandidate], near: Sequence[tuple[int, int]]) -> list[Problem]:
    """Warn once for each pairing of given splits, however many pairs there are."""
    across: dict[tuple[str, str], list[str]] = defaultdict(list)
    for one, other in ((subjects[i], subjects[j]) for i, j in near):
        if one.part != other.part and one.survey.digest != other.survey.digest:
            across[one.part, other.part].append(f"{one.name} ~ {other.name}")
    return [
        Problem(
            file=f"{one} and {other}",
            kind="near duplicate across parts",
            text=f"{pluralise(len(named), 'pair')} of nearly equal images: {_listed(named)}",
            fatal=False,
        )
        for (one, other), named in across.items()
    ]


def _tell_related(subjects: Sequence[DuplicateCandidate], family: Sequence[int]) -> list[str]:
    """Say which images are copies, where their splits are drawn."""
    related = _families(family)
    if not related or len({subject.part for subject in subjects}) > 1:
        return []
    images = pluralise(sum(map(len, related)), "image is", "images are")
    named = [" ~ ".join(subjects[index].name for index in group[:3]) for group in related]
    return [f"{images} equal or nearly equal to another ({_listed(named)}); copies stay in one split."]


def _tell_across(problems: Sequence[Problem]) -> list[str]:
    return [f"{p.file} share {p.text}. Scores may be too good." for p in problems]


def _tell_differing(groups: Sequence[Sequence[DuplicateCandidate]], options: DataOptions, kind: str) -> list[str]:
    """Say which copies are kept although their answers differ; those that are left out are told of as such."""
    if not groups or options.conflicts != "keep":
        return []
    images = pluralise(len(groups), "image has", "images have")
    named = [" ~ ".join(subject.name for subject in group[:3]) for group in groups]
    return [
        f"{images} copies whose {_ANSWERS[kind]} differ ({_listed(named)}): all are kept. --conflicts drop leaves all "
        "of these copies out, --conflicts first all but the first."
    ]


def _listed(named: Sequence[str]) -> str:
    more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
    return ", ".join(named[:_NAMED]) + more
