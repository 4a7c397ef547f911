"""A data set of marks: crops around what was painted, with unpainted pixels as ignored ones.

The crops are an ordinary data set (`images/`, `masks/`), so training on marks is training. An image of any size costs
only its crops, and no crop is without paint. Marks of whole objects become object numbers, all others classes.

With few images all of them are learned: some of their marks are held out for validation, not some of the images.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int32, Num, UInt8, UInt16
from scipy import ndimage

from pixelwise.errors import BadDataset
from pixelwise.geometry.tiles import Span
from pixelwise.io.windows import ImageReader, open_windows
from pixelwise.io.write import png_bytes, write_image
from pixelwise.server.marks.raster import IGNORE, bounds, rasterise, rasterise_objects, rasterise_owners
from pixelwise.server.marks.records import UNKNOWN, Polygon, Shape, Stroke, teach_objects

CONTEXT = 64
"""Pixels around a mark that are part of its crops: the network sees more than the painted pixels."""

BLOCK = 1024
"""Side of a crop; crops lie on a grid, so that two rounds of marks cut an image in the same way.

Images are normalised by their own mean and deviation, and so are crops: small images are whole, so that the network
learns from the intensities that it predicts (RESULTS.md).
"""

SMALL_BLOCK = 256
"""Side of crops if all marks lie in one larger one, which could not be divided into training and validation."""

FEW_IMAGES = 10
"""With fewer marked images, marks are held out for validation instead of images: a fifth of few images is much."""

VARIED = (
    "augmentation.gamma=[0.5,2.0]", "augmentation.gamma_share=0.5",
    "augmentation.contrast=[0.5,1.5]", "augmentation.contrast_share=0.5",
    "augmentation.brightness=0.5", "augmentation.brightness_share=0.5",
    "augmentation.noise_share=0.3", "augmentation.blur_share=0.3",
    "augmentation.scale=[0.5,2.0]", "augmentation.scale_share=0.8",
)  # fmt: skip
"""Settings for few images, which show little of how others look: intensities and sizes vary more (RESULTS.md)."""

IGNORE_NUMBER = 65_535
"""Value of unknown pixels in masks of object numbers."""

SURROUNDINGS = 3
"""Width in pixels of the background around a marked object: where it ends is known, too."""

GROUP_BY = "^([^_]+)_"
"""Regular expression for `--group-by`: crops of one image stay in one split."""


@dataclass(frozen=True)
class MarkedImage:
    """An image with its shapes; `id` becomes part of file names and holds no underscore.

    `held_out` are indices of shapes for validation; they count if there are few images.
    """

    id: str
    path: Path
    shapes: Sequence[Shape]
    held_out: frozenset[int] = field(default_factory=frozenset[int])


@dataclass(frozen=True)
class CropSet:
    """What was written: the number of crops, images and channels, and the painted pixels of each class.

    `objects` says that masks hold object numbers, with 0 for the background and `IGNORE_NUMBER` for unknown pixels;
    `painted` then counts background (0) and objects (1). `held_out` says that there are splits `train` and `val` of the
    same images, with different marks.
    """

    crops: int
    images: int
    channels: int
    painted: dict[int, int]
    objects: bool = False
    held_out: bool = False

    @property
    def options(self) -> tuple[str, ...]:
        """Options of `pixelwise train` for these crops; patches are drawn where there is paint.

        A score of a few held-out marks is too noisy to choose weights by: the last ones are kept.
        """
        options = ("--ignore-index", str(IGNORE_NUMBER if self.objects else IGNORE), "patches.foreground_share=1")
        options += VARIED if self.images < FEW_IMAGES else ()
        if self.held_out:
            return (*options, "--allow-duplicates", "training.keep=last")
        return (*options, "--group-by", GROUP_BY) if self.images > 2 else options


@dataclass(frozen=True)
class _Crop:
    """A crop in memory: its mask, and a value per pixel that says which shape painted it; -1: none."""

    name: str
    pixels: Num[np.ndarray, "channels height width"]
    mask: UInt8[np.ndarray, "height width"] | UInt16[np.ndarray, "height width"]
    owners: Int32[np.ndarray, "height width"]


def write_crops(images: Sequence[MarkedImage], folder: Path) -> CropSet:
    """Write the crops of all images into `folder`.

    Raises
    ------
    BadDataset
        Fewer than two classes are painted; or fewer than two places, if no mark is held out.
    BadImage
        An image cannot be read.
    """
    objects = teach_objects(shape for image in images for shape in image.shapes)
    ignore = IGNORE_NUMBER if objects else IGNORE
    marked = [image for image in images if painted_blocks(image.shapes)]
    held_out = len(marked) < FEW_IMAGES and _covers_classes(marked, objects=objects)
    divisible = held_out or sum(len(painted_blocks(image.shapes)) for image in marked) > 1
    side = BLOCK if divisible else SMALL_BLOCK
    crops, used, channels, painted = 0, 0, 0, dict[int, int]()
    for image in marked:
        before = crops
        source = open_windows(image.path)
        try:
            channels = source.shape[0]
            for crop in _cut(image, source, side, objects=objects):
                _count(crop.mask, ignore, painted, objects=objects)
                for split, mask in _splits(crop, image, ignore, held_out=held_out):
                    _write_crop(crop.name, crop.pixels, mask, folder / split)
                crops += 1
        finally:
            source.close()
        used += crops > before
    if len(painted) < 2:
        hint = "Also paint what is not an object, with the class of the background."
        raise BadDataset("marks of at least two classes", f"marks of {len(painted)}", hint)
    if crops < 2 and not held_out:
        hint = "Paint more marks of each class, or in another image."
        raise BadDataset("marks in at least two places", "marks in one", hint)
    return CropSet(crops, used, channels, painted, objects, held_out)


def painted_blocks(shapes: Sequence[Shape], side: int = BLOCK) -> set[tuple[int, int]]:
    """Return the blocks (row, column) of a grid that shapes touch."""
    blocks: set[tuple[int, int]] = set()
    for shape in shapes:
        if isinstance(shape, Stroke | Polygon) and shape.class_index == UNKNOWN:
            continue
        left, top, right, bottom = (int(edge // side) for edge in bounds(shape))
        blocks |= {(row, column) for row in range(top, bottom + 1) for column in range(left, right + 1)}
    return blocks


def _covers_classes(images: Sequence[MarkedImage], *, objects: bool) -> bool:
    """Return whether at least two classes have marks that are held out, and marks that are not.

    A whole object comes with its surroundings, which are background.
    """
    found: dict[bool, set[int]] = {True: set(), False: set()}
    for image in images:
        for index, shape in enumerate(image.shapes):
            known = _classes_of(shape) - {UNKNOWN}
            found[index in image.held_out] |= known | ({0} if objects and known else set[int]())
    return len(found[True] & found[False]) > 1


def _classes_of(shape: Shape) -> set[int]:
    if isinstance(shape, Stroke | Polygon):
        return {shape.class_index}
    return {outline.class_index for outline in shape.objects} | ({0} if shape.frame is not None else set[int]())


def _cut(image: MarkedImage, source: ImageReader, side: int, *, objects: bool) -> Generator[_Crop, None, None]:
    """Yield the crops of an image that show paint."""
    _, height, width = source.shape
    for row, column in sorted(painted_blocks(image.shapes, side)):
        rows, columns = _inside(row, side, height), _inside(column, side, width)
        if rows is None or columns is None:
            continue
        owners = rasterise_owners(image.shapes, rows, columns)
        if objects:
            mask, owners = _object_mask(image.shapes, owners, rows, columns)
        else:
            mask = _class_mask(image.shapes, rows, columns, (_block(row, side, height), _block(column, side, width)))
        if (mask != (IGNORE_NUMBER if objects else IGNORE)).any():
            yield _Crop(f"{image.id}_{row}_{column}", source.read(rows, columns), mask, owners)


def _count(mask: Num[np.ndarray, "height width"], ignore: int, painted: dict[int, int], *, objects: bool) -> None:
    """Add the known pixels of a mask to those of each class."""
    classes = mask[mask != ignore]
    for value, count in zip(*np.unique(classes > 0 if objects else classes, return_counts=True), strict=True):
        painted[int(value)] = painted.get(int(value), 0) + int(count)


def _splits(
    crop: _Crop, image: MarkedImage, ignore: int, *, held_out: bool
) -> list[tuple[str, Num[np.ndarray, "height width"]]]:
    """Return the folder of each split that a crop is written to, with its mask: "" if splits are drawn later."""
    if not held_out:
        return [("", crop.mask)]
    validated = np.isin(crop.owners, sorted(image.held_out))
    masks = {"train": np.where(validated, ignore, crop.mask), "val": np.where(validated, crop.mask, ignore)}
    return [(split, mask.astype(crop.mask.dtype)) for split, mask in masks.items() if (mask != ignore).any()]


def _class_mask(
    shapes: Sequence[Shape], rows: Span, columns: Span, block: tuple[Span, Span]
) -> UInt8[np.ndarray, "height width"]:
    """Return the classes of a crop; its context belongs to other crops."""
    mask = np.full((rows[1] - rows[0], columns[1] - columns[0]), IGNORE, np.uint8)
    own = tuple(slice(a - start, b - start) for (a, b), (start, _) in zip(block, (rows, columns), strict=True))
    mask[own] = rasterise(shapes, *block)
    return mask


def _object_mask(
    shapes: Sequence[Shape], owners: Int32[np.ndarray, "height width"], rows: Span, columns: Span
) -> tuple[UInt16[np.ndarray, "height width"], Int32[np.ndarray, "height width"]]:
    """Return the object numbers of a crop, and its owners with the surroundings of each object.

    The context is marked as well: an object ends at the border of a crop, not inside it.
    """
    numbers = rasterise_objects(shapes, rows, columns)
    if (numbers > 0).any():
        nearest: Any = ndimage.distance_transform_cdt(numbers <= 0, "taxicab", return_indices=True)
        distance, (row, column) = nearest
        near = (numbers < 0) & (distance <= SURROUNDINGS)
        numbers, owners = np.where(near, 0, numbers), np.where(near, owners[row, column], owners)
    mask = np.where(numbers > 0, (numbers - 1) % (IGNORE_NUMBER - 1) + 1, numbers)
    return np.where(numbers >= 0, mask, IGNORE_NUMBER).astype(np.uint16), owners.astype(np.int32)


def _write_crop(
    name: str,
    pixels: Num[np.ndarray, "channels height width"],
    mask: Num[np.ndarray, "height width"],
    folder: Path,
) -> None:
    write_image(folder / "images" / f"{name}{_suffix(pixels)}", np.ascontiguousarray(pixels))
    (folder / "masks").mkdir(exist_ok=True)
    (folder / "masks" / f"{name}.png").write_bytes(png_bytes(mask[None]))


def _block(block: int, side: int, size: int) -> Span:
    return block * side, min(size, (block + 1) * side)


def _inside(block: int, side: int, size: int) -> Span | None:
    """Return a block with its context, within the image; None if it is outside."""
    if not 0 <= block * side < size:
        return None
    return max(0, block * side - CONTEXT), min(size, (block + 1) * side + CONTEXT)


def _suffix(pixels: Num[np.ndarray, "channels height width"]) -> str:
    """Return the suffix of the format that keeps the pixels."""
    return ".png" if pixels.dtype.name in ("uint8", "uint16") and len(pixels) in (1, 3) else ".tif"
