"""The values of all masks of a set in one coding, and what is said about them."""

from collections import Counter
from dataclasses import dataclass, field

from pixelwise.datasets.class_table import ClassTable
from pixelwise.datasets.options import DataOptions
from pixelwise.datasets.problems import Problem
from pixelwise.datasets.records import Colour
from pixelwise.datasets.scan import Values

MOST_GUESSED = 40  # more values shared between files are taken for classes only where the data say so


@dataclass
class MaskValueTable:
    """Masks by file, in one coding, and everything said about them."""

    masks: dict[str, Values]
    counts: dict[str, dict[int, int]]
    coloured: bool
    legend: ClassTable
    options: DataOptions
    messages: list[str] = field(default_factory=list[str])
    problems: list[Problem] = field(default_factory=list[Problem])

    @property
    def values(self) -> list[int]:
        """Every value that occurs, rising."""
        return sorted({value for counts in self.counts.values() for value in counts})

    def fault(self, kind: str, text: str, file: str = "", fatal: bool = True) -> None:
        """Note a problem."""
        self.problems.append(Problem(file=file, kind=kind, text=text, fatal=fatal))


def name_of(value: int, coloured: bool) -> str:
    """Write a value as people see it in their files."""
    return f"{value >> 16},{value >> 8 & 255},{value & 255}" if coloured else str(value)


def coded_values(mask: Values, coloured: bool) -> dict[int, int]:
    """Return pixels by value; in a set coded by colour an indexed or gray file means its colours."""
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
