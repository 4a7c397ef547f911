"""The result of a model with the marks over it, as a file: window by window, so that any size fits into memory."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from secrets import token_hex

import numpy as np
from jaxtyping import Int32

from pixelwise.geometry.tiles import Span
from pixelwise.io.label_writer import TiledLayout, TileFile, finish
from pixelwise.io.write import write_labels
from pixelwise.server.marks.raster import IGNORE, bounds, rasterise, rasterise_objects
from pixelwise.server.marks.records import Objects, Shape
from pixelwise.server.workers.corrections import outward, show_classes, show_numbers, touch
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
    shapes : sequence of Shape
    instance : bool

    Examples
    --------
    >>> from pixelwise.server.marks.records import Outline
    >>> square = Outline(class_index=0, rings=[[(0, 0), (1, 0), (1, 1), (0, 1)]])
    >>> gone = Objects(kind="objects", action="delete", objects=[square])
    >>> mask = CorrectedMask(Labels(np.array([[7, 0, 9]])), [gone], instance=True)
    >>> mask.read((0, 1), (0, 3)).tolist(), mask.highest
    ([[0, 0, 1]], 1)
    """

    def __init__(self, labels: Labels, shapes: Sequence[Shape], *, instance: bool) -> None:
        self._labels, self._shapes, self._instance = labels, shapes, instance
        self._boxes = [outward(bounds(shape)) for shape in shapes]
        self._offset, self.highest = 0, IGNORE
        if instance:
            self._offset = max(int(labels.read(*window, 1).max()) for window in self.windows())
            drawn = sum(len(shape.objects) if isinstance(shape, Objects) else 1 for shape in shapes)
            present = np.zeros(1 + self._offset + drawn, bool)
            for window in self.windows():
                present[self._shown(*window)] = True
            present[0] = False
            self._numbers = np.cumsum(present, dtype=np.int32)
            self.highest = int(self._numbers[-1])

    def windows(self) -> Iterator[tuple[Span, Span]]:
        """Yield windows that cover the image."""
        for top in range(0, self._labels.height, WINDOW):
            for left in range(0, self._labels.width, WINDOW):
                rows, columns = (top, top + WINDOW), (left, left + WINDOW)
                yield (top, min(rows[1], self._labels.height)), (left, min(columns[1], self._labels.width))

    def read(self, rows: Span, columns: Span) -> Int32[np.ndarray, "rows columns"]:
        """Return a window."""
        shown = self._shown(rows, columns)
        return self._numbers[shown] if self._instance else shown

    def _shown(self, rows: Span, columns: Span) -> Int32[np.ndarray, "rows columns"]:
        """Return a window of classes, or of object numbers with gaps; marks are painted only where there are some."""
        window = rows[0], columns[0], rows[1], columns[1]
        shapes = self._shapes if any(touch(box, window) for box in self._boxes) else ()
        values = np.maximum(self._labels.read(rows, columns, 1).astype(np.int32), 0)
        if self._instance:
            return show_numbers(values, rasterise_objects(shapes, rows, columns), self._offset)
        return show_classes(values, rasterise(shapes, rows, columns))


def write_corrected(path: Path, labels: Labels, shapes: Sequence[Shape], *, instance: bool) -> Path:
    """Write a result with the marks over it; return the file, whose suffix is .tif if it is no PNG.

    A large one is a tiled BigTIFF with pyramid levels, as `pixelwise predict` writes of a large image.

    Raises
    ------
    OutputFailed
        The file cannot be written.
    """
    mask = CorrectedMask(labels, shapes, instance=instance)
    if labels.height * labels.width <= MAX_PNG:
        return write_labels(path, mask.read((0, labels.height), (0, labels.width)))
    dtype = "uint8" if not instance else "uint16" if mask.highest < 2**16 else "uint32"
    layout = TiledLayout(height=labels.height, width=labels.width, dtype=dtype)
    tiles = TileFile(path.with_suffix(".tif"), layout, token_hex(8))
    try:
        for window in mask.windows():
            tiles.write(window, mask.read(*window))
        return finish(tiles, "tiff", labels.metadata)
    except BaseException:
        tiles.discard()
        raise
