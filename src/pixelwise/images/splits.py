"""Equal and near-equal images, and the fixed split that never parts them."""

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Sequence

import numpy as np
from jaxtyping import Float32

from pixelwise.images.survey import SKETCH

NEAR = 0.97  # correlation of sketches from which on two images are taken as copies of one
_BLOCK = 512  # rows of the comparison held at once


def near_pairs(
    sketches: Float32[np.ndarray, "images fields"], threshold: float = NEAR, *, upright: bool = False
) -> Iterator[tuple[int, int]]:
    """Yield the pairs (i < j) of images that are near-equal, also flipped or turned.

    Parameters
    ----------
    sketches : (images, 1024) float32
        As made by `survey.sketch`, flattened; zeros (flat pictures) are near to nothing.
    threshold : float
        Correlation from which on a pair is near.
    upright : bool
        Compare with the image and its mirror image alone, a quarter of the work: photographs keep their up.
    """
    count = len(sketches)
    squares = sketches.reshape(count, SKETCH, SKETCH)
    turns = range(1) if upright else range(4)
    turned = [np.rot90(s, k, (1, 2)) for s in (squares, squares[:, :, ::-1]) for k in turns]
    flat = [np.ascontiguousarray(t).reshape(count, -1) for t in turned]
    for start in range(0, count, _BLOCK):
        block = sketches[start : start + _BLOCK]
        best = np.max([block @ other[start:].T for other in flat], axis=0)
        rows, columns = np.nonzero(best >= threshold)
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
            if column > row:
                yield start + row, start + column


def join(count: int, links: Sequence[tuple[int, int]]) -> list[int]:
    """Return for each of `count` things the smallest number of those it is linked with, over any chain."""
    parent = list(range(count))

    def root(item: int) -> int:
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    for first, second in links:
        low, high = sorted((root(first), root(second)))
        parent[high] = low
    return [root(item) for item in range(count)]


def choose_validation(
    groups: Sequence[str], holds: Sequence[frozenset[Hashable]], share: float, seed: int
) -> list[bool]:
    """Choose the cases that validate: whole groups, in an order fixed by the seed and the groups' names.

    Parameters
    ----------
    groups : sequence of str
        Group of each case.
    holds : sequence of frozenset
        What each case shows (its classes); what only one group shows stays in training.
    share : float
        Wanted share of the cases; at least one case validates and at least one trains, where there are two groups.
    seed : int

    Returns
    -------
    list of bool
        True for cases that validate; all False when there is one group only.
    """
    members: dict[str, list[int]] = defaultdict(list)
    for index, group in enumerate(groups):
        members[group].append(index)
    wanted = min(max(1, math.floor(share * len(groups) + 0.5)), len(groups) - 1)
    left = Counter(thing for things in holds for thing in things)
    order = sorted(members, key=lambda group: (_draw(seed, group), group))
    chosen: set[int] = set()
    smallest = min((len(group) for group in members.values()), default=0)
    for keep_classes in (True, False):
        for group in order:
            cases = members[group]
            if chosen.issuperset(cases) or len(chosen) + len(cases) > max(wanted, smallest):
                continue
            if len(chosen) + len(cases) == len(groups):
                continue
            shown = Counter(thing for index in cases for thing in holds[index])
            if keep_classes and any(left[thing] <= count for thing, count in shown.items()):
                continue
            left -= shown
            chosen.update(cases)
        if chosen:
            break
    return [index in chosen for index in range(len(groups))]


def choose_balanced(groups: Sequence[str], classes: Sequence[int], share: float, seed: int) -> list[bool]:
    """Choose the cases that validate so that each class gives the same share of its cases.

    Parameters
    ----------
    groups : sequence of str
        Group of each case; a group validates as a whole or not at all.
    classes : sequence of int
        Class of each case.
    share : float
        Wanted share of each class; at least one group of a class validates and at least one case trains, where that
        can be.
    seed : int
        The order in which groups are tried follows from it and their names.

    Returns
    -------
    list of bool
        True for cases that validate.
    """
    members: dict[str, list[int]] = defaultdict(list)
    for index, group in enumerate(groups):
        members[group].append(index)
    sizes, least = Counter(classes), dict[int, int]()
    for cases in members.values():
        for name, count in Counter(classes[index] for index in cases).items():
            least[name] = min(count, least.get(name, count))
    room = {name: min(max(least[name], math.floor(share * size + 0.5)), size - 1) for name, size in sizes.items()}
    chosen: set[int] = set()
    for group in sorted(members, key=lambda group: (_draw(seed, group), group)):
        wanted = Counter(classes[index] for index in members[group])
        if all(room[name] >= count for name, count in wanted.items()):
            room = {name: left - wanted[name] for name, left in room.items()}
            chosen.update(members[group])
    return [index in chosen for index in range(len(groups))]


def _draw(seed: int, group: str) -> str:
    """Return a number that depends on the seed and the group alone, so that new cases do not move old ones."""
    return hashlib.sha256(f"{seed}:{group}".encode("utf-8", "surrogateescape")).hexdigest()
