"""Volumes as they are stored, their limits, and how they are turned to the standard axes.

Scanners store slices in several directions. What is read is always turned so that depth, height and width grow like the
world's z, y and x (RAS+), as far as the axes of the file allow without interpolation; what is written is turned back.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from pixelwise.errors import BadImage
from pixelwise.geometry.grid import Grid

MAX_SAMPLES = 2**31
"""Limit of voxels x channels: a whole-body scan has a quarter of it."""
MAX_RATIO = 1_100
"""Deflate shrinks data to a thousandth at most: a file that announces more is damaged, or made to fill the memory."""


@dataclass(frozen=True, kw_only=True)
class VolumeHeader:
    """The header of a volume, as stored.

    Attributes
    ----------
    format : str
        "NIfTI", "NRRD", "MetaImage", "DICOM", "OME-Zarr".
    shape : (int, int, int, int)
        Channels, depth, height, width.
    warnings : tuple of str
        Messages about automatic decisions.
    """

    format: str
    shape: tuple[int, int, int, int]
    dtype: str
    grid: Grid
    warnings: tuple[str, ...] = ()

    @property
    def turned_shape(self) -> tuple[int, int, int, int]:
        """The shape after the turn to the standard axes."""
        depth, height, width = (self.shape[1 + axis] for axis in self.grid.turn.order)
        return self.shape[0], depth, height, width

    @property
    def turned_grid(self) -> Grid:
        """The grid after the turn to the standard axes."""
        return self.grid.turned(self.grid.turn, self.shape[1:])


@dataclass(frozen=True, kw_only=True)
class Volume:
    """The samples of a volume, turned to the standard axes, with the header of what is stored."""

    samples: Shaped[np.ndarray, "channels depth height width"]
    header: VolumeHeader

    @property
    def grid(self) -> Grid:
        """The grid of the samples."""
        return self.header.turned_grid


def turned_volume(header: VolumeHeader, samples: Shaped[np.ndarray, "channels depth height width"]) -> Volume:
    """Return stored samples as a volume on the standard axes."""
    native = samples.astype(samples.dtype.newbyteorder("="), copy=False)
    return Volume(samples=np.ascontiguousarray(header.grid.turn.apply(native)), header=header)


def check_volume(path: Path, shape: Sequence[int], itemsize: int, stored: int) -> None:
    """Check the size in a header before memory for it is allocated.

    Parameters
    ----------
    shape : sequence of int
        Channels, depth, height, width.
    itemsize : int
        Bytes of a sample.
    stored : int
        Bytes of the file or files.

    Raises
    ------
    BadImage
        A side below 1, more samples than `MAX_SAMPLES`, or more than the file can contain even if it is compressed.
    """
    sides = " x ".join(str(side) for side in shape[1:])
    if min(shape, default=0) < 1:
        raise BadImage("a volume with voxels", f"a header of {sides}", "The file is damaged; export it again.", path)
    if math.prod(shape) > MAX_SAMPLES:
        got = f"a header of {sides} with {shape[0]} channels"
        raise BadImage(f"at most {MAX_SAMPLES} samples", got, "Split the volume, or crop it.", path)
    if math.prod(shape) * itemsize > MAX_RATIO * max(stored, 1):
        got = f"a header of {sides} in a file of {stored} bytes"
        raise BadImage("a complete volume", got, "Download or export the file again.", path)


def grid_of(path: Path, affine: np.ndarray, unit: str | None) -> Grid:
    """Return the grid of a matrix; an impossible one is a `BadImage`."""
    try:
        return Grid.from_affine(np.asarray(affine, np.float64), unit)
    except ValueError as error:
        hint = "Export the volume again, with its orientation."
        raise BadImage(
            "directions and spacing of three axes", f"a header without them ({error})", hint, path
        ) from error
