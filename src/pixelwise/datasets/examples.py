"""A data set and how its cases are read: image and labels together."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int32

from pixelwise.datasets.annotation_values import AnnotationValues, read_values
from pixelwise.datasets.annotations import Annotation, MaskFile
from pixelwise.datasets.cases import Case
from pixelwise.datasets.images.channel_files import read_stored
from pixelwise.datasets.masks.mapping import ignore_missing, labels_of
from pixelwise.datasets.problems import Problem
from pixelwise.datasets.records import Labelling, Task
from pixelwise.errors import BadDataset, BadImage
from pixelwise.geometry.grid import Grid
from pixelwise.io.read import Image, Orientation, ReadOptions, probe, read_image
from pixelwise.io.windows import REPEATED, other_channels
from pixelwise.labels.targets import IGNORE, IGNORE_OBJECT


class Example(NamedTuple):
    """An image (channels, height, width) or volume (channels, depth, height, width) in its stored type, and its labels.

    `labels` is (height, width) or (depth, height, width) int32 as `read_labels` returns it, the class index of a
    classification case, or None.
    """

    image: np.ndarray
    labels: np.ndarray | np.int32 | None


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A data set read from a folder.

    Attributes
    ----------
    cases : tuple of Case
        Sorted by split, then in natural order of the names.
    channels : int
        3 if any image is RGB, else 1, or the common number of channels.
    messages : tuple of str
        Automatic decisions, each with the flag that overrides it.
    split_made : bool
        The validation split was drawn at random and should be recorded.
    pages : int or None
        Number of TIFF pages that are channels of one image; None detects it.
    format : str
        Name of the format, such as "COCO"; empty for plain folders.
    reading : ReadOptions
        EXIF orientation, pixels without data, and stacks as volumes.
    spatial_dims : int
        2 for images, 3 for volumes.
    """

    root: Path
    cases: tuple[Case, ...]
    labelling: Labelling
    channels: int
    messages: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    split_made: bool = False
    pages: int | None = None
    format: str = ""
    reading: ReadOptions = field(default_factory=ReadOptions)
    spatial_dims: int = 2

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
        """Read the image of a case and its labels, which are ignored where the image has no data.

        Raises
        ------
        BadImage
            A file cannot be read, or does not fit the data set.
        """
        if case.annotation is not None:
            return Example(*self.read_labelled(case))
        image = self.read_image(case).pixels
        return Example(image, None if case.class_index is None else np.int32(case.class_index))

    def read_labelled(self, case: Case) -> tuple[np.ndarray, Int32[np.ndarray, "*size"]]:
        """Read the pixels of a case that has an annotation, and its labels, ignored where the image has no data.

        Raises
        ------
        BadDataset
            It has no annotation.
        BadImage
            A file cannot be read, or does not fit the data set.
        """
        if case.annotation is None:
            raise BadDataset("an annotation", "none", "Add it, or skip the image with --allow-missing.", case.image)
        image = self.read_image(case)
        pixels = image.pixels
        size, volumes = pixels.shape[1:], pixels.ndim == 4
        labels = read_labels(case.annotation, self.labelling, size, self.reading.exif, volumes=volumes, image=image)
        return pixels, ignore_missing(labels, pixels, self.task)

    def read_image(self, case: Case) -> Image:
        """Read the image of a case, with the channels of the data set.

        Raises
        ------
        BadImage
            A file cannot be read, or has other channels.
        """
        channels, options = self.channels, self.reading
        stored = read_stored(case.image, case.channel_files, self.pages, channels=channels, options=options)
        return match_channels(stored, self.channels, case.image)

    def read_grid(self, case: Case) -> Grid | None:
        """Read the grid of a volume, on which `read` gives it: axes, spacing, origin, direction; None for planes.

        Raises
        ------
        BadImage
            The header cannot be read.
        """
        volumes = self.reading.volumes and self.pages is None
        return self.reading.placed(probe(case.image, self.reading.exif, volumes=volumes).grid)

    def read_labels(self, case: Case) -> Int32[np.ndarray, "*size"]:
        """Read the labels of a case that has an annotation, without its image: where it has no data is unknown.

        Raises
        ------
        BadImage
            A file cannot be read, or contains a value of no class.
        """
        if case.annotation is None:
            raise BadDataset("an annotation", "none", "Add it, or skip the image with --allow-missing.", case.image)
        if isinstance(case.annotation, MaskFile):
            volumes = self.spatial_dims == 3
            return read_labels(case.annotation, self.labelling, exif=self.reading.exif, volumes=volumes)
        size = probe(case.image, self.reading.exif, volumes=self.reading.volumes and self.pages is None).size
        return read_labels(case.annotation, self.labelling, size)

    def with_channels(self, channels: int) -> "Dataset":
        """Return the data set with images read with this number of channels, such as that of a model."""
        return replace(self, channels=channels)


