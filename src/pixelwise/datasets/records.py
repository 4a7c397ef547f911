"""Data set records: cases and labelling."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Task = Literal["binary", "multiclass", "instance", "classification"]
Split = Literal["train", "val", "test"]
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
    split : str
        "train", "val" or "test".
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
    split: Split
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
