"""Masks in memory as a data set understands them: discs, and the labels of each mask after all were compared."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pixelwise.datasets.masks.class_table import ClassTable, parse_table
from pixelwise.datasets.masks.labelling import MaskInterpretation, interpret_masks
from pixelwise.datasets.masks.mapping import labels_of
from pixelwise.datasets.masks.measure import measure_values
from pixelwise.datasets.options import DataOptions
from pixelwise.io.read import MaskImage

SIZE = (72, 84)


class Understood(NamedTuple):
    """What was decided, and the labels of each mask; no labels if the set is refused."""

    result: MaskInterpretation
    labels: list[np.ndarray]

    @property
    def kinds(self) -> set[str]:
        return {problem.kind for problem in self.result.problems if problem.fatal}

    @property
    def text(self) -> str:
        return " ".join(self.result.messages)


def understand(
    masks: Sequence[MaskImage], images: Sequence[np.ndarray] | None = None, table: str = "", **options: object
) -> Understood:
    """Return what a set of masks means; `table` is the text of classes.txt."""
    entries = ClassTable(entries=parse_table(table), source="classes.txt") if table else ClassTable()
    pixels = [None] * len(masks) if images is None else [image[None] for image in images]
    values = {
        f"masks/{i}": measure_values(mask, image) for i, (mask, image) in enumerate(zip(masks, pixels, strict=True))
    }
    result = interpret_masks(values, entries, DataOptions(**options))
    if any(problem.fatal for problem in result.problems):
        return Understood(result, [])
    return Understood(result, [labels_of(mask, result.labelling, Path("mask")) for mask in masks])


def discs(seed: int, count: int = 5, size: tuple[int, int] = SIZE, radius: tuple[int, int] = (6, 9)) -> np.ndarray:
    """Numbered discs that do not touch, at random places."""
    rng = np.random.default_rng(seed)
    rows, columns = np.ogrid[: size[0], : size[1]]
    drawn, number = np.zeros(size, np.int64), 0
    for _ in range(2000):
        if number == count:
            break
        reach = int(rng.integers(*radius))
        row, column = (int(rng.integers(reach, side - reach)) for side in size)
        near = (rows - row) ** 2 + (columns - column) ** 2 <= (reach + 2) ** 2
        if not drawn[near].any():
            number += 1
            drawn[(rows - row) ** 2 + (columns - column) ** 2 <= reach**2] = number
    return drawn


def photo(drawn: np.ndarray, seed: int, levels: Sequence[float] = ()) -> np.ndarray:
    """Noise with a brightness for each number: `levels`, or the same for all."""
    rng = np.random.default_rng(1000 + seed)
    bright = np.array([40.0, *levels]) if levels else np.where(np.arange(int(drawn.max()) + 1) > 0, 150.0, 40.0)
    return np.clip(bright[drawn] + rng.normal(0, 8, drawn.shape), 0, 255).astype(np.uint8)


def same(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two label images are equal up to the numbers of objects, with the same background."""
    pairs = np.unique(np.stack([one.ravel(), other.ravel()]), axis=1)
    return all(len(np.unique(row)) == pairs.shape[1] for row in pairs) and np.array_equal(one == 0, other == 0)
