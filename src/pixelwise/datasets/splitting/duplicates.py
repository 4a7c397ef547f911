"""Find duplicate images: across splits, with different labels, or nearly equal.

The label of an image is its mask or its class. Equal images have the same pixels; near copies are similar
(`similarity`); re-encoded copies have the same size and orientation and an even higher similarity: their labels must
agree too.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int64

from pixelwise.datasets.options import DataOptions
from pixelwise.datasets.problems import Problem
from pixelwise.datasets.scan import SIDE, ImageScan
from pixelwise.datasets.splitting.similarity import find_near_pairs
from pixelwise.labels.disjoint_sets import first_linked
from pixelwise.text import list_first, pluralise

REENCODED = 0.998  # minimum correlation of upright descriptors of one image that was encoded again
_SPLITS = ("train", "val", "test")
_LABEL_WORDS = {"conflicting masks": "masks", "image in two classes": "classes"}  # by kind of problem


class DuplicateCandidate(NamedTuple):
    """An image that may be a copy: its case, file, split and label ("" if unknown)."""

    name: str
    file: str
    split: str
    label: str
    scan: ImageScan


@dataclass(frozen=True, eq=False)
class NearCopies:
    """Nearly equal images.

    Attributes
    ----------
    pairs : (pairs, 2) int64
        Positions in `files`.
    reencoded : (pairs,) bool
        One image that was encoded again.
    """

    files: tuple[str, ...]
    pairs: Int64[np.ndarray, "pairs 2"]
    reencoded: Bool[np.ndarray, " pairs"]

    def among(self, files: Sequence[str]) -> tuple[Int64[np.ndarray, "kept 2"], Bool[np.ndarray, " kept"]]:
        """Return the pairs within some of the files, as positions among these, and whether they were encoded again."""
        index = {file: number for number, file in enumerate(files)}
        position = np.array([index.get(file, -1) for file in self.files], np.int64)
        pairs = position[self.pairs]
        kept = (pairs >= 0).all(1)
        return pairs[kept], self.reencoded[kept]


NO_COPIES = NearCopies((), np.zeros((0, 2), np.int64), np.zeros(0, bool))


@dataclass(frozen=True, kw_only=True)
class Copies:
    """The copies in a data set.

    Attributes
    ----------
    family, equal : tuple of int
        For each image, the index of the first of its copies; `equal` excludes near copies.
    near_across : tuple of (int, int)
        Near copies in two given splits, as indices of images.
    problems : tuple of Problem
        Equal images in two given splits (fatal); copies with different labels, copies in one split, and near copies in
        two given splits (not fatal).
    """

    family: tuple[int, ...]
    equal: tuple[int, ...]
    near_across: tuple[tuple[int, int], ...] = ()
    problems: tuple[Problem, ...]
    messages: tuple[str, ...]


def find_near(files: Sequence[str], scans: Sequence[ImageScan], *, upright: bool = False) -> NearCopies:
    """Return the pairs of nearly equal images; with `upright`, without rotations."""
    if not scans:
        return NO_COPIES
    blank = np.zeros(SIDE * SIDE, np.float32).tobytes()
    descriptors = np.frombuffer(b"".join(s.descriptor or blank for s in scans), np.float32).reshape(len(scans), -1)
    pairs, correlations = find_near_pairs(descriptors, upright=upright)
    sizes: dict[tuple[int, ...] | None, int] = {}
    size = np.array([sizes.setdefault(scan.size, len(sizes)) for scan in scans])
    reencoded = (size[pairs[:, 0]] == size[pairs[:, 1]]) & (correlations >= REENCODED)
    return NearCopies(tuple(files), pairs, reencoded)


def find_copies(
    candidates: Sequence[DuplicateCandidate], near: NearCopies, options: DataOptions, *, conflict: str
) -> Copies:
    """Find equal and nearly equal images among the candidates.

    Parameters
    ----------
    near : NearCopies
        Pairs with a file that is not a candidate are ignored.
    options : DataOptions
        `allow_duplicates`, `conflicts` and `drop_copies` are used.
    conflict : str
        The kind of problem for different labels: "conflicting masks" or "image in two classes".
    """
    near_links, reencoded = near.among([candidate.file for candidate in candidates])
    equal = _equal(candidates)
    reencoded_links = np.concatenate([equal, near_links[reencoded]])
    family = first_linked(len(candidates), np.concatenate([equal, near_links])).tolist()
    differing = _differing(candidates, first_linked(len(candidates), reencoded_links).tolist())
    conflicts = [_conflict_problem(group, options, conflict) for group in differing]
    across = [
        (one, other)
        for one, other in _between_splits(candidates, near_links).tolist()
        if candidates[one].scan.digest != candidates[other].scan.digest
    ]
    messages = [
        *_copies_message(candidates, family),
        *_conflict_message(differing, options, conflict),
    ]
    return Copies(
        family=tuple(family),
        equal=tuple(first_linked(len(candidates), equal).tolist()),
        near_across=tuple(across),
        problems=(
            *conflicts,
            *_equal_across(candidates, equal, options),
            *_repeated(candidates, reencoded_links if options.drop_copies else equal, options),
            *_near_across(candidates, across),
        ),
        messages=tuple(messages),
    )


def _equal(candidates: Sequence[DuplicateCandidate]) -> Int64[np.ndarray, "links 2"]:
    """Return links from each image to the first one with the same pixels."""
    first: dict[str, int] = {}
    links = [(first.setdefault(s.scan.digest, i), i) for i, s in enumerate(candidates) if s.scan.digest]
    return np.array([(one, other) for one, other in links if one != other], np.int64).reshape(-1, 2)


def _between_splits(
    candidates: Sequence[DuplicateCandidate], links: Int64[np.ndarray, "links 2"]
) -> Int64[np.ndarray, "between 2"]:
    """Return the links between images of two splits."""
    split = np.array([_SPLITS.index(candidate.split) for candidate in candidates])
    return links[split[links[:, 0]] != split[links[:, 1]]]


def _families(family: Sequence[int]) -> list[list[int]]:
    """Return the members of each family of at least two."""
    members: dict[int, list[int]] = defaultdict(list)
    for index, first in enumerate(family):
        members[first].append(index)
    return [indices for indices in members.values() if len(indices) > 1]


def _differing(candidates: Sequence[DuplicateCandidate], family: Sequence[int]) -> list[list[DuplicateCandidate]]:
    """Return the groups of copies with different labels."""
    groups = [[candidates[index] for index in indices] for indices in _families(family)]
    return [group for group in groups if len({candidate.label for candidate in group if candidate.label}) > 1]


def _conflict_problem(group: Sequence[DuplicateCandidate], options: DataOptions, kind: str) -> Problem:
    """Return the problem of copies with different labels, with the files that `--conflicts` leaves out."""
    choice = "first" if options.drop_copies and options.conflicts == "keep" else options.conflicts
    excluded = {"keep": (), "drop": group, "first": group[1:]}[choice]
    text = f"the same image as {_other_names(group)}, but their {_LABEL_WORDS[kind]} differ"
    files = tuple(candidate.file for candidate in excluded)
    return Problem(file=group[0].name, kind=kind, text=text, fatal=False, files=files)


def _equal_across(
    candidates: Sequence[DuplicateCandidate], equal: Int64[np.ndarray, "links 2"], options: DataOptions
) -> list[Problem]:
    """Report equal images in two given splits."""
    problems: list[Problem] = []
    for group, splits in _groups(candidates, equal):
        if len(splits) > 1:
            # the test split, else the validation split, is kept unchanged; copies in other splits are left out
            last = max(splits, key=_SPLITS.index)
            files = tuple(candidate.file for candidate in group if candidate.split != last)
            fatal = not options.allow_duplicates
            text = f"the same pixels as {_other_names(group)}"
            problems.append(
                Problem(file=group[0].name, kind="duplicate across splits", text=text, fatal=fatal, files=files)
            )
    return problems


def _repeated(
    candidates: Sequence[DuplicateCandidate], links: Int64[np.ndarray, "links 2"], options: DataOptions
) -> list[Problem]:
    """Report copies in one split with the same label, with the files that `--drop-copies` leaves out."""
    problems: list[Problem] = []
    for group, splits in _groups(candidates, links):
        if len(splits) == 1 and len({candidate.label for candidate in group}) <= 1:
            files = tuple(candidate.file for candidate in group[1:]) if options.drop_copies else ()
            text = f"the same pixels as {_other_names(group)}" if not files else f"copied as {_other_names(group)}"
            problems.append(Problem(file=group[0].name, kind="duplicate image", text=text, fatal=False, files=files))
    return problems


def _groups(
    candidates: Sequence[DuplicateCandidate], links: Int64[np.ndarray, "links 2"]
) -> list[tuple[list[DuplicateCandidate], set[str]]]:
    """Return the groups of linked candidates with their splits."""
    groups = [[candidates[i] for i in indices] for indices in _families(first_linked(len(candidates), links).tolist())]
    return [(group, {candidate.split for candidate in group}) for group in groups]


def _other_names(group: Sequence[DuplicateCandidate]) -> str:
    return ", ".join(candidate.name for candidate in group[1:4]) + (" and more" if len(group) > 4 else "")


def _near_across(candidates: Sequence[DuplicateCandidate], near: Sequence[tuple[int, int]]) -> list[Problem]:
    """Return one warning for each two splits, whatever the number of pairs."""
    across: dict[tuple[str, str], list[str]] = defaultdict(list)
    for one, other in ((candidates[i], candidates[j]) for i, j in near):
        across[one.split, other.split].append(f"{one.name} ~ {other.name}")
    return [
        Problem(
            file=f"{one} and {other}",
            kind="near duplicate across splits",
            text=f"{pluralise(len(names), 'pair')} of nearly equal images: {list_first(names)}",
            fatal=False,
        )
        for (one, other), names in across.items()
    ]


def _copies_message(candidates: Sequence[DuplicateCandidate], family: Sequence[int]) -> list[str]:
    """Return a message that lists copies, if the splits are drawn at random."""
    related = _families(family)
    if not related or len({candidate.split for candidate in candidates}) > 1:
        return []
    images = pluralise(sum(map(len, related)), "image is", "images are")
    names = [" ~ ".join(candidates[index].name for index in group[:3]) for group in related]
    return [f"{images} equal or nearly equal to another ({list_first(names)}); copies stay in one split."]


def _conflict_message(groups: Sequence[Sequence[DuplicateCandidate]], options: DataOptions, kind: str) -> list[str]:
    """Return a message that lists kept copies with different labels; left out files are reported elsewhere."""
    if not groups or options.conflicts != "keep" or options.drop_copies:
        return []
    images = pluralise(len(groups), "image has", "images have")
    names = [" ~ ".join(candidate.name for candidate in group[:3]) for group in groups]
    return [
        f"{images} copies with different {_LABEL_WORDS[kind]} ({list_first(names)}): all are kept. --conflicts drop "
        "leaves all of them out, --conflicts first all but the first; --drop-copies also leaves out equal copies."
    ]
