"""Deep zoom: tiles of any level of an image of any size, made when they are asked for.

The last level is the full resolution, each level before halves it (Deep Zoom, as OpenSeadragon asks for tiles). Levels
below an overview of at most `OVERVIEW` pixels a side come from the overview, which is made once.
"""

import math
from functools import cached_property
from threading import Lock
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Num, UInt8

from pixelwise.errors import BadImage
from pixelwise.geometry.tiles import Span
from pixelwise.io.windows import ImageReader

TILE = 512
"""Side of a tile in pixels."""

OVERVIEW = 2048
_BAND = 512  # rows that are read at a time


@runtime_checkable
class Windows(Protocol):
    """Anything with a size that returns windows of pixels."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height, width."""
        ...

    def read(self, rows: Span, columns: Span) -> np.ndarray:
        """Return a window within the image."""
        ...


class Pyramid:
    """The levels of an image.

    Parameters
    ----------
    ranges : list of (float, float), optional
        The displayed range of each channel; by default that of the image.
    """

    def __init__(self, source: ImageReader, ranges: list[tuple[float, float]] | None = None) -> None:
        self.source, self._ranges = source, ranges
        self._lock = Lock()
        self.height, self.width = source.shape[1:]
        self.top = top_level(self.height, self.width)

        self._coarse = 2 ** max(0, math.ceil(math.log2(max(self.height, self.width) / OVERVIEW)))

    @cached_property
    def _overview(self) -> Num[np.ndarray, "channels rows columns"]:
        return read_scaled(self.source, (0, self.height), (0, self.width), self._coarse)

    def overview(self) -> Num[np.ndarray, "channels rows columns"]:
        """Return the whole image at a fraction of its resolution, at most `OVERVIEW` pixels a side."""
        with self._lock:
            return self._overview

    def tile(self, level: int, column: int, row: int) -> Num[np.ndarray, "channels rows columns"]:
        """Return the pixels of a tile.

        Raises
        ------
        BadImage
            There is no such tile.
        """
        rows, columns, factor = tile_window(self.height, self.width, level, column, row)
        coarse = self._coarse
        if factor < coarse or factor == 1:
            return read_scaled(self.source, rows, columns, factor)
        pixels = self.overview()
        spans = [(start // coarse, -(-stop // coarse)) for start, stop in (rows, columns)]
        return scale_down(pixels[:, slice(*spans[0]), slice(*spans[1])], factor // coarse)

    def default_range(self) -> list[tuple[float, float]]:
        """Return the displayed range of each channel: all values of 8-bit images, else percentiles 0.5 and 99.5."""
        if self._ranges is not None:
            return self._ranges
        if self.source.dtype == np.uint8:
            return [(0.0, 255.0)] * self.source.shape[0]
        pixels = self.overview()
        low, high = np.percentile(pixels.reshape(len(pixels), -1), (0.5, 99.5), axis=1).tolist()
        return [(a, b if b > a else a + 1) for a, b in zip(low, high, strict=True)]


def top_level(height: int, width: int) -> int:
    """Return the level of full resolution; level 0 is one tile.

    Examples
    --------
    >>> top_level(512, 100), top_level(513, 100), top_level(20_000, 20_000)
    (0, 1, 6)
    """
    return max(0, math.ceil(math.log2(max(height, width) / TILE)))


def tile_window(height: int, width: int, level: int, column: int, row: int) -> tuple[Span, Span, int]:
    """Return rows and columns of a tile at full resolution, and how many of them make one pixel of the tile.

    Raises
    ------
    BadImage
        There is no such tile.
    """
    top = top_level(height, width)
    factor = 2 ** (top - level) if 0 <= level <= top else 0  # not for any level: the power would fill the memory
    side = TILE * factor
    if not factor or min(column, row) < 0 or column * side >= width or row * side >= height:
        raise BadImage("a tile of the image", f"level {level}, column {column}, row {row}", "Reload the page.")
    rows = row * side, min((row + 1) * side, height)
    return rows, (column * side, min((column + 1) * side, width)), factor


def read_scaled(source: Windows, rows: Span, columns: Span, factor: int) -> Num[np.ndarray, "channels rows columns"]:
    """Read a window at a fraction of its resolution, in bands, so that memory does not depend on the factor."""
    if factor == 1:
        return source.read(rows, columns)
    band = max(factor, _BAND // factor * factor)
    starts = range(rows[0], rows[1], band)
    parts = [scale_down(source.read((start, min(start + band, rows[1])), columns), factor) for start in starts]
    return np.concatenate(parts, axis=1)


def scale_down(
    pixels: Num[np.ndarray, "channels height width"], factor: int
) -> Num[np.ndarray, "channels rows columns"]:
    """Return the mean of four samples of each square of `factor` pixels; squares at the border may be incomplete.

    Examples
    --------
    >>> scale_down(np.arange(4, dtype=np.uint8).reshape(1, 2, 2), 2).tolist()
    [[[2]]]
    """
    if factor == 1:
        return pixels
    first, second = factor // 4, factor - 1 - factor // 4  # evenly around the middle
    rows = [_places(pixels.shape[1], factor, offset) for offset in (first, second)]
    columns = [_places(pixels.shape[2], factor, offset) for offset in (first, second)]
    total = np.zeros((pixels.shape[0], len(rows[0]), len(columns[0])), np.float32)
    for row in rows:
        lines = pixels[:, row]
        for column in columns:
            total += lines[:, :, column]
    mean = total / 4
    return (mean + 0.5).astype(pixels.dtype) if pixels.dtype.kind in "iub" else mean.astype(pixels.dtype)


def nearest_samples(size: int, factor: int) -> np.ndarray:
    """Return the index of the pixel in the middle of each `factor` pixels of a line of `size`."""
    return _places(size, factor, factor // 2)


def _places(size: int, factor: int, offset: int) -> np.ndarray:
    return np.minimum(np.arange(0, size, factor) + offset, size - 1)


def to_display(
    pixels: Num[np.ndarray, "channels rows columns"], ranges: list[tuple[float, float]], gamma: float
) -> UInt8[np.ndarray, "channels rows columns"]:
    """Return pixels as 8 bits: `ranges` of each channel become 0...255, with a gamma (1: linear).

    Examples
    --------
    >>> to_display(np.array([[[0, 500, 2000]]], np.uint16), [(0.0, 1000.0)], 1.0).tolist()
    [[[0, 128, 255]]]
    """
    if pixels.dtype == np.uint8 and gamma == 1 and all(span == (0, 255) for span in ranges):
        return pixels
    shown = np.empty(pixels.shape, np.float32)
    for channel, (low, high) in enumerate(ranges):
        shown[channel] = (pixels[channel].astype(np.float32) - low) / max(high - low, 1e-9)
    np.clip(shown, 0, 1, out=shown)
    return np.rint(shown ** (1 / gamma) * 255).astype(np.uint8)
