"""Tiles of label images for the page: object or class number and confidence of each pixel in one PNG.

Red and green hold the number (high byte first), blue the confidence. The page colours them, so that colours, opacity
and threshold change without a request.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Integer, UInt8

from pixelwise.errors import BadImage
from pixelwise.geometry.tiles import Span
from pixelwise.io.read import read_mask
from pixelwise.io.windows import ImageReader, open_windows
from pixelwise.io.zarr_write import PixelMetadata
from pixelwise.server.workers.pyramid import nearest_samples, tile_window

NUMBERS = 65_535
"""Numbers above share those below: 16 bits are enough to tell neighbours apart."""

CERTAIN = 255
_BAND = 512


class Labels:
    """A label image, in memory or read by windows."""

    def __init__(self, values: Integer[np.ndarray, "height width"] | ImageReader) -> None:
        self._values = values
        self.height, self.width = values.shape[-2:]

    def read(self, rows: Span, columns: Span, factor: int) -> Integer[np.ndarray, "rows columns"]:
        """Return every `factor`-th number of a window."""
        if factor == 1 and not isinstance(self._values, np.ndarray):
            return self._values.read(rows, columns)[0]
        across = nearest_samples(columns[1] - columns[0], factor)
        if isinstance(self._values, np.ndarray):
            down = nearest_samples(rows[1] - rows[0], factor)
            return self._values[slice(*rows), slice(*columns)][np.ix_(down, across)]
        parts: list[np.ndarray] = []
        band = max(factor, _BAND // factor * factor)
        for start in range(rows[0], rows[1], band):
            lines = self._values.read((start, min(start + band, rows[1])), columns)[0]
            parts.append(lines[np.ix_(nearest_samples(len(lines), factor), across)])
        return np.concatenate(parts)

    def plan(self, band: int) -> None:
        """Prepare for reading in bands of so many rows."""
        if not isinstance(self._values, np.ndarray):
            self._values.plan(band)

    @property
    def metadata(self) -> PixelMetadata:
        """Size of a pixel and place on a map, if the file has them."""
        if isinstance(self._values, np.ndarray):
            return PixelMetadata()
        return PixelMetadata(spacing=self._values.spacing, georeference=self._values.georeference)

    def at(self, row: int, column: int) -> int:
        """Return the number at a pixel; 0 outside the image."""
        if not (0 <= row < self.height and 0 <= column < self.width):
            return 0
        return int(self.read((row, row + 1), (column, column + 1), 1)[0, 0])

    def close(self) -> None:
        """Close the file, if one is open."""
        if not isinstance(self._values, np.ndarray):
            self._values.close()

    def whole(self) -> Integer[np.ndarray, "height width"]:
        """Return all numbers."""
        return self.read((0, self.height), (0, self.width), 1)


def open_labels(path: Path) -> Labels:
    """Open a label image or a class mask that `pixelwise predict` wrote; large TIFFs are read by windows.

    Raises
    ------
    BadImage
        It cannot be read, or holds colours.
    """
    if path.suffix == ".tif":
        return Labels(open_windows(path))
    values = read_mask(path).values
    if values.ndim != 2:
        raise BadImage("a label image", "colours", "Predict the image again.", path)
    return Labels(values)


def label_tile(
    labels: Labels, confidence: Labels | None, level: int, column: int, row: int
) -> UInt8[np.ndarray, "3 rows columns"]:
    """Return a tile of numbers and confidence; `confidence` holds uncertainty maps (0: certain)."""
    rows, columns, factor = tile_window(labels.height, labels.width, level, column, row)
    numbers = encode_numbers(labels.read(rows, columns, factor))
    tile = np.empty((3, *numbers.shape), np.uint8)
    tile[0], tile[1], tile[2] = numbers >> 8, numbers & 255, CERTAIN
    if confidence is not None:
        tile[2] -= confidence.read(rows, columns, factor).astype(np.uint8)
    return tile


def encode_numbers(numbers: Integer[np.ndarray, "rows columns"]) -> Integer[np.ndarray, "rows columns"]:
    """Return numbers as 16 bits; negative ones (ignored pixels) become 0.

    Examples
    --------
    >>> encode_numbers(np.array([[-1, 0, 1, 65_535, 65_536]])).tolist()
    [[0, 0, 1, 65535, 1]]
    """
    return np.where(numbers > 0, (numbers.astype(np.int64) - 1) % NUMBERS + 1, 0).astype(np.uint16)
