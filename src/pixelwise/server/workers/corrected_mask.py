"""The result of a model with the marks over it, as a file: window by window, so that any size fits into memory."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from secrets import token_hex

import numpy as np
from jaxtyping import Int32

from pixelwise.geometry.tiles import Span
from pixelwise.io.label_writer import TiledLayout, TileFile, Window, finish
from pixelwise.io.write import write_labels
from pixelwise.labels.targets import IGNORE_OBJECT
from pixelwise.server.marks.raster import IGNORE, bounds, rasterise, rasterise_objects
from pixelwise.server.marks.records import Objects, Shape
from pixelwise.server.workers.corrections import outward, show_classes, touch
from pixelwise.server.workers.label_tiles import Labels

WINDOW = 2048
"""Side of the windows, a multiple of that of the tiles of a file."""

MAX_PNG = 64 * 1024 * 1024
"""Pixels of the largest result that is written as a PNG."""


class CorrectedMask:
    """A result with the marks over it: classes, or objects renumbered from 1.

    Parameters
    ----------
    labels : Labels
        Object numbers if `instance`, else classes.
    report : callable
        Receives the share of the windows that are done.

    Examples
    --------
    >>> from pixelwise.server.marks.records import Outline
    >>> square = Outline(class_index=0, rings=[[(0, 0), (1, 0), (1, 1), (0, 1)]])
    >>> gone = Objects(kind="objects", action="delete", objects=[square])
    >>> mask = CorrectedMask(Labels(np.array([[7, 0, 9]])), [gone], instance=True)
    >>> mask.read((0, 1), (0, 3)).tolist(), mask.highest
    ([[0, 0, 1]], 1)
    """

    def __init__(
        self,
        labels: Labels,
        shapes: Sequence[Shape],
        *,
        instance: bool,
        report: Callable[[float], object] = lambda share: None,
    ) -> None:
        self._labels, self._shapes, self._instance = labels, shapes, instance
        self._boxes = [outward(bounds(shape)) for shape in shapes]
        self._numbers, self._drawn, self.highest = np.zeros(1, np.int32), np.zeros(1, np.int32), IGNORE
        if instance:
            self._renumber(report)

    def windows(self) -> Iterator[tuple[Span, Span]]:
        """Yield windows that cover the image."""
        for top in range(0, self._labels.height, WINDOW):
            for left in range(0, self._labels.width, WINDOW):
                rows, columns = (top, top + WINDOW), (left, left + WINDOW)
                yield (top, min(rows[1], self._labels.height)), (left, min(columns[1], self._labels.width))

    def read(self, rows: Span, columns: Span) -> Int32[np.ndarray, "rows columns"]:
        """Return a window."""
        values, near = np.maximum(self._labels.read(rows, columns, 1), 0), self._near(rows, columns)
        if self._instance:
            shown = self._numbers[values]
            if near:
                own = rasterise_objects(near, rows, columns)
                shown = np.where(own == IGNORE_OBJECT, shown, self._drawn[np.maximum(own, 0)])
            return shown
        marks = rasterise(near, rows, columns)
        return show_classes(values.astype(np.int32), marks)

    def _renumber(self, report: Callable[[float], object]) -> None:
        """Give the objects that are left the numbers from 1, and those of marks after them."""
        left, drawn = np.zeros(1, bool), np.zeros(1 + sum(map(_objects_of, self._shapes)), bool)
        windows = list(self.windows())
        for number, (rows, columns) in enumerate(windows, start=1):
            values, near = np.maximum(self._labels.read(rows, columns, 1), 0), self._near(rows, columns)
            if near:
                own = rasterise_objects(near, rows, columns)
                drawn[np.maximum(own, 0)] = True
                values = values[own == IGNORE_OBJECT]
            left = np.pad(left, (0, max(0, int(values.max(initial=0)) + 1 - len(left))))
            left[values.ravel()] = True
            report(number / len(windows))
        left[0] = drawn[0] = False
        self._numbers = np.cumsum(left, dtype=np.int32)
        self._drawn = np.where(drawn, self._numbers[-1] + np.cumsum(drawn, dtype=np.int32), 0).astype(np.int32)
        self._numbers = np.where(left, self._numbers, 0).astype(np.int32)
        self.highest = int(left.sum() + drawn.sum())

    def _near(self, rows: Span, columns: Span) -> Sequence[Shape]:
        """Return all shapes, whose numbers depend on their order; none if none of them reaches into a window."""
        window = rows[0], columns[0], rows[1], columns[1]
        return self._shapes if any(touch(box, window) for box in self._boxes) else ()


def _objects_of(shape: Shape) -> int:
    return len(shape.objects) if isinstance(shape, Objects) else 1


def write_corrected(
    path: Path,
    labels: Labels,
    shapes: Sequence[Shape],
    *,
    instance: bool,
    report: Callable[[float], object] = lambda share: None,
) -> Path:
    """Write a result with the marks over it; return the file, whose suffix is .tif if it is no PNG.

    A large one is a tiled BigTIFF with pyramid levels, as `pixelwise predict` writes of a large image.

    Raises
    ------
    OutputFailed
        The file cannot be written.
    """
    mask = CorrectedMask(labels, shapes, instance=instance, report=lambda share: report(share / 3))
    dtype = "uint8" if not instance else "uint16" if mask.highest < 2**16 else "uint32"

    def parts() -> Iterator[tuple[Window, Int32[np.ndarray, "rows columns"]]]:
        windows = list(mask.windows())
        for number, window in enumerate(windows, start=1):
            yield window, mask.read(*window)
            report((1 + 1.8 * number / len(windows)) / 3)  # the rest are the pyramid levels

    if labels.height * labels.width <= MAX_PNG:
        whole = np.empty((labels.height, labels.width), dtype)
        for (rows, columns), values in parts():
            whole[slice(*rows), slice(*columns)] = values
        return write_labels(path, whole)
    layout = TiledLayout(height=labels.height, width=labels.width, dtype=dtype)
    tiles = TileFile(path.with_suffix(".tif"), layout, token_hex(8))
    try:
        for window, values in parts():
            tiles.write(window, values)
        return finish(tiles, "tiff", labels.metadata)
    except BaseException:
        tiles.discard()
        raise
