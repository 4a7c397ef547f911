"""Read an annotation of any kind as the values of one mask."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int32
from scipy import ndimage

from pixelwise.datasets.annotations import Annotation, ClassMasks, MaskFile, ObjectMasks, Shapes
from pixelwise.datasets.shapes.rasterise import rasterise
from pixelwise.errors import BadImage
from pixelwise.geometry.grid import VOLUME_AXES, Grid, Turn
from pixelwise.io.georeference import Georeference
from pixelwise.io.map_crs import move_pixels
from pixelwise.io.read import Image, MaskImage, Orientation, read_mask
from pixelwise.labels.targets import IGNORE, IGNORE_OBJECT

LOSSY_PEAK = 255  # the foreground of a lossy file: an empty one may contain small values
Size = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class AnnotationValues:
    """The values of an annotation.

    Attributes
    ----------
    mask : MaskImage
        Of a mask file as it is stored; otherwise object numbers 1 ... n, or 1 ... k for the classes; 0 is background.
    ignored : bool array of the size of the mask, or None
        Pixels that are excluded from loss and scores, whatever their value.
    overlap : int
        Pixels in several mask files; the later file wins.
    """

    mask: MaskImage
    ignored: Bool[np.ndarray, "*size"] | None = None
    overlap: int = 0


def read_values(
    annotation: Annotation,
    classes: Sequence[str] = (),
    *,
    objects: bool = False,
    size: Size | None = None,
    exif: Orientation = "apply",
    volumes: bool = False,
    image: Image | None = None,
) -> AnnotationValues:
    """Read an annotation as the values of one mask.

    Parameters
    ----------
    classes : sequence of str
        The class names of values 1, 2, ...; mask files do not use them.
    objects : bool
        Return object numbers instead of classes; mask files do not use it.
    size : (int, int) or (int, int, int), optional
        Height and width of the image, or depth, height and width, for annotations that do not state them.
    exif : {"apply", "ignore"}
        Orientation of mask files.
    volumes : bool
        The pages of mask files are slices, as those of their image.
    image : Image, optional
        Onto which mask files are moved that lie elsewhere; by default they are if the annotation has a place.

    Raises
    ------
    BadImage
        A file cannot be read, or files of one image differ in size.

    Examples
    --------
    >>> read_values(ObjectMasks(paths=()), objects=True, size=(2, 3)).mask.values.tolist()
    [[0, 0, 0], [0, 0, 0]]
    """
    match annotation:
        case MaskFile():
            mask = read_mask(annotation.path, exif=exif, volumes=volumes)
            read = AnnotationValues(mask=mask, ignored=_ignored(annotation, mask))
            place = annotation.place if image is None else find_place(image, mask)
            size = annotation.size if image is None else image.pixels.shape[1:]
            if place is not None and size is not None:
                return moved(read, size, place)
            return read if annotation.size in (None, mask.size) else resized(read, annotation.size)
        case ObjectMasks():
            numbered = ((index if objects else 1, path) for index, path in enumerate(annotation.paths, 1))
            values, overlap, grid = _combine(numbered, size)
            return AnnotationValues(mask=MaskImage(_renumber(values), None, False, grid=grid), overlap=overlap)
        case ClassMasks():
            given = ((list(classes).index(name) + 1, path) for name, path in annotation.masks)
            values, overlap, grid = _combine(given, size)
            ignored = None if annotation.ignored is None else read_foreground(annotation.ignored)
            if ignored is not None:
                _check_size(ignored.shape, values.shape, annotation.ignored or Path())
                values = _fill(values, ignored, objects=objects)
            values = _regions(values) if objects else values
            mask = MaskImage(values, None, False, grid=grid)
            return AnnotationValues(mask=mask, ignored=ignored, overlap=overlap)
        case Shapes():
            height, width = _size(size or annotation.size)
            drawn = rasterise(annotation, (height, width), classes, "instance" if objects else "multiclass")
            ignored = drawn == IGNORE_OBJECT if objects else drawn == IGNORE
            values = _fill(drawn, ignored, objects=objects)
            return AnnotationValues(mask=MaskImage(values, None, False), ignored=ignored if ignored.any() else None)


def resized(read: AnnotationValues, size: Size) -> AnnotationValues:
    """Return the values of a mask at another height and width, each pixel with the value at its centre.

    >>> mask = MaskImage(np.array([[1, 2]], np.uint8), None, False)
    >>> resized(AnnotationValues(mask=mask), (2, 4)).mask.values.tolist()
    [[1, 1, 2, 2], [1, 1, 2, 2]]
    """
    rows, columns = (
        np.minimum((np.arange(new) + 0.5) * old / new, old - 1).astype(int)
        for new, old in zip(size, read.mask.size, strict=True)
    )
    at = np.ix_(rows, columns)
    mask = replace(
        read.mask,
        values=np.ascontiguousarray(read.mask.values[at]),
        alpha=None if read.mask.alpha is None else read.mask.alpha[at],
    )
    return replace(read, mask=mask, ignored=None if read.ignored is None else read.ignored[at])


def find_place(image: Image, mask: MaskImage) -> Georeference | Turn | None:
    """Return the place of an image whose mask, as it is stored, lies elsewhere; None if it lies on it, or may.

    On maps both files state where they are. In space the axes of a mask whose file does not state them, such as a TIFF
    stack or the NIfTI of an array, are those of its image's file, and the other way round.
    """
    if image.grid is not None and mask.grid is not None:
        one, other = Turn.of_orientation(image.stored_orientation), mask.turn or Turn.of_orientation("")
        stated = [grid.direction is not None for grid in (image.grid, mask.grid)]
        return one if one != other and stated[0] != stated[1] else None
    if image.grid is None and mask.grid is None and image.georeference is not None and mask.georeference is not None:
        size = image.pixels.shape[1], image.pixels.shape[2]
        same = image.georeference.lies_on(size, mask.georeference, (mask.size[0], mask.size[1]))
        return None if same else image.georeference
    return None


def moved(read: AnnotationValues, size: Size, place: Georeference | Turn) -> AnnotationValues:
    """Return the values of a mask moved onto its image, of `size`, by `place`, which `find_place` returned.

    What the mask does not cover is ignored.

    >>> mask = MaskImage(np.array([[[1, 2, 3]]]), None, False, grid=Grid(axes=VOLUME_AXES, spacing=(3.0, 2.0, 1.0)))
    >>> moved(AnnotationValues(mask=mask), (1, 1, 3), Turn.of_orientation("LPS")).mask.values.tolist()
    [[[3, 2, 1]]]
    """
    mask, ignored = read.mask, read.ignored
    if isinstance(place, Turn):
        if mask.grid is None or mask.size not in (size, place.undo(np.empty(size, bool)).shape):
            return read  # of another size
        stored = (mask.turn or Turn.of_orientation("")).undo
        sides, order = mask.grid.spacing, (mask.turn or Turn.of_orientation("")).order
        spacing = tuple(sides[order.index(axis)] for axis in place.order)
        grid = Grid(axes=VOLUME_AXES, spacing=spacing, unit=mask.grid.unit)
        values = np.ascontiguousarray(place.apply(stored(mask.values)))
        ignored = None if ignored is None else place.apply(stored(ignored))
        return replace(read, mask=replace(mask, values=values, grid=grid, turn=place), ignored=ignored)
    if mask.georeference is None:
        return read
    inside = np.ones(mask.size, bool) if ignored is None else ~ignored
    to = place, (size[0], size[1])
    known = move_pixels(inside.astype(np.uint8), mask.georeference, *to) > 0
    values = move_pixels(mask.values, mask.georeference, *to)
    alpha = None if mask.alpha is None else move_pixels(mask.alpha, mask.georeference, *to)
    if known.any():  # no value that is nowhere in the mask
        values[~known] = values[known][0]
    return replace(
        read,
        mask=replace(mask, values=values, alpha=alpha, georeference=place),
        ignored=None if known.all() else ~known,
    )


def read_foreground(path: Path) -> Bool[np.ndarray, "*size"]:
    """Read a binary mask file: the foreground is above half of the largest value.

    Raises
    ------
    BadImage
        It cannot be read.
    """
    return _foreground(read_mask(path))


def _foreground(mask: MaskImage) -> Bool[np.ndarray, "*size"]:
    values = np.asarray(mask.values)  # NaN is below 0: no object
    if mask.palette is not None:
        brightness = np.array([max(mask.palette.get(index, (0,))) for index in range(int(values.max(initial=0)) + 1)])
        values = brightness[values]
    elif mask.coloured:
        values = values.max(-1)
    peak = LOSSY_PEAK if mask.lossy else int(values.max(initial=0))
    return values > peak // 2


def _ignored(annotation: MaskFile, mask: MaskImage) -> Bool[np.ndarray, "*size"] | None:
    """Return the pixels of a mask file that are not annotated."""
    ignored: np.ndarray | None = None
    if not annotation.complete:
        ignored = np.asarray(mask.values).reshape(*mask.size, -1).max(-1) == 0
    if annotation.region is not None:
        outside = ~read_foreground(annotation.region)
        _check_size(outside.shape, mask.size, annotation.region)
        ignored = outside if ignored is None else ignored | outside
    return ignored


def _combine(
    files: Iterable[tuple[int, Path]], size: Size | None
) -> tuple[Int32[np.ndarray, "*size"], int, Grid | None]:
    """Draw binary masks over one another; return the values, the number of pixels in several masks, and their grid."""
    values: np.ndarray | None = None
    grid: Grid | None = None
    overlap = 0
    for value, path in files:
        mask = read_mask(path)
        foreground, own = _foreground(mask), mask.grid
        if values is None:
            values, grid = np.zeros(foreground.shape, np.int32), own
        _check_size(foreground.shape, values.shape, path)
        if grid is not None and own is not None and (difference := grid.difference(own, foreground.shape)):
            raise BadImage("masks of one volume on one grid", difference, "Export all masks on the grid of it.", path)
        overlap += int(np.count_nonzero(values[foreground]))
        values[foreground] = value
    if values is not None:
        return values, overlap, grid
    empty = np.zeros(_size(size), np.int32)
    return empty, overlap, Grid(axes=VOLUME_AXES, spacing=(1.0, 1.0, 1.0)) if empty.ndim == 3 else None


def _fill(
    values: Int32[np.ndarray, "*size"], ignored: Bool[np.ndarray, "*size"], *, objects: bool
) -> Int32[np.ndarray, "*size"]:
    """Return values with one that occurs elsewhere where they are ignored, so that no other class seems to be there."""
    lowest = 0 if objects or ignored.all() else int(values[~ignored].min())
    return np.where(ignored, lowest, values).astype(np.int32)


def _renumber(values: Int32[np.ndarray, "*size"]) -> Int32[np.ndarray, "*size"]:
    """Remove the gaps in object numbers that empty or covered masks leave."""
    present = np.flatnonzero(np.bincount(values.ravel())[1:]) + 1
    table = np.zeros(int(values.max(initial=0)) + 1, np.int32)
    table[present] = np.arange(1, len(present) + 1)
    return table[values]


def _regions(values: Int32[np.ndarray, "*size"]) -> Int32[np.ndarray, "*size"]:
    """Label the connected regions of each value."""
    regions, count = np.zeros(values.shape, np.int32), 0
    for value in np.unique(values[values > 0]).tolist():
        numbers, found = ndimage.label(values == value, np.ones((3,) * values.ndim))  # pyright: ignore[reportGeneralTypeIssues]
        regions = np.where(numbers > 0, numbers + count, regions).astype(np.int32)
        count += int(found)
    return regions


def _check_size(size: tuple[int, ...], expected: tuple[int, ...], path: Path) -> None:
    if size != expected:
        got, wanted = (" x ".join(map(str, sides)) for sides in (size, expected))
        raise BadImage(
            f"{wanted} ({'depth x ' * (len(expected) == 3)}height x width)", got, "Export all masks at one size.", path
        )


def _size(size: Size | None) -> Size:
    if size is None:
        raise ValueError("the size of the image is needed")
    return size
