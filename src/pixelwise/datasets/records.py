"""What the door hands to the rest of the house: plain records of a data set that was understood."""

import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pixelwise.datasets.problems import Problem
from pixelwise.errors import BadOption

Task = Literal["binary", "multiclass", "instance", "classification"]
Part = Literal["train", "val", "test"]
Colour = tuple[int, int, int]

BACKGROUND_NAMES = ("background", "bg", "none", "nothing", "other", "rest", "void", "unlabelled", "unlabeled")


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """Options of a data set; what is not given is detected from its files.

    The descriptions are also the help of the options on the command line.

    Attributes
    ----------
    images : str, optional
        Folder of the images: its name, its path inside the data set or, for files in one folder, their suffix.
    masks : str, optional
        Folder of the masks, or the suffix of their file names, such as ``_mask``.
    task : str
        "binary", "multiclass", "instance" or "classification"; "auto" detects it from the folders and the masks.
    classes : tuple of str
        Class names in the order of their mask values, with or without the background.
    ignore_index : int, optional
        Mask value excluded from loss and scores; -1: none.
    foreground : int, optional
        Binary masks: value of the foreground class.
    group_by : str, optional
        Regular expression with one group, searched in file names: equal matches stay in the same split.
    val_share : float
        Fraction of the training images used for validation if no validation split is given.
    allow_missing : bool
        Ignore images without a mask.
    allow_duplicates : bool
        Accept equal images in two splits.
    skip_bad : bool
        Leave out files with problems, and report them.
    conflicts : str
        Copies of an image with different masks or classes: "keep" keeps all in one split, "drop" leaves out all,
        "first" keeps the first by name.
    pages : int, optional
        Number of pages of a TIFF stack that are the channels of one image.
    """

    images: str | None = None
    masks: str | None = None
    task: Literal["auto", "binary", "multiclass", "instance", "classification"] = "auto"
    classes: tuple[str, ...] = ()
    ignore_index: int | None = None
    foreground: int | None = None
    group_by: str | None = None
    val_share: float = 0.2
    allow_missing: bool = False
    allow_duplicates: bool = False
    skip_bad: bool = False
    conflicts: Literal["keep", "drop", "first"] = "keep"
    pages: int | None = None

    def __post_init__(self) -> None:
        """Refuse values that contradict each other or cannot be meant."""
        if not 0 < self.val_share < 1:
            raise BadOption("val_share between 0 and 1", str(self.val_share), "0.2 is usual.")
        if self.pages is not None and self.pages < 1:
            raise BadOption("pages of at least 1", str(self.pages), "Leave it out to have it found.")
        if len(set(self.classes)) != len(self.classes):
            raise BadOption("different class names", ", ".join(self.classes), "Name each class once.")
        if self.foreground is not None and self.foreground == self.ignore_index:
            raise BadOption("foreground unlike ignore_index", str(self.foreground), "Change one of them.")
        if self.foreground is not None and self.task not in ("auto", "binary"):
            raise BadOption("foreground for a binary task", f"task {self.task}", "Leave --foreground out.")
        if self.group_by is not None and _groups(self.group_by) != 1:
            raise BadOption("a regular expression with one group for group_by", self.group_by, "Example: '^([^_]+)_'.")


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


def _groups(expression: str) -> int:
    """Count the groups of a regular expression; -1 when it is none."""
    try:
        return re.compile(expression).groups
    except re.error:
        return -1
