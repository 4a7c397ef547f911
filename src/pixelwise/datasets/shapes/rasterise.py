"""Draw shapes as labels: which pixels an outline or a bitmap covers, and in which order shapes overlap.

A pixel belongs to an outline that contains its centre; rings of one shape are combined by the even-odd rule. A centre
exactly on an edge belongs to the area to its right, or below a horizontal edge, so that two outlines that share an edge
neither overlap nor leave a gap (Foley et al. 1990, "Computer Graphics: Principles and Practice", section 3.6).
"""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int32, Int64

from pixelwise.datasets.annotations import Bitmap, Shape, Shapes
from pixelwise.datasets.records import Task
from pixelwise.errors import BadDataset, BadImage
from pixelwise.labels.targets import IGNORE, IGNORE_OBJECT

MAX_COORDINATE = 1e8
_BLOCK = 1 << 22  # edge crossings, or pixels, handled at a time: temporaries of about 200 MB
_NOTHING = np.zeros((0, 4), np.int64)


@dataclass(frozen=True)
class _Edges:
    """Edges of many outlines, each from its upper end (x0, y0) to its lower end at row `last`."""

    shape: Int64[np.ndarray, " edges"]
    x0: np.ndarray
    y0: np.ndarray
    slope: np.ndarray
    first: Int64[np.ndarray, " edges"]
    last: Int64[np.ndarray, " edges"]


def rasterise(
    shapes: Shapes, size: tuple[int, int], classes: Sequence[str], task: Task
) -> Int32[np.ndarray, "height width"]:
    """Draw the shapes of an image as labels, in order: later shapes cover earlier ones.

    Parameters
    ----------
    size : (int, int)
        Height and width of the image.
    classes : sequence of str
        Class names without a background. Not used for instances.
    task : str
        "instance" numbers the objects; "binary" and "multiclass" number the classes.

    Returns
    -------
    (height, width) int32
        Class indices: 0 background, 1 ... k in the order of `classes` (1 for every class if binary), 255 ignored. For
        instances object numbers 1 ... n in the order of the shapes, 0 background, -1 ignored.

    Raises
    ------
    BadImage
        The annotation states another size.
    BadDataset
        A shape of an unknown class, more than 254 classes, or coordinates that are not finite.

    Examples
    --------
    >>> from pathlib import Path
    >>> square = np.array([(1, 1), (3, 1), (3, 3), (1, 3)], float)
    >>> rasterise(Shapes(shapes=(Shape(rings=(square,)),), source=Path("a.json")), (3, 4), (), "binary")
    array([[0, 0, 0, 0],
           [0, 1, 1, 0],
           [0, 1, 1, 0]], dtype=int32)
    """
    check_stated_size(shapes, size)
    ignored = IGNORE_OBJECT if task == "instance" else IGNORE
    labels = np.full(size, 0 if shapes.complete else ignored, np.int32)
    if not shapes.shapes:
        return labels
    numbers = _object_numbers(shapes) if task == "instance" else _class_numbers(shapes, classes, task)
    values = np.array([ignored if shape.ignore else n for shape, n in zip(shapes.shapes, numbers, strict=True)])
    for runs in _find_runs(shapes, size):
        _paint(labels, runs, values.astype(np.int32)[runs[:, 0]])
    return labels


def find_region(shapes: Sequence[Shape], size: tuple[int, int], source: Shapes) -> Bitmap:
    """Return the pixels that any of `shapes` covers, cropped to their bounding box; 0 × 0 pixels if there are none.

    Parameters
    ----------
    size : (int, int)
        Height and width of the image: what is outside is cut off.
    source : Shapes
        The shapes of the image, for errors.
    """
    part = Shapes(shapes=tuple(shapes), source=source.source)
    runs = np.concatenate([_NOTHING, *_find_runs(part, size)])
    if not len(runs):
        return Bitmap(row=0, column=0, pixels=np.zeros((0, 0), bool))
    top, left = int(runs[:, 1].min()), int(runs[:, 2].min())
    pixels = np.zeros((int(runs[:, 1].max()) + 1 - top, int(runs[:, 3].max()) - left), bool)
    _paint(pixels, runs - (0, top, left, left), np.ones(len(runs), bool))
    return Bitmap(row=top, column=left, pixels=pixels)


