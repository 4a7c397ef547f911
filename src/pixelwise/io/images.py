"""Images, masks and volumes in memory, their headers, and the options of reading them."""

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Integer, Num, Shaped

from pixelwise.errors import BadOption
from pixelwise.geometry.grid import Grid, Turn
from pixelwise.io.georeference import Georeference
from pixelwise.io.headers import Header

Orientation = Literal["apply", "ignore"]


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """How image files become pixels; stored in the model card, so that prediction reads images as training did.

    Attributes
    ----------
    exif : {"apply", "ignore"}
        Rotate and mirror images as their EXIF or TIFF orientation says, or use the stored pixels.
    nodata : str, optional
        Value of pixels without a measurement: a number, "nan" (NaN and infinite values), or "none". By default the
        GDAL_NODATA tag of each TIFF.
    volumes : bool
        The pages of a TIFF are the slices of a volume, also where its metadata do not say so.
    stack : bool
        Images whose names differ in their last number are the slices of one volume.
    voxel_size : tuple of float
        Millimetres along depth, height and width, of volumes whose files state no unit; empty if unknown.
    """

    exif: Orientation = "apply"
    nodata: str | None = None
    volumes: bool = False
    stack: bool = False
    voxel_size: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Validate the value of missing pixels, and the size of a voxel."""
        if self.voxel_size and (len(self.voxel_size) != 3 or not all(0 < side < math.inf for side in self.voxel_size)):
            hint = "Give millimetres along depth, height and width."
            raise BadOption("three positive numbers for --voxel-size", f"{self.voxel_size}", hint)
        if self.nodata not in (None, "none"):
            try:
                float(self.nodata)
            except ValueError as error:
                hint = "Give the value of pixels without a measurement."
                raise BadOption("a number, nan or none for --nodata", f"`{self.nodata}`", hint) from error

    def placed(self, grid: Grid | None) -> Grid | None:
        """Return the grid of a volume, with the given size of a voxel if the file states no unit."""
        if grid is None or grid.unit is not None or not self.voxel_size:
            return grid
        return replace(grid, spacing=self.voxel_size, unit="millimeter")

    def nodata_of(self, header: Header) -> float | None:
        """Return the value that stands for missing pixels in a file; None if there is none."""
        if self.nodata is None:
            return header.nodata
        return None if self.nodata == "none" else float(self.nodata)


@dataclass(frozen=True)
class Image:
    """An image or a volume.

    Attributes
    ----------
    pixels : (channels, height, width) array, or (channels, depth, height, width) of a volume
        In the data type of the file: 8, 16 or 32 bits, integer or float (64-bit values are converted to 32 bits).
        float32 with NaN for pixels without data if there are any.
    spacing : (float, float) or None
        Micrometres per pixel, (y, x), if the file contains it.
    warnings : tuple of str
        Messages about automatic decisions (alpha channel dropped, damaged EXIF ignored).
    alpha : {"", "constant", "transparency", "data"}
        What a dropped alpha channel contains; see `sample_values.alpha_kind`.
    missing : float
        Fraction of the samples without data.
    bands_last : bool
        A stack of pages was read as (height, width, bands).
    reoriented : bool
        An EXIF or TIFF orientation was applied.
    dtype : str
        Data type of the stored samples.
    georeference : Georeference or None
        The place of the upright image on a map.
    grid : Grid or None
        Of a volume: its axes, spacing and place.
    stored_orientation : str
        Of a volume: the letters of its axes x, y, z in the file, such as "LPS"; empty if unknown. What is read is
        turned to "RAS".
    alpha_values : (height, width) array, or None
        A dropped alpha channel with several values.
    """

    pixels: Num[np.ndarray, " channels *space"]
    spacing: tuple[float, float] | None = None
    warnings: tuple[str, ...] = ()
    alpha: Literal["", "constant", "transparency", "data"] = ""
    missing: float = 0.0
    bands_last: bool = False
    reoriented: bool = False
    dtype: str = ""
    georeference: Georeference | None = None
    grid: Grid | None = None
    stored_orientation: str = ""
    alpha_values: Num[np.ndarray, "height width"] | None = None


@dataclass(frozen=True, kw_only=True)
class ImageInfo:
    """The header of the image that `read_image` returns: upright, without alpha, palette as RGB.

    `dtype` is that of the stored samples. `pages` above 1 is a stack. `reoriented`: the EXIF or TIFF orientation is not
    upright. `depth` and `grid` are those of a volume.
    """

    format: str
    channels: int
    height: int
    width: int
    dtype: str
    pages: int
    palette: bool
    reoriented: bool
    depth: int | None = None
    grid: Grid | None = None

    @property
    def size(self) -> tuple[int, ...]:
        """Height and width; of a volume depth, height and width."""
        return (self.height, self.width) if self.depth is None else (self.depth, self.height, self.width)


@dataclass(frozen=True)
class MaskImage:
    """The values of a mask file.

    Attributes
    ----------
    values : (height, width) integers, or (height, width, 3) uint8 colours; (depth, height, width) integers of a volume
        Indices for palette files. Colours that are all gray are reduced to one value per pixel.
    palette : dict or None
        Colour of each index in a palette file.
    lossy : bool
        The compression changes values (JPEG, lossy WebP, JPEG inside TIFF).
    warnings : tuple of str
        Messages about automatic decisions.
    alpha : (height, width) integers, or None
        The alpha channel, if the file has one.
    bilevel : bool
        One bit per pixel: 1 is shown as white.
    white_is_zero : bool
        The samples were inverted, so that higher values are brighter (TIFF WhiteIsZero).
    reoriented : bool
        An EXIF or TIFF orientation was applied.
    grid : Grid or None
        Of a volume.
    turn : Turn or None
        Of a volume: from the axes of the file to those of the values.
    georeference : Georeference or None
        The place of the upright mask on a map.
    nodata : float or None
        The value of pixels without data: -1 if they are NaN in the file, else as it states it (GDAL_NODATA).
    undeclared : float
        Fraction of pixels that are NaN without a statement of the file that these have no data.
    names : tuple of (int, str)
        Names of values that the file states (3D Slicer).
    """

    values: Integer[np.ndarray, "height width"] | Integer[np.ndarray, "first second third"]
    palette: dict[int, tuple[int, int, int]] | None
    lossy: bool
    warnings: tuple[str, ...] = ()
    alpha: Integer[np.ndarray, "height width"] | None = None
    bilevel: bool = False
    white_is_zero: bool = False
    reoriented: bool = False
    grid: Grid | None = None
    turn: Turn | None = None
    georeference: Georeference | None = None
    nodata: float | None = None
    undeclared: float = 0.0
    names: tuple[tuple[int, str], ...] = ()

    @property
    def coloured(self) -> bool:
        """Whether the values are colours."""
        return self.values.ndim == 3 and self.grid is None

    @property
    def size(self) -> tuple[int, ...]:
        """Height and width; of a volume depth, height and width."""
        return self.values.shape[:2] if self.grid is None else self.values.shape


def is_interleaved(pixels: Shaped[np.ndarray, "channels height width"]) -> bool:
    """Return whether the channels of a pixel are next to each other in memory.

    >>> image = np.zeros((4, 5, 3), np.uint8)
    >>> is_interleaved(image.transpose(2, 0, 1)), is_interleaved(np.zeros((3, 4, 5)))
    (True, False)
    """
    return pixels.ndim == 3 and np.moveaxis(pixels, 0, -1).flags.c_contiguous


def interleave(pixels: Shaped[np.ndarray, "channels height width"]) -> Shaped[np.ndarray, "height width channels"]:
    """Return pixels with the channels on the last axis, next to each other in memory; without a copy if they are so.

    >>> interleave(np.array([[[1, 2]], [[3, 4]]])).ravel().tolist()
    [1, 3, 2, 4]
    """
    return np.ascontiguousarray(np.moveaxis(pixels, 0, -1))
