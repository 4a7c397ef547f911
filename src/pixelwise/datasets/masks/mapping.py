"""From the values in a mask file to labels: class indices, or object numbers."""

from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int32, Int64, Integer, Num

from pixelwise.datasets.masks.coding import BLACK, WHITE
from pixelwise.datasets.masks.measure import pack
from pixelwise.datasets.masks.smoothing import nearest_classes
from pixelwise.datasets.masks.values import name_of
from pixelwise.datasets.problems import KINDS
from pixelwise.datasets.records import Labelling
from pixelwise.errors import BadImage
from pixelwise.io.read import MaskImage
from pixelwise.labels.targets import IGNORE, IGNORE_OBJECT

_TABLE = 1 << 16  # smaller values are looked up in a table
_FEW = 6  # values that are faster compared one by one


def labels_of(mask: MaskImage, labelling: Labelling, path: Path | None) -> Int32[np.ndarray, "*size"]:
    """Return the labels that the values of a mask stand for.

    Returns
    -------
    (height, width) or (depth, height, width) int32
        Class indices 0 ... k-1, and 255 for ignored pixels; for instances the object numbers of the file (renumbered if
        they do not fit), 0 for background and -1 for ignored pixels.

    Raises
    ------
    BadImage
        The mask contains a value of no class; `path` is for the message.
    """
    values = _values_of(mask, labelling, path)
    if labelling.task == "instance":
        if labelling.coded_by_colour:
            return _number_colours(values, labelling.background, labelling.ignore_value)
        return number_objects(values, labelling.background, labelling.ignore_value)
    if labelling.threshold is None and not labelling.blended:
        found = _look_up(values, labelling)
        if found is not None:
            return found
    ignored = values == labelling.ignore_value if labelling.ignore_value is not None else np.zeros(values.shape, bool)
    if labelling.threshold is not None:
        bright = int(labelling.values[1] > labelling.values[0])
        classes = np.where(values > labelling.threshold, bright, 1 - bright).astype(np.int32)
    else:
        classes, unknown = _class_indices(values, labelling)
        if labelling.blended:
            classes, between = _nearest_indices(values, labelling)
            ignored |= between
        elif (unknown & ~ignored).any():
            raise _unknown_values(np.unique(values[unknown & ~ignored]), labelling, path)
    classes[ignored] = IGNORE
    return classes


def ignore_missing(
    labels: Int32[np.ndarray, "*size"], pixels: Num[np.ndarray, " channels *space"], task: str
) -> Int32[np.ndarray, "*size"]:
    """Return labels that are ignored where the image has no data (NaN in all channels).

    >>> pixels = np.array([[[0.5, np.nan]]], np.float32)
    >>> ignore_missing(np.array([[1, 1]], np.int32), pixels, "binary").tolist()
    [[1, 255]]
    """
    if pixels.dtype.kind != "f" or labels.shape != pixels.shape[1:]:
        return labels
    missing = np.isnan(pixels).all(0)
    return (
        np.where(missing, np.int32(IGNORE_OBJECT if task == "instance" else IGNORE), labels)
        if missing.any()
        else labels
    )


def number_objects(
    values: Integer[np.ndarray, "*size"], background: int | None, ignore: int | None
) -> Int32[np.ndarray, "*size"]:
    """Return object numbers as int32: 0 for the background, -1 for ignored pixels.

    Numbers are kept if they fit; else they become 1 ... n in their order. Negative values besides the background are
    ignored.

    >>> number_objects(np.array([[0, 1 << 32, 5]]), 0, None).tolist()
    [[0, 2, 1]]
    >>> number_objects(np.array([[-1, 0, 7]]), -1, None).tolist()
    [[0, 1, 2]]
    """
    empty = np.zeros(values.shape, bool) if background is None else values == background
    ignored = ((values < 0) & ~empty) if ignore is None else ((values < 0) & ~empty) | (values == ignore)
    objects = values[~(empty | ignored)]
    labels = np.zeros(values.shape, np.int32)
    if objects.size and (objects.min() == 0 or objects.max() > np.iinfo(np.int32).max):
        objects = np.unique(objects, return_inverse=True)[1] + 1
    labels[~(empty | ignored)] = objects
    labels[ignored] = IGNORE_OBJECT
    return labels


def _values_of(mask: MaskImage, labelling: Labelling, path: Path | None) -> Integer[np.ndarray, "*size"]:
    if labelling.alpha:
        if mask.alpha is None:
            hint = "Save all masks in the same way, or use --mask-values."
            raise BadImage("a mask in the alpha channel", "no alpha channel", hint, path)
        return pack(mask.alpha)
    if not labelling.coded_by_colour and (mask.grid is not None or mask.values.ndim == 2):
        return mask.values
    values = pack(mask.values)
    if labelling.coded_by_colour and mask.values.ndim == 2:
        return _as_colours(values, mask)
    if mask.values.ndim == 3 and not labelling.coded_by_colour:
        raise BadImage("one number per pixel", "colours", "Save the mask with indices.", path)
    return values


