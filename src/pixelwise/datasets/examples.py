"""A data set and how its cases are read: image and labels together."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int32

from pixelwise.datasets.mask_values import name_of
from pixelwise.datasets.problems import KINDS, Problem
from pixelwise.datasets.records import Case, Labelling, Task
from pixelwise.datasets.scan import pack
from pixelwise.errors import BadImage
from pixelwise.io.read import Image, read_image, read_mask
from pixelwise.io.windows import REPEATED
from pixelwise.labels.targets import IGNORE
from pixelwise.text import pluralise

IGNORE_OBJECT = -1  # in label images


class Example(NamedTuple):
    """An image (channels, height, width) in its stored type, and its labels.

    `labels` is (height, width) int32 as `read_labels` returns it, the class index of a classification case, or None.
    """

    image: np.ndarray
    labels: np.ndarray | np.int32 | None


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
    pages : int or None
        Number of TIFF pages that are channels of one image; None detects it.
    """

    root: Path
    cases: tuple[Case, ...]
    labelling: Labelling
    channels: int
    messages: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    split_made: bool = False
    pages: int | None = None

    @property
    def task(self) -> Task:
        """Return the task, such as "binary" or "instance"; see `Labelling`."""
        return self.labelling.task

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in index order, background (if any) first."""
        return self.labelling.classes

    @cached_property
    def splits(self) -> dict[str, tuple[Case, ...]]:
        """The cases by split, in order: "train", "val" and "test"."""
        return {name: tuple(case for case in self.cases if case.split == name) for name in ("train", "val", "test")}

    def read(self, case: Case) -> Example:
        """Read the image of a case and its labels.

        Raises
        ------
        BadImage
            A file cannot be read, or does not fit the data set.
        """
        image = read_pixels(case.image, self.channels, self.pages).pixels
        if case.mask is not None:
            return Example(image, read_labels(case.mask, self.labelling))
        return Example(image, None if case.class_index is None else np.int32(case.class_index))


def read_labels(path: Path, labelling: Labelling) -> Int32[np.ndarray, "height width"]:
    """Read a mask as class indices or object numbers.

    Returns
    -------
    (height, width) int32
        Class indices 0 ... k-1, and 255 for ignored pixels; for instances the object numbers of the file, 0 for
        background and -1 for ignored pixels.

    Raises
    ------
    BadImage
        The file cannot be read, or contains a value of no class.
    """
    mask = read_mask(path)
    values = pack(mask.values)
    if labelling.coded_by_colour and mask.values.ndim == 2:
        values = _as_colours(values, mask.palette or {})
    elif mask.values.ndim == 3 and not labelling.coded_by_colour:
        raise BadImage("one number per pixel", "colours", "Save the mask with indices.", path)
    if labelling.task == "instance":
        labels = values.astype(np.int32)
        if labelling.ignore_value is not None:
            labels[values == labelling.ignore_value] = IGNORE_OBJECT
        return labels
    order = np.argsort(labelling.values)
    known = np.array(labelling.values, np.int64)[order]
    positions = np.minimum(np.searchsorted(known, values), len(known) - 1)
    classes = order[positions].astype(np.int32)
    unknown = known[positions] != values
    if labelling.ignore_value is not None:
        classes[values == labelling.ignore_value] = IGNORE
        unknown &= values != labelling.ignore_value
    if unknown.any():
        shown = ", ".join(name_of(v, labelling.coded_by_colour) for v in np.unique(values[unknown])[:8].tolist())
        expected = ", ".join(name_of(v, labelling.coded_by_colour) for v in labelling.values[:20])
        raise BadImage(f"mask values {expected}", shown, KINDS["unknown values"][1], path)
    return classes


def read_pixels(path: Path, channels: int, pages: int | None = None) -> Image:
    """Read an image with the given number of channels; a grayscale image is repeated to three, with a warning.

    Raises
    ------
    BadImage
        The file cannot be read, or has another number of channels.
    """
    image = read_image(path, pages=pages)
    if image.pixels.shape[0] == 1 and channels == 3:
        messages = (*image.warnings, REPEATED)
        return replace(image, pixels=np.repeat(image.pixels, 3, axis=0), warnings=messages)
    if image.pixels.shape[0] != channels:
        names = {1: "1 channel (gray)", 3: "3 channels (red, green, blue)"}
        expected = names.get(channels, pluralise(channels, "channel"))
        raise BadImage(expected, f"{image.pixels.shape[0]}", "Convert it in the same way as the training images.", path)
    return image


def _as_colours(values: np.ndarray, palette: dict[int, tuple[int, int, int]]) -> np.ndarray:
    """Return packed colours for the indices of a palette file, or for gray values."""
    unique, inverse = np.unique(values, return_inverse=True)
    colours = np.array([palette.get(v, (v & 255,) * 3) for v in unique.tolist()], np.int64)
    return pack(colours[None])[0][inverse].reshape(values.shape)
