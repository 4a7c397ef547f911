"""What labels mean: task, classes and their values."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Task = Literal["binary", "multiclass", "instance", "classification"]
Split = Literal["train", "val", "test"]
Colour = tuple[int, int, int]

BACKGROUND_NAMES = ("background", "bg", "none", "nothing", "other", "rest", "void", "unlabelled", "unlabeled")


@dataclass(frozen=True, kw_only=True)
class Region:
    """A set of classes, by their indices, with the class that stands for it in masks."""

    name: str
    classes: tuple[int, ...]
    written: int


@dataclass(frozen=True, kw_only=True)
class Labelling:
    """The mapping from mask values to classes or objects.

    Attributes
    ----------
    classes : tuple of str
        In index order, background (if any) first.
    values : tuple of int
        File value of each class, in the same order; packed as ``r << 16 | g << 8 | b`` when coded by colour.
        Empty for instances, where every value but 0 is an object, and for classes of whole images.
    colours : tuple of (int, int, int)
        One per class, for display; empty for classes of whole images.
    ignore_value : int or None
        File value that is excluded from loss and scores.
    threshold : float or None
        Binary masks with values in between: higher values are those of the brighter class.
    blended : bool
        Colours of no class are between two: the nearest class is meant, and none if it is unclear.
    alpha : bool
        The values are in the alpha channel.
    background : int or None
        Instances: file value of the background; None if every value is an object.
    source_classes : tuple of str
        Annotations that name their classes (shapes, or a mask file per class): the names of the values 1, 2, ...
    regions : tuple of Region
        Sets of classes that overlap or contain one another, in the order in which masks are written.
    """

    task: Task
    classes: tuple[str, ...]
    values: tuple[int, ...]
    colours: tuple[Colour, ...]
    coded_by_colour: bool = False
    ignore_value: int | None = None
    threshold: float | None = None
    blended: bool = False
    alpha: bool = False
    background: int | None = 0
    source_classes: tuple[str, ...] = ()
    regions: tuple[Region, ...] = ()

    @property
    def first_class(self) -> int:
        """Index of the first class that means include: 1 after a background, else 0."""
        return first_class(self.task, self.classes)


def has_background(task: str, classes: Sequence[str]) -> bool:
    """Return whether class 0 is a background, which class means exclude.

    It is for binary and instance tasks. With more classes it depends on the name: in street scenes class 0 may be the
    sky.
    """
    return task != "multiclass" or classes[0].strip().casefold() in BACKGROUND_NAMES


def first_class(task: str, classes: Sequence[str]) -> int:
    """Return the index of the first class that means include: 1 after a background, else 0."""
    return int(has_background(task, classes))
