"""Windowed reading of images of any size.

TIFF (tiled, striped, pyramidal, OME) and OME-Zarr are read window by window at full resolution. Formats without random
access (PNG, JPEG, BMP, WebP) are decoded completely, with a warning. Pixels are interpreted as in `read.read_image`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Num, Shaped

from pixelwise.errors import BadImage
from pixelwise.geometry.tiles import Span
from pixelwise.io.georeference import Georeference
from pixelwise.io.headers import Header, apply_orientation, check_size, decoding, open_image_file
from pixelwise.io.read import ONE_OF_EQUAL, ReadOptions, check_pages, is_gray, place_of, read_header, read_image
from pixelwise.io.sample_values import apply_palette, invert, to_pixels
from pixelwise.io.tiff_windows import TiffPlanes, readable_by_windows
from pixelwise.io.zarr import ZarrPlanes, is_zarr
from pixelwise.text import pluralise

REPEATED = "gray, repeated to the 3 channels that the model takes"
MAX_PIXELS_WINDOWED = 10**12
"""Default pixel limit of an image that is read by windows: about a hundred of the largest slides."""


@runtime_checkable
class ImageReader(Protocol):
    """A reader: an image that is read window by window."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height, width."""
        ...

    @property
    def dtype(self) -> np.dtype:
        """Data type of the pixels, as in `read.Image`."""
        ...

    @property
    def spacing(self) -> tuple[float, float] | None:
        """Micrometres per pixel, (y, x), if the file contains it."""
        ...

    @property
    def georeference(self) -> Georeference | None:
        """The place of the image on a map, if the file contains it."""
        ...

    @property
    def warnings(self) -> tuple[str, ...]:
        """Messages about automatic decisions."""
        ...

    @property
    def memory_bytes(self) -> int:
        """Bytes permanently held in memory."""
        ...

    def read(self, rows: Span, columns: Span) -> Num[np.ndarray, "channels window_rows window_columns"]:
        """Return the pixels of rows[0]...rows[1]-1 and columns[0]...columns[1]-1, which must be within the image."""
        ...

    def plan(self, band: int) -> int:
        """Prepare for reading in bands of `band` rows; return `memory_bytes` from then on."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


@runtime_checkable
class Planes(Protocol):
    """Stored samples read by windows, not yet interpreted."""

    shape: tuple[int, int, int]
    dtype: np.dtype
    messages: tuple[str, ...]

    def read(self, rows: Span, columns: Span) -> Shaped[np.ndarray, "planes rows columns"]:
        """Return a window within the image."""
        ...

    def plan(self, band: int) -> int:
        """Set the cache size for bands of `band` rows; return it in bytes."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


@dataclass
class InMemoryReader:
    """An image in memory."""

    pixels: Num[np.ndarray, "channels height width"]
    spacing: tuple[float, float] | None = None
    warnings: tuple[str, ...] = ()
    georeference: Georeference | None = None

    def __post_init__(self) -> None:
        channels, height, width = self.pixels.shape
        self.shape, self.dtype, self.memory_bytes = (channels, height, width), self.pixels.dtype, self.pixels.nbytes

    def read(self, rows: Span, columns: Span) -> Num[np.ndarray, "channels window_rows window_columns"]:
        """Return a view."""
        return self.pixels[:, rows[0] : rows[1], columns[0] : columns[1]]

    def plan(self, band: int) -> int:
        """Return the size in bytes; the whole image is in memory."""
        return self.memory_bytes

    def close(self) -> None:
        """Do nothing; no file is open."""


