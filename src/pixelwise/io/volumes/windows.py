"""Reading of volumes window by window: OME-Zarr, TIFF stacks, and volumes in memory.

Volumes that are read by windows are not turned to the standard axes: the formats have no direction.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Num, Shaped

from pixelwise.errors import BadImage
from pixelwise.geometry.grid import VOLUME_AXES, Grid
from pixelwise.geometry.tiles import Span
from pixelwise.io.headers import decoding, open_image_file
from pixelwise.io.sample_values import invert, to_pixels
from pixelwise.io.tiff import read_tiff_header
from pixelwise.io.tiff_windows import TiffPlanes, readable_by_windows
from pixelwise.io.volumes.stack import stack_grid
from pixelwise.io.zarr import check_array, find_level, is_zarr, open_array
from pixelwise.text import pluralise


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
    def grid(self) -> Grid | None:
        """Spacing and place of the voxels, if the file contains them."""
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
        """Return the voxels of planes[0]...planes[1]-1 and so on, which must be within the volume.

        Raises
        ------
        BadImage
            The data are damaged, or have values that `read.read_image` refuses.
        """
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
    grid: Grid | None = None
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        channels, depth, height, width = self.pixels.shape
        self.shape, self.dtype = (channels, depth, height, width), self.pixels.dtype
        self.memory_bytes = self.pixels.nbytes

    def read(self, planes: Span, rows: Span, columns: Span) -> Num[np.ndarray, "channels depth rows columns"]:
        """Return a view."""
        return self.pixels[:, slice(*planes), slice(*rows), slice(*columns)]

    def close(self) -> None:
        """Do nothing; no file is open."""


class ZarrVolume:
    """An OME-Zarr volume at full resolution; axes other than c, z, y and x must have length 1.

    Parameters
    ----------
    nodata : float, optional
        Value of voxels without data.

    Raises
    ------
    BadImage
        Not an OME-Zarr volume, or damaged or unsafe metadata.
    BadOption
        The extra `zarr` is not installed.
    """

    def __init__(self, path: Path, nodata: float | None = None) -> None:
        level = find_level(path)
        meta = check_array(path, path / level.path)
        sizes = dict(zip(level.axes, meta.shape, strict=True))
        others = {axis: size for axis, size in sizes.items() if axis not in ("c", *VOLUME_AXES) and size != 1}
        if "z" not in sizes or others:
            got = ", ".join(f"{size} along {axis}" for axis, size in (others or sizes).items())
            raise BadImage("one volume with the axes z, y, x", got, "Save one volume as a separate image.", path)
        self._path, self._axes, self._nodata = path, level.axes, nodata
        self._array: Any = open_array(path / level.path)
        self.shape = sizes.get("c", 1), sizes["z"], sizes["y"], sizes["x"]
        self.dtype = self._convert(np.zeros((1, 1, 1, 1), np.dtype(self._array.dtype).newbyteorder("="))).dtype
        self.grid, self.warnings = _zarr_grid(level.axes, level.scale, level.units)
        self.memory_bytes = 0

    def read(self, planes: Span, rows: Span, columns: Span) -> Num[np.ndarray, "channels depth rows columns"]:
        """Return a window within the volume."""
        region = {"c": slice(None), "z": slice(*planes), "y": slice(*rows), "x": slice(*columns)}
        with decoding(self._path, "OME-Zarr"):
            samples = np.asarray(self._array[tuple(region.get(axis, 0) for axis in self._axes)])
        kept = [axis for axis in self._axes if axis in region]
        samples = samples.transpose([kept.index(axis) for axis in "czyx" if axis in kept])
        return self._convert(samples.reshape(-1, *samples.shape[-3:]))

    def close(self) -> None:
        """Do nothing; files are opened chunk by chunk."""

    def _convert(self, samples: Shaped[np.ndarray, "c d h w"]) -> Num[np.ndarray, "c d h w"]:
        return _to_voxels(samples.astype(samples.dtype.newbyteorder("="), copy=False), self._path, self._nodata)


class TiffVolume:
    """A TIFF whose pages are the slices of a volume, each with one sample per pixel; parameters as for `ZarrVolume`.

    Raises
    ------
    BadImage
        Not a TIFF, or pages of several channels or with a palette.
    """

    def __init__(self, path: Path, nodata: float | None = None) -> None:
        file, kind = open_image_file(path)
        try:
            if kind != "TIFF":
                raise BadImage("a TIFF stack or an OME-Zarr folder", kind, "Convert the volume to OME-Zarr.", path)
            header = read_tiff_header(file, path)
            plain = header.stackable and header.channels == 1 and header.orientation == 1
            if not plain or np.dtype(header.dtype).kind == "c" or not readable_by_windows(file, path):
                got = f"{header.pages} pages of {header.channels} channels"
                hint = "Save the volume as one page per slice, or as OME-Zarr."
                raise BadImage("a stack of gray pages", got, hint, path)
            self._planes = TiffPlanes(file, path)
        except BaseException:
            file.close()
            raise
        self._path, self._nodata, self._inverted = path, nodata, header.white_is_zero
        depth, height, width = self._planes.shape
        self.shape = 1, depth, height, width
        self.dtype = self._convert(np.zeros((1, 1, 1), self._planes.dtype)).dtype
        self.grid: Grid | None = stack_grid(header)
        self.warnings = (*header.warnings, *self._planes.messages)
        self.memory_bytes = 0

    def read(self, planes: Span, rows: Span, columns: Span) -> Num[np.ndarray, "channels depth rows columns"]:
        """Return a window within the volume."""
        self.memory_bytes = max(self.memory_bytes, self._planes.plan_slices(planes[1] - planes[0]))
        with decoding(self._path, "TIFF"):
            samples = self._planes.read_slices(planes, rows, columns)
        return self._convert(samples)

    def close(self) -> None:
        """Close the file."""
        self._planes.close()

    def _convert(self, samples: Shaped[np.ndarray, "d h w"]) -> Num[np.ndarray, "1 d h w"]:
        return _to_voxels((invert(samples) if self._inverted else samples)[None], self._path, self._nodata)


def _to_voxels(samples: Shaped[np.ndarray, "c d h w"], path: Path, nodata: float | None) -> Num[np.ndarray, "c d h w"]:
    """Return samples as voxels, of one type for all windows, whether or not they have missing voxels."""
    voxels = to_pixels(samples, path, nodata)[0]
    return voxels if nodata is None or voxels.dtype.kind == "f" else voxels.astype(np.float32)


def reads_windows(path: Path) -> bool:
    """Return whether a volume can be read by windows: OME-Zarr and TIFF stacks."""
    return is_zarr(path) or (path.is_file() and path.suffix.casefold() in (".tif", ".tiff"))


def open_volume_windows(path: Path, *, channels: int, nodata: float | None = None) -> VolumeReader:
    """Open a volume for reading by windows: the folder of an OME-Zarr image, or a TIFF stack.

    Parameters
    ----------
    channels : int
        The required number of channels.
    nodata : float, optional
        Value of voxels without data.

    Raises
    ------
    BadImage
        Not a readable volume, or another number of channels.
    """
    source = ZarrVolume(path, nodata) if is_zarr(path) else TiffVolume(path, nodata)
    if source.shape[0] != channels:
        source.close()
        hint = "Convert it in the same way as the training volumes."
        raise BadImage(pluralise(channels, "channel"), f"{source.shape[0]}", hint, path)
    return source


def _zarr_grid(
    axes: tuple[str, ...], scale: tuple[float, ...], units: tuple[str | None, ...]
) -> tuple[Grid | None, tuple[str, ...]]:
    """Return the grid of the stated scales; axes of different or no units have none."""
    sides, named = dict(zip(axes, scale, strict=True)), dict(zip(axes, units, strict=True))
    spacing = tuple(sides[axis] for axis in VOLUME_AXES)
    stated = {named[axis] for axis in VOLUME_AXES}
    if len(stated) > 1 or not all(0 < side < np.inf for side in spacing):
        return None, ("the scales of the axes are damaged or differ in their units, and are ignored",)
    return Grid(axes=VOLUME_AXES, spacing=spacing, unit=next(iter(stated))), ()
