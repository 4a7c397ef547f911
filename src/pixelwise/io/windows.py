"""Windows of pictures of any size: what is read of a file is what is looked at, never the whole.

TIFF (tiled, striped, pyramidal, OME) and OME-Zarr are read window by window at their full resolution. PNG, JPEG and the
like have no windows: they are decoded whole, which is told. What a pixel means is settled as `read.read_image` does.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Num, Shaped

from pixelwise.errors import BadImage
from pixelwise.geometry.tiles import Span
from pixelwise.io.headers import Header, check_size, open_picture, turned
from pixelwise.io.read import check_pages, look, read_image
from pixelwise.io.sample_values import coloured, inverted, usable
from pixelwise.io.tiff_windows import TiffPlanes, readable_by_windows
from pixelwise.io.zarr import ZarrPlanes, is_zarr
from pixelwise.text import pluralise

REPEATED = "gray, repeated to the 3 channels that the model takes"
MOST_PIXELS = 10**12
"""Pixels of one image that is read by windows, when the caller names no limit: a hundred of the largest slides."""


@runtime_checkable
class Source(Protocol):
    """A picture that is read window by window."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height, width."""
        ...

    @property
    def dtype(self) -> np.dtype:
        """Type of the pixels, as `read.Image` has it."""
        ...

    @property
    def spacing(self) -> tuple[float, float] | None:
        """Micrometres per pixel, (y, x), where the file says so."""
        ...

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was decided, in sentences."""
        ...

    @property
    def resident(self) -> int:
        """Bytes that it keeps in memory all the time."""
        ...

    def read(self, rows: Span, columns: Span) -> Num[np.ndarray, "channels window_rows window_columns"]:
        """Return the pixels of rows[0]...rows[1]-1 and columns[0]...columns[1]-1, which lie within the picture."""
        ...

    def plan(self, band: int) -> int:
        """Get ready for windows side by side in bands of so many rows; return `resident` from then on."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


@runtime_checkable
class Planes(Protocol):
    """Stored samples by windows, before their meaning is settled."""

    shape: tuple[int, int, int]
    dtype: np.dtype
    messages: tuple[str, ...]

    def read(self, rows: Span, columns: Span) -> Shaped[np.ndarray, "planes rows columns"]:
        """Return a window that lies within the picture."""
        ...

    def plan(self, band: int) -> int:
        """Keep what bands of so many rows touch; return the bytes that this takes at most."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


@dataclass
class InMemorySource:
    """A picture that is in memory already."""

    pixels: Num[np.ndarray, "channels height width"]
    spacing: tuple[float, float] | None = None
    warnings: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return (channels, height, width)."""
        channels, height, width = self.pixels.shape
        return channels, height, width

    @property
    def dtype(self) -> np.dtype:
        """Return the type of its pixels."""
        return self.pixels.dtype

    @property
    def resident(self) -> int:
        """Return the bytes of its pixels."""
        return self.pixels.nbytes

    def read(self, rows: Span, columns: Span) -> Num[np.ndarray, "channels window_rows window_columns"]:
        """Return a view."""
        return self.pixels[:, rows[0] : rows[1], columns[0] : columns[1]]

    def plan(self, band: int) -> int:
        """Return its bytes: it is whole in memory."""
        return self.resident

    def close(self) -> None:
        """Hold nothing open."""


@dataclass
class InterpretedPlanes:
    """Stored planes with the meaning of their samples settled: upright, palette as RGB, without alpha."""

    planes: Planes
    header: Header
    path: Path
    resident: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        messages = (*self.header.warnings, *self.planes.messages)
        self.warnings = (*messages, "the alpha channel was dropped") if self.header.alpha else messages
        _, height, width = self.planes.shape
        self._stored = height, width
        if self.header.orientation >= 5:
            height, width = width, height
        probe = self._meaning(np.zeros((self.planes.shape[0], 1, 1), self.planes.dtype))
        self.shape, self.dtype = (probe.shape[0], height, width), probe.dtype
        spacing = self.header.spacing
        turned_spacing = (spacing[1], spacing[0]) if spacing is not None else None
        self.spacing = turned_spacing if self.header.orientation >= 5 else spacing

    def read(self, rows: Span, columns: Span) -> Num[np.ndarray, "channels window_rows window_columns"]:
        """Return a window of the upright picture.

        Raises
        ------
        BadImage
            The file is damaged there, or holds values that `read.read_image` refuses.
        """
        orientation = self.header.orientation
        if orientation >= 5:
            rows, columns = columns, rows
        height, width = self._stored
        if orientation in (3, 4, 6, 7):
            rows = height - rows[1], height - rows[0]
        if orientation in (2, 3, 7, 8):
            columns = width - columns[1], width - columns[0]
        return self._meaning(turned(self.planes.read(rows, columns), orientation))

    def plan(self, band: int) -> int:
        """Keep what bands of so many rows touch; see `Source`."""
        self.resident = self.planes.plan(band if self.header.orientation < 5 else self._stored[0])
        return self.resident

    def close(self) -> None:
        """Close the file."""
        self.planes.close()

    def _meaning(self, samples: Shaped[np.ndarray, "planes rows columns"]) -> Num[np.ndarray, "channels rows columns"]:
        if self.header.palette is not None:
            samples = coloured(samples[0], self.header.palette)
        elif self.header.inverted:
            samples = inverted(samples)
        if self.header.alpha:
            samples = samples[:-1]
        return usable(samples, self.path) if samples.size else samples


