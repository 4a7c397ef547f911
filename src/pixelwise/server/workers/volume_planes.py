"""Planes of volumes as images with square pixels, from three sides; read window by window.

The axes are those in which volumes are read: depth, height and width, which grow like z, y and x of a body (RAS+) where
the file says so. Then head and front are shown at the top, and the right of the body is at the right.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Int64, Num

from pixelwise.errors import BadImage
from pixelwise.geometry.grid import Grid
from pixelwise.geometry.tiles import Span
from pixelwise.io.images import ImageInfo, ReadOptions
from pixelwise.io.read import read_image, read_mask
from pixelwise.io.volumes.windows import InMemoryVolume, VolumeReader, open_volume_windows, reads_windows
from pixelwise.server.workers.pyramid import top_level

Plane = Literal["axial", "coronal", "sagittal"]
"""The plane across depth, height or width."""

PLANES: tuple[Plane, ...] = get_args(Plane)

MAX_BYTES = 2**30
"""Decoded volumes that are kept in memory, because their format cannot be read by windows."""

MAX_STRETCH = 64
"""Voxels that are longer than this many times their width are drawn as if they were not."""

_BAND = 64  # slices that are read at a time across the slices of the file
_SAMPLED, _SIDE = 9, 512  # slices, and the side of their middle, that the displayed range is measured from
_EDGES: dict[Plane, str] = {"axial": "ARPL", "coronal": "SRIL", "sagittal": "SAIP"}  # top, right, bottom, left


@dataclass(frozen=True, kw_only=True)
class PlaneView:
    """How the planes across one axis of a volume are drawn.

    Attributes
    ----------
    axis : int
        The axis across the planes: 0 depth, 1 height, 2 width.
    count : int
        Planes along it.
    stored : (int, int)
        Rows and columns of voxels.
    drawn : (int, int)
        Height and width in square pixels, as small as the shorter side of a voxel.
    upright : bool
        The last row of voxels is drawn at the top.
    """

    axis: int
    count: int
    stored: tuple[int, int]
    drawn: tuple[int, int]
    upright: bool

    def voxels(self, side: int, span: Span) -> Int64[np.ndarray, " pixels"]:
        """Return the row (`side` 0) or column (1) of voxels that each drawn row or column of a span shows.

        Examples
        --------
        >>> view = PlaneView(axis=1, count=9, stored=(2, 3), drawn=(4, 3), upright=True)
        >>> view.voxels(0, (0, 4)).tolist(), view.voxels(1, (1, 3)).tolist()
        ([1, 1, 0, 0], [1, 2])
        """
        count, drawn = self.stored[side], self.drawn[side]
        found = np.minimum((np.arange(*span) + 0.5) * count / drawn, count - 1).astype(np.int64)
        return count - 1 - found if side == 0 and self.upright else found


def view_plane(shape: tuple[int, ...], grid: Grid | None, plane: Plane) -> PlaneView:
    """Return how a plane of a volume of (depth, height, width) is drawn.

    Examples
    --------
    >>> grid = Grid(axes=("z", "y", "x"), spacing=(5.0, 1.0, 1.0), unit="millimeter")
    >>> view_plane((20, 64, 80), grid, "coronal").drawn, view_plane((20, 64, 80), grid, "axial").drawn
    ((100, 80), (64, 80))
    """
    axis = PLANES.index(plane)
    rows, columns = (other for other in range(3) if other != axis)
    spacing = (1.0, 1.0, 1.0) if grid is None else grid.spacing
    unit = min(spacing[rows], spacing[columns])
    drawn = (max(1, round(shape[other] * min(spacing[other] / unit, MAX_STRETCH))) for other in (rows, columns))
    height, width = drawn
    return PlaneView(
        axis=axis,
        count=shape[axis],
        stored=(shape[rows], shape[columns]),
        drawn=(height, width),
        upright=grid is not None and grid.direction is not None,
    )


@dataclass
class PlaneReader:
    """One plane of a volume, as an image that is read window by window.

    Parameters
    ----------
    at : int
        Number of the plane.

    Raises
    ------
    BadImage
        There is no such plane.

    Examples
    --------
    >>> volume = InMemoryVolume(np.arange(24).reshape(1, 2, 3, 4))
    >>> PlaneReader(volume, view_plane((2, 3, 4), None, "coronal"), 1).read((0, 2), (0, 3)).tolist()
    [[[4, 5, 6], [16, 17, 18]]]
    """

    volume: VolumeReader
    view: PlaneView
    at: int
    spacing: None = field(default=None, init=False)
    georeference: None = field(default=None, init=False)
    warnings: tuple[str, ...] = field(default=(), init=False)
    memory_bytes: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        """Check the number of the plane."""
        if not 0 <= self.at < self.view.count:
            raise BadImage(f"a plane from 0 to {self.view.count - 1}", str(self.at), "Reload the page.")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width as drawn."""
        return self.volume.shape[0], *self.view.drawn

    @property
    def dtype(self) -> np.dtype:
        """Data type of the voxels."""
        return self.volume.dtype

    def read(self, rows: Span, columns: Span) -> Num[np.ndarray, "channels window_rows window_columns"]:
        """Return a window as it is drawn: the nearest voxel of each pixel."""
        down, across = self.view.voxels(0, rows), self.view.voxels(1, columns)
        top, left = int(down.min()), int(across.min())
        window = self._read_voxels((top, int(down.max()) + 1), (left, int(across.max()) + 1))
        return window[:, (down - top)[:, None], across - left]

    def plan(self, band: int) -> int:
        """Return 0: nothing is kept."""
        del band
        return self.memory_bytes

    def close(self) -> None:
        """Do nothing; the volume stays open for its other planes."""

    def _read_voxels(self, rows: Span, columns: Span) -> Num[np.ndarray, "channels rows columns"]:
        own = self.at, self.at + 1
        if self.view.axis == 0:
            return self.volume.read(own, rows, columns)[:, 0]
        bands = ((start, min(start + _BAND, rows[1])) for start in range(rows[0], rows[1], _BAND))
        if self.view.axis == 1:
            return np.concatenate([self.volume.read(band, own, columns)[:, :, 0] for band in bands], axis=1)
        return np.concatenate([self.volume.read(band, columns, own)[:, :, :, 0] for band in bands], axis=1)


