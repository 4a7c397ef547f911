"""Turn labels and mask files into shapes, the opposite of `rasterise`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Integer
from scipy import ndimage

from pixelwise.datasets.annotations import AnnotatedImage, AnnotatedSet, Bitmap, ClassMasks, ObjectMasks, Shape, Shapes
from pixelwise.errors import BadDataset
from pixelwise.io.read import MaskImage, read_mask
from pixelwise.labels.targets import IGNORE, IGNORE_OBJECT


@dataclass(frozen=True)
class _Masked:
    """The pixels of one mask file that are not background."""

    pixels: np.ndarray
    path: Path


def shapes_of_labels(
    labels: Integer[np.ndarray, "height width"], classes: Sequence[str], source: Path, *, objects: bool
) -> Shapes:
    """Return one shape per object number, or per class, as bitmaps.

    Parameters
    ----------
    labels : (height, width) integers
        As `rasterise` returns them: object numbers with -1 ignored, or class indices with 255 ignored.
    classes : sequence of str
        Class names without a background; objects get the only one, or none.
    objects : bool
        `labels` are object numbers.

    Examples
    --------
    >>> shapes = shapes_of_labels(np.eye(3, dtype=int), ("cell",), Path("a.png"), objects=False)
    >>> [shape.class_name for shape in shapes.shapes]
    ['cell']
    """
    ignored = labels == (IGNORE_OBJECT if objects else IGNORE)
    values, numbers = np.unique(np.where(ignored, 0, labels), return_inverse=True)
    first = int(np.searchsorted(values, 0))  # the position of the background, if there is any
    has_background = first < len(values) and values[first] == 0
    numbers = numbers.reshape(labels.shape) + 1
    shapes: list[Shape] = []
    for number, window in enumerate(ndimage.find_objects(numbers), start=1):
        value = int(values[number - 1])
        if has_background and number - 1 == first:
            continue
        if objects:
            name = classes[0] if len(classes) == 1 else ""
        elif 0 < value <= len(classes):
            name = classes[value - 1]
        else:
            raise BadDataset(f"class indices 0 to {len(classes)}", f"{value}", "Name every class.", source)
        shapes.append(Shape(class_name=name, bitmap=_place(numbers[window] == number, window)))
    if ignored.any():
        window = ndimage.find_objects(ignored.astype(np.uint8))[0]
        shapes.append(Shape(bitmap=_place(ignored[window], window), ignore=True))
    return Shapes(shapes=tuple(shapes), source=source, size=(labels.shape[0], labels.shape[1]))


def to_shapes(image: AnnotatedImage, dataset: AnnotatedSet) -> Shapes:
    """Return the annotation of an image as shapes; masks become bitmaps.

    Raises
    ------
    BadDataset
        The image is not annotated, or the mask contains values of no class.
    BadImage
        A mask cannot be read.
    """
    annotation = image.annotation
    if annotation is None:
        raise BadDataset("an annotated image", "one without annotation", "Annotate it, or leave it out.", image.image)
    if isinstance(annotation, Shapes):
        return annotation
    if isinstance(annotation, ObjectMasks):
        return _join(("", mask) for mask in map(_read_binary, annotation.paths))
    if isinstance(annotation, ClassMasks):
        joined = _join((name, _read_binary(path)) for name, path in annotation.masks)
        ignored = () if annotation.ignored is None else _join(iter([("", _read_binary(annotation.ignored))])).shapes
        return replace(joined, shapes=(*joined.shapes, *(replace(shape, ignore=True) for shape in ignored)))
    mask = read_mask(annotation.path)
    colours = tuple(red << 16 | green << 8 | blue for red, green, blue in dataset.colours)
    coded = mask.values.ndim == 3 or (bool(colours) and dataset.values == colours)
    values = _read_colours(mask) if coded else mask.values
    ignored = np.zeros(values.shape, bool) if dataset.ignore_value is None else values == dataset.ignore_value
    if dataset.instances:
        labels = np.where(ignored, IGNORE_OBJECT, values.astype(np.int64))
        return shapes_of_labels(labels, dataset.classes, annotation.path, objects=True)
    known = dataset.values or (colours if coded else range(1, len(dataset.classes) + 1))
    labels = _class_indices(values, ignored, known, annotation.path)
    return shapes_of_labels(labels, dataset.classes, annotation.path, objects=False)


def _place(pixels: np.ndarray, window: tuple[slice, slice]) -> Bitmap:
    return Bitmap(row=window[0].start, column=window[1].start, pixels=pixels)


def _read_binary(path: Path) -> _Masked:
    values = read_mask(path).values
    return _Masked(values.reshape(*values.shape[:2], -1).max(axis=2) > 0, path)


def _join(masks: "Iterator[tuple[str, _Masked]]") -> Shapes:
    shapes: list[Shape] = []
    source, size = Path(), None
    for name, mask in masks:
        source, size = mask.path, mask.pixels.shape
        window = ndimage.find_objects(mask.pixels.astype(np.uint8))
        if window:
            shapes.append(Shape(class_name=name, bitmap=_place(mask.pixels[window[0]], window[0])))
    return Shapes(shapes=tuple(shapes), source=source, size=size)


def _read_colours(mask: MaskImage) -> np.ndarray:
    """Return the colour of every pixel, packed as ``r << 16 | g << 8 | b``."""
    if mask.values.ndim == 3:
        return mask.values.astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])
    gray = np.arange(256) * 0x010101  # a file without any colour is read as gray
    for index, (red, green, blue) in (mask.palette or {}).items():
        gray[index] = red << 16 | green << 8 | blue
    return gray[np.minimum(mask.values, 255)]


def _class_indices(values: np.ndarray, ignored: np.ndarray, known: Sequence[int], path: Path) -> np.ndarray:
    labels = np.where(ignored, IGNORE, 0)
    for index, value in enumerate(known, start=1):
        labels[(values == value) & ~ignored] = index
    unknown = values[(labels == 0) & (values != 0) & ~np.isin(values, known)]
    if unknown.size:
        expected = f"mask values {', '.join(map(str, known[:20])) or 'with known classes'}"
        raise BadDataset(expected, f"{unknown.flat[0]}", "Name the classes with --classes.", path)
    return labels
