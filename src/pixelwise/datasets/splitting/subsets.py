"""Subsets of cases: evenly spaced ones, and nested ones for a learning curve."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from pixelwise.datasets.cases import Case
from pixelwise.datasets.examples import Dataset

MIN_CASES = 2  # of a subset
SHARES = (8, 4, 2, 1)
Item = TypeVar("Item")
_GOLDEN = (math.sqrt(5) - 1) / 2


def subset_sizes(cases: int) -> tuple[int, ...]:
    """Return the sizes of the subsets: an eighth, a quarter, a half and all of the cases, rounded up.

    Each has at least two cases and sizes are unique: fewer than sixteen cases give fewer subsets.
    """
    return tuple(sorted({max(MIN_CASES, -(-cases // share)) for share in SHARES if cases >= MIN_CASES}))


def draw_order(dataset: Dataset, seed: int, repeat: int) -> tuple[str, ...]:
    """Return the names of the labelled training cases in random order; subsets are its first cases.

    The first case contains foreground, if any does, so that even the smallest subset does. The order is a function of
    seed and repeat.
    """
    cases = [case for case in dataset.splits["train"] if case.labelled]
    shuffled = [cases[index] for index in np.random.default_rng((seed, repeat)).permutation(len(cases)).tolist()]
    labelling = dataset.labelling
    empty = {0 if labelling.task == "instance" else labelling.values[0], labelling.ignore_value}
    first = next((case for case in shuffled if case.label_set - empty), shuffled[0])
    return (first.name, *(case.name for case in shuffled if case is not first))


def select_cases(dataset: Dataset, names: Sequence[str], validation_names: Sequence[str]) -> Dataset:
    """Return the data set with only the given training cases (`names`) and validation cases (`validation_names`)."""
    selected: dict[str, frozenset[str]] = {"train": frozenset(names), "val": frozenset(validation_names)}

    def is_selected(case: Case) -> bool:
        return case.name in selected.get(case.split, frozenset())

    return replace(dataset, cases=tuple(case for case in dataset.cases if is_selected(case)), split_made=True)


def evenly_spaced(items: Sequence[Item], count: int) -> list[Item]:
    """Return at most `count` evenly spaced items, in order, so that all parts of a sorted list are represented.

    Examples
    --------
    >>> evenly_spaced("abcdefgh", 3)
    ['a', 'c', 'f']
    >>> evenly_spaced("ab", 3)
    ['a', 'b']
    """
    count = min(count, len(items))
    return [items[index * len(items) // count] for index in range(count)]


def spread_order(cases: Sequence[Case]) -> list[Case]:
    """Order cases as a low-discrepancy sequence (golden ratio): any first few are evenly spread over the list."""
    return [cases[index] for index in sorted(range(len(cases)), key=lambda index: index * _GOLDEN % 1)]
