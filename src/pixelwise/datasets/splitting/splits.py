"""Deterministic group splits: random, stratified by class, and stratified group k-fold."""

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence


def choose_validation(
    groups: Sequence[str],
    label_sets: Sequence[frozenset[Hashable]],
    share: float,
    seed: int,
    kinds: Sequence[str] = (),
) -> list[bool]:
    """Choose validation cases: whole groups, in an order fixed by the seed and the group names.

    Parameters
    ----------
    groups : sequence of str
        Group of each case.
    label_sets : sequence of frozenset
        The classes in each case; a class that only one group contains stays in training.
    share : float
        Target fraction of the cases; with two groups, at least one case is for validation and one for training.
    kinds : sequence of str, optional
        The kind of each image, or "". A kind that only one group contains stays in training if the classes allow it.

    Returns
    -------
    list of bool
        True for validation cases; all False if there is only one group.
    """
    members: dict[str, list[int]] = defaultdict(list)
    for index, group in enumerate(groups):
        members[group].append(index)
    target = min(max(1, math.floor(share * len(groups) + 0.5)), len(groups) - 1)
    order = sorted(members, key=lambda group: (_hash(seed, group), group))
    chosen: set[int] = set()
    smallest = min((len(group) for group in members.values()), default=0)
    for kept in _kept_in_training(label_sets, kinds):
        remaining = Counter(label for labels in kept for label in labels)
        for group in order:
            cases = members[group]
            if len(chosen) + len(cases) > max(target, smallest) or len(chosen) + len(cases) == len(groups):
                continue
            shown = Counter(label for index in cases for label in kept[index])
            if any(remaining[label] <= count for label, count in shown.items()):
                continue
            remaining -= shown
            chosen.update(cases)
        if chosen:
            break
    return [index in chosen for index in range(len(groups))]


def _kept_in_training(
    label_sets: Sequence[frozenset[Hashable]], kinds: Sequence[str]
) -> list[Sequence[frozenset[Hashable]]]:
    """Return what may not be in validation alone, of each case: first all of it, then less and less."""
    nothing = [frozenset[Hashable]()] * len(label_sets)
    if not any(kinds):
        return [label_sets, nothing]
    both = [labels | {("kind", kind)} if kind else labels for labels, kind in zip(label_sets, kinds, strict=True)]
    return [both, label_sets, nothing]


def choose_balanced(groups: Sequence[str], classes: Sequence[int], share: float, seed: int) -> list[bool]:
    """Choose validation cases stratified by class.

    Parameters
    ----------
    groups : sequence of str
        Group of each case; groups are not divided.
    classes : sequence of int
        Class of each case.
    share : float
        Target fraction of each class; if possible, at least one group of a class is for validation and at least one
        case for training.
    seed : int
        Determines, with the group names, the order in which groups are tried.

    Returns
    -------
    list of bool
        True for validation cases.
    """
    members: dict[str, list[int]] = defaultdict(list)
    for index, group in enumerate(groups):
        members[group].append(index)
    sizes, smallest = Counter(classes), dict[int, int]()
    for cases in members.values():
        for name, count in Counter(classes[index] for index in cases).items():
            smallest[name] = min(count, smallest.get(name, count))
    capacity = {
        name: min(max(smallest[name], math.floor(share * size + 0.5)), size - 1) for name, size in sizes.items()
    }
    chosen: set[int] = set()
    for group in sorted(members, key=lambda group: (_hash(seed, group), group)):
        target = Counter(classes[index] for index in members[group])
        if all(capacity[name] >= count for name, count in target.items()):
            capacity = {name: remaining - target[name] for name, remaining in capacity.items()}
            chosen.update(members[group])
    return [index in chosen for index in range(len(groups))]


def choose_folds(groups: Sequence[str], label_sets: Sequence[frozenset[Hashable]], folds: int, seed: int) -> list[int]:
    """Assign whole groups to folds by iterative stratification, so that each class is in as many folds as possible.

    A group is assigned to the fold with the fewest cases of the rarest class of the group; ties are broken by its next
    rarest class, and last by the number of cases: the greedy algorithm of Sechidis et al. 2011 (ECML PKDD, iterative
    stratification), with ties broken by more than one class.

    Parameters
    ----------
    groups : sequence of str
        Group of each case.
    label_sets : sequence of frozenset
        The classes in each case.
    folds : int
        From 2 to the number of groups, so that no fold is empty.
    seed : int
        Determines, with the group names, the order of groups of equal size and classes.

    Returns
    -------
    list of int
        The fold of each case, from 0.
    """
    members: dict[str, list[int]] = defaultdict(list)
    for index, group in enumerate(groups):
        members[group].append(index)
    shown = {
        group: Counter(label for index in cases for label in label_sets[index]) for group, cases in members.items()
    }
    total = Counter(label for labels in label_sets for label in labels)
    by_rarity = {group: sorted(counts, key=lambda label: (total[label], str(label))) for group, counts in shown.items()}

    def rarest(group: str) -> int:
        return total[by_rarity[group][0]] if by_rarity[group] else len(groups) + 1

    sizes, label_counts = [0] * folds, [Counter[Hashable]() for _ in range(folds)]
    chosen = [0] * len(groups)
    for group in sorted(members, key=lambda name: (rarest(name), -len(members[name]), _hash(seed, name), name)):
        labels = by_rarity[group]
        best = min(range(folds), key=lambda fold: ([label_counts[fold][label] for label in labels], sizes[fold], fold))
        for index in members[group]:
            chosen[index] = best
        sizes[best] += len(members[group])
        label_counts[best] += shown[group]
    return chosen


def _hash(seed: int, group: str) -> str:
    """Return a hash of the seed and the group, so that new cases do not change the split of others."""
    return hashlib.sha256(f"{seed}:{group}".encode("utf-8", "surrogateescape")).hexdigest()
