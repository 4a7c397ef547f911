"""Objects of an image of any size, from what its tiles said: areas joined across strips, seeds flooded by windows.

Three passes over files, none over the network: number the areas strip by strip and join them; for objects that flood
from seeds, decide them window by window; hand out the final numbers. Nothing grows with the image but tables of numbers
per object.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from secrets import token_hex
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64, UInt8, UInt16, UInt32

from pixelwise.io.label_writer import TiledLayout, TileFile, Window
from pixelwise.io.windows import Source
from pixelwise.labels.region_properties import ObjectTable, measure
from pixelwise.labels.run_lengths import row_strips
from pixelwise.labels.split_regions import deeper_than
from pixelwise.labels.stitching import StripLabels, final_numbers, flood_window
from pixelwise.labels.targets import TargetOptions, floods, splits
from pixelwise.progress import Progress

STRIP = 256  # rows that are numbered at once
WINDOW = 1024  # pixels a side of the windows that are decided at once
HALO = 256  # pixels that are looked at around them: objects up to about half of that are exact
FOREGROUND, _SEED = 1 << 8, 1 << 9
_SIXTEEN_BITS = 65_535
_BYTES_PER_STRIP_PIXEL = 20
_BYTES_PER_WINDOW_PIXEL = 48


def pack(
    foreground: Bool[np.ndarray, "rows columns"],
    seeds: Bool[np.ndarray, "rows columns"],
    interior: UInt8[np.ndarray, "rows columns"],
) -> UInt16[np.ndarray, "rows columns"]:
    """Return what is kept of each pixel until objects are found: two flags above 8 bits of interior."""
    flags = foreground.astype(np.uint16) * FOREGROUND + seeds.astype(np.uint16) * _SEED
    return flags + interior.astype(np.uint16)


def objects_memory(width: int, height: int) -> int:
    """Return the bytes that finding objects takes, beside 60 for each area and seed."""
    strip = min(height, STRIP) * width * _BYTES_PER_STRIP_PIXEL
    window = min(height, WINDOW + 2 * HALO) * min(width, WINDOW + 2 * HALO) * _BYTES_PER_WINDOW_PIXEL
    return max(strip, window) + 3 * 64 * 2**20  # three files with decoded tiles


def find_objects(
    decided: TileFile, target: TargetOptions, path: Path, progress: Progress, halo: int = HALO
) -> tuple[TileFile, int]:
    """Find the objects of an image whose every tile is decided.

    Parameters
    ----------
    decided : TileFile
        For kind "components" the foreground as 0 and 1, for those that flood what `pack` makes.
    target : TargetOptions
    path : Path
        Of the result.
    progress : Progress
    halo : int
        See `stitching.flood_window`.

    Returns
    -------
    TileFile, int
        The label image 1...N with all its windows, and N; 16 bits where they hold it, else 32.
    """
    layout = decided.layout
    with AreaSearch(decided, target, path, progress, "finding objects", halo) as search:
        numbered, joined, areas = search.number()
        numbers, count = final_numbers(joined, areas.upto(len(joined)), target.min_area)
        kept = replace(layout, dtype="uint16" if count <= _SIXTEEN_BITS else "uint32")
        result = TileFile(path, kept, decided.identity)
        try:
            for window in search.windows():
                if window not in result.done:
                    result.write(window, numbers[numbered.read(*window)].astype(kept.dtype))
        except BaseException:
            result.close()
            raise
    return result, count


def measure_objects(result: TileFile, count: int, source: Source, progress: Progress) -> ObjectTable:
    """Measure the objects 1...count of a label image on the disk, with the pixels they lie on.

    Memory: about 150 bytes for each object, and the tiles of a band of rows.
    """
    strips = len(list(row_strips(source.shape[1:])))
    result.plan(STRIP)
    source.plan(STRIP)
    with progress.bar("measuring objects", 4 * strips) as advance:
        return measure(_Labels(result, count, lambda: advance(1, "")), _Pixels(source))


class _Labels:
    """A label image on the disk, as `measure` takes it."""

    def __init__(self, tiles: TileFile, count: int, advance: Callable[[], None]) -> None:
        self._tiles, self._count, self._advance = tiles, count, advance
        self.shape, self.dtype = (tiles.layout.height, tiles.layout.width), np.dtype(tiles.layout.dtype)

    def max(self, *, initial: int) -> int:
        return max(self._count, initial)

    def __getitem__(self, rows: slice) -> np.ndarray:
        self._advance()
        return self._tiles.read((rows.start, min(rows.stop, self.shape[0])), (0, self.shape[1]))


class _Pixels:
    """A picture that is read by windows, as `measure` takes it."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def __len__(self) -> int:
        return self._source.shape[0]

    def __getitem__(self, place: tuple[slice, slice]) -> np.ndarray:
        return self._source.read((place[1].start, place[1].stop), (0, self._source.shape[2]))