def read_labels(
    annotation: Annotation,
    labelling: Labelling,
    size: tuple[int, ...] | None = None,
    exif: Orientation = "apply",
    *,
    volumes: bool = False,
    image: Image | None = None,
) -> Int32[np.ndarray, "*size"]:
    """Read an annotation as class indices or object numbers.

    Parameters
    ----------
    size : (int, int) or (int, int, int), optional
        Of the image, without its channels; mask files do not need it.
    exif : {"apply", "ignore"}
        Orientation of mask files.
    volumes : bool
        The pages of mask files are slices, as those of their image.
    image : Image, optional
        As for `read_values`.

    Returns
    -------
    (height, width) int32; (depth, height, width) of a volume
        Class indices 0 ... k-1, and 255 for ignored pixels; for instances object numbers, 0 for background and -1 for
        ignored pixels.

    Raises
    ------
    BadImage
        The file cannot be read, or contains a value of no class.
    """
    objects = labelling.task == "instance"
    read = read_values(
        annotation,
        labelling.source_classes,
        objects=objects,
        size=size,
        exif=exif,
        volumes=volumes,
        image=image,
    )
    return labels_from(read, annotation, labelling)


def labels_from(read: AnnotationValues, annotation: Annotation, labelling: Labelling) -> Int32[np.ndarray, "*size"]:
    """Return the labels of an annotation whose values have been read, as `read_labels` does."""
    labels = labels_of(read.mask, labelling, annotation.path if isinstance(annotation, MaskFile) else None)
    if read.ignored is not None:
        labels[read.ignored] = IGNORE_OBJECT if labelling.task == "instance" else IGNORE
    return labels


def read_pixels(
    path: Path,
    channels: int,
    pages: int | None = None,
    options: ReadOptions | None = None,
    *,
    dimensions: int = 2,
) -> Image:
    """Read an image with the given number of channels; a grayscale image is repeated to three, with a warning.

    Raises
    ------
    BadImage
        The file cannot be read, has another number of channels, or is a volume although `dimensions` is 2, or no volume
        although it is 3.
    """
    image = match_channels(read_image(path, pages=pages, channels=channels, options=options), channels, path)
    if image.pixels.ndim != dimensions + 1:
        kinds = {3: "an image of two dimensions", 4: "a volume"}
        hint = "Use a model that was trained on such images."
        raise BadImage(kinds[dimensions + 1], kinds[image.pixels.ndim], hint, path)
    return image


def match_channels(image: Image, channels: int, path: Path) -> Image:
    """Return an image with the given number of channels, as `read_pixels` does."""
    if image.pixels.shape[0] == 1 and channels == 3:
        messages = (*image.warnings, REPEATED)
        return replace(image, pixels=np.repeat(image.pixels, 3, axis=0), warnings=messages)
    if image.pixels.shape[0] != channels:
        raise other_channels(channels, image.pixels.shape[0], path)
    return image