def open_volume(path: Path, info: ImageInfo) -> VolumeReader:
    """Open a volume: OME-Zarr and stacks of gray TIFF pages by windows, other formats in memory.

    Parameters
    ----------
    info : ImageInfo
        Its header.

    Raises
    ------
    BadImage
        It cannot be read, or does not fit in `MAX_BYTES` and cannot be read by windows.
    """
    if reads_windows(path):
        try:
            return open_volume_windows(path, channels=info.channels)
        except BadImage:
            if info.format != "TIFF":
                raise
    size = int(np.prod(info.size)) * info.channels * np.dtype(info.dtype).itemsize
    if size > MAX_BYTES:
        hint = "Convert the volume to OME-Zarr, which is read by windows."
        raise BadImage(f"at most {MAX_BYTES / 2**30:g} GiB of voxels", f"{size / 2**30:.1f} GiB", hint, path)
    image = read_image(path, options=ReadOptions(volumes=True))
    return InMemoryVolume(image.pixels, image.grid, image.warnings)


def open_label_volume(path: Path) -> VolumeReader:
    """Open the labels of a volume that `pixelwise predict` wrote.

    Raises
    ------
    BadImage
        They cannot be read.
    """
    if reads_windows(path):
        return open_volume_windows(path, channels=1)
    labels = read_mask(path)
    return InMemoryVolume(labels.values[None], labels.grid)


def measure_range(volume: VolumeReader) -> list[tuple[float, float]]:
    """Return the displayed range of each channel, the same for all planes: percentiles 0.5 and 99.5 of some slices.

    For 8-bit volumes all values are displayed, as of images.
    """
    channels, depth, height, width = volume.shape
    if volume.dtype == np.uint8:
        return [(0.0, 255.0)] * channels
    top, left = max(0, (height - _SIDE) // 2), max(0, (width - _SIDE) // 2)
    rows, columns = (top, min(height, top + _SIDE)), (left, min(width, left + _SIDE))
    slices = np.unique(np.linspace(0, depth - 1, _SAMPLED).astype(int)).tolist()
    sampled = np.concatenate([volume.read((number, number + 1), rows, columns) for number in slices], axis=1)
    return [_range_of(values[np.isfinite(values)]) for values in sampled.reshape(channels, -1)]


def _range_of(values: Num[np.ndarray, " voxels"]) -> tuple[float, float]:
    low, high = np.percentile(values, (0.5, 99.5)).tolist() if values.size else (0.0, 1.0)
    return low, high if high > low else low + 1


def describe_planes(volume: VolumeReader, grid: Grid | None) -> dict[str, Any]:
    """Return what the page needs to show a volume, JSON-ready.

    Returns
    -------
    dict
        `planes`: for each its `height`, `width`, `levels` of tiles, `count`, `stored` rows and columns, `upright`, and
        `edges`, the letters of the directions at the top, right, bottom and left, or "" if they are unknown; `spacing`
        along z, y and x in the `unit`; `shape` (depth, height, width).
    """
    planes: dict[str, Any] = {}
    for plane in PLANES:
        view = view_plane(volume.shape[1:], grid, plane)
        planes[plane] = {
            "height": view.drawn[0],
            "width": view.drawn[1],
            "levels": top_level(*view.drawn) + 1,
            "count": view.count,
            "stored": list(view.stored),
            "upright": view.upright,
            "edges": _EDGES[plane] if view.upright else "",
        }
    spacing = None if grid is None else list(grid.spacing)
    unit = None if grid is None else grid.unit
    return {"planes": planes, "spacing": spacing, "unit": unit, "shape": list(volume.shape[1:])}