def group_objects(shapes: Shapes) -> list[list[Shape]]:
    """Return the shapes of every object, in the order of their first shapes; ignored shapes are not joined."""
    numbers = _object_numbers(shapes)
    objects: dict[int, list[Shape]] = {}
    for shape, number in zip(shapes.shapes, numbers, strict=True):
        objects.setdefault(number if number else -len(objects) - 1, []).append(shape)
    return list(objects.values())


def is_background(name: str) -> bool:
    """Return whether a class name means background in annotation programs, such as ``_background_`` of Labelme."""
    return name.strip().strip("_").casefold() == "background"


def check_stated_size(shapes: Shapes, size: tuple[int, int]) -> None:
    """Raise `BadImage` if the annotation states another size than the (height, width) of the image."""
    if shapes.size is None or shapes.size == size:
        return
    stated = f"{shapes.size[0]} × {shapes.size[1]}"
    hint = "The image was resized or replaced after the annotation; use the original, or export the annotation again."
    if shapes.size == size[::-1]:
        hint = "One of them is transposed: the image may have an EXIF orientation that the annotation ignores."
    expected = f"an image of {stated} pixels (height × width), as the annotation states"
    raise BadImage(expected, f"{size[0]} × {size[1]}", hint, shapes.source)


def _class_numbers(shapes: Shapes, classes: Sequence[str], task: Task) -> list[int]:
    if len(classes) >= IGNORE:
        hint = "Choose some of them, or segment objects of any class with --task instance."
        raise BadDataset(f"at most {IGNORE - 1} classes", f"{len(classes)}", hint, shapes.source)
    known = {name: 1 if task == "binary" else index for index, name in enumerate(classes, start=1)}
    numbers: list[int] = []
    for shape in shapes.shapes:
        number = known.get(shape.class_name)
        if number is None and (shape.ignore or is_background(shape.class_name)):
            number = 0
        elif number is None and not classes:
            number = 1
        elif number is None:
            raise BadDataset(
                f"the classes {', '.join(classes[:20])}",
                f"a shape of class {shape.class_name or '(none)'}",
                "Add it to --classes.",
                shapes.source,
            )
        numbers.append(number)
    return numbers


def _object_numbers(shapes: Shapes) -> list[int]:
    """Return the object number of every shape; 0 for shapes of the background and ignored ones."""
    known: dict[Hashable, int] = {}
    numbers: list[int] = []
    for index, shape in enumerate(shapes.shapes):
        if shape.ignore or is_background(shape.class_name):
            numbers.append(0)
            continue
        key = (index,) if shape.object_id is None else (shape.class_name, shape.object_id)
        numbers.append(known.setdefault(key, len(known) + 1))
    return numbers


def _find_runs(shapes: Shapes, size: tuple[int, int]) -> Iterator[Int64[np.ndarray, "runs 4"]]:
    """Yield runs of covered pixels as (shape, row, start, stop), in the order of the shapes."""
    edges = _find_edges(shapes, size)
    rows = edges.last - edges.first
    total = np.zeros(len(shapes.shapes) + 1, np.int64)
    np.add.at(total, edges.shape + 1, rows)
    if total.max() > 4 * size[0] * size[1] + _BLOCK:
        index = int(total.argmax()) - 1
        got = f"shape {index + 1} whose outline crosses the rows of the image {total[index + 1]} times"
        raise BadDataset("outlines that follow objects", got, "Remove it, or simplify its outline.", shapes.source)
    pixels = [0 if shape.bitmap is None else shape.bitmap.pixels.size for shape in shapes.shapes]
    work = np.cumsum(total[1:] + pixels)
    first = 0
    while first < len(shapes.shapes):
        done = work[first - 1] if first else 0
        last = max(first + 1, int(np.searchsorted(work, done + _BLOCK, side="right")))
        inside = slice(*np.searchsorted(edges.shape, (first, last)))
        found = [_cross_rows(edges, inside, size)]
        found += [
            _bitmap_runs(index, shapes.shapes[index].bitmap, size)
            for index in range(first, last)
            if shapes.shapes[index].bitmap is not None
        ]
        runs = np.concatenate(found)
        yield runs[np.argsort(runs[:, 0], kind="stable")]
        first = last


