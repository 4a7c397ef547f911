"""Region properties: area, centroid, box, perimeter and intensity of each object, computed strip by strip."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64, Int64, Integer, Num

from pixelwise.labels.run_lengths import (
    Extents,
    LabelRows,
    as_rows,
    extents,
    find_runs,
    row_places,
    row_strips,
    runs_of,
)

# Benkrid and Crookes 2000 (design and FPGA implementation of a perimeter estimator): a border pixel counts 1 where the
# border is straight, sqrt 2 where it is diagonal, and their mean in between. The index that decides is 2 for each
# 4-neighbour in the border plus 10 for each diagonal one.
_STRAIGHT, _DIAGONAL, _BETWEEN = (4, 6, 14, 16, 24, 26), (20, 32), (12, 22)
_LENGTHS = np.zeros(49)
_LENGTHS[list(_STRAIGHT)] = 1
_LENGTHS[list(_DIAGONAL)] = np.sqrt(2)
_LENGTHS[list(_BETWEEN)] = (1 + np.sqrt(2)) / 2
_NEIGHBOURS = ((-1, 0), (0, -1), (0, 1), (1, 0))
_DIAGONALS = ((-1, -1), (-1, 1), (1, -1), (1, 1))


@runtime_checkable
class PixelRows(Protocol):
    """An image (channels, height, width) that supports `image[:, rows]`."""

    def __len__(self) -> int: ...

    def __getitem__(self, key: tuple[slice, slice]) -> np.ndarray: ...


@dataclass(frozen=True, kw_only=True)
class ObjectRow:
    """A row of the object table; positions in pixels from the top left corner, `area` in pixels.

    `class_index` is the class of the object. `box` is (top, left, bottom, right), the last two exclusive.
    `mean_intensity` is the mean over channels and pixels, None without an image.
    """

    id: int
    class_index: int
    area: int
    centroid_row: float
    centroid_column: float
    box: tuple[int, int, int, int]
    perimeter: float
    mean_intensity: float | None


@dataclass(frozen=True, kw_only=True)
class ObjectTable:
    """The region properties of all objects of an image, one column each; iteration yields `ObjectRow`s.

    Memory: about 90 bytes per object.
    """

    ids: Int64[np.ndarray, " objects"]
    class_index: int
    area: Int64[np.ndarray, " objects"]
    centroid: Float64[np.ndarray, "objects 2"]
    box: Int64[np.ndarray, "objects 4"]
    perimeter: Float64[np.ndarray, " objects"]
    mean_intensity: Float64[np.ndarray, " objects"] | None

    def __len__(self) -> int:
        """Return the number of objects."""
        return len(self.ids)

    def __iter__(self) -> Iterator[ObjectRow]:
        """Yield a row per object, in the order of the labels."""
        for place, number in enumerate(self.ids.tolist()):
            top, left, bottom, right = self.box[place].tolist()
            yield ObjectRow(
                id=number,
                class_index=self.class_index,
                area=int(self.area[place]),
                centroid_row=float(self.centroid[place, 0]),
                centroid_column=float(self.centroid[place, 1]),
                box=(top, left, bottom, right),
                perimeter=float(self.perimeter[place]),
                mean_intensity=None if self.mean_intensity is None else float(self.mean_intensity[place]),
            )


def measure_objects(
    labels: Integer[np.ndarray, "height width"] | LabelRows,
    image: Num[np.ndarray, "channels height width"] | PixelRows | None = None,
    class_index: int = 1,
) -> ObjectTable:
    """Measure every object, in the order of the labels, which may have gaps; all belong to `class_index`.

    Both arrays are read a few rows at a time and may be on disk.
    """
    boxes = extents(labels)
    present = np.flatnonzero(boxes.area)
    area = boxes.area[present]
    intensity = None
    if image is not None:
        intensity = intensity_sums(labels, image, len(boxes.area))[present] / (area * len(image))
    return ObjectTable(
        ids=present,
        class_index=class_index,
        area=area,
        centroid=centroids(labels, boxes)[present],
        box=boxes.box[present],
        perimeter=_perimeters(labels, len(boxes.area))[present],
        mean_intensity=intensity,
    )


def centroids(labels: Integer[np.ndarray, "*size"] | LabelRows, boxes: Extents) -> Float64[np.ndarray, "numbers axes"]:
    """Return the mean position of each object along each axis, in pixels."""
    total = np.zeros((len(boxes.area), len(labels.shape)))
    for runs in runs_of(labels):
        number, length = np.maximum(runs.number, 0), runs.stop - runs.start
        for axis, places in enumerate(row_places(runs, labels.shape)):
            np.add.at(total[:, axis], number, places * length)
        np.add.at(total[:, -1], number, (runs.start + runs.stop - 1) * length / 2)
    return total / np.maximum(boxes.area, 1)[:, None]


def intensity_sums(
    labels: Integer[np.ndarray, "*size"] | LabelRows,
    image: Num[np.ndarray, " channels *size"] | PixelRows,
    numbers: int,
) -> Float64[np.ndarray, " numbers"]:
    """Return the sum over the pixels and channels of each object."""
    total, width = np.zeros(numbers), labels.shape[-1]
    for rows in row_strips(labels.shape):
        runs = find_runs(as_rows(labels[rows]))
        starts = runs.row * width + runs.start
        for channel in image[:, rows]:
            values = channel.astype(np.float64).ravel()
            np.add.at(total, np.maximum(runs.number, 0), np.add.reduceat(values, starts))
    return total


def _perimeters(
    labels: Integer[np.ndarray, "height width"] | LabelRows, numbers: int
) -> Float64[np.ndarray, " numbers"]:
    total = np.zeros(numbers)
    for rows in row_strips(labels.shape):
        # two more rows and columns on every side: whether a neighbour is border depends on its own neighbours
        block = np.zeros((rows.stop - rows.start + 4, labels.shape[1] + 4), labels.dtype)
        near = slice(max(0, rows.start - 2), rows.stop + 2)
        values = labels[near]
        block[near.start - rows.start + 2 :, 2:-2][: len(values)] = values
        number, length = _border_lengths(block)
        np.add.at(total, number, length)
    return total


def _border_lengths(
    block: Integer[np.ndarray, "rows columns"],
) -> tuple[Int64[np.ndarray, " pixels"], Float64[np.ndarray, " pixels"]]:
    """Return the labels and lengths of the border pixels of a block, without its two outer rows and columns.

    A border pixel has a 4-neighbour with another label.
    """
    middle = block[1:-1, 1:-1]
    border = np.zeros(block.shape, bool)
    inside = middle > 0
    for row, column in _NEIGHBOURS:
        neighbour = block[1 + row : block.shape[0] - 1 + row, 1 + column : block.shape[1] - 1 + column]
        border[1:-1, 1:-1] |= inside & (neighbour != middle)
    rows, columns = (place + 2 for place in np.nonzero(border[2:-2, 2:-2]))
    number = block[rows, columns]
    index = np.zeros(len(number), np.int64)
    for steps, weight in ((_NEIGHBOURS, 2), (_DIAGONALS, 10)):
        for row, column in steps:
            neighbour_index = rows + row, columns + column
            index += weight * (border[neighbour_index] & (block[neighbour_index] == number))
    return number.astype(np.int64), _LENGTHS[index]
