"""Reading of volumes window by window: what the reader of a volume provides, and one for volumes in memory."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Num

from pixelwise.geometry.tiles import Span


@runtime_checkable
class VolumeReader(Protocol):
    """A reader: a volume that is read window by window."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Channels, depth, height, width."""
        ...

    @property
    def dtype(self) -> np.dtype:
        """Data type of the voxels."""
        ...

    @property
    def spacing(self) -> tuple[float, ...] | None:
        """Micrometres per voxel, (z, y, x), if the file contains it."""
        ...

    @property
    def warnings(self) -> tuple[str, ...]:
        """Messages about automatic decisions."""
        ...

    @property
    def memory_bytes(self) -> int:
        """Bytes permanently held in memory."""
        ...

    def read(self, planes: Span, rows: Span, columns: Span) -> Num[np.ndarray, "channels depth rows columns"]:
        """Return the voxels of planes[0]...planes[1]-1 and so on, which must be within the volume."""
        ...

    def plan(self, band: int) -> int:
        """Prepare for reading in bands of `band` planes; return `memory_bytes` from then on."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


@dataclass
class InMemoryVolume:
    """A volume in memory.

    Examples
    --------
    >>> InMemoryVolume(np.zeros((1, 4, 5, 6))).read((0, 2), (0, 5), (1, 6)).shape
    (1, 2, 5, 5)
    """

    pixels: Num[np.ndarray, "channels depth height width"]
    spacing: tuple[float, ...] | None = None
    warnings: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Return (channels, depth, height, width)."""
        channels, depth, height, width = self.pixels.shape
        return channels, depth, height, width

    @property
    def dtype(self) -> np.dtype:
        """Return the data type of the voxels."""
        return self.pixels.dtype

    @property
    def memory_bytes(self) -> int:
        """Return the size of the voxels in bytes."""
        return self.pixels.nbytes

    def read(self, planes: Span, rows: Span, columns: Span) -> Num[np.ndarray, "channels depth rows columns"]:
        """Return a view."""
        return self.pixels[:, slice(*planes), slice(*rows), slice(*columns)]

    def plan(self, band: int) -> int:
        """Return the size in bytes; the whole volume is in memory."""
        return self.memory_bytes

    def close(self) -> None:
        """Do nothing; no file is open."""
