"""Scan one image and its mask, in a worker: sizes, values, regions, and a descriptor for near duplicates.

The similarity of two images is the correlation of their descriptors: 32 x 32 area means minus their local mean, scaled
to length 1. Re-encoding and resizing keep it near 1; neighbouring slices and video frames are clearly below.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32, Float64, Int64, Num
from scipy import ndimage

from pixelwise.datasets.annotation_values import AnnotationValues, read_values
from pixelwise.datasets.annotations import MaskFile, Shapes, files_of_annotation
from pixelwise.datasets.channel_files import read_stored
from pixelwise.datasets.folder_layout import Pair
from pixelwise.datasets.problems import Problem
from pixelwise.datasets.records import Colour
from pixelwise.errors import BadImage
from pixelwise.io.read import MaskImage, probe, read_image
from pixelwise.text import pluralise

SIDE = 32
MIN_IMAGE_VALUES = 20  # a mask with more values may be an image
_MAX_VALUES = 70_000  # kept per file: more than in 16 bits


@dataclass(frozen=True, kw_only=True)
class Issue:
    """A problem of one file: its kind (see `problems.KINDS`) and what was found."""

    kind: str
    text: str


@dataclass(frozen=True)
class MaskValues:
    """The values in one mask.

    Attributes
    ----------
    values, counts : tuple of int
        Each value and its number of pixels, sorted; colours are packed as ``r << 16 | g << 8 | b``.
    regions : tuple of int
        Number of connected components of each value (8 neighbours); 0 if not counted.
    interior : int
        Pixels with an intermediate value that are at least 2 pixels inside their region: none in anti-aliased edges.
    coloured, lossy : bool
    palette : tuple of (int, (int, int, int))
        Colours of the values, if the file has a palette.
    """

    values: tuple[int, ...]
    counts: tuple[int, ...]
    regions: tuple[int, ...]
    interior: int
    coloured: bool
    lossy: bool
    palette: tuple[tuple[int, Colour], ...]
    digest: str


@dataclass(frozen=True, kw_only=True)
class ScanOptions:
    """How pairs are read: TIFF pages as channels, class names of the annotations, and whether they are objects."""

    pages: int | None = None
    classes: tuple[str, ...] = ()
    objects: bool = False


@dataclass(frozen=True, kw_only=True)
class ImageScan:
    """The result for one pair or one image; unreadable files are None and have an issue.

    `overlap` is the number of pixels in several masks of the image.
    """

    channels: int = 0
    dtype: str = ""
    size: tuple[int, int] | None = None
    mask_size: tuple[int, int] | None = None
    digest: str = ""
    descriptor: bytes = b""
    mask: MaskValues | None = None
    overlap: int = 0
    issues: tuple[Issue, ...] = ()
    notes: tuple[str, ...] = ()


def scan_pair(task: tuple[Pair, ScanOptions]) -> ImageScan:
    """Scan one pair; `task` is the pair and how it is read."""
    pair, options = task
    issues: list[Issue] = []
    pixels: np.ndarray | None = None
    read: AnnotationValues | None = None
    notes: tuple[str, ...] = ()
    try:
        image = read_stored(pair.image, pair.channel_files, options.pages)
        pixels, notes = image.pixels, image.warnings
    except BadImage as error:
        issues.append(Issue(kind="unreadable image", text=f"{error.got}; {error.hint}"))
    try:
        read, stated = _read_annotation(pair, pixels, options)
        if pixels is not None and stated is not None and stated != pixels.shape[1:]:
            issues.append(Issue(kind="size mismatch", text=_describe_sizes(pair, pixels.shape[1:], stated)))
    except BadImage as error:
        kind = "float mask" if error.expected.startswith("whole numbers") else "unreadable mask"
        issues.append(Issue(kind=kind, text=f"its mask {Path(error.path or '').name} contains {error.got}"))
    mask = read.mask if read is not None else None
    if pixels is not None and mask is not None:
        issues += _compare_pair(pair, pixels, mask)
    return ImageScan(
        channels=0 if pixels is None else pixels.shape[0],
        dtype="" if pixels is None else str(pixels.dtype),
        size=None if pixels is None else (pixels.shape[1], pixels.shape[2]),
        mask_size=None if mask is None else (mask.values.shape[0], mask.values.shape[1]),
        digest="" if pixels is None else digest(pixels),
        descriptor=b"" if pixels is None else image_descriptor(pixels).tobytes(),
        mask=None if mask is None else measure_values(mask),
        overlap=0 if read is None else read.overlap,
        issues=tuple(issues),
        notes=notes,
    )


def _read_annotation(
    pair: Pair, pixels: np.ndarray | None, options: ScanOptions
) -> tuple[AnnotationValues | None, tuple[int, int] | None]:
    """Read the annotation of a pair, and the size that it states; shapes are drawn only at the size of their image."""
    size = None if pixels is None else (pixels.shape[1], pixels.shape[2])
    stated = pair.annotation.size if isinstance(pair.annotation, Shapes) else None
    drawable = size is not None and stated in (None, size)
    if not drawable and not isinstance(pair.annotation, MaskFile):
        return None, stated
    return read_values(pair.annotation, options.classes, objects=options.objects, size=size), stated


def scan_image(task: tuple[Path, int | None]) -> ImageScan:
    """Scan one image without a mask; `task` is its path and the number of TIFF pages that are channels."""
    path, pages = task
    try:
        image = read_image(path, pages=pages)
    except BadImage as error:
        return ImageScan(issues=(Issue(kind="unreadable image", text=f"{error.got}; {error.hint}"),))
    pixels = image.pixels
    return ImageScan(
        channels=pixels.shape[0],
        dtype=str(pixels.dtype),
        size=(pixels.shape[1], pixels.shape[2]),
        digest=digest(pixels),
        descriptor=image_descriptor(pixels).tobytes(),
        notes=image.warnings,
    )


def agree_on_channels(
    files: Sequence[str], scans: Sequence[ImageScan], problems: list[Problem], messages: list[str]
) -> int:
    """Return the common number of channels; report images that cannot be converted."""
    counts = Counter(scan.channels for scan in scans if scan.channels)
    depths = Counter(scan.dtype for scan in scans if scan.dtype)
    if len(depths) > 1:
        shown = ", ".join(f"{count} {kind}" for kind, count in depths.most_common())
        problems.append(Problem(file="images", kind="mixed depths", text=shown, fatal=False))
    if not counts:
        return 1
    usual = 3 if set(counts) == {1, 3} else counts.most_common(1)[0][0]
    if set(counts) == {1, 3}:
        messages.append(f"{counts[1]} gray and {counts[3]} colour images: gray ones are repeated to 3 channels.")
        return usual
    for name, scan in zip(files, scans, strict=True):
        if scan.channels not in (0, usual):
            text = f"{pluralise(scan.channels, 'channel')}, but most images have {usual}"
            problems.append(Problem(file=name, kind="mixed channels", text=text))
    return usual


def digest(array: Num[np.ndarray, "..."]) -> str:
    """Return the SHA-256 of the shape, data type and values of an array."""
    sha256 = hashlib.sha256(f"{array.shape}{array.dtype}".encode())
    sha256.update(np.ascontiguousarray(array).data)
    return sha256.hexdigest()


def image_descriptor(pixels: Num[np.ndarray, "channels height width"]) -> Float32[np.ndarray, "32 32"]:
    """Return high-pass filtered 32 x 32 area means, scaled to length 1; zeros for a constant image."""
    gray = pixels.mean(0, dtype=np.float32)
    cells = _area_means(_area_means(gray).T).T
    fine = cells - ndimage.uniform_filter(cells, 5, mode="reflect")
    length = float(np.linalg.norm(fine))
    flat = length <= 1e-3 * float(np.abs(cells).max(initial=0)) or length == 0
    return np.zeros((SIDE, SIDE), np.float32) if flat else (fine / length).astype(np.float32)


def _area_means(rows: Float[np.ndarray, "size width"]) -> Float64[np.ndarray, "32 width"]:
    """Return the means of 32 equal bands of rows; exact for fractions of rows, so that flips and scales agree."""
    if len(rows) < 2 * SIDE:  # so that every band has a full row
        rows = np.repeat(rows, math.ceil(2 * SIDE / len(rows)), axis=0)
    edges = np.linspace(0, len(rows), SIDE + 1)
    whole = edges.astype(int)
    up_to = np.zeros((SIDE + 1, rows.shape[1]))  # sums of all rows before each edge
    up_to[1:] = np.cumsum([rows[a:b].sum(0, dtype=np.float64) for a, b in pairwise(whole)], axis=0)
    up_to[:-1] += rows[whole[:-1]] * (edges - whole)[:-1, None]
    return np.diff(up_to, axis=0) * (SIDE / len(rows))


def measure_values(mask: MaskImage) -> MaskValues:
    """Return the values of a mask with their pixel counts and connected components."""
    values = pack(mask.values)
    unique, counts = np.unique_counts(values) if values.size > 1 << 26 else _count(values)
    unique, counts = unique[:_MAX_VALUES], counts[:_MAX_VALUES]
    palette = mask.palette or {}
    return MaskValues(
        values=tuple(unique.tolist()),
        counts=tuple(counts.tolist()),
        regions=tuple(count_regions(values, unique).tolist()) if len(unique) > 2 else (0,) * len(unique),
        interior=_interior_pixels(values, unique) if len(unique) > 2 else 0,
        coloured=mask.values.ndim == 3,
        lossy=mask.lossy,
        palette=tuple((value, palette[value]) for value in unique.tolist() if value in palette),
        digest=digest(values),
    )


def pack(values: Num[np.ndarray, "height width *colours"]) -> Int64[np.ndarray, "height width"]:
    """Return mask values as one integer per pixel, colours packed as ``r << 16 | g << 8 | b``."""
    wide = values.astype(np.int64)
    return wide if wide.ndim == 2 else wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]


def count_regions(
    values: Int64[np.ndarray, "height width"], unique: Int64[np.ndarray, " values"]
) -> Int64[np.ndarray, " values"]:
    """Return the number of connected components (8 neighbours) of each value except 0, the background."""
    from skimage.measure import label

    dense = np.searchsorted(unique, values).astype(np.int32) + 1
    if unique[0] == 0:
        dense[values == 0] = 0
    regions = np.asarray(label(dense, background=0, connectivity=2))
    first = np.zeros(int(regions.max()) + 1, np.int64)
    first[regions.ravel()] = dense.ravel()
    return np.bincount(first[1:], minlength=len(unique) + 1)[1:].astype(np.int64)


def _interior_pixels(values: Int64[np.ndarray, "height width"], unique: Int64[np.ndarray, " values"]) -> int:
    between = (values != unique[0]) & (values != unique[-1])
    return int(ndimage.minimum_filter(between, 5, mode="constant", cval=0).sum())


def _count(values: Int64[np.ndarray, "height width"]) -> tuple[np.ndarray, np.ndarray]:
    """Return unique values and counts; small values are counted without sorting."""
    if values.size and int(values.min()) >= 0 and int(values.max()) < 1 << 20:
        counts = np.bincount(values.ravel())
        unique = np.flatnonzero(counts).astype(np.int64)
        return unique, counts[unique]
    return np.unique(values, return_counts=True)


def _compare_pair(pair: Pair, pixels: np.ndarray, mask: MaskImage) -> list[Issue]:
    size, size_of_mask = pixels.shape[1:], mask.values.shape[:2]
    if size != size_of_mask:
        return [Issue(kind="size mismatch", text=_describe_sizes(pair, size, size_of_mask))]
    if not isinstance(pair.annotation, MaskFile):
        return []
    other = mask.values if mask.values.ndim == 2 else np.moveaxis(mask.values, -1, 0)
    image = pixels[0] if other.ndim == 2 else pixels
    if other.shape == image.shape and np.array_equal(other, image) and (other != other.flat[0]).any():
        return [Issue(kind="mask is the image", text=f"{pair.annotation.path.name} has the same pixels as the image")]
    return []


def _describe_sizes(pair: Pair, size: tuple[int, ...], mask: tuple[int, ...]) -> str:
    """Return both sizes, with the probable cause of the difference."""
    text = f"image {size[0]} x {size[1]}, mask {mask[0]} x {mask[1]} (height x width)"
    if mask == size[::-1]:
        files = (pair.image, *files_of_annotation(pair.annotation))
        reoriented = any(probe(path).reoriented for path in files)
        cause = "only one of them has an EXIF orientation" if reoriented else "one of them is transposed"
        return f"{text}: {cause}"
    larger, smaller = max(size, mask), min(size, mask)
    if all(smaller) and larger[0] % smaller[0] == 0 and larger[0] // smaller[0] == larger[1] / smaller[1]:
        name = "the image" if size == larger else "the mask"
        return f"{text}: {name} is larger by a factor of {larger[0] // smaller[0]}"
    return text