@dataclass
class InterpretedPlanes:
    """Stored planes as an image: upright, palette as RGB, without alpha unless `alpha_is_data`.

    With `nodata` the pixels are float32, and NaN where they have that value.
    """

    planes: Planes
    header: Header
    path: Path
    alpha_is_data: bool = False
    nodata: float | None = None
    georeference: Georeference | None = None
    memory_bytes: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        messages = (*self.header.warnings, *self.planes.messages)
        self._drops_alpha = self.header.alpha and not self.alpha_is_data
        self.warnings = (*messages, "the alpha channel was dropped") if self._drops_alpha else messages
        _, height, width = self.planes.shape
        self._stored = height, width
        if self.header.orientation >= 5:
            height, width = width, height
        probe = self._convert(np.zeros((self.planes.shape[0], 1, 1), self.planes.dtype))
        self.shape, self.dtype = (probe.shape[0], height, width), probe.dtype
        spacing = self.header.spacing
        turned_spacing = (spacing[1], spacing[0]) if spacing is not None else None
        self.spacing = turned_spacing if self.header.orientation >= 5 else spacing

    def read(self, rows: Span, columns: Span) -> Num[np.ndarray, "channels window_rows window_columns"]:
        """Return a window of the upright image.

        Raises
        ------
        BadImage
            The data are damaged, or have values that `read.read_image` refuses.
        """
        orientation = self.header.orientation
        if orientation >= 5:
            rows, columns = columns, rows
        height, width = self._stored
        if orientation in (3, 4, 6, 7):
            rows = height - rows[1], height - rows[0]
        if orientation in (2, 3, 7, 8):
            columns = width - columns[1], width - columns[0]
        with decoding(self.path, self.header.format):
            samples = self.planes.read(rows, columns)
        return self._convert(apply_orientation(samples, orientation))

    def plan(self, band: int) -> int:
        """Keep what bands of so many rows touch; see `ImageReader`."""
        with decoding(self.path, self.header.format):
            self.memory_bytes = self.planes.plan(band if self.header.orientation < 5 else self._stored[0])
        return self.memory_bytes

    def close(self) -> None:
        """Close the file."""
        self.planes.close()

    def _convert(self, samples: Shaped[np.ndarray, "planes rows columns"]) -> Num[np.ndarray, "channels rows columns"]:
        if self.header.palette is not None:
            samples = apply_palette(samples[0], self.header.palette)
        elif self.header.white_is_zero:
            samples = invert(samples)
        if self._drops_alpha:
            samples = samples[:-1]
        pixels = to_pixels(samples, self.path, self.nodata)[0] if samples.size else samples
        # one type for all windows, whether or not they have missing pixels
        return pixels if self.nodata is None or pixels.dtype.kind == "f" else pixels.astype(np.float32)


def open_windows(
    path: Path,
    *,
    channels: int | None = None,
    pages: int | None = None,
    max_pixels: int = MAX_PIXELS_WINDOWED,
    options: ReadOptions | None = None,
) -> ImageReader:
    """Open an image for windowed reading.

    Parameters
    ----------
    path : Path
        An image file, or the folder of an OME-Zarr image.
    channels : int, optional
        The required number of channels; a grayscale image is repeated to three, and alpha is kept if it is one of
        them.
    pages : int, optional
        Read a stack of this many pages as that many channels.
    max_pixels : int
        Limit of height × width, checked before decoding.

    Raises
    ------
    BadImage
        Not a readable image, or another number of channels.
    """
    options = options or ReadOptions()
    source = _open_zarr(path, max_pixels) if is_zarr(path) else _open_file(path, pages, max_pixels, channels, options)
    if channels is None or source.shape[0] == channels:
        return source
    if source.shape[0] == 1 and channels == 3:
        return RepeatedChannels(source, channels)
    if source.shape[0] == 3 and channels == 1:
        return OneOfEqualChannels(source, path)
    source.close()
    raise other_channels(channels, source.shape[0], path)


def other_channels(expected: int, got: int, path: Path) -> BadImage:
    """Return the error for an image with other channels than a model takes.

    Examples
    --------
    >>> other_channels(1, 3, Path("a.png")).expected
    '1 channel (gray)'
    """
    names = {1: "1 channel (gray)", 3: "3 channels (red, green, blue)"}
    hint = "Convert it in the same way as the training images."
    return BadImage(names.get(expected, pluralise(expected, "channel")), f"{got}", hint, path)