def _number_colours(
    colours: Int64[np.ndarray, "*size"], background: int | None, ignore: int | None
) -> Int32[np.ndarray, "*size"]:
    """Return object numbers 1 ... n of packed colours, which are themselves too large for object numbers."""
    unique, inverse = np.unique(colours, return_inverse=True)
    numbers = np.zeros(len(unique), np.int32)
    objects = (unique != background) & (unique != ignore)
    numbers[objects] = np.arange(1, objects.sum() + 1)
    numbers[unique == ignore] = IGNORE_OBJECT
    return numbers[inverse].reshape(colours.shape)


def _as_colours(values: Int64[np.ndarray, "*size"], mask: MaskImage) -> Int64[np.ndarray, "*size"]:
    """Return packed colours for the indices of a palette file, or for gray values; see `masks.coding`."""
    unique, inverse = np.unique(values, return_inverse=True)
    palette = mask.palette or {}
    white_is_one = mask.bilevel or int(unique[-1]) == 1
    colours = np.array([_colour(v, palette, white_is_one) for v in unique.tolist()], np.int64)
    return colours[inverse].reshape(values.shape)


def _colour(value: int, palette: dict[int, tuple[int, int, int]], white_is_one: bool) -> int:
    if value in palette:
        red, green, blue = palette[value]
        return red << 16 | green << 8 | blue
    return WHITE if white_is_one and value == 1 else (value & 255) * 0x010101 if value else BLACK


def _look_up(values: Integer[np.ndarray, "*size"], labelling: Labelling) -> Int32[np.ndarray, "*size"] | None:
    """Return class indices by a table; None if values are too large for one, or of no class."""
    low, high = int(values.min(initial=0)), int(values.max(initial=0))
    if low < 0 or high >= _TABLE:
        return None
    table = np.full(high + 1, -1, np.int32)
    for index, value in (*enumerate(labelling.values), (IGNORE, labelling.ignore_value)):
        if value is not None and 0 <= value <= high:
            table[value] = index
    used = np.flatnonzero(table >= 0)
    if len(used) == high + 1 and np.array_equal(table, used):  # the values are the classes
        return values.astype(np.int32)
    if len(used) <= _FEW and int(table.max()) <= IGNORE:
        return _compare_with(values, used, table[used])
    found = table[values]
    return None if found.min(initial=0) < 0 else found


def _compare_with(
    values: Integer[np.ndarray, "*size"], known: Int64[np.ndarray, " known"], classes: Int32[np.ndarray, " known"]
) -> Int32[np.ndarray, "*size"] | None:
    """Return class indices by a comparison with each of a few values, faster than a table; None if one is unknown."""
    found, count = np.zeros(values.shape, np.uint8), 0
    for value, index in zip(known.tolist(), classes.tolist(), strict=True):
        here = values == value
        count += int(np.count_nonzero(here))
        found += here.view(np.uint8) * np.uint8(index)
    return found.astype(np.int32) if count == values.size else None


def _class_indices(
    values: Integer[np.ndarray, "*size"], labelling: Labelling
) -> tuple[Int32[np.ndarray, "*size"], Bool[np.ndarray, "*size"]]:
    """Return class indices, and where a value is of no class."""
    order = np.argsort(labelling.values)
    known = np.array(labelling.values, np.int64)[order]
    positions = np.minimum(np.searchsorted(known, values), len(known) - 1)
    return order[positions].astype(np.int32), known[positions] != values


def _nearest_indices(
    values: Int64[np.ndarray, "*size"], labelling: Labelling
) -> tuple[Int32[np.ndarray, "*size"], Bool[np.ndarray, "*size"]]:
    """Return the class of the nearest colour, and where that is unclear or the ignored one."""
    ignore = labelling.ignore_value
    colours = [*labelling.values, *(() if ignore is None or ignore in labelling.values else (ignore,))]
    unique, inverse = np.unique(values, return_inverse=True)
    nearest, between = nearest_classes(unique, colours)
    between |= nearest >= len(labelling.values)
    index = np.where(between, 0, nearest).astype(np.int32)
    return index[inverse].reshape(values.shape), between[inverse].reshape(values.shape)


def _unknown_values(values: np.ndarray, labelling: Labelling, path: Path | None) -> BadImage:
    shown = ", ".join(name_of(value, labelling.coded_by_colour) for value in values[:8].tolist())
    expected = ", ".join(name_of(value, labelling.coded_by_colour) for value in labelling.values[:20])
    return BadImage(f"mask values {expected}", shown, KINDS["unknown values"][1], path)
