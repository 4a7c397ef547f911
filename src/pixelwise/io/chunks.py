"""Assemble windows from the tiles or strips of a file, with an LRU cache of decoded chunks."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock

import numpy as np
from jaxtyping import Shaped

from pixelwise.geometry.tiles import Span

CACHE = 64 * 2**20  # default size in bytes
MAX_CACHE = 512 * 2**20


class ChunkCache:
    """A thread-safe LRU cache of decoded chunks, limited to `limit` bytes. It always keeps at least one chunk."""

    def __init__(self, limit: int = CACHE) -> None:
        self.limit = limit
        self.decoded = 0  # number of decoded chunks, with repetitions
        self._chunks: OrderedDict[Hashable, np.ndarray] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def get(self, key: Hashable, decode: Callable[[], np.ndarray]) -> np.ndarray:
        """Return the chunk of this key; decode it if it is not cached."""
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
    out: Shaped[np.ndarray, "planes rows columns"],
    window: tuple[Span, Span],
    chunk: tuple[int, int],
    get: Callable[[int, int], Shaped[np.ndarray, "planes chunk_rows chunk_columns"]],
) -> None:
    """Fill `out` with the pixels of `window` from a grid of chunks.

    Parameters
    ----------
    out : (planes, rows, columns) array
        Output of the size of the window.
    window : ((top, bottom), (left, right))
        Must be within the image.
    chunk : (int, int)
        Height and width of a chunk; chunks at the lower and right edge may be smaller.
    get : callable
        Returns the chunk in row `i` and column `j` of the grid.
    """
    (top, bottom), (left, right) = window
    for i in range(top // chunk[0], -(-bottom // chunk[0])):
        for j in range(left // chunk[1], -(-right // chunk[1])):
            if top >= bottom or left >= right:
                return
            pixels = get(i, j)
            first, start = i * chunk[0], j * chunk[1]
            rows = max(top, first), min(bottom, first + chunk[0])
            columns = max(left, start), min(right, start + chunk[1])
            out[:, rows[0] - top : rows[1] - top, columns[0] - left : columns[1] - left] = pixels[
                :, rows[0] - first : rows[1] - first, columns[0] - start : columns[1] - start
            ]


def planned_cache(band: int, chunk: tuple[int, int], row_bytes: int, height: int) -> int:
    """Return the size in bytes of the chunks that a band of `band` rows touches, at most `MAX_CACHE`.

    Parameters
    ----------
    band : int
        Height of the rows of windows, which are read from left to right, then from top to bottom.
    chunk : (int, int)
    row_bytes : int
        Bytes of one image row, all planes together.
    height : int
        Height of the image.
    """
    touched = min(height, (-(-band // chunk[0]) + 1) * chunk[0])
    return min(MAX_CACHE, touched * row_bytes + chunk[0] * row_bytes // 8)
