"""Corrections of objects: what a line over a result means, as outlines that are right.

A correction acts on what is there now: the result of a model, and over it the marks that were made before.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from jaxtyping import Bool, Int32, Integer, UInt8
from scipy import ndimage
from skimage import measure

from pixelwise.errors import BadOption
from pixelwise.geometry.tiles import Span
from pixelwise.labels.label_image import components
from pixelwise.labels.targets import IGNORE_OBJECT
from pixelwise.server.marks.raster import IGNORE, bounds, rasterise, rasterise_objects
from pixelwise.server.marks.records import MAX_OBJECTS, MAX_OUTLINE, Action, Objects, Outline, Point, Shape, Stroke
from pixelwise.server.workers.label_tiles import Labels
from pixelwise.server.workers.outlines import trace_rings

Box = tuple[int, int, int, int]
"""Top, left, bottom and right; the last two are exclusive."""

LINE = 0.75
"""Radius of a line that splits: it leaves no two pixels of its sides as neighbours."""

_WHOLE = slice(None), slice(None)

MAX_PIXELS = 64 * 1024 * 1024
"""Largest window of a correction."""

MARGIN = 64
"""Pixels by which a window is first widened for an object that goes on beyond it: large results have no boxes."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A result as the page shows it: its labels, the boxes of its objects, the marks over it.

    `instance` says that labels are object numbers, of class `foreground`; else they are classes, and their connected
    regions the objects. Boxes are known of the objects of small images only.
    """

    labels: Labels
    boxes: Sequence[Box]
    shapes: Sequence[Shape]
    instance: bool
    foreground: int = 1


@dataclass(frozen=True)
class Window:
    """A part of an image: object numbers and classes of its pixels, both 0 for background."""

    rows: Span
    columns: Span
    numbers: Int32[np.ndarray, "height width"]
    classes: Int32[np.ndarray, "height width"]


def correct(shown: Shown, action: Action, points: Sequence[Point], key: str = "") -> Objects:
    """Return the mark of a correction.

    Parameters
    ----------
    action : {"accept", "delete", "merge", "split", "frame"}
        What happens to the objects that the line touches; "frame" takes all objects of a rectangle as they are, and the
        rest of it as background.
    points : sequence of (x, y)
        The line, or two opposite corners of a frame, in pixels from the top left corner of the image.
    key : str, optional
        Key of the mark.

    Raises
    ------
    BadOption
        No object is there, or the line does not do what it should.

    Examples
    --------
    >>> labels = Labels(np.array([[0, 1, 1, 0]]))
    >>> shown = Shown(labels=labels, boxes=[(0, 1, 1, 3)], shapes=(), instance=True)
    >>> correct(shown, "delete", [(1.5, 0.5)]).objects[0].class_index
    0
    """
    radius = 0.5 if len(points) > 1 else 0.1  # a line misses no row of pixels, a click is one pixel
    line = Stroke(kind="stroke", class_index=1, radius=radius, points=list(points))
    left, top, right, bottom = bounds(line)
    if action == "frame":
        corners = np.clip(np.rint(points), 0, (shown.labels.width, shown.labels.height))
        (left, top), (right, bottom) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
        if left == right or top == bottom:
            raise BadOption("a rectangle in the image", "an empty one", "Draw from one corner to the opposite one.")
    window = read_window(shown, (int(np.floor(top)), int(np.floor(left)), int(np.ceil(bottom)), int(np.ceil(right))))
    if action == "frame":
        frame = left, top, right, bottom
        inside = _part(window, frame)
        found = np.unique(inside[inside > 0]).tolist()
        return Objects(kind="objects", action=action, key=key, objects=_accept(window, found, line), frame=frame)
    touched = rasterise([line], window.rows, window.columns) != IGNORE
    found = np.unique(window.numbers[touched & (window.numbers > 0)]).tolist()
    if not found:
        raise BadOption("a place with an object", "background", "Click on an object, or draw a line over it.")
    return Objects(kind="objects", action=action, key=key, objects=_CORRECTIONS[action](window, found, line))


def read_window(shown: Shown, box: Box) -> Window:
    """Return what is shown in a box, widened so that all objects that touch it are whole, also those without a box.

    Raises
    ------
    BadOption
        The box is outside the image, or too large.
    """
    height, width = shown.labels.height, shown.labels.width
    marked = [outward(bounds(shape)) for shape in shown.shapes]
    near = [other for other in (*shown.boxes, *marked) if touch(other, box)]
    corners = np.array([box, *near])
    top, left = np.maximum(corners[:, :2].min(axis=0) - 1, 0).tolist()
    bottom, right = np.minimum(corners[:, 2:].max(axis=0) + 1, (height, width)).tolist()
    if top >= bottom or left >= right:
        raise BadOption("a place in the image", "one outside of it", "Draw on the image.")
    margin = MARGIN
    while True:
        if (bottom - top) * (right - left) > MAX_PIXELS:
            raise BadOption(f"at most {MAX_PIXELS} pixels", "a larger part of the image", "Choose a smaller one.")
        window = _read(shown, (top, bottom), (left, right))
        if not _is_cut(window, box, height, width):
            return window
        top, left = max(top - margin, 0), max(left - margin, 0)
        bottom, right = min(bottom + margin, height), min(right + margin, width)
        margin *= 2


def _is_cut(window: Window, box: Box, height: int, width: int) -> bool:
    """Return whether an object in a box goes on beyond the window."""
    (top, bottom), (left, right), numbers = window.rows, window.columns, window.numbers
    first_row, first_column, last_row, last_column = np.maximum(box, 0).tolist()
    inside = numbers[max(first_row - top, 0) : last_row - top, max(first_column - left, 0) : last_column - left]
    edges = (  # those of the image cut nothing
        numbers[: int(top > 0)],
        numbers[len(numbers) - int(bottom < height) :],
        numbers[:, : int(left > 0)],
        numbers[:, numbers.shape[1] - int(right < width) :],
    )
    return any(np.isin(edge, inside[inside > 0]).any() for edge in edges)


def _read(shown: Shown, rows: Span, columns: Span) -> Window:
    """Return what is shown in a window."""
    values = np.maximum(shown.labels.read(rows, columns, 1).astype(np.int32), 0)
    marks = rasterise(shown.shapes, rows, columns)
    if shown.instance:
        own = rasterise_objects(shown.shapes, rows, columns)
        numbers = show_numbers(values, own, int(values.max(initial=0)))
        classes = np.where(marks == IGNORE, shown.foreground, marks)
        return Window(rows, columns, numbers, np.where(numbers > 0, classes, 0).astype(np.int32))
    classes = show_classes(values, marks)
    return Window(rows, columns, _regions(classes), classes)


def show_numbers(
    values: Int32[np.ndarray, "rows columns"], own: Int32[np.ndarray, "rows columns"], offset: int
) -> Int32[np.ndarray, "rows columns"]:
    """Return object numbers with those of marks (-1: no mark) over them, which are `offset` larger."""
    return np.where(own == IGNORE_OBJECT, values, np.where(own > 0, own + offset, 0)).astype(np.int32)


def show_classes(
    values: Int32[np.ndarray, "rows columns"], marks: UInt8[np.ndarray, "rows columns"]
) -> Int32[np.ndarray, "rows columns"]:
    """Return classes with those of marks (255: no mark) over them; ignored pixels are background."""
    ignored = values == IGNORE
    return np.where((marks == IGNORE) | ignored, np.where(ignored, 0, values), marks).astype(np.int32)


def _accept(window: Window, found: Sequence[int], line: Stroke) -> list[Outline]:
    if len(found) > MAX_OBJECTS:
        raise BadOption(f"at most {MAX_OBJECTS} objects", f"{len(found)}", "Choose a smaller part of the image.")
    places = ndimage.find_objects(window.numbers)
    return [
        _outline(window, window.numbers[place] == number, place) for number in found if (place := places[number - 1])
    ]


def _delete(window: Window, found: Sequence[int], line: Stroke) -> list[Outline]:
    return [outline.model_copy(update={"class_index": 0}) for outline in _accept(window, found, line)]


def _merge(window: Window, found: Sequence[int], line: Stroke) -> list[Outline]:
    """Return one outline of all objects; the line joins those that do not touch."""
    if len(found) < 2:
        raise BadOption("a line over two or more objects", "one object", "Draw the line from one object to another.")
    whole = np.isin(window.numbers, found)
    if components(whole).max() > 1:
        between = rasterise([line.model_copy(update={"radius": LINE})], window.rows, window.columns) != IGNORE
        whole |= between & (window.numbers == 0)
    return [_outline(window, whole, _WHOLE)]


def _split(window: Window, found: Sequence[int], line: Stroke) -> list[Outline]:
    """Return the pieces of the objects that the line cuts; pixels of the line belong to the nearest piece."""
    cut = rasterise([line.model_copy(update={"radius": LINE})], window.rows, window.columns) != IGNORE
    outlines: list[Outline] = []
    for number in found:
        own = window.numbers == number
        pieces = components(own & ~cut, corners=False)
        if pieces.max() < 2:
            continue
        nearest = cast(
            Integer[np.ndarray, "2 height width"],
            ndimage.distance_transform_edt(pieces == 0, return_distances=False, return_indices=True),
        )
        pieces = np.where(own, pieces[nearest[0], nearest[1]], 0)
        outlines += [_outline(window, pieces == piece, _WHOLE) for piece in range(1, int(pieces.max()) + 1)]
    if not outlines:
        raise BadOption("a line across an object", "one that leaves it whole", "Begin and end the line outside of it.")
    return outlines


_CORRECTIONS = {"accept": _accept, "delete": _delete, "merge": _merge, "split": _split}


def _outline(window: Window, mask: Bool[np.ndarray, "height width"], place: tuple[slice, ...]) -> Outline:
    """Return the outline of a mask at a place in the window, with the class of most of its pixels."""
    rows, columns = place
    left, top = window.columns[0] + (columns.start or 0), window.rows[0] + (rows.start or 0)
    rings = [[(float(x + left), float(y + top)) for x, y in ring] for ring in trace_rings(mask)]
    if max(map(len, rings)) > MAX_OUTLINE:
        raise BadOption(f"outlines of at most {MAX_OUTLINE} points", "a longer one", "Use the brush or a polygon.")
    classes = window.classes[place][mask]
    return Outline(class_index=int(np.bincount(classes[classes > 0]).argmax()), rings=rings)


def _regions(classes: Int32[np.ndarray, "height width"]) -> Int32[np.ndarray, "height width"]:
    """Return the connected regions of equal class (8 neighbours), 0 for the background."""
    return np.asarray(measure.label(classes, background=0, connectivity=2), np.int32)


def _part(window: Window, frame: tuple[float, float, float, float]) -> Int32[np.ndarray, "height width"]:
    left, top, right, bottom = (round(edge) for edge in frame)
    rows = slice(top - window.rows[0], bottom - window.rows[0])
    return window.numbers[rows, left - window.columns[0] : right - window.columns[0]]


def outward(extent: tuple[float, float, float, float]) -> Box:
    """Return the box of whole pixels that holds left, top, right and bottom."""
    left, top, right, bottom = extent
    return int(np.floor(top)), int(np.floor(left)), int(np.ceil(bottom)), int(np.ceil(right))


def touch(one: Box, other: Box) -> bool:
    """Return whether two boxes share a pixel, or are neighbours."""
    return one[0] <= other[2] and other[0] <= one[2] and one[1] <= other[3] and other[1] <= one[3]
