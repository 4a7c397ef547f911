"""What one image and its mask hold, measured once, in a process of its own: sizes, values, geometry, likeness.

The likeness of two images is the correlation of their *sketches*: 32 x 32 area means without the coarse light
(the mean of each neighbourhood is taken off), scaled to length 1. Re-encoding and resizing keep it near 1;
neighbouring slices and video frames, which are different pictures of one thing, stay clearly below.
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

from pixelwise.datasets.folder_layout import Pair
from pixelwise.datasets.problems import Problem
from pixelwise.datasets.records import Colour
from pixelwise.errors import BadImage
from pixelwise.io.read import MaskImage, probe, read_image, read_mask
from pixelwise.text import pluralise

SKETCH = 32
MANY = 20  # values beyond which a mask is looked at for being a picture
_MOST_VALUES = 70_000  # kept per file: more than 16 bits hold


@dataclass(frozen=True, kw_only=True)
class Issue:
    """A kind of `records.KINDS` with what came."""

    kind: str
    text: str


@dataclass(frozen=True)
class Values:
    """What the pixels of one mask hold.

    Attributes
    ----------
    values, counts : tuple of int
        Each value and its number of pixels, rising; colours are packed as ``r << 16 | g << 8 | b``.
    regions : tuple of int
        Connected areas of each value (8 neighbours); 0 where they were not counted.
    core : int
        Pixels between the smallest and largest value, 2 pixels inside their area: none in smoothed edges.
    coloured, lossy : bool
    palette : tuple of (int, (int, int, int))
        Colours of the values that occur, where the file has a palette.
    """

    values: tuple[int, ...]
    counts: tuple[int, ...]
    regions: tuple[int, ...]
    core: int
    coloured: bool
    lossy: bool
    palette: tuple[tuple[int, Colour], ...]
    digest: str


@dataclass(frozen=True, kw_only=True)
class ImageScan:
    """What was measured on one pair, or on one image; what could not be read is None and stands among the faults."""

    channels: int = 0
    dtype: str = ""
    size: tuple[int, int] | None = None
    mask_size: tuple[int, int] | None = None
    digest: str = ""
    sketch: bytes = b""
    mask: Values | None = None
    faults: tuple[Issue, ...] = ()
    notes: tuple[str, ...] = ()


def scan_pair(task: tuple[Pair, int | None]) -> ImageScan:
    """Measure one pair; `task` is the pair and how many pages of a TIFF are channels."""
    pair, pages = task
    faults: list[Issue] = []
    pixels: np.ndarray | None = None
    mask: MaskImage | None = None
    notes: tuple[str, ...] = ()
    try:
        image = read_image(pair.image, pages=pages)
        pixels, notes = image.pixels, image.warnings
    except BadImage as error:
        faults.append(Issue(kind="unreadable image", text=f"{error.got}; {error.hint}"))
    try:
        mask = read_mask(pair.mask)
    except BadImage as error:
        kind = "float mask" if error.expected.startswith("whole numbers") else "unreadable mask"
        faults.append(Issue(kind=kind, text=f"its mask {pair.mask.name} holds {error.got}"))
    if pixels is not None and mask is not None:
        faults += _compare(pair, pixels, mask)
    return ImageScan(
        channels=0 if pixels is None else pixels.shape[0],
        dtype="" if pixels is None else str(pixels.dtype),
        size=None if pixels is None else (pixels.shape[1], pixels.shape[2]),
        mask_size=None if mask is None else (mask.values.shape[0], mask.values.shape[1]),
        digest="" if pixels is None else digest(pixels),
        sketch=b"" if pixels is None else sketch(pixels).tobytes(),
        mask=None if mask is None else measure_values(mask),
        faults=tuple(faults),
        notes=notes,
    )


def scan_image(task: tuple[Path, int | None]) -> ImageScan:
    """Measure one image without a mask; `task` is its path and how many pages of a TIFF are channels."""
    path, pages = task
    try:
        image = read_image(path, pages=pages)
    except BadImage as error:
        return ImageScan(faults=(Issue(kind="unreadable image", text=f"{error.got}; {error.hint}"),))
    pixels = image.pixels
    return ImageScan(
        channels=pixels.shape[0],
        dtype=str(pixels.dtype),
        size=(pixels.shape[1], pixels.shape[2]),
        digest=digest(pixels),
        sketch=sketch(pixels).tobytes(),
        notes=image.warnings,
    )


def agree_on_channels(
    files: Sequence[str], surveys: Sequence[ImageScan], problems: list[Problem], messages: list[str]
) -> int:
    """Return the channels that all images get; report images that cannot be given them."""
    counts = Counter(seen.channels for seen in surveys if seen.channels)
    depths = Counter(seen.dtype for seen in surveys if seen.dtype)
    if len(depths) > 1:
        shown = ", ".join(f"{count} {kind}" for kind, count in depths.most_common())
        problems.append(Problem(file="images", kind="mixed depths", text=shown, fatal=False))
    if not counts:
        return 1
    usual = 3 if set(counts) == {1, 3} else counts.most_common(1)[0][0]
    if set(counts) == {1, 3}:
        messages.append(f"{counts[1]} gray and {counts[3]} colour images: gray ones are repeated to 3 channels.")
        return usual
    for name, seen in zip(files, surveys, strict=True):
        if seen.channels not in (0, usual):
            text = f"{pluralise(seen.channels, 'channel')} where most have {usual}"
            problems.append(Problem(file=name, kind="mixed channels", text=text))
    return usual


def digest(array: Num[np.ndarray, "..."]) -> str:
    """Return the SHA-256 of an array's shape, type and values."""
    mark = hashlib.sha256(f"{array.shape}{array.dtype}".encode())
    mark.update(np.ascontiguousarray(array).data)
    return mark.hexdigest()


