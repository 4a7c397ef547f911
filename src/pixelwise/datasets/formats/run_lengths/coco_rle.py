"""Run-length encoding of COCO: runs down the columns, the first one of zeros.

Compressed counts are differences to the run before the previous one, as groups of five bits in ASCII characters from
48, the lowest group first (pycocotools, common/maskApi.c).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pixelwise.datasets.annotations import Bitmap
from pixelwise.errors import BadDataset
from pixelwise.io.headers import MAX_PIXELS

_EMPTY = np.zeros((0, 0), bool)


def decode_rle(counts: Any, size: tuple[int, int], where: str, file: Path) -> Bitmap:
    """Return the region of run lengths, cropped to its bounding box.

    Parameters
    ----------
    counts : list of int, or str
        Run lengths, or compressed.
    size : (int, int)
        Height and width of the image.
    where, file : str, Path
        For errors.

    Raises
    ------
    BadDataset
        The counts are damaged, or do not add up to the size.

    Examples
    --------
    >>> decode_rle([4, 1, 7], (3, 4), "annotation 1", Path("a.json"))  # row 1, column 1
    Bitmap(row=1, column=1, pixels=array([[ True]]))
    """
    runs = _decompress(counts) if isinstance(counts, str) else counts
    try:
        lengths = np.asarray([] if runs is None else runs, np.int64)
    except (TypeError, ValueError, OverflowError):
        lengths = np.array([-1])
    height, width = size
    if lengths.ndim != 1:
        lengths = np.array([-1])
    ends = np.cumsum(lengths)
    if runs is None or (lengths < 0).any() or not len(ends) or ends[-1] != height * width or ends[-1] > MAX_PIXELS:
        total = "damaged ones" if runs is None or (lengths < 0).any() else f"a sum of {lengths.sum()}"
        expected = f"run lengths of {height} × {width} pixels in {where}"
        raise BadDataset(expected, total, "The size or the counts are wrong; export it again.", file)
    start, stop = ends[: len(ends) // 2 * 2 : 2], ends[1::2]
    start, stop = start[start < stop], stop[start < stop]
    if not len(start):
        return Bitmap(row=0, column=0, pixels=_EMPTY)
    left, right = int(start[0] // height), int((stop[-1] - 1) // height) + 1
    flat = np.zeros((right - left) * height + 1, np.int8)
    flat[start - left * height] = 1
    flat[stop - left * height] -= 1  # runs may touch after one of length zero
    columns = np.cumsum(flat[:-1], dtype=np.int8).reshape(right - left, height).astype(bool)
    rows = np.flatnonzero(columns.any(axis=0))
    pixels = np.ascontiguousarray(columns[:, rows[0] : rows[-1] + 1].T)
    return Bitmap(row=int(rows[0]), column=left, pixels=pixels)


def encode_rle(region: Bitmap, size: tuple[int, int]) -> str:
    """Return the compressed counts of a region inside an image of `size` (height, width)."""
    height = size[0]
    changes = np.diff(np.pad(region.pixels.T.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    column, row = np.nonzero(changes)
    ends = (column + region.column) * height + row + region.row
    # a run that reaches the bottom continues at the top of the next column
    joined = np.flatnonzero(ends[1:-1:2] == ends[2::2]) * 2 + 1
    ends = np.delete(ends, np.concatenate([joined, joined + 1]))
    counts = np.diff(np.concatenate([[0], ends, [height * size[1]]]))
    return _compress((counts[:-1] if len(counts) > 1 and counts[-1] == 0 else counts).tolist())


def _compress(counts: Sequence[int]) -> str:
    characters: list[str] = []
    for index, count in enumerate(counts):
        rest = count - counts[index - 2] if index > 2 else count
        while True:
            bits = rest & 31
            rest >>= 5
            last = rest == (-1 if bits & 16 else 0)
            characters.append(chr(48 + bits + (0 if last else 32)))
            if last:
                break
    return "".join(characters)


def _decompress(text: str) -> list[int] | None:
    """Return the counts, or None if the text is not one."""
    counts: list[int] = []
    value = shift = 0
    for code in text.encode("utf-8", "surrogatepass"):
        bits = code - 48
        if not 0 <= bits < 64 or shift > 60:
            return None
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value = shift = 0
    return None if shift else counts
