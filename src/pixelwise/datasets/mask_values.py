"""The values of all masks of a data set in one coding."""

from collections import Counter
from dataclasses import dataclass, field

from pixelwise.datasets.class_table import ClassTable
from pixelwise.datasets.options import DataOptions
from pixelwise.datasets.problems import Problem
from pixelwise.datasets.records import Colour
from pixelwise.datasets.scan import MaskValues

MAX_SHARED_VALUES = 40  # more values shared between files are classes only if the data set defines them


@dataclass
class MaskValueTable:
    """Masks by file in one coding, with messages and problems."""

    masks: dict[str, MaskValues]
    counts: dict[str, dict[int, int]]
    coloured: bool
    class_table: ClassTable
    options: DataOptions
    messages: list[str] = field(default_factory=list[str])
    problems: list[Problem] = field(default_factory=list[Problem])

    @property
    def values(self) -> list[int]:
        """All values, sorted."""
        return sorted({value for counts in self.counts.values() for value in counts})

    def add_problem(self, kind: str, text: str, file: str = "", fatal: bool = True) -> None:
        """Add a problem."""
        self.problems.append(Problem(file=file, kind=kind, text=text, fatal=fatal))


def name_of(value: int, coloured: bool) -> str:
    """Return a value as text: a number, or ``r,g,b``."""
    return f"{value >> 16},{value >> 8 & 255},{value & 255}" if coloured else str(value)


def coded_values(mask: MaskValues, coloured: bool) -> dict[int, int]:
    """Return pixel counts by value; if `coloured`, indexed and gray masks are converted to colours."""
    if mask.coloured or not coloured:
        return dict(zip(mask.values, mask.counts, strict=True))
    palette = dict(mask.palette)
    counts: Counter[int] = Counter()
    for value, count in zip(mask.values, mask.counts, strict=True):
        red, green, blue = palette.get(value, (value & 255,) * 3)
        counts[red << 16 | green << 8 | blue] += count
    return dict(counts)


def packed(colour: Colour) -> int:
    """Return a colour as one number, ``r << 16 | g << 8 | b``."""
    return colour[0] << 16 | colour[1] << 8 | colour[2]
