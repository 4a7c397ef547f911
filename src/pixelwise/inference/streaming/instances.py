"""Instance segmentation of images of any size: connected components by strips, watershed by windows.

Three passes over the stored tiles, without the network: label connected components strip by strip and merge them; for
targets with seeds, run the watershed window by window; write the final labels. Only tables with a few numbers per
object grow with the image.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from secrets import token_hex
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64, UInt8, UInt16, UInt32

from pixelwise.inference.streaming.state import resumable
from pixelwise.io.label_writer import TiledLayout, TileFile, Window
from pixelwise.io.windows import ImageReader
from pixelwise.labels.region_properties import ObjectTable, measure_objects
from pixelwise.labels.run_lengths import row_strips
from pixelwise.labels.split_regions import erode
from pixelwise.labels.stitching import StripLabels, final_numbers, watershed_window
from pixelwise.labels.targets import TargetOptions, splits_regions, uses_watershed
from pixelwise.progress import Progress

STRIP = 256  # rows that are labelled at once
WINDOW = 1024  # side in pixels of the windows of the watershed
HALO = 256  # pixels read around each window: objects up to about half of that are exact
FOREGROUND, SEED = 1 << 8, 1 << 9
_SIXTEEN_BITS = 65_535
_BYTES_PER_STRIP_PIXEL = 20
_BYTES_PER_WINDOW_PIXEL = 48


def pack(
    foreground: Bool[np.ndarray, "*size"],
    seeds: Bool[np.ndarray, "*size"],
    interior: UInt8[np.ndarray, "*size"],
) -> UInt16[np.ndarray, "*size"]:
    """Return the stored value of each pixel: flags for foreground and seed above 8 bits of interior."""
    flags = foreground.astype(np.uint16) * FOREGROUND + seeds.astype(np.uint16) * SEED
    return flags + interior.astype(np.uint16)


def objects_memory(width: int, height: int) -> int:
    """Return the memory of the object search in bytes, without 60 bytes for each component and seed."""
    strip = min(height, STRIP) * width * _BYTES_PER_STRIP_PIXEL
    window = min(height, WINDOW + 2 * HALO) * min(width, WINDOW + 2 * HALO) * _BYTES_PER_WINDOW_PIXEL
    return max(strip, window) + 3 * 64 * 2**20  # three files with decoded tiles


def find_objects(
    decided: TileFile, target: TargetOptions, path: Path, progress: Progress, halo: int = HALO
) -> tuple[TileFile, int]:
    """Compute the label image from the stored tiles.

    Parameters
    ----------
    decided : TileFile
        For kind "components" the foreground as 0 and 1, for targets with seeds the result of `pack`.
    path : Path
        Of the result.
    halo : int
        See `stitching.watershed_window`.

    Returns
    -------
    TileFile, int
        The complete label image 1...N, and N; 16 bits if they suffice, else 32.
    """
    with RegionLabeller(decided, target, path, progress, "finding objects", halo) as labeller:
        provisional, merged, areas = labeller.label()
        numbers, count = final_numbers(merged, areas.counts(len(merged)), target.min_area)
        layout = replace(decided.layout, dtype="uint16" if count <= _SIXTEEN_BITS else "uint32")
        result = TileFile(path, layout, decided.identity)
        with resumable(result):
            for window in labeller.windows():
                if window not in result.done:
                    result.write(window, numbers[provisional.read(*window)].astype(layout.dtype))
    return result, count


def measure_streamed_objects(result: TileFile, count: int, source: ImageReader, progress: Progress) -> ObjectTable:
    """Return the region properties of the objects 1...count of a label image on disk.

    Memory: about 150 bytes per object, and the tiles of a strip of rows.
    """
    strips = len(list(row_strips(source.shape[1:])))
    result.plan(STRIP)
    source.plan(STRIP)
    with progress.bar("measuring objects", 4 * strips) as advance:
        shape = result.layout.height, result.layout.width
        labels = StoredLabels(shape, result.layout.dtype, count, result.read, lambda: advance(1, ""))
        return measure_objects(labels, StoredPixels(source.shape, source.read))


class StoredLabels:
    """Labels on disk with the array interface that `measure_objects` and `measure_volumes` need.

    `read` takes (first, stop) of each axis; `advance` is called before each read.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        dtype: str,
        count: int,
        read: Callable[..., np.ndarray],
        advance: Callable[[], None] = lambda: None,
    ) -> None:
        self.shape, self.dtype = shape, np.dtype(dtype)
        self._count, self._read, self._advance = count, read, advance

    def max(self, *, initial: int) -> int:
        """Return the highest label, or `initial` if it is higher."""
        return max(self._count, initial)

    def __getitem__(self, rows: slice) -> np.ndarray:
        self._advance()
        return self._read((rows.start, min(rows.stop, self.shape[0])), *((0, side) for side in self.shape[1:]))


