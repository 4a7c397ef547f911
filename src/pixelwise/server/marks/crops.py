"""A data set of marks: crops around what was painted, with unpainted pixels as ignored ones.

The crops are an ordinary data set (`images/`, `masks/`), so training on marks is training. An image of any size costs
only its crops, and no crop is without paint. Marks of whole objects become object numbers, all others classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Num, UInt8, UInt16
from scipy import ndimage

from pixelwise.errors import BadDataset
from pixelwise.geometry.tiles import Span
from pixelwise.io.windows import open_windows
from pixelwise.io.write import png_bytes, write_image
from pixelwise.server.marks.raster import IGNORE, bounds, rasterise, rasterise_objects
from pixelwise.server.marks.records import UNKNOWN, Polygon, Shape, Stroke, teach_objects

CONTEXT = 64
"""Pixels around a mark that are part of its crops: the network sees more than the painted pixels."""

BLOCK = 256
"""Side of a crop; crops lie on a grid, so that two rounds of marks cut an image in the same way."""

IGNORE_NUMBER = 65_535
"""Value of unknown pixels in masks of object numbers."""

SURROUNDINGS = 3
"""Width in pixels of the background around a marked object: where it ends is known, too."""

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
    """What was written: the number of crops and images, and the painted pixels of each class.

    `objects` says that masks hold object numbers, with 0 for the background and `IGNORE_NUMBER` for unknown pixels;
    `painted` then counts background (0) and objects (1).
    """

    crops: int
    images: int
    painted: dict[int, int]
    objects: bool = False


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
    objects = teach_objects(shape for image in images for shape in image.shapes)
    for image in images:
        blocks = painted_blocks(image.shapes)
        if not blocks:
            continue
        source = open_windows(image.path)
        try:
            before = crops
            for row, column in sorted(blocks):
                rows, columns = _inside(row, source.shape[1]), _inside(column, source.shape[2])
                if rows is None or columns is None:
                    continue
                block = _block(row, source.shape[1]), _block(column, source.shape[2])
                mask, classes = (
                    _object_mask(image.shapes, rows, columns)
                    if objects
                    else _class_mask(image.shapes, rows, columns, block)
                )
                if not len(classes):
                    continue
                for value, count in zip(*np.unique(classes, return_counts=True), strict=True):
                    painted[int(value)] = painted.get(int(value), 0) + int(count)
                _write_crop(f"{image.id}_{row}_{column}", source.read(rows, columns), mask, folder)
                crops += 1
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
    return CropSet(crops, used, painted, objects)


def painted_blocks(shapes: Sequence[Shape]) -> set[tuple[int, int]]:
    """Return the blocks (row, column) of the grid that shapes touch."""
    blocks: set[tuple[int, int]] = set()
    for shape in shapes:
        if isinstance(shape, Stroke | Polygon) and shape.class_index == UNKNOWN:
            continue
        left, top, right, bottom = (int(edge // BLOCK) for edge in bounds(shape))
        blocks |= {(row, column) for row in range(top, bottom + 1) for column in range(left, right + 1)}
    return blocks


def _class_mask(
    shapes: Sequence[Shape], rows: Span, columns: Span, block: tuple[Span, Span]
) -> tuple[UInt8[np.ndarray, "height width"], UInt8[np.ndarray, " pixels"]]:
    """Return the classes of a crop, and those of its painted pixels; its context belongs to other crops."""
    mask = np.full((rows[1] - rows[0], columns[1] - columns[0]), IGNORE, np.uint8)
    own = tuple(slice(a - start, b - start) for (a, b), (start, _) in zip(block, (rows, columns), strict=True))
    mask[own] = rasterise(shapes, *block)
    return mask, mask[mask != IGNORE]


def _object_mask(
    shapes: Sequence[Shape], rows: Span, columns: Span
) -> tuple[UInt16[np.ndarray, "height width"], Bool[np.ndarray, " pixels"]]:
    """Return the object numbers of a crop, and which of its known pixels are objects.

    The context is marked as well: an object ends at the border of a crop, not inside it.
    """
    numbers = rasterise_objects(shapes, rows, columns)
    near = np.asarray(ndimage.binary_dilation(numbers > 0, iterations=SURROUNDINGS), bool)
    numbers[(numbers < 0) & near] = 0
    known = numbers >= 0
    mask = np.where(numbers > 0, (numbers - 1) % (IGNORE_NUMBER - 1) + 1, numbers)
    return np.where(known, mask, IGNORE_NUMBER).astype(np.uint16), numbers[known] > 0


def _write_crop(
    name: str,
    pixels: Num[np.ndarray, "channels height width"],
    mask: Num[np.ndarray, "height width"],
    folder: Path,
) -> None:
    write_image(folder / "images" / f"{name}{_suffix(pixels)}", np.ascontiguousarray(pixels))
    (folder / "masks").mkdir(exist_ok=True)
    (folder / "masks" / f"{name}.png").write_bytes(png_bytes(mask[None]))


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
