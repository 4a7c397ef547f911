"""Chunks: windows put together from the tiles or strips of a file, of which only the last used stay in memory."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock

import numpy as np
from jaxtyping import Shaped

from pixelwise.geometry.tiles import Span

CACHE = 64 * 2**20  # bytes of decoded chunks that are kept when nobody plans anything else
MOST_CACHE = 512 * 2**20


class ChunkCache:
    """Decoded chunks, of which the longest unused are forgotten when all take more than `limit` bytes.

    One chunk is always kept, however large it is. Threads may share a cache; they wait for one another.
    """

    def __init__(self, limit: int = CACHE) -> None:
        self.limit = limit
        self.decoded = 0  # chunks that were decoded, some of them more than once
        self._chunks: OrderedDict[Hashable, np.ndarray] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def get(self, key: Hashable, decode: Callable[[], np.ndarray]) -> np.ndarray:
        """Return the chunk of this key, and decode it where it is not there."""
        with self._lock:
            if key in self._chunks:
                self._chunks.move_to_end(key)
                return self._chunks[key]
            chunk = decode()
            self.decoded += 1
            self._chunks[key] = chunk
            self._bytes += chunk.nbytes
            while self._bytes > self.limit and len(self._chunks) > 1:
                self._bytes -= self._chunks.popitem(last=False)[1].nbytes
            return chunk


def assemble(
    room: Shaped[np.ndarray, "planes rows columns"],
    window: tuple[Span, Span],
    chunk: tuple[int, int],
    get: Callable[[int, int], Shaped[np.ndarray, "planes chunk_rows chunk_columns"]],
) -> None:
    """Fill `room` with the pixels of `window` from a grid of chunks.

    Parameters
    ----------
    room : (planes, rows, columns) array
        As large as the window.
    window : ((top, bottom), (left, right))
        Within the image.
    chunk : (int, int)
        Rows and columns from one chunk to the next; chunks at the lower and right edge may hold fewer.
    get : callable
        Returns the chunk in row `i` and column `j` of the grid.
    """
    (top, bottom), (left, right) = window
    for i in range(top // chunk[0], -(-bottom // chunk[0])):
        for j in range(left // chunk[1], -(-right // chunk[1])):
            if top >= bottom or left >= right:
                return
            part = get(i, j)
            first, start = i * chunk[0], j * chunk[1]
            rows = max(top, first), min(bottom, first + chunk[0])
            columns = max(left, start), min(right, start + chunk[1])
            room[:, rows[0] - top : rows[1] - top, columns[0] - left : columns[1] - left] = part[
                :, rows[0] - first : rows[1] - first, columns[0] - start : columns[1] - start
            ]


def planned_cache(band: int, chunk: tuple[int, int], row_bytes: int, height: int) -> int:
    """Return the bytes of chunks that bands of `band` rows touch at once, at most `MOST_CACHE`.

    Parameters
    ----------
    band : int
        Rows of the windows that will be read side by side, before those below them.
    chunk : (int, int)
    row_bytes : int
        Bytes of one row of the image, all planes together.
    height : int
        Of the image.
    """
    touched = min(height, (-(-band // chunk[0]) + 1) * chunk[0])
    return min(MOST_CACHE, touched * row_bytes + chunk[0] * row_bytes // 8)