def open_windows(
    path: Path, *, channels: int | None = None, pages: int | None = None, max_pixels: int = MOST_PIXELS
) -> Source:
    """Open a picture for reading by windows.

    Parameters
    ----------
    path : Path
        A picture file, or the folder of an OME-Zarr image.
    channels : int, optional
        The number of channels that is wanted; a gray picture is repeated where three are.
    pages : int, optional
        Take a stack of this many pages as that many channels.
    max_pixels : int
        Larger pictures (height × width) are refused from their header alone.

    Raises
    ------
    BadImage
        Not a readable picture, or one with another number of channels.
    """
    source = _open_zarr(path, max_pixels) if is_zarr(path) else _open_file(path, pages, max_pixels)
    if channels is None or source.shape[0] == channels:
        return source
    if source.shape[0] == 1 and channels == 3:
        return RepeatedChannels(source, channels)
    source.close()
    names = {1: "1 channel (gray)", 3: "3 channels (red, green, blue)"}
    wanted = names.get(channels, pluralise(channels, "channel"))
    raise BadImage(wanted, f"{source.shape[0]}", "Convert it as the training images were.", path)


class RepeatedChannels:
    """A gray picture as one of several equal channels."""

    def __init__(self, source: Source, channels: int) -> None:
        self._source = source
        self.shape = channels, *source.shape[1:]
        self.dtype, self.spacing, self.warnings = source.dtype, source.spacing, (*source.warnings, REPEATED)

    @property
    def resident(self) -> int:
        """Return the bytes that the gray picture keeps."""
        return self._source.resident

    def read(self, rows: Span, columns: Span) -> Num[np.ndarray, "channels window_rows window_columns"]:
        """Return a window, its gray repeated."""
        return np.repeat(self._source.read(rows, columns), self.shape[0], axis=0)

    def plan(self, band: int) -> int:
        """Keep what bands of so many rows touch; see `Source`."""
        return self._source.plan(band)

    def close(self) -> None:
        """Close the file."""
        self._source.close()


def _open_zarr(path: Path, max_pixels: int) -> Source:
    planes = ZarrPlanes(path)
    header = Header(
        format="OME-Zarr",
        height=planes.shape[1],
        width=planes.shape[2],
        channels=planes.shape[0],
        dtype=str(planes.dtype),
        spacing=planes.spacing,
    )
    check_size(header, path, max_pixels)
    return InterpretedPlanes(planes, header, path)


def _open_file(path: Path, pages: int | None, max_pixels: int) -> Source:
    file, kind = open_picture(path)
    if kind == "TIFF":
        return _keeping(file.close, lambda: _open_tiff(path, file, pages, max_pixels))
    file.close()
    image = read_image(path, pages=pages)
    messages = f"a {kind} has no windows: it was decoded whole ({image.pixels.nbytes / 2**20:.0f} MiB)"
    return InMemorySource(image.pixels, image.spacing, (*image.warnings, messages))


def _open_tiff(path: Path, file: BinaryIO, pages: int | None, max_pixels: int) -> Source:
    header = look(file, "TIFF", path)
    check_pages(header, path, pages)
    check_size(header, path, max_pixels)
    if np.dtype(header.dtype).kind == "c":
        raise BadImage("real numbers", "complex numbers", "Save the magnitude.", path)
    if readable_by_windows(file):
        return InterpretedPlanes(TiffPlanes(file, path), header, path)
    file.close()
    image = read_image(path, pages=pages)
    return InMemorySource(
        image.pixels, image.spacing, (*image.warnings, "its layout has no windows: it was decoded whole")
    )


def _keeping(close: Callable[[], None], make: Callable[[], Source]) -> Source:
    """Return what `make` makes; close where it fails."""
    try:
        return make()
    except BaseException:
        close()
        raise
