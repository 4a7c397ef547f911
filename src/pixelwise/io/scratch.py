"""Maps of a cut network in a file without a name, which take no memory of the process and vanish with it.

A map is stored with its channels adjacent, so that a window of it is one run of bytes per row. It is read and written
with `pread(2)` and `pwrite(2)`: pages of a memory-mapped file would count as memory of the process.
"""

import math
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from jaxtyping import Float

from pixelwise.atomic_write import write_error

SCRATCH_BYTES = 4 * 2**30  # the most that the maps of an image take on the disk
_FREE = 2  # times as much must be free there
Window = Sequence[slice]


def scratch_folder() -> Path | None:
    """Return the folder for images that are predicted in memory; None where files cannot be read at an offset.

    $TMPDIR, else /var/tmp, which is on a disk where /tmp is in memory.
    """
    if not hasattr(os, "pwrite"):  # Windows
        return None
    lasting = Path("/var/tmp")
    if os.environ.get("TMPDIR") or not os.access(lasting, os.W_OK):
        return Path(tempfile.gettempdir())
    return lasting


def scratch_bytes(folder: Path | None) -> int:
    """Return how many bytes of maps may be stored in a folder: 0 if its disk has not enough free space."""
    if folder is None or not hasattr(os, "pwrite"):
        return 0
    folder = folder.absolute()
    while not folder.exists() and folder != folder.parent:  # it is made later
        folder = folder.parent
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        return 0
    return SCRATCH_BYTES if free >= _FREE * SCRATCH_BYTES else 0


class ScratchFile:
    """A file without a name in a folder; it takes space on the disk until it is cleared, or this object ends.

    Raises
    ------
    OutputFailed
        The folder cannot be written.

    Examples
    --------
    >>> file = ScratchFile(Path(tempfile.gettempdir()))
    >>> stored = file.allocate((2, 3, 4), np.dtype(np.float32))
    >>> stored.write((slice(1, 3), slice(0, 4)), np.ones((2, 2, 4), np.float32))
    >>> stored.read((slice(1, 2), slice(0, 2))).tolist()
    [[[1.0, 1.0]], [[1.0, 1.0]]]
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._end = folder, 0
        try:
            with tempfile.TemporaryFile(dir=folder) as file:
                self._descriptor = os.dup(file.fileno())
        except OSError as error:
            raise write_error(folder, error) from error
        weakref.finalize(self, os.close, self._descriptor)

    def allocate(self, shape: Sequence[int], dtype: np.dtype) -> "StoredMap":
        """Return a map (channels, *size) in the file; its values are undefined until they are written."""
        channels, *size = shape
        stored = StoredMap(self._descriptor, self._end, channels, tuple(size), dtype, self._folder)
        self._end += math.prod(shape) * dtype.itemsize
        return stored

    def clear(self) -> None:
        """Remove all maps."""
        os.ftruncate(self._descriptor, 0)
        self._end = 0


@dataclass(frozen=True)
class StoredMap:
    """A map (channels, *size) at an offset of a file.

    Attributes
    ----------
    offset : int
        In bytes.
    folder : Path
        For error messages.
    """

    descriptor: int
    offset: int
    channels: int
    size: tuple[int, ...]
    dtype: np.dtype
    folder: Path

    def write(self, window: Window, values: Float[np.ndarray, " channels *window"]) -> None:
        """Write values in a window."""
        rows = np.ascontiguousarray(np.moveaxis(values, 0, -1), self.dtype)
        try:
            for place, row in self._rows(window, rows):
                written = 0
                while written < len(row):
                    written += os.pwrite(self.descriptor, row[written:], place + written)
        except OSError as error:
            raise write_error(self.folder, error) from error

    def read(self, window: Window) -> Float[np.ndarray, " channels *window"]:
        """Return the values in a window, a new array whose channels are adjacent."""
        sides = [part.stop - part.start for part in window]
        rows = np.empty((*sides, self.channels), self.dtype)
        for place, row in self._rows(window, rows):
            done = 0
            while done < len(row):
                count = os.preadv(self.descriptor, [row[done:]], place + done)
                if not count:
                    raise EOFError("a map that was not written")
                done += count
        return np.moveaxis(rows, -1, 0)

    def _rows(self, window: Window, values: np.ndarray) -> Iterator[tuple[int, memoryview]]:
        """Yield the offset and the bytes of each run of a window; whole rows are one run."""
        *outer, last = window
        whole = last.stop - last.start == self.size[-1] and len(outer) > 0
        if whole:  # rows follow each other
            *outer, _ = outer
        flat = values.reshape(math.prod(values.shape[: len(outer)]), -1).view(np.uint8)
        inner = window[len(outer) :]
        for row, places in zip(flat, product(*(range(part.start, part.stop) for part in outer)), strict=True):
            index = 0
            for place, side in zip((*places, *(part.start for part in inner)), self.size, strict=True):
                index = index * side + place
            yield self.offset + index * self.channels * self.dtype.itemsize, row.data