class PixelCounter:
    """Counts the pixels of numbers that come in parts of an image."""

    def __init__(self) -> None:
        self._counted = np.zeros(1024, np.int64)

    def add(self, numbers: UInt32[np.ndarray, "rows columns"]) -> None:
        """Count the numbers of a part."""
        found, pixels = np.unique(numbers, return_counts=True)
        most = int(found[-1]) if found.size else 0
        if most >= len(self._counted):
            self._counted = np.concatenate([self._counted, np.zeros(most + 1, np.int64)])
        self._counted[found] += pixels

    def upto(self, length: int) -> Int64[np.ndarray, " length"]:
        """Return the pixels of the numbers 0...length-1."""
        return np.concatenate([self._counted, np.zeros(length, np.int64)])[:length]


class AreaSearch:
    """Numbers the areas or the seeds of a decided image, and floods from seeds, with temporary files and a bar."""

    def __init__(
        self, decided: TileFile, target: TargetOptions, path: Path, progress: Progress, doing: str, halo: int
    ) -> None:
        self._decided, self._target, self._path, self._halo = decided, target, path, halo
        self._strips, self._windows = list(strips_of(decided.layout)), list(_windows(decided.layout))
        self._flooding = floods(target) or splits(target)
        self._bar = progress.bar(doing, len(self._strips) + len(self._windows) * (1 + self._flooding))
        self._stack = ExitStack()

    def __enter__(self) -> "AreaSearch":
        self._advance = self._stack.enter_context(self._bar)
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def windows(self) -> Iterator[Window]:
        """Yield the windows, and let the bar know."""
        return self._step(self._windows)

    def number(self) -> tuple[TileFile, Int64[np.ndarray, " numbers"], "PixelCounter"]:
        """Return the provisional numbers of every pixel, what joins them, and their pixels; see `StripLabels`."""
        numbered, labels, areas = self._temporary("areas"), StripLabels(corners=not self._flooding), PixelCounter()
        for strip in self._step(self._strips):
            found = labels.add(self._marked(strip))
            numbered.write(strip, found)
            areas.add(found)
        joined = labels.joined()
        if not self._flooding:
            return numbered, joined, areas
        flooded, areas = self._temporary("objects"), PixelCounter()
        for window in self.windows():
            found = self._flooded(numbered, joined, window)
            flooded.write(window, found)
            areas.add(found)
        return flooded, joined, areas

    def _marked(self, strip: Window) -> Bool[np.ndarray, "rows width"]:
        """Return the foreground of a strip, or its seeds."""
        (top, bottom), columns = strip
        if not splits(self._target):
            block = self._decided.read(*strip)
            return (block & _SEED if self._flooding else block) > 0
        depth = self._target.split_depth  # beyond it nothing counts
        first = max(0, top - depth)
        block = self._decided.read((first, min(self._decided.layout.height, bottom + depth)), columns)
        return deeper_than((block & _SEED) > 0, depth)[top - first :][: bottom - top]

    def _flooded(
        self, numbered: TileFile, joined: Int64[np.ndarray, " numbers"], window: Window
    ) -> UInt32[np.ndarray, "rows columns"]:
        """Decide a window from the seeds, whose numbers hold in the whole image."""
        height, width, halo = self._decided.layout.height, self._decided.layout.width, self._halo
        (top, bottom), (left, right) = window
        rows, columns = (
            (max(0, top - halo), min(height, bottom + halo)),
            (max(0, left - halo), min(width, right + halo)),
        )
        packed = self._decided.read(rows, columns)
        seeds = joined[numbered.read(rows, columns)].astype(np.uint32)
        foreground, interior = (packed & FOREGROUND) > 0, (packed & 255).astype(np.uint8)
        found = flood_window(seeds, foreground, interior, filled=floods(self._target))
        return found[top - rows[0] : bottom - rows[0], left - columns[0] : right - columns[0]]

    def _temporary(self, name: str) -> TileFile:
        layout = self._decided.layout
        scratch = TiledLayout(height=layout.height, width=layout.width, dtype="uint32", tile=STRIP)
        made = TileFile(self._path.with_name(f"{self._path.name}.{name}"), scratch, token_hex(8))  # never continued
        self._stack.callback(made.discard)
        return made

    def _step(self, items: list[Window]) -> Iterator[Window]:
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
