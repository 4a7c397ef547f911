"""Nested parts: ever larger parts of the training cases, each holding the smaller ones, for a learning curve."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pixelwise.datasets.records import Case, Dataset

SMALLEST = 2  # cases of a part
SHARES = (8, 4, 2, 1)
_GOLDEN = (math.sqrt(5) - 1) / 2


def part_sizes(cases: int) -> tuple[int, ...]:
    """Return the sizes of the parts, rising: an eighth, a quarter, a half and all of the cases, rounded up.

    At least two cases each, and every size once: fewer than sixteen cases make fewer parts.
    """
    return tuple(sorted({max(SMALLEST, -(-cases // share)) for share in SHARES if cases >= SMALLEST}))


def draw_order(dataset: Dataset, seed: int, repeat: int) -> tuple[str, ...]:
    """Return the names of the labelled training cases in the order in which parts take them, at random.

    The first one shows something besides the background, where any does, so that even the smallest part has something
    to teach. The order is a function of seed and repeat.
    """
    cases = [case for case in dataset.part("train") if case.labelled]
    drawn = [cases[place] for place in np.random.default_rng((seed, repeat)).permutation(len(cases)).tolist()]
    labelling = dataset.labelling
    empty = {0 if labelling.task == "instance" else labelling.values[0], labelling.ignore_value}
    first = next((case for case in drawn if case.shows - empty), drawn[0])
    return (first.name, *(case.name for case in drawn if case is not first))


def learn_from(dataset: Dataset, names: Sequence[str], looked_at: Sequence[str]) -> Dataset:
    """Return the data set with some training cases alone, and some validation cases."""
    kept: dict[str, frozenset[str]] = {"train": frozenset(names), "val": frozenset(looked_at)}

    def stays(case: Case) -> bool:
        return case.name in kept.get(case.part, frozenset())

    return replace(dataset, cases=tuple(case for case in dataset.cases if stays(case)), split_made=True)


def spread(cases: Sequence[Case]) -> list[Case]:
    """Order cases so that the first few, however many, come from all over them (multiples of the golden ratio)."""
    return [cases[index] for index in sorted(range(len(cases)), key=lambda index: index * _GOLDEN % 1)]
