"""Data set records: options, cases, labelling and the data set itself."""

import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pixelwise.datasets.problems import Problem
from pixelwise.errors import BadOption

Task = Literal["binary", "multiclass", "instance", "classification"]
Split = Literal["train", "val", "test"]
Colour = tuple[int, int, int]

BACKGROUND_NAMES = ("background", "bg", "none", "nothing", "other", "rest", "void", "unlabelled", "unlabeled")


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """Options of a data set; unset ones are detected.

    Attributes
    ----------
    images, masks : str or None
        Folder name, path inside the data set, or (for images and masks in one folder) a suffix such as ``_mask``.
    task : str
        "auto" detects it from the folders and from the values and regions of the masks.
    classes : tuple of str
        Names in the order of their values, with or without the background.
    ignore_index : int or None
        File value that is excluded from loss and scores; -1 for none.
    foreground : int or None
        File value of the foreground in binary masks.
    group_by : str or None
        Regular expression with one group, searched in the name; equal matches stay in one split.
    val_share : float
        Fraction of the training images used for validation if no validation split is given.
    allow_missing, allow_duplicates : bool
        Ignore images without a mask; accept equal images in two splits.
    skip_bad : bool
        Exclude every file that has a problem, instead of refusing the data set.
    conflicts : str
        How to treat copies of one image with different masks (or classes): "keep" keeps all, in one split; "drop"
        excludes all; "first" keeps the first, in natural order of the names.
    pages : int or None
        Number of TIFF pages that are channels of one image.
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
        """Check the values and their combinations."""
        if not 0 < self.val_share < 1:
            raise BadOption("val_share between 0 and 1", str(self.val_share), "0.2 is usual.")
        if self.pages is not None and self.pages < 1:
            raise BadOption("pages of at least 1", str(self.pages), "Leave it out to detect it.")
        if len(set(self.classes)) != len(self.classes):
            raise BadOption("different class names", ", ".join(self.classes), "Name each class once.")
        if self.foreground is not None and self.foreground == self.ignore_index:
            raise BadOption("foreground different from ignore_index", str(self.foreground), "Change one of them.")
        if self.foreground is not None and self.task not in ("auto", "binary"):
            raise BadOption("foreground for a binary task", f"task {self.task}", "Leave --foreground out.")
        if self.group_by is not None and _count_groups(self.group_by) != 1:
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
        Cases of one group stay together in a random split.
    class_index : int or None
        Class of the whole image, for task "classification".
    shows : frozenset
        The file values in the mask; for instances 1 (object) and 0 (background); or the class of the whole image.
    """

    name: str
    image: Path
    mask: Path | None
    part: Split
    group: str = ""
    class_index: int | None = None
    label_set: frozenset[Hashable] = frozenset()

    @property
    def labelled(self) -> bool:
        """Whether it has a mask or a class."""
        return self.mask is not None or self.class_index is not None


@dataclass(frozen=True, kw_only=True)
class Labelling:
    """The mapping from mask values to classes or objects.

    Attributes
    ----------
    task : str
    classes : tuple of str
        In index order, background (if any) first.
    values : tuple of int
        File value of each class, in the same order; packed as ``r << 16 | g << 8 | b`` when coded by colour.
        Empty for instances, where every value but 0 is an object, and for classes of whole images.
    colours : tuple of (int, int, int)
        One per class, for display; empty for classes of whole images.
    coded_by_colour : bool
    ignore_value : int or None
        File value that is excluded from loss and scores.
    """

    task: Task
    classes: tuple[str, ...]
    values: tuple[int, ...]
    colours: tuple[Colour, ...]
    coded_by_colour: bool = False
    ignore_value: int | None = None


def has_background(task: str, classes: Sequence[str]) -> bool:
    """Return whether class 0 is a background, which class means exclude.

    It is for binary and instance tasks. With more classes it depends on the name: in street scenes class 0 may be the
    sky.
    """
    return task != "multiclass" or classes[0].strip().casefold() in BACKGROUND_NAMES


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A data set read from a folder.

    Attributes
    ----------
    root : Path
    cases : tuple of Case
        Sorted by split, then in natural order of the names.
    labelling : Labelling
    channels : int
        3 if any image is RGB, else 1, or the common number of channels.
    messages : tuple of str
        Automatic decisions, each with the flag that overrides it.
    problems : tuple of Problem
    split_made : bool
        The validation split was drawn at random and should be recorded.
    """

    root: Path
    cases: tuple[Case, ...]
    labelling: Labelling
    channels: int
    messages: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    split_made: bool = False

    def part(self, name: str) -> tuple[Case, ...]:
        """Return the cases of one split, in order."""
        return tuple(case for case in self.cases if case.part == name)


def _count_groups(expression: str) -> int:
    """Return the number of groups of a regular expression; -1 if it is invalid."""
    try:
        return re.compile(expression).groups
    except re.error:
        return -1
