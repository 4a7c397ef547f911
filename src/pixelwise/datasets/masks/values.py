"""The values of all masks of a data set in one coding."""

from collections import Counter
from dataclasses import dataclass, field

from pixelwise.datasets.masks.class_table import ClassTable
from pixelwise.datasets.masks.coding import shown_colour
from pixelwise.datasets.masks.measure import MaskValues
from pixelwise.datasets.masks.smoothing import shown_classes
from pixelwise.datasets.options import DataOptions
from pixelwise.datasets.problems import Problem
from pixelwise.datasets.records import Colour, Labelling

MAX_SHARED_VALUES = 40  # more values shared between files are classes only if the data set defines them


@dataclass
class MaskValueTable:
    """Masks by file in one coding, with messages and problems; the last fields are those of `Labelling`."""

    masks: dict[str, MaskValues]
    counts: dict[str, dict[int, int]]
    coloured: bool
    class_table: ClassTable
    options: DataOptions
    threshold: float | None = None
    background: int | None = 0
    blended: bool = False
    messages: list[str] = field(default_factory=list[str])
    problems: list[Problem] = field(default_factory=list[Problem])

    @property
    def values(self) -> list[int]:
        """All values, sorted."""
        return sorted({value for counts in self.counts.values() for value in counts})

    def add_problem(self, kind: str, text: str, file: str = "") -> None:
        """Add a problem."""
        self.problems.append(Problem(file=file, kind=kind, text=text))


def name_of(value: int, coloured: bool) -> str:
    """Return a value as text: a number, or ``r,g,b``."""
    return f"{value >> 16},{value >> 8 & 255},{value & 255}" if coloured else str(value)


def coded_values(mask: MaskValues, coloured: bool) -> dict[int, int]:
    """Return pixel counts by value; if `coloured`, indexed and gray masks are converted to colours."""
    if mask.coloured or not coloured:
        return dict(zip(mask.values, mask.counts, strict=True))
    counts: Counter[int] = Counter()
    for value, count in zip(mask.values, mask.counts, strict=True):
        counts[shown_colour(mask, value)] += count
    return dict(counts)


def values_in(mask: MaskValues, labelling: Labelling) -> frozenset[int]:
    """Return the file values of the classes in a mask; for instances 0 (background) and 1 (objects)."""
    if labelling.alpha:
        mask = mask.alpha or mask
    values = {value for value in coded_values(mask, labelling.coded_by_colour) if value != labelling.ignore_value}
    if labelling.task == "instance":
        return frozenset(int(value != labelling.background) for value in values)
    if labelling.threshold is not None:
        low, high = labelling.values
        bright, dark = max(low, high), min(low, high)
        return frozenset(bright if value > labelling.threshold else dark for value in values)
    if labelling.blended:
        shown = shown_classes(values, labelling.values) if mask.lossy and values else values & set(labelling.values)
        return frozenset(shown) or frozenset(labelling.values[:1])
    return frozenset(values)


def packed(colour: Colour) -> int:
    """Return a colour as one number, ``r << 16 | g << 8 | b``."""
    return colour[0] << 16 | colour[1] << 8 | colour[2]