class StoredPixels:
    """An image or a volume on disk with the array interface that they need for intensities."""

    def __init__(self, shape: tuple[int, ...], read: Callable[..., np.ndarray]) -> None:
        self._shape, self._read = shape, read

    def __len__(self) -> int:
        return self._shape[0]

    def __getitem__(self, key: tuple[slice, slice]) -> np.ndarray:
        return self._read((key[1].start, key[1].stop), *((0, side) for side in self._shape[2:]))


class PixelCounter:
    """Counts the pixels of each label over the windows of an image."""

    def __init__(self) -> None:
        self._counts = np.zeros(1024, np.int64)

    def add(self, labels: UInt32[np.ndarray, "*size"]) -> None:
        """Count the labels of a window."""
        values, pixels = np.unique(labels, return_counts=True)
        largest = int(values[-1]) if values.size else 0
        if largest >= len(self._counts):
            self._counts = np.concatenate([self._counts, np.zeros(largest + 1, np.int64)])
        self._counts[values] += pixels

    def counts(self, length: int) -> Int64[np.ndarray, " length"]:
        """Return the number of pixels of the labels 0...length-1."""
        return np.concatenate([self._counts, np.zeros(length, np.int64)])[:length]


class RegionLabeller:
    """Labels connected components or seeds of stored tiles, and runs the watershed, with temporary files."""

    def __init__(
        self, decided: TileFile, target: TargetOptions, path: Path, progress: Progress, label: str, halo: int
    ) -> None:
        self._decided, self._target, self._path, self._halo = decided, target, path, halo
        self._strips, self._windows = list(strips_of(decided.layout)), list(_windows(decided.layout))
        self._watershed = uses_watershed(target) or splits_regions(target)
        self._bar = progress.bar(label, len(self._strips) + len(self._windows) * (1 + self._watershed))
        self._stack = ExitStack()

    def __enter__(self) -> "RegionLabeller":
        self._advance = self._stack.enter_context(self._bar)
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def windows(self) -> Iterator[Window]:
        """Yield the windows and advance the progress bar."""
        return self._track(self._windows)

    def label(self) -> tuple[TileFile, Int64[np.ndarray, " numbers"], "PixelCounter"]:
        """Return the provisional label of every pixel, the merged labels, and their areas; see `StripLabels`."""
        components, merger, areas = self._temporary("areas"), StripLabels(corners=not self._watershed), PixelCounter()
        for strip in self._track(self._strips):
            labels = merger.add(self._markers(strip))
            components.write(strip, labels)
            areas.add(labels)
        merged = merger.joined()
        if not self._watershed:
            return components, merged, areas
        objects, areas = self._temporary("objects"), PixelCounter()
        for window in self.windows():
            labels = self._flood(components, merged, window)
            objects.write(window, labels)
            areas.add(labels)
        return objects, merged, areas

    def _markers(self, strip: Window) -> Bool[np.ndarray, "rows width"]:
        """Return the foreground of a strip, or its seeds."""
        (top, bottom), columns = strip
        if not splits_regions(self._target):
            block = self._decided.read(*strip)
            return (block & SEED if self._watershed else block) > 0
        depth = self._target.split_depth  # pixels further away have no influence
        first = max(0, top - depth)
        block = self._decided.read((first, min(self._decided.layout.height, bottom + depth)), columns)
        return erode((block & SEED) > 0, depth)[top - first :][: bottom - top]

    def _flood(
        self, components: TileFile, merged: Int64[np.ndarray, " numbers"], window: Window
    ) -> UInt32[np.ndarray, "rows columns"]:
        """Return the watershed of a window from the merged labels of the seeds."""
        height, width, halo = self._decided.layout.height, self._decided.layout.width, self._halo
        (top, bottom), (left, right) = window
        rows, columns = (
            (max(0, top - halo), min(height, bottom + halo)),
            (max(0, left - halo), min(width, right + halo)),
        )
        packed = self._decided.read(rows, columns)
        seeds = merged[components.read(rows, columns)].astype(np.uint32)
        foreground, interior = (packed & FOREGROUND) > 0, (packed & 255).astype(np.uint8)
        labels = watershed_window(seeds, foreground, interior, filled=uses_watershed(self._target))
        return labels[top - rows[0] : bottom - rows[0], left - columns[0] : right - columns[0]]

    def _temporary(self, name: str) -> TileFile:
        layout = self._decided.layout
        scratch = TiledLayout(height=layout.height, width=layout.width, dtype="uint32", tile=STRIP)
        file = TileFile(self._path.with_name(f"{self._path.name}.{name}"), scratch, token_hex(8))  # never resumed
        self._stack.callback(file.discard)
        return file

    def _track(self, items: list[Window]) -> Iterator[Window]:
        for item in items:
            yield item
            self._advance(1, "")


def strips_of(layout: TiledLayout) -> Iterator[Window]:
    """Yield strips of whole rows from top to bottom."""
    for top in range(0, layout.height, STRIP):
        yield (top, min(layout.height, top + STRIP)), (0, layout.width)


def _windows(layout: TiledLayout) -> Iterator[Window]:
    for top in range(0, layout.height, WINDOW):
        for left in range(0, layout.width, WINDOW):
            yield (top, min(layout.height, top + WINDOW)), (left, min(layout.width, left + WINDOW))
