"""What the door hands to the rest of the house: plain records of a data set that was understood."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pixelwise.datasets.problems import Problem

Task = Literal["binary", "multiclass", "instance", "classification"]
Part = Literal["train", "val", "test"]
Colour = tuple[int, int, int]

BACKGROUND_NAMES = ("background", "bg", "none", "nothing", "other", "rest", "void", "unlabelled", "unlabeled")


@dataclass(frozen=True, kw_only=True)
class Case:
    """An image with its mask, or with its class.

    Attributes
    ----------
    name : str
        Unique in the data set, such as "train/slice_00".
    image : Path
    mask : Path or None
    part : str
    group : str
        Cases of one group are never parted by a split that pixelwise makes.
    class_index : int or None
        Class of the whole image, for task "classification".
    shows : frozenset
        What the mask holds: values of the file, or for instances whether there is an object (1) and ground (0); or the
        class of the whole image.
    """

    name: str
    image: Path
    mask: Path | None
    part: Part
    group: str = ""
    class_index: int | None = None
    shows: frozenset[Hashable] = frozenset()

    @property
    def labelled(self) -> bool:
        """Whether it has a mask or a class."""
        return self.mask is not None or self.class_index is not None


@dataclass(frozen=True, kw_only=True)
class Labelling:
    """How mask files say what a pixel is.

    Attributes
    ----------
    task : str
    classes : tuple of str
        In index order, background (where there is one) first.
    values : tuple of int
        File value of each class, in the same order; packed as ``r << 16 | g << 8 | b`` when coded by colour.
        Empty for instances, where every value but 0 is an object, and for classes of whole images.
    colours : tuple of (int, int, int)
        For drawing, one per class; empty for classes of whole images.
    coded_by_colour : bool
    ignore_value : int or None
        File value that is left out of loss and scores.
    """

    task: Task
    classes: tuple[str, ...]
    values: tuple[int, ...]
    colours: tuple[Colour, ...]
    coded_by_colour: bool = False
    ignore_value: int | None = None


def has_background(task: str, classes: Sequence[str]) -> bool:
    """Tell whether class 0 is a background, which means over classes leave out.

    Two classes are one against the rest, and objects lie on a ground. Among more classes the first is a background
    only where its name says so: in street scenes class 0 may be the sky.
    """
    return task != "multiclass" or classes[0].strip().casefold() in BACKGROUND_NAMES


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A folder that was understood.

    Attributes
    ----------
    root : Path
    cases : tuple of Case
        In natural order of their names, part by part.
    labelling : Labelling
    channels : int
        3 when any image has colour, else 1, or the common number of channels.
    messages : tuple of str
        What was guessed, in plain sentences, each with the flag that changes it.
    problems : tuple of Problem
    split_made : bool
        The validation part was drawn by pixelwise, so that it should be recorded.
    """

    root: Path
    cases: tuple[Case, ...]
    labelling: Labelling
    channels: int
    messages: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    split_made: bool = False

    def part(self, name: str) -> tuple[Case, ...]:
        """Return the cases of one part, in order; empty when there are none."""
        return tuple(case for case in self.cases if case.part == name)