def _find_edges(shapes: Shapes, size: tuple[int, int]) -> _Edges:
    """Return the edges that cross row centres of the image, by shape."""
    rings = [(index, ring) for index, shape in enumerate(shapes.shapes) for ring in shape.rings if len(ring) > 2]
    counts = np.array([len(ring) for _, ring in rings], np.int64)
    points = np.concatenate([np.zeros((0, 2)), *(ring for _, ring in rings)])
    if not np.all(np.abs(points) <= MAX_COORDINATE):  # NaN too
        got = "coordinates that are not finite, or far outside"
        raise BadDataset("coordinates in pixels", got, "Correct the annotation.", shapes.source)
    following = np.arange(1, len(points) + 1)
    ends = np.cumsum(counts)
    following[ends - 1] = ends - counts
    other = points[following]
    downward = (points[:, 1] <= other[:, 1])[:, None]
    upper, lower = np.where(downward, points, other), np.where(downward, other, points)
    rows = np.clip(np.ceil(np.stack([upper[:, 1], lower[:, 1]]) - 0.5), 0, size[0]).astype(np.int64)
    use = rows[0] < rows[1]
    upper, lower, rows = upper[use], lower[use], rows[:, use]
    shape = np.repeat(np.array([index for index, _ in rings], np.int64), counts)[use]
    slope = (lower[:, 0] - upper[:, 0]) / (lower[:, 1] - upper[:, 1])
    return _Edges(shape, upper[:, 0], upper[:, 1], slope, rows[0], rows[1])


def _cross_rows(edges: _Edges, inside: slice, size: tuple[int, int]) -> Int64[np.ndarray, "runs 4"]:
    """Intersect edges with row centres; between each pair of crossings is a run."""
    counts = edges.last[inside] - edges.first[inside]
    edge = np.repeat(np.arange(inside.start, inside.stop), counts)
    before = np.cumsum(counts) - counts
    row = edges.first[edge] + np.arange(len(edge)) - np.repeat(before, counts)
    x = edges.x0[edge] + (row + 0.5 - edges.y0[edge]) * edges.slope[edge]
    # a closed ring crosses a row centre an even number of times, so that pairs never span two rows or shapes
    order = np.lexsort((x, row + edges.shape[edge] * size[0]))
    columns = np.clip(np.ceil(x[order] - 0.5), 0, size[1]).astype(np.int64).reshape(-1, 2)
    left = order[::2]
    runs = np.column_stack([edges.shape[edge[left]], row[left], columns])
    return runs[runs[:, 2] < runs[:, 3]]


def _bitmap_runs(index: int, bitmap: Bitmap | None, size: tuple[int, int]) -> Int64[np.ndarray, "runs 4"]:
    if bitmap is None:
        return _NOTHING
    top, left = max(0, -bitmap.row), max(0, -bitmap.column)
    pixels = bitmap.pixels[top : max(0, size[0] - bitmap.row), left : max(0, size[1] - bitmap.column)]
    changes = np.diff(np.pad(pixels.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    row, column = np.nonzero(changes)
    columns = column.reshape(-1, 2) + bitmap.column + left
    return np.column_stack([np.full(len(columns), index), row[::2] + bitmap.row + top, columns])


def _paint(canvas: np.ndarray, runs: Int64[np.ndarray, "runs 4"], values: np.ndarray) -> None:
    """Set the pixels of runs; where runs overlap the last one wins. In place."""
    flat, width = canvas.reshape(-1), canvas.shape[1]
    lengths = runs[:, 3] - runs[:, 2]
    ends = np.cumsum(lengths)
    first = 0
    while first < len(runs):
        done = ends[first - 1] if first else 0
        last = max(first + 1, int(np.searchsorted(ends, done + _BLOCK, side="right")))
        part = lengths[first:last]
        start = runs[first:last, 1] * width + runs[first:last, 2] - (ends[first:last] - part - done)
        # numpy assigns repeated indices in order
        flat[np.repeat(start, part) + np.arange(int(part.sum()))] = np.repeat(values[first:last], part)
        first = last
