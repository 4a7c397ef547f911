"""A label image that grows tile by tile on disk, and goes on where a killed process left it.

Two files beside the place of the result: one holds the compressed tiles behind the first bytes of a BigTIFF (its
directory is written last, so that until then no reader takes it for an image), the other is a journal, a line per
finished window with a checksum of each tile and of itself. What the journal does not vouch for is cut off and written
again; so the order in which the two reach the disk does not matter.
"""

import struct
import time
import zlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import imagecodecs
import numpy as np
from jaxtyping import Integer

from pixelwise.atomic_write import sync_folder, write_error
from pixelwise.errors import BadOption
from pixelwise.geometry.tiles import Span
from pixelwise.io.chunks import ChunkCache, assemble, planned_cache
from pixelwise.io.journal import Journal, open_for_update, sync

Window = tuple[Span, Span]
Compression = Literal["deflate", "zstd"]
HEADER = 16  # bytes of a BigTIFF before anything else
_SYNC = 1.0  # seconds of work that a power cut may cost; a killed process loses nothing
_LEVEL = 6


@dataclass(frozen=True, kw_only=True)
class TiledLayout:
    """Size (height, width), type of the numbers, side of the square tiles (a multiple of 16), compression."""

    height: int
    width: int
    dtype: Literal["uint8", "uint16", "uint32"]
    tile: int = 512
    compression: Compression = "deflate"

    def __post_init__(self) -> None:
        if self.tile < 16 or self.tile % 16:
            raise BadOption("tiles of a multiple of 16 pixels, as TIFF asks", f"{self.tile}", "512 is usual.")

    def shrunk(self) -> "TiledLayout":
        """Return the next level of a pyramid: half as many pixels a side, rounded up."""
        return replace(self, height=-(-self.height // 2), width=-(-self.width // 2))

    @property
    def across(self) -> int:
        """Return how many tiles stand side by side."""
        return -(-self.width // self.tile)

    @property
    def down(self) -> int:
        """Return how many tiles stand one above the other."""
        return -(-self.height // self.tile)


@dataclass
class PyramidLevel:
    """Where the tiles of one resolution lie in the file: offset and bytes for each index."""

    layout: TiledLayout
    places: dict[int, tuple[int, int]]


class TileFile:
    """A growing label image.

    Parameters
    ----------
    path : Path
        Where the result will stand one day.
    layout : Layout
    identity : str
        Says what is computed: only a journal of the same identity and layout is continued.

    Attributes
    ----------
    done : set of ((top, bottom), (left, right))
        The windows that are written and safe.
    notes : dict
        What `note` has kept, from earlier processes too.

    Raises
    ------
    OutputFailed
        The place cannot be written, or another process is writing there.
    """

    def __init__(self, path: Path, layout: TiledLayout, identity: str) -> None:
        self.path, self.layout, self.identity = path, layout, identity
        self.part, self.journal = path.with_name(f".{path.name}.tiles"), path.with_name(f".{path.name}.journal")
        self.levels = [PyramidLevel(layout, {})]
        self.done: set[Window] = set()
        self.notes: dict[str, Any] = {}
        self._cache = ChunkCache()
        self._end, self._synced = HEADER, time.monotonic()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lines = Journal(self.journal, path)
            self._file = open_for_update(self.part)
            self._continue()
        except OSError as error:
            raise write_error(path, error) from error

    def write(self, window: Window, numbers: Integer[np.ndarray, "rows columns"]) -> None:
        """Write a window, whose edges lie on those of tiles or of the image, and vouch for it in the journal.

        Raises
        ------
        OutputFailed
            The disk is full, or the place is gone.
        """
        (top, bottom), (left, right) = window
        tile = self.layout.tile
        ends = (
            bottom in (self.layout.height, -(-bottom // tile) * tile),
            right in (self.layout.width, -(-right // tile) * tile),
        )
        if top % tile or left % tile or not all(ends):
            raise BadOption(f"windows on a grid of {tile} pixels", f"{window}", "Choose another side of the tiles.")
        written: list[list[int]] = []
        for row in range(top, bottom, tile):
            for column in range(left, right, tile):
                block = numbers[row - top : row - top + tile, column - left : column - left + tile]
                index = row // tile * self.layout.across + column // tile
                written.append([index, *self.append(0, index, block)])
        self._line({"window": window, "tiles": written})
        self.done.add(window)

    def append(self, level: int, index: int, block: Integer[np.ndarray, "rows columns"]) -> tuple[int, int, int]:
        """Append a tile of a level without vouching for it; return its offset, bytes and checksum."""
        side = self.layout.tile
        whole = np.zeros((side, side), self.layout.dtype)
        whole[: block.shape[0], : block.shape[1]] = block
        data = compress(whole, self.layout.compression)
        try:
            self._file.seek(self._end)
            self._file.write(data)
        except OSError as error:
            raise write_error(self.path, error) from error
        place = self._end, len(data)
        self.levels[level].places[index] = place
        self._end += len(data)
        return *place, zlib.crc32(data)

    def append_bytes(self, data: bytes) -> int:
        """Append anything, at a multiple of 8; return where."""
        at = -(-self._end // 8) * 8
        try:
            self._file.seek(at)
            self._file.write(data)
        except OSError as error:
            raise write_error(self.path, error) from error
        self._end = at + len(data)
        return at

    def patch(self, at: int, data: bytes) -> None:
        """Overwrite bytes that were appended before."""
        self._file.seek(at)
        self._file.write(data)

    def note(self, name: str, value: Any) -> None:
        """Keep a JSON-ready value for the processes that continue."""
        self._line({"note": name, "value": value})
        self.notes[name] = value

    def read(self, rows: Span, columns: Span, level: int = 0) -> Integer[np.ndarray, "rows columns"]:
        """Return a window of a level that is whole there."""
        room = np.empty((1, rows[1] - rows[0], columns[1] - columns[0]), self.layout.dtype)
        side = self.layout.tile
        assemble(room, (rows, columns), (side, side), lambda i, j: self._tile(level, i, j))
        return room[0]

    def plan(self, band: int) -> None:
        """Keep the tiles that bands of so many rows touch."""
        row_bytes = self.layout.width * np.dtype(self.layout.dtype).itemsize
        self._cache.limit = planned_cache(band, (self.layout.tile, self.layout.tile), row_bytes, self.layout.height)

    def sync(self) -> None:
        """Bring everything to the disk."""
        try:
            sync(self._file)
            self._lines.sync()
        except OSError as error:
            raise write_error(self.path, error) from error
        self._synced = time.monotonic()

    def close(self) -> None:
        """Leave the files for a later process."""
        self._file.close()
        self._lines.close()

    def discard(self) -> None:
        """Remove both files."""
        self.close()
        self.part.unlink(missing_ok=True)
        self.journal.unlink(missing_ok=True)

    def become(self, first: int) -> None:
        """Enter the first directory, at `first`, and take the final name."""
        self.sync()
        try:
            self._file.seek(0)
            self._file.write(header(first))
            self.sync()
            self._file.close()
            self.part.replace(self.path)
            sync_folder(self.path.parent)
            self._lines.close()
            self.journal.unlink()
        except OSError as error:
            raise write_error(self.path, error) from error

    def _tile(self, level: int, i: int, j: int) -> Integer[np.ndarray, "1 side side"]:
        index = i * self.levels[level].layout.across + j
        return self._cache.get((level, index), lambda: self._decode(self.levels[level].places[index]))

    def _decode(self, place: tuple[int, int]) -> Integer[np.ndarray, "1 side side"]:
        self._file.seek(place[0])
        return decompress(self._file.read(place[1]), self.layout)[None]

    def _line(self, record: dict[str, Any]) -> None:
        try:
            self._file.flush()
            self._lines.append(record)
        except OSError as error:
            raise write_error(self.path, error) from error
        if time.monotonic() - self._synced > _SYNC:
            self.sync()

    def _continue(self) -> None:
        """Take over what the journal vouches for; cut off the rest."""
        kept = 0
        mine = {"identity": self.identity, "layout": asdict(self.layout)}
        for record, end in self._lines.records():
            if (kept == 0 and record != mine) or not self._holds(record):
                break
            kept = end
        if not kept:
            self._file.seek(0)
            self._file.write(header(0))
        self._file.truncate(self._end)
        self._lines.cut(kept)
        if not kept:
            self._line(mine)

    def _holds(self, record: dict[str, Any]) -> bool:
        """Take over a record when the file holds what it says."""
        end, found = self._end, dict[int, tuple[int, int]]()
        for index, offset, count, checksum in record.get("tiles", []):
            self._file.seek(offset)
            data = self._file.read(count)
            if offset != end or len(data) != count or zlib.crc32(data) != checksum:
                return False
            end, found[index] = offset + count, (offset, count)
        self._end = end
        self.levels[0].places.update(found)
        if "note" in record:
            self.notes[record["note"]] = record["value"]
        if "window" in record:
            (top, bottom), (left, right) = record["window"]
            self.done.add(((top, bottom), (left, right)))
        return True


def header(first: int) -> bytes:
    """Return the first bytes of a little-endian BigTIFF whose first directory stands at `first`; 0 is no image yet."""
    return struct.pack("<2sHHHQ", b"II", 43, 8, 0, first)


def compress(tile: Integer[np.ndarray, "side side"], compression: Compression) -> bytes:
    """Return the bytes of a tile, little-endian."""
    data = tile.astype(tile.dtype.newbyteorder("<"), copy=False).tobytes()
    return zlib.compress(data, _LEVEL) if compression == "deflate" else bytes(imagecodecs.zstd_encode(data, level=3))


def decompress(data: bytes, layout: TiledLayout) -> Integer[np.ndarray, "side side"]:
    """Return the numbers of a tile."""
    plain = zlib.decompress(data) if layout.compression == "deflate" else bytes(imagecodecs.zstd_decode(data))
    numbers = np.frombuffer(plain, np.dtype(layout.dtype).newbyteorder("<"))
    return numbers.reshape(layout.tile, layout.tile).astype(layout.dtype, copy=False)
