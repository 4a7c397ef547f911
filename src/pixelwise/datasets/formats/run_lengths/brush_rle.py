"""Run-length encoding of brush strokes in Label Studio: a stream of bits that holds the RGBA values of an image.

A header has the number of values (32 bits), the bits of a value less 1 (5 bits) and four lengths of counters less 1
(4 bits each). Each block begins with one bit, 1 for a repeated value, and two bits that choose a counter; then follow
the count less 1 and the value, or as many values (`label-studio-sdk`, `converter/brush.py`).
"""

from pathlib import Path
from typing import Any

import numpy as np

from pixelwise.datasets.annotations import Bitmap
from pixelwise.errors import BadDataset

_COUNTERS = (3, 4, 8, 16)  # bits, as Label Studio chooses them
_LONGEST = 1 << _COUNTERS[-1]


class _Bits:
    """Bits of a byte string, read from the front."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.position = 0
        self._bits = np.unpackbits(np.frombuffer(content, np.uint8))

    def take(self, count: int) -> int:
        """Return the next bits as a number."""
        first, self.position = self.position, self.position + count
        if self.position > len(self._bits):
            raise ValueError("the data end early")
        part = self.content[first // 8 : (self.position + 7) // 8]
        return int.from_bytes(part, "big") >> (-self.position % 8) & ((1 << count) - 1)

    def take_bytes(self, count: int) -> np.ndarray:
        """Return the next `count` bytes."""
        first, self.position = self.position, self.position + 8 * count
        if self.position > len(self._bits):
            raise ValueError("the data end early")
        return np.packbits(self._bits[first : self.position])


def decode_brush(rle: Any, size: tuple[int, int], where: str, file: Path) -> Bitmap:
    """Return the pixels that brush strokes cover, where alpha is not 0, cropped to their bounding box.

    Parameters
    ----------
    rle : list of int
        Bytes.
    size, where, file
        As for `coco_rle.decode_rle`.

    Raises
    ------
    BadDataset
        The bytes are damaged, or hold another number of pixels.
    """
    try:
        values = _decode(_Bits(bytes(rle)), 4 * size[0] * size[1])
    except (ValueError, TypeError, OverflowError) as error:
        expected = f"run lengths of {size[0]} × {size[1]} pixels in {where}"
        raise BadDataset(expected, f"damaged ones ({str(error)[:80]})", "Export it again.", file) from error
    drawn = values.reshape(size[0], size[1], 4)[:, :, 3] > 0
    rows, columns = np.flatnonzero(drawn.any(axis=1)), np.flatnonzero(drawn.any(axis=0))
    if not rows.size:
        return Bitmap(row=0, column=0, pixels=np.zeros((0, 0), bool))
    pixels = drawn[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].copy()
    return Bitmap(row=int(rows[0]), column=int(columns[0]), pixels=pixels)


def encode_brush(region: Bitmap, size: tuple[int, int]) -> list[int]:
    """Return the bytes of a region inside an image of `size` (height, width), which `decode_brush` reads.

    >>> region = Bitmap(row=1, column=0, pixels=np.ones((1, 2), bool))
    >>> decode_brush(encode_brush(region, (3, 2)), (3, 2), "", Path())
    Bitmap(row=1, column=0, pixels=array([[ True,  True]]))
    """
    drawn = np.zeros(size, bool)
    height, width = region.pixels.shape
    drawn[region.row : region.row + height, region.column : region.column + width] = region.pixels
    flat = np.repeat(drawn.ravel(), 4)
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    lengths = np.diff(np.concatenate([starts, [flat.size]]))
    pieces = -(-lengths // _LONGEST)  # a counter has 16 bits
    counts = np.full(int(pieces.sum()), _LONGEST)
    counts[np.cumsum(pieces) - 1] = lengths - (pieces - 1) * _LONGEST
    values = np.repeat(np.where(flat[starts], 255, 0), pieces)
    # a repeated value, the last of the counters, the count less 1, the value
    blocks = (0b111 << 24) | (counts - 1) << 8 | values
    header = [_bits(flat.size, 32), _bits(7, 5), *(_bits(counter - 1, 4) for counter in _COUNTERS)]
    stream = np.concatenate([*header, _bits(blocks[:, None], 27).ravel()])
    return np.packbits(stream.astype(np.uint8)).tolist()


def _bits(values: Any, count: int) -> np.ndarray:
    """Return the bits of numbers, the highest first."""
    return np.asarray(values) >> np.arange(count - 1, -1, -1) & 1


def _decode(bits: _Bits, expected: int) -> np.ndarray:
    total = bits.take(32)
    if total != expected:
        raise ValueError(f"{total} values instead of {expected}")
    if bits.take(5) + 1 != 8:
        raise ValueError("values that are not bytes")
    counters = [bits.take(4) + 1 for _ in range(4)]
    values = np.zeros(total, np.uint8)
    at = 0
    while at < total:
        repeated = bits.take(1)
        count = bits.take(counters[bits.take(2)]) + 1
        if at + count > total:
            raise ValueError("more values than pixels")
        values[at : at + count] = bits.take(8) if repeated else bits.take_bytes(count)
        at += count
    return values
