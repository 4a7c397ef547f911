"""Scan one image and its mask, in a worker: sizes, values, regions, and a descriptor for near duplicates.

The similarity of two images is the correlation of their descriptors: 32 x 32 area means minus their local mean, scaled
to length 1. Re-encoding and resizing keep it near 1; neighbouring slices and video frames are clearly below.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Float64, Int64, Num
from scipy import ndimage

from pixelwise.datasets.annotation_values import AnnotationValues, find_place, moved, read_values, resized
from pixelwise.datasets.annotations import Annotation, MaskFile, Shapes, files_of_annotation
from pixelwise.datasets.folder_layout import Pair
from pixelwise.datasets.images.alpha import alpha_is_mask, is_constant, is_cut_out
from pixelwise.datasets.images.channel_files import read_stored
from pixelwise.datasets.images.image_kind import image_kind
from pixelwise.datasets.images.missing_pixels import channel_mean, edge_agreement, undeclared_nodata
from pixelwise.datasets.masks.measure import MaskValues, digest, measure_values
from pixelwise.datasets.masks.measure_volume import measure_volume
from pixelwise.errors import BadImage
from pixelwise.geometry.grid import Grid, Turn
from pixelwise.io.georeference import Georeference
from pixelwise.io.images import interleave, is_interleaved
from pixelwise.io.read import (
    ALPHA_IS_DATA,
    CHANNELS_ARE_CLASSES,
    SEGMENTS_ARE_CLASSES,
    Image,
    MaskImage,
    ReadOptions,
    probe,
    read_image,
)
from pixelwise.labels.byte_histogram import MAX_SUMMED, sum_bytes

SIDE = 32
_APART = 16  # rows
_LARGE = 1e30  # sums of larger values would not fit in float32


@dataclass(frozen=True, kw_only=True)
class Issue:
    """A problem of one file: its kind (see `problems.KINDS`) and what was found."""

    kind: str
    text: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Decoded:
    """A decoded pair, or a decoded image without an annotation; `objects` is that of `ScanOptions`.

    `measured` are the values of the mask, and `digest` is that of the pixels.
    """

    name: str = ""
    path: Path
    image: Image
    annotation: Annotation | None = None
    values: AnnotationValues | None = None
    measured: MaskValues | None = None
    digest: str = ""
    objects: bool = False

    @property
    def size(self) -> int:
        """Bytes in memory."""
        return self.image.pixels.nbytes + (0 if self.values is None else self.values.mask.values.nbytes)


@dataclass(frozen=True, kw_only=True)
class ScanOptions:
    """How pairs are read: TIFF pages as channels, class names of the annotations, and whether they are objects.

    `both_orientations`: images with an EXIF orientation are also scanned as they are stored. `detailed` is that of
    `measure_values`. `observe` gets what was decoded. `alpha_masks`: masks are the alpha channels of their files.
    `resize_masks` is that of `DataOptions`.
    """

    pages: int | None = None
    classes: tuple[str, ...] = ()
    objects: bool = False
    read: ReadOptions = field(default_factory=ReadOptions)
    both_orientations: bool = False
    detailed: bool = True
    observe: Callable[[Decoded], None] | None = None
    alpha_masks: bool = False
    resize_masks: bool = False


@dataclass(frozen=True, kw_only=True)
class ImageScan:
    """The result for one pair or one image; unreadable files are None and have an issue.

    `kind` is that of `image_kind`. `overlap` is the number of pixels in several masks of the image; `alpha`, `missing`
    and `bands_last` are those of `io.read.Image`, `alpha_is_mask` is that of `images.alpha`. `resized`: the mask was,
    to `size`, or moved by `place`, as in `MaskFile`; `uncovered` is the fraction of pixels whose value is unknown.
    `reoriented`: the image or its mask has an orientation; `edges`: how much stronger the edges of such an image are
    along those of its mask; `stored`: its scan without the orientation. `undeclared` is that of `undeclared_nodata`.
    `grid` and `orientation` are those of a volume, the latter as it is stored; `georeference` is that of a map.
    """

    channels: int = 0
    dtype: str = ""
    size: tuple[int, ...] | None = None
    mask_size: tuple[int, ...] | None = None
    digest: str = ""
    descriptor: bytes = b""
    kind: str = ""
    mask: MaskValues | None = None
    overlap: int = 0
    issues: tuple[Issue, ...] = ()
    notes: tuple[str, ...] = ()
    alpha: str = ""
    alpha_is_mask: bool = False
    resized: bool = False
    place: Georeference | Turn | None = None
    uncovered: float = 0.0
    missing: float = 0.0
    bands_last: bool = False
    reoriented: bool = False
    edges: float = 0.0
    stored: "ImageScan | None" = None
    undeclared: float | None = None
    grid: Grid | None = None
    orientation: str = ""
    georeference: Georeference | None = None


def scan_pair(task: tuple[Pair, ScanOptions]) -> ImageScan:
    """Scan one pair; `task` is the pair and how it is read."""
    pair, options = task
    scan = _scan_as(pair, options)
    if not scan.reoriented or not options.both_orientations:
        return scan
    as_stored = replace(options, read=replace(options.read, exif="ignore"), observe=None)
    return replace(scan, stored=_scan_as(pair, as_stored))


def _scan_as(pair: Pair, options: ScanOptions) -> ImageScan:
    issues: list[Issue] = []
    image, pixels = None, None
    read: AnnotationValues | None = None
    try:
        image = _read_image(pair, options)
        pixels = image.pixels
    except BadImage as error:
        pages = ". Or as images of their own with --format pages" if error.got.startswith("a stack") else ""
        issues.append(Issue(kind="unreadable image", text=f"{_reason(error)}{pages}"))
    try:
        read, stated = _read_annotation(pair, pixels, options)
        if pixels is not None and stated is not None and stated != pixels.shape[1:]:
            issues.append(Issue(kind="size mismatch", text=_describe_sizes(pair, pixels.shape[1:], stated)))
    except BadImage as error:
        kind = "float mask" if error.expected.startswith("whole numbers") else "unreadable mask"
        issues.append(Issue(kind=kind, text=f"its mask {Path(error.path or '').name} contains {error.got}"))
    if read is not None and _has_undeclared_nan(read.mask, options):
        name, share = Path(*files_of_annotation(pair.annotation)[:1]).name, 100 * read.mask.undeclared
        issues.append(Issue(kind="NaN in a mask", text=f"{share:.2g} % of its mask {name} is NaN"))
    if image is not None and read is not None and isinstance(pair.annotation, MaskFile):
        read, pair, text = _moved(image, read, pair, pair.annotation)
        issues += [Issue(kind="geometry mismatch", text=text)] if text else []
    size = None if pixels is None or pixels.ndim != 3 else pixels.shape[1:]
    if options.resize_masks and size is not None and read is not None and is_rescaled(size, read.mask.size):
        read = resized(read, size)
        pair = replace(pair, annotation=replace(pair.annotation, size=size))
    mask = read.mask if read is not None else None
    if image is not None and mask is not None:
        issues += _compare_pair(pair, image, mask, options)
    scan = ImageScan() if image is None else _scan_pixels(image)
    measured = None if mask is None else _measure(mask, image, options)
    if image is not None and read is not None and options.observe is not None:
        options.observe(
            Decoded(
                name=pair.name,
                path=pair.image,
                image=image,
                annotation=pair.annotation,
                values=read,
                measured=measured,
                digest=scan.digest,
                objects=options.objects,
            )
        )
    reoriented = scan.reoriented or (mask is not None and mask.reoriented)
    turned = reoriented or options.read.exif == "ignore"
    return replace(
        scan,
        reoriented=reoriented,
        mask_size=None if mask is None else mask.size,
        mask=measured,
        overlap=0 if read is None else read.overlap,
        resized=isinstance(pair.annotation, MaskFile) and pair.annotation.size is not None,
        place=pair.annotation.place if isinstance(pair.annotation, MaskFile) else None,
        uncovered=0.0 if read is None or read.ignored is None else float(read.ignored.mean()),
        alpha_is_mask=image is not None and mask is not None and alpha_is_mask(image, mask),
        notes=(*scan.notes, *_mask_notes(mask)),
        issues=tuple(issues),
        edges=_edges(image, mask) if turned and scan.grid is None else 0.0,
    )


def _moved(
    image: Image, read: AnnotationValues, pair: Pair, annotation: MaskFile
) -> tuple[AnnotationValues, Pair, str]:
    """Return the values of a mask moved onto its image if it lies elsewhere, how the pair is read, and an issue."""
    place = find_place(image, read.mask)
    if place is None:
        return read, pair, ""
    size = image.pixels.shape[1:]
    read = moved(read, size, place)
    if read.ignored is not None and read.ignored.all():
        return read, pair, "the mask covers no pixel of its image: its coordinates are elsewhere"
    return read, replace(pair, annotation=replace(annotation, size=size, place=place)), ""


def _mask_notes(mask: MaskImage | None) -> list[str]:
    """Return what was decided about the channels of a mask."""
    decisions = (CHANNELS_ARE_CLASSES, SEGMENTS_ARE_CLASSES)
    return [] if mask is None else [note for note in mask.warnings if note.startswith(decisions)]


def _scan_pixels(image: Image) -> ImageScan:
    pixels = image.pixels
    return ImageScan(
        channels=pixels.shape[0],
        dtype=image.dtype,
        size=pixels.shape[1:],
        digest=digest(pixels),
        descriptor=image_descriptor(pixels).tobytes(),
        kind=image_kind(pixels),
        notes=tuple(note for note in image.warnings if note != ALPHA_IS_DATA),
        alpha=image.alpha,
        missing=image.missing,
        bands_last=image.bands_last,
        reoriented=image.reoriented,
        undeclared=undeclared_nodata(pixels),
        grid=image.grid,
        orientation=image.stored_orientation,
        georeference=image.georeference,
    )


def _measure(mask: MaskImage, image: Image | None, options: ScanOptions) -> MaskValues:
    fits = image is not None and image.pixels.shape[1:] == mask.size and (options.detailed or mask.grid is not None)
    gray = channel_mean(image.pixels)[None] if image is not None and fits else None
    volume = mask.grid is not None
    measured = measure_volume(mask.values, gray) if volume else measure_values(mask, gray, detailed=options.detailed)
    undeclared = _has_undeclared_nan(mask, options)
    return replace(measured, nodata=mask.nodata, undeclared=undeclared, names=mask.names)


def _edges(image: Image | None, mask: MaskImage | None) -> float:
    return 0.0 if image is None or mask is None else edge_agreement(image.pixels, mask.values)


def _read_image(pair: Pair, options: ScanOptions) -> Image:
    """Read the image of a pair; a stack of pages as bands if it then has the size of its mask."""
    try:
        return read_stored(pair.image, pair.channel_files, options.pages, options=options.read, interleaved=True)
    except BadImage as error:
        if not error.got.startswith("a stack") or not isinstance(pair.annotation, MaskFile):
            raise
        try:
            header = probe(pair.annotation.path, options.read.exif)
        except BadImage:
            raise error from None
        size = header.height, header.width
        if header.depth is not None:
            raise
        return read_stored(pair.image, pair.channel_files, options.pages, size=size, options=options.read)


def _read_annotation(
    pair: Pair, pixels: np.ndarray | None, options: ScanOptions
) -> tuple[AnnotationValues | None, tuple[int, ...] | None]:
    """Read the annotation of a pair, and the size that it states; shapes are drawn only at the size of their image."""
    if pixels is not None and pixels.ndim == 4 and isinstance(pair.annotation, Shapes):
        hint = "Save the labels of each volume as one volume, or as one per class."
        raise BadImage("a label volume", "outlines", hint, pair.image)
    size = None if pixels is None else pixels.shape[1:]
    stated = pair.annotation.size if isinstance(pair.annotation, Shapes) else None
    drawable = size is not None and stated in (None, size)
    if not drawable and not isinstance(pair.annotation, MaskFile):
        return None, stated
    volumes = options.read.volumes or (pixels is not None and pixels.ndim == 4)
    return read_values(
        pair.annotation,
        options.classes,
        objects=options.objects,
        size=size,
        exif=options.read.exif,
        volumes=volumes,
    ), stated


def _reason(error: BadImage) -> str:
    """Return what is wrong with a file and what to do, without the last period: more follows."""
    return f"{error.got}; {error.hint.removesuffix('.')}"


def scan_image(task: tuple[Path, ScanOptions]) -> ImageScan:
    """Scan one image without a mask; `task` is its path and how it is read."""
    path, options = task
    try:
        image = read_image(path, pages=options.pages, options=options.read, interleaved=True)
    except BadImage as error:
        return ImageScan(issues=(Issue(kind="unreadable image", text=_reason(error)),))
    if image.grid is not None:
        text = "a volume; classes are learned from images of two dimensions"
        return ImageScan(issues=(Issue(kind="unreadable image", text=text),))
    scan = _scan_pixels(image)
    if options.observe is not None:
        options.observe(Decoded(path=path, image=image, digest=scan.digest))
    return scan


def image_descriptor(pixels: Num[np.ndarray, " channels *space"]) -> Float32[np.ndarray, "32 32"]:
    """Return high-pass filtered 32 x 32 area means, scaled to length 1; zeros for a constant image.

    Of a volume they are those of the slice in the middle.
    """
    plane = pixels[:, pixels.shape[1] // 2] if pixels.ndim == 4 else pixels
    if plane.dtype == np.uint8 and len(plane) > 1 and is_interleaved(plane):
        lines = _area_means(interleave(plane).reshape(plane.shape[1], -1))
        cells = _area_means(np.add.reduce([lines[:, channel :: len(plane)] for channel in range(len(plane))]).T).T
    elif plane.dtype == np.uint8 and len(plane) <= MAX_SUMMED:  # their sum is exact, and has half the size
        cells = _area_means(_area_means(plane.sum(0, dtype=np.uint16) if len(plane) > 1 else plane[0]).T).T
    else:
        cells = _area_means(_area_means(channel_mean(plane)).T).T
    fine = cells - ndimage.uniform_filter(cells, 5, mode="reflect")
    length = float(np.linalg.norm(fine))
    flat = length <= 1e-3 * float(np.abs(cells).max(initial=0)) or length == 0
    return np.zeros((SIDE, SIDE), np.float32) if flat else (fine / length).astype(np.float32)


def _area_means(rows: Num[np.ndarray, "size width"]) -> Float64[np.ndarray, "32 width"]:
    """Return the means of 32 equal bands of rows; exact for fractions of rows, so that flips and scales agree."""
    if len(rows) < 2 * SIDE:  # so that every band has a full row
        rows = np.repeat(rows, math.ceil(2 * SIDE / len(rows)), axis=0)
    edges = np.arange(SIDE + 1) * (len(rows) / SIDE)
    whole = edges.astype(int)
    bands = _sum_bands(rows, whole)
    if len(rows) % SIDE == 0:
        return bands.astype(np.float64) * (SIDE / len(rows))
    up_to = np.zeros((SIDE + 1, rows.shape[1]))  # sums of all rows before each edge
    up_to[1:] = np.cumsum(bands, axis=0, dtype=np.float64)
    up_to[:-1] += rows[whole[:-1]] * (edges - whole)[:-1, None]
    return np.diff(up_to, axis=0) * (SIDE / len(rows))


def _sum_bands(rows: Num[np.ndarray, "size width"], edges: Int64[np.ndarray, "33"]) -> Num[np.ndarray, "32 width"]:
    """Return the sums of 32 bands of rows, between edges that are evenly spaced but for rounding."""
    height = int(np.diff(edges).min())
    first = edges[:-1]
    some = rows.reshape(SIDE, height, -1) if len(rows) == SIDE * height else rows[first[:, None] + np.arange(height)]
    longer = np.flatnonzero(np.diff(edges) > height)
    if rows.dtype == np.uint8 and height < MAX_SUMMED:
        bands = sum_bytes(some)
    else:
        kind = np.uint32 if rows.dtype.kind == "u" else rows.dtype
        if rows.dtype == np.float32 and not (float(rows.min()) > -_LARGE and float(rows.max()) < _LARGE):
            kind = np.float64
        bands = some.sum(1, dtype=kind)
    bands[longer] += rows[first[longer] + height]
    return bands


def _compare_pair(pair: Pair, stored: Image, mask: MaskImage, options: ScanOptions) -> list[Issue]:
    pixels = stored.pixels
    size, size_of_mask = pixels.shape[1:], mask.size
    if size != size_of_mask:
        return [Issue(kind="size mismatch", text=_describe_sizes(pair, size, size_of_mask))]
    if stored.grid is not None and mask.grid is not None and (text := stored.grid.difference(mask.grid, size)):
        return [Issue(kind="geometry mismatch", text=f"image and mask have {text}")]
    if not isinstance(pair.annotation, MaskFile) or options.alpha_masks or is_cut_out(stored, mask):
        return []
    other = np.moveaxis(mask.values, -1, 0) if mask.coloured else mask.values
    image = pixels if mask.coloured else pixels[0]
    if other.shape == image.shape and _are_equal(other, image) and (other != other.flat[0]).any():
        text = f"{pair.annotation.path.name} has the same pixels as the image"
        if mask.alpha is not None and not is_constant(mask.alpha):
            text += "; if its transparency is the mask: --mask-values alpha"
        return [Issue(kind="mask is the image", text=text)]
    return []


def _are_equal(one: Num[np.ndarray, "*shape"], other: Num[np.ndarray, "*shape"]) -> bool:
    """Return whether two arrays are equal; some rows mostly show that they are not."""
    some = np.s_[..., ::_APART, :]
    return np.array_equal(one[some], other[some]) and np.array_equal(one, other)


def _describe_sizes(pair: Pair, size: tuple[int, ...], mask: tuple[int, ...]) -> str:
    """Return both sizes, with the probable cause of the difference."""
    axes = "depth x height x width" if len(size) == 3 else "height x width"
    text = f"image {' x '.join(map(str, size))}, mask {' x '.join(map(str, mask))} ({axes})"
    if len(size) == len(mask) == 3 and sorted(size) == sorted(mask):
        return f"{text}: the same sides in another order, as if its header were not that of the volume"
    if len(size) != 2 or len(mask) != 2:
        return text
    if mask == size[::-1]:
        files = (pair.image, *files_of_annotation(pair.annotation))
        reoriented = any(probe(path).reoriented for path in files)
        cause = "only one of them has an EXIF orientation" if reoriented else "one of them is transposed"
        return f"{text}: {cause}"
    if is_rescaled(size, mask) and isinstance(pair.annotation, MaskFile):
        name, factor = ("image", size[0] / mask[0]) if size > mask else ("mask", mask[0] / size[0])
        return f"{text}: the {name} is larger by a factor of {factor:.3g}; --resize-masks scales the mask to its image"
    return text


def _has_undeclared_nan(mask: MaskImage, options: ScanOptions) -> bool:
    """Return whether a mask has NaN, and neither the file nor the user says what it stands for."""
    return mask.undeclared > 0 and options.read.nodata in (None, "none")


def is_rescaled(size: tuple[int, ...], mask: tuple[int, ...]) -> bool:
    """Return whether height and width of a mask are those of its image times a factor, but for rounding.

    >>> is_rescaled((299, 299), (256, 256)), is_rescaled((300, 200), (200, 150)), is_rescaled((20, 30), (20, 30))
    (True, False, False)
    """
    if size == mask or len(size) != 2 or len(mask) != 2 or not all((*size, *mask)):
        return False
    (low, high), (low_of_mask, high_of_mask) = sorted(size), sorted(mask)
    same_way = (size[0] >= size[1]) == (mask[0] >= mask[1]) or low == high or low_of_mask == high_of_mask
    large, small = max((high, low), (high_of_mask, low_of_mask)), min((high, low), (high_of_mask, low_of_mask))
    return same_way and abs(large[1] - small[1] * large[0] / small[0]) <= large[0] / small[0]
