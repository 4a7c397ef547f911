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

import numpy as np
from jaxtyping import Bool, Int64, UInt8, UInt16, UInt32

from pixelwise.images.stores import Layout, TileFile, Window
from pixelwise.images.windows import Source
from pixelwise.labels.measuring import ObjectTable, measure
from pixelwise.labels.runs import row_strips
from pixelwise.labels.stitching import StripCrumbs, StripLabels, final_numbers, flood_window
from pixelwise.labels.targets import TargetOptions, floods
from pixelwise.progress import Progress

STRIP = 256  # rows that are numbered at once
WINDOW = 1024  # pixels a side of the windows that are decided at once
HALO = 256  # pixels that are looked at around them: objects up to about half of that are exact
_FOREGROUND, _SEED = 1 << 8, 1 << 9
_SIXTEEN_BITS = 65_535
_BYTES_PER_STRIP_PIXEL = 20
_BYTES_PER_WINDOW_PIXEL = 48


def pack(
    foreground: Bool[np.ndarray, "rows columns"],
    seeds: Bool[np.ndarray, "rows columns"],
    interior: UInt8[np.ndarray, "rows columns"],
) -> UInt16[np.ndarray, "rows columns"]:
    """Return what is kept of each pixel until objects are found: two flags above 8 bits of interior."""
    flags = foreground.astype(np.uint16) * _FOREGROUND + seeds.astype(np.uint16) * _SEED
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
    scratch = Layout(height=layout.height, width=layout.width, dtype="uint32", tile=STRIP)
    flooding = floods(target)
    strips, windows = list(_strips(layout)), list(_windows(layout))
    with ExitStack() as stack, progress.bar("finding objects", len(strips) + len(windows) * (1 + flooding)) as advance:

        def temporary(name: str) -> TileFile:
            made = TileFile(path.with_name(f"{path.name}.{name}"), scratch, token_hex(8))  # never continued
            stack.callback(made.discard)
            return made

        def step(items: list[Window]) -> Iterator[Window]:
            for item in items:
                yield item
                advance(1, "")

        numbered, labels = temporary("areas"), StripLabels(corners=not flooding)
        areas = Counter()
        for rows, columns in step(strips):
            block = decided.read(rows, columns)
            found = labels.add((block & _SEED if flooding else block) > 0)
            numbered.write((rows, columns), found)
            areas.add(found)
        joined = labels.joined()
        if flooding:
            flooded, areas = temporary("objects"), Counter()
            for window in step(windows):
                found = _flooded(decided, numbered, joined, window, halo)
                flooded.write(window, found)
                areas.add(found)
            numbered = flooded
        numbers, count = final_numbers(joined, areas.upto(len(joined)), target.min_area)
        kept = replace(layout, dtype="uint16" if count <= _SIXTEEN_BITS else "uint32")
        result = TileFile(path, kept, decided.identity)
        try:
            for window in step(windows):
                if window not in result.done:
                    result.write(window, numbers[numbered.read(*window)].astype(kept.dtype))
        except BaseException:
            result.close()
            raise
    return result, count


def find_areas(decided: TileFile, target: TargetOptions, path: Path, progress: Progress) -> TileFile:
    """Return the mask at `path` of an image whose every tile is decided, without areas that are too small.

    Two passes over strips of rows: what `labels.tidying.drop_crumbs` leaves of the whole image, to the last pixel.
    """
    crumbs, layout = StripCrumbs(target.class_areas), decided.layout
    strips = list(_strips(layout))
    together = max(1, layout.tile // STRIP)  # strips that hold whole tiles of the file
    with progress.bar("dropping small areas", 2 * len(strips)) as advance:
        for rows, columns in strips:
            crumbs.count(decided.read(rows, columns))
            advance(1, "")
        result = TileFile(path, layout, decided.identity)
        try:
            for first in range(0, len(strips), together):
                some = strips[first : first + together]
                left = np.concatenate([crumbs.drop(decided.read(*strip)) for strip in some])
                window = (some[0][0][0], some[-1][0][1]), (0, layout.width)
                if window not in result.done:
                    result.write(window, left)
                advance(len(some), "")
        except BaseException:
            result.close()
            raise
    return result


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


class Counter:
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


def _flooded(
    decided: TileFile, numbered: TileFile, joined: Int64[np.ndarray, " numbers"], window: Window, halo: int
) -> UInt32[np.ndarray, "rows columns"]:
    """Decide a window from the seeds, whose numbers hold in the whole image."""
    height, width = decided.layout.height, decided.layout.width
    (top, bottom), (left, right) = window
    rows, columns = (max(0, top - halo), min(height, bottom + halo)), (max(0, left - halo), min(width, right + halo))
    packed = decided.read(rows, columns)
    seeds = joined[numbered.read(rows, columns)].astype(np.uint32)
    found = flood_window(seeds, (packed & _FOREGROUND) > 0, (packed & 255).astype(np.uint8))
    return found[top - rows[0] : bottom - rows[0], left - columns[0] : right - columns[0]]


def _strips(layout: Layout) -> Iterator[Window]:
    for top in range(0, layout.height, STRIP):
        yield (top, min(layout.height, top + STRIP)), (0, layout.width)


def _windows(layout: Layout) -> Iterator[Window]:
    for top in range(0, layout.height, WINDOW):
        for left in range(0, layout.width, WINDOW):
            yield (top, min(layout.height, top + WINDOW)), (left, min(layout.width, left + WINDOW))