class RepeatedChannels:
    """A grayscale image repeated to several channels."""

    def __init__(self, source: ImageReader, channels: int) -> None:
        self._source = source
        self.shape = channels, *source.shape[1:]
        self.dtype, self.spacing, self.warnings = source.dtype, source.spacing, (*source.warnings, REPEATED)
        self.georeference = source.georeference

    @property
    def memory_bytes(self) -> int:
        """Return the bytes that the grayscale image holds in memory."""
        return self._source.memory_bytes

    def read(self, rows: Span, columns: Span) -> Num[np.ndarray, "channels window_rows window_columns"]:
        """Return a window with repeated channels."""
        return np.repeat(self._source.read(rows, columns), self.shape[0], axis=0)

    def plan(self, band: int) -> int:
        """Keep what bands of so many rows touch; see `ImageReader`."""
        return self._source.plan(band)

    def close(self) -> None:
        """Close the file."""
        self._source.close()


class OneOfEqualChannels(RepeatedChannels):
    """A gray image that was saved as RGB; a window in which the channels differ is a `BadImage`."""

    def __init__(self, source: ImageReader, path: Path) -> None:
        super().__init__(source, 1)
        self._path, self.warnings = path, (*source.warnings, ONE_OF_EQUAL)

    def read(self, rows: Span, columns: Span) -> Num[np.ndarray, "1 window_rows window_columns"]:
        """Return one of the channels of a window."""
        window = self._source.read(rows, columns)
        if not is_gray(window, lossy=False):
            raise other_channels(1, len(window), self._path)
        return window[1:2]


def _open_zarr(path: Path, max_pixels: int) -> ImageReader:
    with decoding(path, "OME-Zarr"):
        planes = ZarrPlanes(path)
    check_size(planes.header, path, max_pixels)
    return InterpretedPlanes(planes, planes.header, path)


def _open_file(
    path: Path, pages: int | None, max_pixels: int, channels: int | None, options: ReadOptions
) -> ImageReader:
    file, kind = open_image_file(path)
    if kind == "TIFF":
        return _close_on_error(file.close, lambda: _open_tiff(path, file, pages, max_pixels, channels, options))
    file.close()
    image = read_image(path, pages=pages, channels=channels, options=options)
    if image.grid is not None:
        raise BadImage("an image of two dimensions", "a volume", "Use a model that was trained on volumes.", path)
    text = f"{kind} cannot be read by windows: decoded completely ({image.pixels.nbytes / 2**20:.0f} MiB)"
    return InMemoryReader(image.pixels, image.spacing, (*image.warnings, text))


def _open_tiff(
    path: Path, file: BinaryIO, pages: int | None, max_pixels: int, channels: int | None, options: ReadOptions
) -> ImageReader:
    header = read_header(file, "TIFF", path)
    if options.exif == "ignore":
        header = replace(header, orientation=1)
    check_pages(header, path, pages)
    check_size(header, path, max_pixels)
    if np.dtype(header.dtype).kind == "c":
        raise BadImage("real numbers", "complex numbers", "Save the magnitude.", path)
    keeps_alpha = header.alpha and channels == header.channels
    with decoding(path, "TIFF"):
        if readable_by_windows(file, path):
            nodata, place = options.nodata_of(header), place_of(header, options)
            return InterpretedPlanes(TiffPlanes(file, path), header, path, keeps_alpha, nodata, place)
    file.close()
    image = read_image(path, pages=pages, channels=channels, options=options)
    text = "this TIFF layout cannot be read by windows: decoded completely"
    return InMemoryReader(image.pixels, image.spacing, (*image.warnings, text), image.georeference)


def _close_on_error(close: Callable[[], None], make: Callable[[], ImageReader]) -> ImageReader:
    """Return the result of `make`; call `close` if it raises."""
    try:
        return make()
    except BaseException:
        close()
        raise
