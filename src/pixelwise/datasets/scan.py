"""Scan one image and its mask, in a worker: sizes, values, regions, and a descriptor for near duplicates.

The similarity of two images is the correlation of their descriptors: 32 x 32 area means minus their local mean, scaled
to length 1. Re-encoding and resizing keep it near 1; neighbouring slices and video frames are clearly below.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32, Float64, Num
from scipy import ndimage

from pixelwise.datasets.folder_layout import Pair
from pixelwise.datasets.masks.measure import MaskValues, digest, measure_values
from pixelwise.datasets.problems import Problem
from pixelwise.errors import BadImage
from pixelwise.io.read import MaskImage, probe, read_image, read_mask
from pixelwise.text import pluralise

SIDE = 32


@dataclass(frozen=True, kw_only=True)
class Issue:
    """A problem of one file: its kind (see `problems.KINDS`) and what was found."""

    kind: str
    text: str


@dataclass(frozen=True, kw_only=True)
class ImageScan:
    """The result for one pair or one image; unreadable files are None and have an issue."""

    channels: int = 0
    dtype: str = ""
    size: tuple[int, int] | None = None
    mask_size: tuple[int, int] | None = None
    digest: str = ""
    descriptor: bytes = b""
    mask: MaskValues | None = None
    issues: tuple[Issue, ...] = ()
    notes: tuple[str, ...] = ()


def scan_pair(task: tuple[Pair, int | None]) -> ImageScan:
    """Scan one pair; `task` is the pair and the number of TIFF pages that are channels."""
    pair, pages = task
    issues: list[Issue] = []
    pixels: np.ndarray | None = None
    mask: MaskImage | None = None
    notes: tuple[str, ...] = ()
    try:
        image = read_image(pair.image, pages=pages)
        pixels, notes = image.pixels, image.warnings
    except BadImage as error:
        issues.append(Issue(kind="unreadable image", text=f"{error.got}; {error.hint}"))
    try:
        mask = read_mask(pair.mask)
    except BadImage as error:
        kind = "float mask" if error.expected.startswith("whole numbers") else "unreadable mask"
        issues.append(Issue(kind=kind, text=f"its mask {pair.mask.name} contains {error.got}"))
    if pixels is not None and mask is not None:
        issues += _compare_pair(pair, pixels, mask)
    return ImageScan(
        channels=0 if pixels is None else pixels.shape[0],
        dtype="" if pixels is None else str(pixels.dtype),
        size=None if pixels is None else (pixels.shape[1], pixels.shape[2]),
        mask_size=None if mask is None else (mask.values.shape[0], mask.values.shape[1]),
        digest="" if pixels is None else digest(pixels),
        descriptor=b"" if pixels is None else image_descriptor(pixels).tobytes(),
        mask=None if mask is None else measure_values(mask, _fitting(pixels, mask)),
        issues=tuple(issues),
        notes=notes,
    )


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


def _fitting(pixels: np.ndarray | None, mask: MaskImage) -> np.ndarray | None:
    """Return the pixels if the mask has their size."""
    return pixels if pixels is not None and pixels.shape[1:] == mask.values.shape[:2] else None


def _compare_pair(pair: Pair, pixels: np.ndarray, mask: MaskImage) -> list[Issue]:
    size, size_of_mask = pixels.shape[1:], mask.values.shape[:2]
    if size != size_of_mask:
        return [Issue(kind="size mismatch", text=_describe_sizes(pair, size, size_of_mask))]
    other = mask.values if mask.values.ndim == 2 else np.moveaxis(mask.values, -1, 0)
    image = pixels[0] if other.ndim == 2 else pixels
    if other.shape == image.shape and np.array_equal(other, image) and (other != other.flat[0]).any():
        return [Issue(kind="mask is the image", text=f"{pair.mask.name} has the same pixels as the image")]
    return []


def _describe_sizes(pair: Pair, size: tuple[int, ...], mask: tuple[int, ...]) -> str:
    """Return both sizes, with the probable cause of the difference."""
    text = f"image {size[0]} x {size[1]}, mask {mask[0]} x {mask[1]} (height x width)"
    if mask == size[::-1]:
        reoriented = probe(pair.image).reoriented or probe(pair.mask).reoriented
        cause = "only one of them has an EXIF orientation" if reoriented else "one of them is transposed"
        return f"{text}: {cause}"
    larger, smaller = max(size, mask), min(size, mask)
    if all(smaller) and larger[0] % smaller[0] == 0 and larger[0] // smaller[0] == larger[1] / smaller[1]:
        name = "the image" if size == larger else "the mask"
        return f"{text}: {name} is larger by a factor of {larger[0] // smaller[0]}"
    return text
