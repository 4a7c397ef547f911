"""A data set of marks: crops around what was painted, with unpainted pixels as ignored ones.

The crops are an ordinary data set (`images/`, `masks/`), so training on marks is training. An image of any size costs
only its crops, and no crop is without paint.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Num

from pixelwise.errors import BadDataset
from pixelwise.geometry.tiles import Span
from pixelwise.io.windows import ImageReader, open_windows
from pixelwise.io.write import png_bytes, write_image
from pixelwise.server.marks.raster import IGNORE, bounds, rasterise
from pixelwise.server.marks.records import UNKNOWN, Shape

CONTEXT = 64
"""Pixels around a mark that are part of its crops: the network sees more than the painted pixels."""

BLOCK = 256
"""Side of a crop; crops lie on a grid, so that two rounds of marks cut an image in the same way."""

GROUP_BY = "^([^_]+)_"
"""Regular expression for `--group-by`: crops of one image stay in one split."""


@dataclass(frozen=True)
class MarkedImage:
    """An image with its shapes; `id` becomes part of file names and holds no underscore."""

    id: str
    path: Path
    shapes: Sequence[Shape]


@dataclass(frozen=True)
class CropSet:
    """What was written: the number of crops and images, the painted pixels of each class."""

    crops: int
    images: int
    painted: dict[int, int]


def write_crops(images: Sequence[MarkedImage], folder: Path) -> CropSet:
    """Write the crops of all images into `folder`.

    Raises
    ------
    BadDataset
        Fewer than two classes, or fewer than two places, are painted.
    BadImage
        An image cannot be read.
    """
    crops, used, painted = 0, 0, dict[int, int]()
    for image in images:
        blocks = painted_blocks(image.shapes)
        if not blocks:
            continue
        source = open_windows(image.path)
        try:
            before = crops
            for row, column in sorted(blocks):
                crops += _write_block(image, source, row, column, folder, painted)
            used += crops > before
        finally:
            source.close()
    classes = [index for index, count in painted.items() if count]
    if len(classes) < 2:
        hint = "Also paint what is not an object, with the class of the background."
        raise BadDataset("marks of at least two classes", f"marks of {len(classes)}", hint)
    if crops < 2:
        hint = "Paint in another image, or far from the first marks."
        raise BadDataset("marks in at least two places", "marks in one", hint)
    return CropSet(crops, used, painted)


def painted_blocks(shapes: Sequence[Shape]) -> set[tuple[int, int]]:
    """Return the blocks (row, column) of the grid that shapes touch."""
    blocks: set[tuple[int, int]] = set()
    for shape in shapes:
        if shape.class_index == UNKNOWN:
            continue
        left, top, right, bottom = (int(edge // BLOCK) for edge in bounds(shape))
        blocks |= {(row, column) for row in range(top, bottom + 1) for column in range(left, right + 1)}
    return blocks


def _write_block(
    image: MarkedImage, source: ImageReader, row: int, column: int, folder: Path, painted: dict[int, int]
) -> bool:
    """Write one crop and its mask, unless nothing is painted in it; count the painted pixels."""
    rows, columns = _inside(row, source.shape[1]), _inside(column, source.shape[2])
    if rows is None or columns is None:
        return False
    mask = np.full((rows[1] - rows[0], columns[1] - columns[0]), IGNORE, np.uint8)
    block = _block(row, source.shape[1]), _block(column, source.shape[2])
    own = tuple(slice(a - start, b - start) for (a, b), (start, _) in zip(block, (rows, columns), strict=True))
    mask[own] = rasterise(image.shapes, *block)  # the context belongs to other crops
    values, counts = np.unique(mask[mask != IGNORE], return_counts=True)
    if not len(values):
        return False
    for value, count in zip(values.tolist(), counts.tolist(), strict=True):
        painted[value] = painted.get(value, 0) + count
    pixels = source.read(rows, columns)
    name = f"{image.id}_{row}_{column}"
    write_image(folder / "images" / f"{name}{_suffix(pixels)}", np.ascontiguousarray(pixels))
    (folder / "masks").mkdir(exist_ok=True)
    (folder / "masks" / f"{name}.png").write_bytes(png_bytes(mask[None]))
    return True


def _block(block: int, size: int) -> Span:
    return block * BLOCK, min(size, (block + 1) * BLOCK)


def _inside(block: int, size: int) -> Span | None:
    """Return a block with its context, within the image; None if it is outside."""
    if not 0 <= block * BLOCK < size:
        return None
    return max(0, block * BLOCK - CONTEXT), min(size, (block + 1) * BLOCK + CONTEXT)


def _suffix(pixels: Num[np.ndarray, "channels height width"]) -> str:
    """Return the suffix of the format that keeps the pixels."""
    return ".png" if pixels.dtype.name in ("uint8", "uint16") and len(pixels) in (1, 3) else ".tif"
