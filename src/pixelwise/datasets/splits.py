"""Fixed splits that never part a group: validation images, balanced ones, and folds."""

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence


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


def choose_folds(groups: Sequence[str], holds: Sequence[frozenset[Hashable]], folds: int, seed: int) -> list[int]:
    """Deal the cases out to folds: whole groups, so that each class lies in as many folds as it can.

    A group goes to the fold that holds the least of the rarest thing the group shows, of equal ones to that with the
    least of the next rarest, and last to that with the fewest cases: the greedy order of Sechidis et al. 2011 (ECML
    PKDD, iterative stratification), with the ties broken by more than one class.

    Parameters
    ----------
    groups : sequence of str
        Group of each case.
    holds : sequence of frozenset
        What each case shows (its classes).
    folds : int
        At least 2, and at most as many as there are groups; then no fold is empty.
    seed : int
        Groups that show the same and are equally large are dealt in an order that follows from it and their names.

    Returns
    -------
    list of int
        The fold of each case, from 0.
    """
    members: dict[str, list[int]] = defaultdict(list)
    for index, group in enumerate(groups):
        members[group].append(index)
    shown = {group: Counter(thing for index in cases for thing in holds[index]) for group, cases in members.items()}
    total = Counter(thing for things in holds for thing in things)
    by_rarity = {group: sorted(counts, key=lambda thing: (total[thing], str(thing))) for group, counts in shown.items()}

    def rarest(group: str) -> int:
        return total[by_rarity[group][0]] if by_rarity[group] else len(groups) + 1

    sizes, dealt = [0] * folds, [Counter[Hashable]() for _ in range(folds)]
    chosen = [0] * len(groups)
    for group in sorted(members, key=lambda name: (rarest(name), -len(members[name]), _draw(seed, name), name)):
        things = by_rarity[group]
        best = min(range(folds), key=lambda fold: ([dealt[fold][thing] for thing in things], sizes[fold], fold))
        for index in members[group]:
            chosen[index] = best
        sizes[best] += len(members[group])
        dealt[best] += shown[group]
    return chosen


def _draw(seed: int, group: str) -> str:
    """Return a number that depends on the seed and the group alone, so that new cases do not move old ones."""
    return hashlib.sha256(f"{seed}:{group}".encode("utf-8", "surrogateescape")).hexdigest()
