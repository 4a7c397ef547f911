"""The annotation of an image: where its labels come from, whatever program made them.

Readers in `datasets/formats/` return an `AnnotatedSet`; writers take one. Coordinates are (x, y) in pixels, x to the
right and y down, with (0, 0) at the top left corner of the first pixel: a pixel belongs to a polygon that covers its
centre, at (column + 0.5, row + 0.5).
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pixelwise.datasets.records import Colour, Split
from pixelwise.geometry.grid import Turn
from pixelwise.io.georeference import Georeference

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]+")


@dataclass(frozen=True, kw_only=True)
class MaskFile:
    """One file whose pixel values are classes or object numbers.

    Attributes
    ----------
    region : Path or None
        A binary mask of what is annotated, such as the field of view: pixels where it is 0 are ignored.
    complete : bool
        Value 0 is background; if False it is unknown, and ignored.
    size : tuple of int, or None
        Size of its image, to which it is resized or moved, by nearest neighbours; None: it lies on its image.
    place : Georeference or Turn or None
        Moved by the place of its image on a map, or, of a volume whose axes only one of both files states, by the turn
        from the axes of the image's file to the standard ones. None: resized.
    """

    path: Path
    region: Path | None = None
    complete: bool = True
    size: tuple[int, ...] | None = None
    place: Georeference | Turn | None = None


@dataclass(frozen=True, kw_only=True)
class ObjectMasks:
    """One binary mask file per object; where two overlap, the later one wins."""

    paths: tuple[Path, ...]


@dataclass(frozen=True, kw_only=True)
class ClassMasks:
    """One binary mask file per class, as (class name, path); where two overlap, the later one wins.

    `ignored` is one of pixels that are excluded from loss and scores, if any.
    """

    masks: tuple[tuple[str, Path], ...]
    ignored: Path | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Bitmap:
    """A region as pixels: `pixels` (height, width) bool, with its top left pixel at (row, column) of the image."""

    row: int
    column: int
    pixels: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class Shape:
    """An annotated object, or a part of one.

    Attributes
    ----------
    class_name : str
        Empty if the format has no classes. It becomes one line: control characters become spaces.
    rings : tuple of (points, 2) float64 arrays
        Outlines as (x, y), not closed. Rings are combined by the even-odd rule, so that a ring inside another is a
        hole.
    bitmap : Bitmap or None
        The region as pixels, instead of rings.
    object_id : int or str or None
        Shapes with the same number and class are one object; None: an object of its own.
    ignore : bool
        The region is excluded from loss and scores, such as a crowd.
    """

    class_name: str = ""
    rings: tuple[np.ndarray, ...] = ()
    bitmap: Bitmap | None = None
    object_id: int | str | None = None
    ignore: bool = False

    def __post_init__(self) -> None:
        if not self.class_name.isprintable():
            object.__setattr__(self, "class_name", _one_line(self.class_name))

    @property
    def extent(self) -> float:
        """Area of the box around the rings."""
        points = np.concatenate(self.rings)
        return float(np.prod(points.max(0) - points.min(0))) if len(points) else 0.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Shapes:
    """Shapes of one image; later shapes are drawn over earlier ones.

    Attributes
    ----------
    source : Path
        The annotation file.
    size : (int, int) or None
        Height and width of the image, as the annotation states them.
    complete : bool
        What no shape covers is background; if False it is unknown, and ignored.
    """

    shapes: tuple[Shape, ...]
    source: Path
    size: tuple[int, int] | None = None
    complete: bool = True


Annotation = MaskFile | ObjectMasks | ClassMasks | Shapes


def files_of_annotation(annotation: Annotation | None) -> tuple[Path, ...]:
    """Return the files that belong to this image alone; the file of shapes may describe other images too."""
    match annotation:
        case MaskFile():
            return (annotation.path, *((annotation.region,) if annotation.region is not None else ()))
        case ObjectMasks():
            return annotation.paths
        case ClassMasks():
            return (*(path for _, path in annotation.masks), *((annotation.ignored,) if annotation.ignored else ()))
        case _:
            return ()


@dataclass(frozen=True, kw_only=True, eq=False)
class AnnotatedImage:
    """An image with its annotation, as a reader found it.

    Attributes
    ----------
    name : str
        Unique in the set, without an extension.
    channel_files : tuple of Path
        Files of one channel each, in order, if the image is stored so; `image` is the first.
    annotation : Annotation or None
        None: not annotated, and not known to be empty.
    split : str or None
        "train", "val" or "test", if given.
    group : str
        Patient, video, scene: images of a group stay in one split. Empty if unknown.
    """

    name: str
    image: Path
    annotation: Annotation | None
    channel_files: tuple[Path, ...] = ()
    split: Split | None = None
    group: str = ""


class NamedRegion(NamedTuple):
    """A set of mask values with a name, and the value that is written for it."""

    name: str
    values: tuple[int, ...]
    written: int


@dataclass(frozen=True, kw_only=True, eq=False)
class AnnotatedSet:
    """A data set as a reader found it.

    Attributes
    ----------
    format : str
        Name of the format, such as "COCO".
    classes : tuple of str
        Class names in the order of the format, without a background; empty if unknown. Each becomes one line,
        as those of shapes do.
    values : tuple of int
        For mask files: the value of each class; empty: 1, 2, ... or unknown.
    colours : tuple of (int, int, int)
        One per class, or empty.
    ignore_value : int or None
        For mask files: the value that is excluded from loss and scores.
    instances : bool or None
        The shapes or values are objects; None: to be detected.
    fixed_classes : bool
        The classes are those of every data set in the format: the ones that occur in no mask are left out.
    regions : tuple of NamedRegion
        Sets of values that overlap or contain one another, in the order in which they are written.
    messages : tuple of str
        What was decided, each with the flag that overrides it, and what was left out.
    """

    format: str
    images: tuple[AnnotatedImage, ...]
    classes: tuple[str, ...] = ()
    values: tuple[int, ...] = ()
    colours: tuple[Colour, ...] = ()
    ignore_value: int | None = None
    instances: bool | None = None
    fixed_classes: bool = False
    regions: tuple[NamedRegion, ...] = ()
    messages: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(map(_one_line, self.classes)))


def _one_line(name: str) -> str:
    """Return the name of a class without control characters, also those that change the direction of text."""
    return name if name.isprintable() else _CONTROL.sub(" ", name).strip()
