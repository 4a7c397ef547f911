"""Write a label image tile by tile, resumable after the process is killed.

Two files next to the result: one contains the compressed tiles after a BigTIFF header without a directory, so that no
reader accepts it, the other is a journal with a line per finished window and a checksum of each tile. Data without a
valid journal record are truncated and written again: the order of disk writes is irrelevant. A finished BigTIFF is a
third file with the tiles in the order of their numbers, so that its bytes do not depend on how it was computed.
"""

import struct
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import imagecodecs
import numpy as np
from jaxtyping import Integer

from pixelwise.atomic_write import sync_folder, write_error
from pixelwise.errors import BadImage, BadOption
from pixelwise.geometry.tiles import Span
from pixelwise.io.chunks import ChunkCache, assemble, planned_cache
from pixelwise.io.journal import Journal, open_for_update, read_records, sync

Window = tuple[Span, Span]
WindowTiles = dict[
    Window, Callable[[], list[tuple[int, bytes]]]
]  # number and compressed bytes of the tiles of a window
Compression = Literal["deflate", "zstd"]
HEADER = 16  # bytes of a BigTIFF before anything else
_SYNC = 1.0  # seconds between syncs: the work that a power failure may lose; a killed process loses nothing
_LEVEL = 6


@dataclass(frozen=True, kw_only=True)
class TiledLayout:
    """Size (height, width), data type, side of the square tiles (a multiple of 16) and compression."""

    height: int
    width: int
    dtype: Literal["uint8", "uint16", "uint32"]
    tile: int = 512
    compression: Compression = "deflate"

    def __post_init__(self) -> None:
        if self.tile < 16 or self.tile % 16:
            raise BadOption("tiles of a multiple of 16 pixels (TIFF)", f"{self.tile}", "512 is usual.")

    def shrunk(self) -> "TiledLayout":
        """Return the layout of the next pyramid level: half the size, rounded up."""
        return replace(self, height=-(-self.height // 2), width=-(-self.width // 2))

    @property
    def across(self) -> int:
        """The number of tiles per row."""
        return -(-self.width // self.tile)

    @property
    def down(self) -> int:
        """The number of tiles per column."""
        return -(-self.height // self.tile)


@dataclass
class PyramidLevel:
    """A pyramid level: its layout and the location (offset, number of bytes) of each tile."""

    layout: TiledLayout
    locations: dict[int, tuple[int, int]]


class TileFile:
    """A label image in progress.

    Parameters
    ----------
    path : Path
        The path of the result.
    identity : str
        Identifies the computation: only a journal of the same identity and layout is resumed.

    Attributes
    ----------
    done : set of ((top, bottom), (left, right))
        The windows that are written.
    notes : dict
        The values stored by `note`, also by earlier processes.

    Raises
    ------
    OutputFailed
        The file cannot be written, or another process is writing it.
    """

    def __init__(self, path: Path, layout: TiledLayout, identity: str) -> None:
        self.path, self.layout, self.identity = path, layout, identity
        self.tiles_path = path.with_name(f".{path.name}.tiles")
        self.journal_path = path.with_name(f".{path.name}.journal")
        self._ordered_path = path.with_name(f".{path.name}.ordered")
        self.levels = [PyramidLevel(layout, {})]
        self.done: set[Window] = set()
        self.notes: dict[str, Any] = {}
        self._cache = ChunkCache()
        self._end, self._synced = HEADER, time.monotonic()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._journal = Journal(self.journal_path, path)
            self._file = open_for_update(self.tiles_path)
            self._resume()
        except OSError as error:
            raise write_error(path, error) from error

    def write(self, window: Window, numbers: Integer[np.ndarray, "rows columns"]) -> None:
        """Write a window, whose edges must be tile or image edges, and record it in the journal.

        Raises
        ------
        OutputFailed
            The disk is full, or the folder was removed.
        """
        (top, bottom), (left, right) = window
        tile = self.layout.tile
        ends = (
            bottom in (self.layout.height, -(-bottom // tile) * tile),
            right in (self.layout.width, -(-right // tile) * tile),
        )
        if top % tile or left % tile or not all(ends):
            raise BadOption(f"windows on a grid of {tile} pixels", f"{window}", "Choose another tile size.")
        tiles: list[list[int]] = []
        for row in range(top, bottom, tile):
            for column in range(left, right, tile):
                block = numbers[row - top : row - top + tile, column - left : column - left + tile]
                index = row // tile * self.layout.across + column // tile
                tiles.append([index, *self.append(0, index, block)])
        self._record({"window": window, "tiles": tiles})
        self.done.add(window)

    def take(self, window: Window, tiles: Sequence[tuple[int, bytes]]) -> None:
        """Write a window from its compressed tiles, as another file of the same layout has them.

        Parameters
        ----------
        window : ((top, bottom), (left, right))
        tiles : sequence of (int, bytes)
            Number and content of each tile; see `read_windows`.

        Raises
        ------
        OutputFailed
            The disk is full, or the folder was removed.
        """
        records: list[list[int]] = []
        for index, data in tiles:
            records.append([index, *self._append_data(0, index, data)])
        self._record({"window": window, "tiles": records})
        self.done.add(window)

    def append(self, level: int, index: int, block: Integer[np.ndarray, "rows columns"]) -> tuple[int, int, int]:
        """Append a tile of a level without a journal record; return its offset, number of bytes and checksum."""
        side = self.layout.tile
        whole = np.zeros((side, side), self.layout.dtype)
        whole[: block.shape[0], : block.shape[1]] = block
        return self._append_data(level, index, compress(whole, self.layout.compression))

    def _append_data(self, level: int, index: int, data: bytes) -> tuple[int, int, int]:
        try:
            self._file.seek(self._end)
            self._file.write(data)
        except OSError as error:
            raise write_error(self.path, error) from error
        location = self._end, len(data)
        self.levels[level].locations[index] = location
        self._end += len(data)
        return *location, zlib.crc32(data)

    def reorder(self) -> None:
        """Continue in a new file with the tiles in the order of their numbers, for `finalize`.

        Tiles and journal stay until then, so that a process that is killed meanwhile loses nothing.
        """
        unordered, locations = self._file, dict(sorted(self.levels[0].locations.items()))
        try:
            self._file, self._end = self._ordered_path.open("w+b"), HEADER
            self._file.write(header(0))
            for index, (offset, count) in locations.items():
                unordered.seek(offset)
                self._append_data(0, index, unordered.read(count))
            unordered.close()
        except OSError as error:
            raise write_error(self.path, error) from error

    def append_bytes(self, data: bytes) -> int:
        """Append bytes at a multiple of 8; return the offset."""
        at = -(-self._end // 8) * 8
        try:
            self._file.seek(at)
            self._file.write(data)
        except OSError as error:
            raise write_error(self.path, error) from error
        self._end = at + len(data)
        return at

    def patch(self, at: int, data: bytes) -> None:
        """Overwrite bytes at offset `at`."""
        self._file.seek(at)
        self._file.write(data)

    def note(self, name: str, value: Any) -> None:
        """Store a JSON-serialisable value for processes that resume this file."""
        self._record({"note": name, "value": value})
        self.notes[name] = value

    def read(self, rows: Span, columns: Span, level: int = 0) -> Integer[np.ndarray, "rows columns"]:
        """Return a window of a level; all its tiles must be written."""
        out = np.empty((1, rows[1] - rows[0], columns[1] - columns[0]), self.layout.dtype)
        side = self.layout.tile
        assemble(out, (rows, columns), (side, side), lambda i, j: self._tile(level, i, j))
        return out[0]

    def plan(self, band: int) -> None:
        """Set the cache size for bands of `band` rows."""
        row_bytes = self.layout.width * np.dtype(self.layout.dtype).itemsize
        self._cache.limit = planned_cache(band, (self.layout.tile, self.layout.tile), row_bytes, self.layout.height)

    def sync(self) -> None:
        """Sync both files to disk."""
        try:
            sync(self._file)
            self._journal.sync()
        except OSError as error:
            raise write_error(self.path, error) from error
        self._synced = time.monotonic()

    def close(self) -> None:
        """Close the files; a later process can resume them, but not what `reorder` began."""
        self._file.close()
        self._ordered_path.unlink(missing_ok=True)
        self._journal.close()

    def discard(self) -> None:
        """Close and delete the files."""
        self.close()
        self.tiles_path.unlink(missing_ok=True)
        self.journal_path.unlink(missing_ok=True)

    def finalize(self, first: int) -> None:
        """Write the offset of the first directory of a reordered file, and rename it to its final name."""
        self.sync()
        try:
            self._file.seek(0)
            self._file.write(header(first))
            self.sync()
            self._file.close()
            self._ordered_path.replace(self.path)
            sync_folder(self.path.parent)
        except OSError as error:
            raise write_error(self.path, error) from error
        self.discard()

    def _tile(self, level: int, i: int, j: int) -> Integer[np.ndarray, "1 side side"]:
        index = i * self.levels[level].layout.across + j
        return self._cache.get((level, index), lambda: self._decode(self.levels[level].locations[index]))

    def _decode(self, location: tuple[int, int]) -> Integer[np.ndarray, "1 side side"]:
        self._file.seek(location[0])
        return decompress(self._file.read(location[1]), self.layout)[None]

    def _record(self, record: dict[str, Any]) -> None:
        try:
            self._file.flush()
            self._journal.append(record)
        except OSError as error:
            raise write_error(self.path, error) from error
        if time.monotonic() - self._synced > _SYNC:
            self.sync()

    def _resume(self) -> None:
        """Restore the state from the journal; truncate all data without a valid record."""
        valid_end = 0
        header_record = {"identity": self.identity, "layout": asdict(self.layout)}
        for record, end in self._journal.records():
            if (valid_end == 0 and record != header_record) or not self._restore(record):
                break
            valid_end = end
        if not valid_end:
            self._file.seek(0)
            self._file.write(header(0))
        self._file.truncate(self._end)
        self._journal.cut(valid_end)
        if not valid_end:
            self._record(header_record)

    def _restore(self, record: dict[str, Any]) -> bool:
        """Restore a journal record; return whether the tiles in the file match it."""
        end, locations = self._end, dict[int, tuple[int, int]]()
        for index, offset, count, checksum in record.get("tiles", []):
            self._file.seek(offset)
            data = self._file.read(count)
            if offset != end or len(data) != count or zlib.crc32(data) != checksum:
                return False
            end, locations[index] = offset + count, (offset, count)
        self._end = end
        self.levels[0].locations.update(locations)
        if "note" in record:
            self.notes[record["note"]] = record["value"]
        if "window" in record:
            (top, bottom), (left, right) = record["window"]
            self.done.add(((top, bottom), (left, right)))
        return True


def read_windows(tiles_path: Path, journal_path: Path) -> WindowTiles:
    """Return the windows in the two files of an unfinished label image, each with a function that reads its tiles.

    Raises
    ------
    OutputFailed
        A file cannot be read.
    BadImage
        By the functions: a tile is damaged.
    """
    windows: WindowTiles = {}
    try:
        with journal_path.open("rb") as journal:
            for record in read_records(journal):
                if "window" in record:
                    (top, bottom), (left, right) = record["window"]
                    windows[(top, bottom), (left, right)] = partial(_read_tiles, tiles_path, record["tiles"])
    except OSError as error:
        raise write_error(journal_path, error) from error
    return windows


def _read_tiles(path: Path, tiles: Sequence[Sequence[int]]) -> list[tuple[int, bytes]]:
    found: list[tuple[int, bytes]] = []
    try:
        with path.open("rb") as file:
            for index, offset, count, checksum in tiles:
                file.seek(offset)
                data = file.read(count)
                if zlib.crc32(data) != checksum:
                    raise BadImage("an undamaged tile", "another checksum", "Remove it and run again.", path)
                found.append((index, data))
    except OSError as error:
        raise write_error(path, error) from error
    return found


def header(first: int) -> bytes:
    """Return the header of a little-endian BigTIFF with the first directory at offset `first` (0: unfinished)."""
    return struct.pack("<2sHHHQ", b"II", 43, 8, 0, first)


def compress(tile: Integer[np.ndarray, "side side"], compression: Compression) -> bytes:
    """Return the compressed little-endian bytes of a tile."""
    data = tile.astype(tile.dtype.newbyteorder("<"), copy=False).tobytes()
    return zlib.compress(data, _LEVEL) if compression == "deflate" else bytes(imagecodecs.zstd_encode(data, level=3))


def decompress(data: bytes, layout: TiledLayout) -> Integer[np.ndarray, "side side"]:
    """Return the values of a compressed tile."""
    plain = zlib.decompress(data) if layout.compression == "deflate" else bytes(imagecodecs.zstd_decode(data))
    numbers = np.frombuffer(plain, np.dtype(layout.dtype).newbyteorder("<"))
    return numbers.reshape(layout.tile, layout.tile).astype(layout.dtype, copy=False)
