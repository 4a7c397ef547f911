"""Write a label volume window by window, resumable after the process is killed.

The planes are stored one below the other in the file of a large image (`tiled_writer`), each starting at a row of
tiles: its journal, checksums and lock are those of images.
"""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Integer

from pixelwise.errors import BadOption
from pixelwise.geometry.tiles import Span
from pixelwise.io.tiled_writer import Compression, TiledLayout, TileFile

VolumeWindow = tuple[Span, ...]  # planes, rows, columns
LabelType = Literal["uint8", "uint16", "uint32"]


class VolumeTiles:
    """A label volume in progress.

    Parameters
    ----------
    path : Path
        The path of the result.
    shape : (int, int, int)
        Depth, height, width.
    dtype : {"uint8", "uint16", "uint32"}
    tile : int
        Side of the square tiles of a plane, a multiple of 16.
    compression : {"deflate", "zstd"}
    identity : str
        Identifies the computation: only a journal of the same identity and layout is resumed.

    Attributes
    ----------
    done : collection of windows
        Whether a window is written: `window in tiles.done`.

    Raises
    ------
    OutputFailed
        The file cannot be written, or another process is writing it.
    """

    def __init__(
        self,
        path: Path,
        shape: tuple[int, int, int],
        dtype: LabelType,
        *,
        tile: int,
        compression: Compression = "zstd",
        identity: str,
    ) -> None:
        self.shape, self.dtype, self.tile, self.compression = shape, dtype, tile, compression
        depth, height, width = shape
        self._pitch = -(-height // tile) * tile  # rows of the file from one plane to the next
        layout = TiledLayout(height=depth * self._pitch, width=width, dtype=dtype, tile=tile, compression=compression)
        self._file = TileFile(path, layout, identity)
        self.done: Collection[VolumeWindow] = _Done(self)

    @property
    def path(self) -> Path:
        """The path of the result."""
        return self._file.path

    @property
    def identity(self) -> str:
        """What identifies the computation."""
        return self._file.identity

    @property
    def notes(self) -> dict[str, Any]:
        """The values stored by `note`, also by earlier processes."""
        return self._file.notes

    def write(self, window: VolumeWindow, numbers: Integer[np.ndarray, "depth rows columns"]) -> None:
        """Write a window whose rows and columns start and end at edges of tiles or of the volume.

        Raises
        ------
        BadOption
            The window is not on the grid of the tiles.
        OutputFailed
            The disk is full, or the folder was removed.
        """
        if window[1][1] % self.tile and window[1][1] != self.shape[1]:
            raise BadOption(f"windows on a grid of {self.tile} pixels", f"{window}", "Choose another tile size.")
        for plane, part in zip(range(*window[0]), numbers, strict=True):
            self._file.write(self._place(window, plane), part)

    def read(self, planes: Span, rows: Span, columns: Span) -> Integer[np.ndarray, "depth rows columns"]:
        """Return a window; all its tiles must be written."""
        result = np.empty((planes[1] - planes[0], rows[1] - rows[0], columns[1] - columns[0]), self.dtype)
        for index, plane in enumerate(range(*planes)):
            first = plane * self._pitch
            result[index] = self._file.read((first + rows[0], first + rows[1]), columns)
        return result

    def is_done(self, window: VolumeWindow) -> bool:
        """Return whether all planes of a window are written."""
        return all(self._place(window, plane) in self._file.done for plane in range(*window[0]))

    def note(self, name: str, value: Any) -> None:
        """Store a JSON-serialisable value for processes that resume this file."""
        self._file.note(name, value)

    def close(self) -> None:
        """Close the file; a later process can resume it."""
        self._file.close()

    def discard(self) -> None:
        """Close and delete the file."""
        self._file.discard()

    def _place(self, window: VolumeWindow, plane: int) -> tuple[Span, Span]:
        """Return where a plane of a window is in the file; the last rows are filled up to whole tiles."""
        first, (top, bottom) = plane * self._pitch, window[1]
        return (first + top, first + -(-bottom // self.tile) * self.tile), window[2]


class _Done(Collection[VolumeWindow]):
    """The finished windows of a volume: any window can be asked for, and none is listed."""

    def __init__(self, tiles: VolumeTiles) -> None:
        self._tiles = tiles

    def __contains__(self, window: object) -> bool:
        return isinstance(window, tuple) and self._tiles.is_done(window)

    def __iter__(self) -> Iterator[VolumeWindow]:
        return iter(())

    def __len__(self) -> int:
        return 0