def sketch(pixels: Num[np.ndarray, "channels height width"]) -> Float32[np.ndarray, "32 32"]:
    """Return the picture's fine light and dark on 32 x 32 fields, of length 1; zeros for a flat picture."""
    gray = pixels.mean(0, dtype=np.float32)
    fields = _area_means(_area_means(gray).T).T
    fine = fields - ndimage.uniform_filter(fields, 5, mode="reflect")
    length = float(np.linalg.norm(fine))
    flat = length <= 1e-3 * float(np.abs(fields).max(initial=0)) or length == 0
    return np.zeros((SKETCH, SKETCH), np.float32) if flat else (fine / length).astype(np.float32)


def _area_means(rows: Float[np.ndarray, "size width"]) -> Float64[np.ndarray, "32 width"]:
    """Return the means of 32 equal fields of rows; exact on fractions of rows, so that flips and scales agree."""
    if len(rows) < 2 * SKETCH:  # every field has a row of its own then
        rows = np.repeat(rows, math.ceil(2 * SKETCH / len(rows)), axis=0)
    edges = np.linspace(0, len(rows), SKETCH + 1)
    whole = edges.astype(int)
    up_to = np.zeros((SKETCH + 1, rows.shape[1]))  # sums of all rows before each edge
    up_to[1:] = np.cumsum([rows[a:b].sum(0, dtype=np.float64) for a, b in pairwise(whole)], axis=0)
    up_to[:-1] += rows[whole[:-1]] * (edges - whole)[:-1, None]
    return np.diff(up_to, axis=0) * (SKETCH / len(rows))


def measure_values(mask: MaskImage) -> Values:
    """List the values of a mask with their pixels and connected areas."""
    values = pack(mask.values)
    found, counts = np.unique_counts(values) if values.size > 1 << 26 else _count(values)
    found, counts = found[:_MOST_VALUES], counts[:_MOST_VALUES]
    palette = mask.palette or {}
    return Values(
        values=tuple(found.tolist()),
        counts=tuple(counts.tolist()),
        regions=tuple(count_regions(values, found).tolist()) if len(found) > 2 else (0,) * len(found),
        core=_core(values, found) if len(found) > 2 else 0,
        coloured=mask.values.ndim == 3,
        lossy=mask.lossy,
        palette=tuple((value, palette[value]) for value in found.tolist() if value in palette),
        digest=digest(values),
    )


def pack(values: Num[np.ndarray, "height width *colours"]) -> Int64[np.ndarray, "height width"]:
    """Return mask values as one integer per pixel, colours packed as ``r << 16 | g << 8 | b``."""
    wide = values.astype(np.int64)
    return wide if wide.ndim == 2 else wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]


def count_regions(
    values: Int64[np.ndarray, "height width"], found: Int64[np.ndarray, " values"]
) -> Int64[np.ndarray, " values"]:
    """Count the connected areas (8 neighbours) of each value, 0 left out: it is the ground."""
    from skimage.measure import label

    dense = np.searchsorted(found, values).astype(np.int32) + 1
    if found[0] == 0:
        dense[values == 0] = 0
    regions = np.asarray(label(dense, background=0, connectivity=2))
    first = np.zeros(int(regions.max()) + 1, np.int64)
    first[regions.ravel()] = dense.ravel()
    return np.bincount(first[1:], minlength=len(found) + 1)[1:].astype(np.int64)


def _core(values: Int64[np.ndarray, "height width"], found: Int64[np.ndarray, " values"]) -> int:
    between = (values != found[0]) & (values != found[-1])
    return int(ndimage.minimum_filter(between, 5, mode="constant", cval=0).sum())


def _count(values: Int64[np.ndarray, "height width"]) -> tuple[np.ndarray, np.ndarray]:
    """Count values without sorting where they are small."""
    if values.size and int(values.min()) >= 0 and int(values.max()) < 1 << 20:
        counts = np.bincount(values.ravel())
        found = np.flatnonzero(counts).astype(np.int64)
        return found, counts[found]
    return np.unique(values, return_counts=True)


def _compare(pair: Pair, pixels: np.ndarray, mask: MaskImage) -> list[Issue]:
    size, size_of_mask = pixels.shape[1:], mask.values.shape[:2]
    if size != size_of_mask:
        return [Issue(kind="size mismatch", text=_why_sizes_differ(pair, size, size_of_mask))]
    other = mask.values if mask.values.ndim == 2 else np.moveaxis(mask.values, -1, 0)
    same = pixels[0] if other.ndim == 2 else pixels
    if other.shape == same.shape and np.array_equal(other, same) and (other != other.flat[0]).any():
        return [Issue(kind="mask is the image", text=f"{pair.mask.name} holds the same pixels as the image")]
    return []


def _why_sizes_differ(pair: Pair, size: tuple[int, ...], mask: tuple[int, ...]) -> str:
    """Say both sizes and the cause, where it can be seen."""
    text = f"image {size[0]} x {size[1]}, mask {mask[0]} x {mask[1]} (height x width)"
    if mask == size[::-1]:
        turned = probe(pair.image).turned or probe(pair.mask).turned
        cause = "an EXIF turn was applied to only one of them" if turned else "one of them is transposed"
        return f"{text}: {cause}"
    larger, smaller = max(size, mask), min(size, mask)
    if all(smaller) and larger[0] % smaller[0] == 0 and larger[0] // smaller[0] == larger[1] / smaller[1]:
        where = "the image" if size == larger else "the mask"
        return f"{text}: {where} is larger by {larger[0] // smaller[0]}"
    return text
