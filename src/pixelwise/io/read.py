"""The entry point for image files: `read_image`, `read_mask`, `probe` and the writers.

Samples are interpreted by metadata, never by shape alone. Every failure is a `BadImage` with the file name, the problem
and a hint. Files are decoded in `decode`, and written in `write`.
"""

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Integer, Num, Shaped

from pixelwise.errors import BadImage, printable
from pixelwise.geometry.grid import VOLUME_AXES, Grid
from pixelwise.io.decode import check_pages, is_stack, read_header, read_samples
from pixelwise.io.georeference import Georeference
from pixelwise.io.headers import MAX_PIXELS, Header, open_image_file
from pixelwise.io.images import Image, ImageInfo, MaskImage, Orientation, ReadOptions
from pixelwise.io.sample_values import (
    MISSING,
    alpha_kind,
    apply_palette,
    invert,
    number_missing,
    one_hot_numbers,
    to_integers,
    to_pixels,
)
from pixelwise.io.volumes.itk import read_segments
from pixelwise.io.volumes.names import VOLUME_SUFFIXES
from pixelwise.io.volumes.read import FILE_FORMATS, folder_format, read_volume_header
from pixelwise.io.volumes.segments import number_segments
from pixelwise.io.volumes.slices import slice_files, stack_images, stack_masks
from pixelwise.io.volumes.stack import stack_grid
from pixelwise.io.volumes.volume import Volume, VolumeHeader
from pixelwise.io.write import gif_bytes, mask_bytes, png_bytes, write_image, write_labels, write_mask
from pixelwise.io.zarr import is_zarr_image
from pixelwise.text import pluralise

__all__ = [
    "ALPHA_IS_DATA",
    "CHANNELS_ARE_CLASSES",
    "MAX_PIXELS",
    "ONE_OF_EQUAL",
    "SEGMENTS_ARE_CLASSES",
    "SUFFIXES",
    "Image",
    "ImageInfo",
    "MaskImage",
    "Orientation",
    "ReadOptions",
    "check_pages",
    "gif_bytes",
    "is_gray",
    "is_image_folder",
    "is_volume_folder",
    "mask_bytes",
    "place_of",
    "png_bytes",
    "probe",
    "read_header",
    "read_image",
    "read_mask",
    "read_place",
    "volume_format",
    "write_image",
    "write_labels",
    "write_mask",
]

ALPHA_IS_DATA = "the alpha channel, which is no transparency, was dropped"
ONE_OF_EQUAL = "gray, saved as RGB: one of the 3 equal channels is read"
SEGMENTS_ARE_CLASSES = "the segments of 3D Slicer are numbered"
CHANNELS_ARE_CLASSES = "the mask has a channel per class, numbered from 1"
_ALPHA_NOTES = {
    "constant": "the alpha channel was dropped",
    "transparency": "transparency was ignored",
    "data": ALPHA_IS_DATA,
}
_SMALL_NUMBER = 8  # the smallest number in a mask with numbers in its red channel, at most
_BRIGHT = 255  # a mask with smooth edges has this value of red too
_LOSSY_GRAY = 16  # largest difference between the channels of a gray image that was saved as colour JPEG

SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".ppm", ".pgm", ".pbm", ".tif", ".tiff", ".jp2", ".avif",
    *VOLUME_SUFFIXES,
)  # fmt: skip


def probe(path: Path, exif: Orientation = "apply", *, volumes: bool = False) -> ImageInfo:
    """Read only the header; `volumes` is that of `ReadOptions`.

    Raises
    ------
    BadImage
        The file is not a supported image. Damage after the header is not detected.
    """
    if files := slice_files(path):
        first = probe(files[0], exif)
        return replace(first, depth=len(files), grid=Grid(axes=VOLUME_AXES, spacing=(1.0, 1.0, 1.0)))
    if (kind := folder_format(path)) is not None:
        return _volume_info(read_volume_header(path, kind))
    file, kind = open_image_file(path)
    with closing(file):
        if kind in FILE_FORMATS:
            return _volume_info(read_volume_header(path, kind))
        header = read_header(file, kind, path)
    height, width = header.height, header.width
    if header.orientation >= 5 and exif == "apply":
        height, width = width, height
    return ImageInfo(
        format=header.format,
        channels=3 if header.palette is not None else header.channels - header.alpha,
        height=height,
        width=width,
        dtype=header.dtype,
        pages=header.pages,
        palette=header.palette is not None,
        reoriented=header.orientation != 1,
        depth=header.pages if is_stack(header, None, volumes) else None,
        grid=stack_grid(header) if is_stack(header, None, volumes) else None,
    )


def volume_format(path: Path) -> str | None:
    """Return the format of a volume whose grid a result can keep, such as "NIfTI"; None for planes and stacks of them.

    Raises
    ------
    BadImage
        Not an image.
    """
    if slice_files(path):
        return None
    if (kind := folder_format(path)) is not None:
        return kind
    file, kind = open_image_file(path)
    file.close()
    return kind if kind in FILE_FORMATS else None


def is_volume_folder(path: Path) -> bool:
    """Return whether a folder is one volume: OME-Zarr with an axis z, or a DICOM series."""
    try:
        return folder_format(path) is not None
    except (BadImage, OSError):
        return False


def is_image_folder(path: Path) -> bool:
    """Return whether a folder is one image or volume: OME-Zarr, or a DICOM series."""
    return is_zarr_image(path) or is_volume_folder(path)


def _volume_info(header: VolumeHeader) -> ImageInfo:
    channels, depth, height, width = header.turned_shape
    return ImageInfo(
        format=header.format,
        channels=channels,
        height=height,
        width=width,
        dtype=header.dtype,
        pages=1,
        palette=False,
        reoriented=False,
        depth=depth,
        grid=header.turned_grid,
    )


def read_image(
    path: Path,
    *,
    pages: int | None = None,
    max_pixels: int | None = None,
    channels: int | None = None,
    size: tuple[int, int] | None = None,
    options: ReadOptions | None = None,
    interleaved: bool = False,
) -> Image:
    """Read an image or a volume: upright, palette converted to RGB, alpha dropped (see `warnings`).

    One-bit images have the values 0 and 1; WhiteIsZero TIFF samples are inverted (TIFF 6.0).

    Parameters
    ----------
    pages : int, optional
        Read a stack of this many pages as that many channels.
    max_pixels : int, optional
        Limit of height × width, checked before decoding; default `MAX_PIXELS`.
    channels : int, optional
        Expected number of channels, if known: with it, alpha is a channel like the others. If it is 1, gray that was
        saved as RGB, as in every video, is one channel.
    size : (int, int), optional
        Expected height and width, if known. A stack whose pages are rows of an image of this size, or of `channels`
        columns, was saved as (height, width, bands), and is read so.
    interleaved : bool
        Return the pixels as they were decoded, perhaps with the channels of a pixel next to each other in memory: for
        a few passes over an image, arranging them by channels takes longer than the passes.

    Raises
    ------
    BadImage
        Not a readable image; a stack of pages without `pages`; complex, NaN or infinite values that are not declared as
        missing; integers that float32 cannot represent exactly.
    """
    options = options or ReadOptions()
    if files := slice_files(path):
        return stack_images([read_image(file, channels=channels, options=options) for file in files], files, options)
    stored = read_samples(
        path, pages, max_pixels, options.exif, channels, size, volumes=options.volumes, interleaved=interleaved
    )
    if isinstance(stored, Volume):
        return _volume_image(path, stored, options)
    samples, header, messages = stored
    bands_last = header.bands_last
    if header.palette is not None:
        samples = apply_palette(samples[0], header.palette)
    elif header.white_is_zero:
        samples = invert(samples)
    alpha: Literal["", "constant", "transparency", "data"] = ""
    alpha_values = None
    if header.alpha and channels != len(samples):
        alpha = alpha_kind(samples[-1])
        messages += (_ALPHA_NOTES[alpha],)
        alpha_values = samples[-1] if alpha != "constant" and samples.dtype.kind in "iuf" else None
        samples = samples[:-1]
    grid = None
    if is_stack(header, pages, options.volumes):
        samples, grid = _stacked(samples, header.pages), options.placed(stack_grid(header))
    pixels, missing = to_pixels(samples, path, options.nodata_of(header))
    if channels == 1 and grid is None and len(pixels) == 3 and is_gray(pixels, lossy=header.lossy):
        pixels, messages = pixels[1:2], (*messages, ONE_OF_EQUAL)
    if pixels.size > 1 and _is_constant(pixels):
        messages += (f"all pixels have the same value ({pixels.flat[0]})",)
    spacing = header.spacing
    if spacing is not None and header.orientation >= 5:
        spacing = spacing[1], spacing[0]
    reoriented = header.orientation != 1
    place = place_of(header, options)
    return Image(
        pixels, spacing, messages, alpha, missing, bands_last, reoriented, header.dtype, place, grid,
        alpha_values=alpha_values,
    )  # fmt: skip


def _volume_image(path: Path, volume: Volume, options: ReadOptions) -> Image:
    samples, header = volume.samples, volume.header
    if samples.dtype.kind == "c":
        raise BadImage("real numbers", "complex numbers", "Save the magnitude.", path)
    nodata = None if options.nodata in (None, "none") else float(options.nodata)
    pixels, missing = to_pixels(samples, path, nodata)
    messages = header.warnings
    if pixels.size > 1 and _is_constant(pixels):
        messages += (f"all voxels have the same value ({pixels.flat[0]})",)
    return Image(
        pixels,
        warnings=messages,
        missing=missing,
        dtype=header.dtype,
        grid=options.placed(volume.grid),
        stored_orientation=header.grid.orientation,
    )


def _is_constant(pixels: Num[np.ndarray, " channels *space"]) -> bool:
    """Return whether all samples are equal; a row in the middle mostly shows that they are not."""
    row = pixels[0, pixels.shape[1] // 2]
    return bool(row.min() == row.max() and pixels.min() == pixels.max())


def _stacked(
    samples: Shaped[np.ndarray, "planes height width"], pages: int
) -> Shaped[np.ndarray, "channels depth height width"]:
    """Return the pages of a stack, each with its channels, as a volume."""
    return np.ascontiguousarray(samples.reshape(pages, -1, *samples.shape[1:]).swapaxes(0, 1))


def place_of(header: Header, options: ReadOptions) -> Georeference | None:
    """Return the place of the upright image on a map, with the value that stands for its missing pixels."""
    place = header.georeference
    if place is not None:
        place = replace(place, nodata=options.nodata_of(header))
        place = place.upright(header.orientation, (header.height, header.width))
    return place


def read_place(path: Path, options: ReadOptions | None = None) -> tuple[Georeference | None, tuple[int, int]]:
    """Return the place of an image on a map, and its height and width, without reading its pixels.

    Raises
    ------
    BadImage
        The file is not a supported image.
    """
    options = options or ReadOptions()
    file, kind = open_image_file(path)
    with closing(file):
        header = read_header(file, kind, path)
    header = replace(header, orientation=1) if options.exif == "ignore" else header
    size = (header.height, header.width) if header.orientation < 5 else (header.width, header.height)
    return place_of(header, options), size


def read_mask(
    path: Path, *, max_pixels: int | None = None, exif: Orientation = "apply", volumes: bool = False
) -> MaskImage:
    """Read a mask: palette files as indices, RGB as colours, upright; `volumes` is that of `ReadOptions`.

    2-bit and 4-bit gray values are returned as stored (0..3, 0..15), one-bit masks as 0 and 1. WhiteIsZero samples are
    inverted, unless they are small numbers: those are classes or objects, whatever a viewer shows.

    Raises
    ------
    BadImage
        Not a readable image, several pages that are no volume, neither one channel nor RGB, or not integers.
    """
    if files := slice_files(path):
        return stack_masks([read_mask(file, max_pixels=max_pixels, exif=exif) for file in files], files)
    stored = read_samples(path, None, max_pixels, exif, volumes=volumes)
    if isinstance(stored, Volume):
        samples, messages, names = _with_segments(path, stored)
        mask = _volume_mask(path, samples, stored.grid, messages)
        return replace(mask, turn=stored.header.grid.turn, names=names)
    samples, header, messages = stored
    if is_stack(header, None, volumes):
        return _volume_mask(path, _stacked(samples, header.pages), stack_grid(header), messages)
    samples, missing = number_missing(samples, path)
    nodata = float(MISSING) if missing else header.nodata
    stated = header.nodata is not None and np.isnan(header.nodata)
    place = place_of(header, ReadOptions(exif=exif))
    inverted = header.white_is_zero and _shown_in_gray(samples)
    values = to_integers(invert(samples) if inverted else samples, path)
    alpha, values = (values[-1], values[:-1]) if header.alpha else (None, values)
    bilevel = header.bilevel and len(values) == 1
    palette: dict[int, tuple[int, int, int]] | None = None
    if header.palette is not None:
        palette = {i: (int(r), int(g), int(b)) for i, (r, g, b) in enumerate(header.palette)}
    elif len(values) == 1:
        values = values if header.gray_step == 1 else values // values.dtype.type(header.gray_step)
    elif len(values) != 3:
        values, messages = _numbers_of_channels(values, path), (*messages, CHANNELS_ARE_CLASSES)
    elif is_gray(values, lossy=header.lossy):
        values = values[1:2]  # green has the largest share in luminance
    elif _are_numbers_in_red(values):
        values, messages = values[:1], (*messages, "green and blue are 0: the values of the mask are those of red")
    elif values.min() < 0 or values.max() > 255:
        hint = "Save the colours with 8 bits."
        raise BadImage("colours of 8 bits", f"colour values {values.min()} to {values.max()}", hint, path)
    colours_last = values[0] if len(values) == 1 else np.moveaxis(values.astype(np.uint8), 0, -1)
    reoriented = header.orientation != 1
    return MaskImage(
        colours_last, palette, header.lossy, messages, alpha, bilevel, inverted, reoriented,
        georeference=place, nodata=nodata, undeclared=0.0 if stated else missing,
    )  # fmt: skip


def _numbers_of_channels(values: Integer[np.ndarray, "channels *space"], path: Path) -> Integer[np.ndarray, "1 *space"]:
    """Return the class numbers of a mask with a channel per class."""
    numbers = one_hot_numbers(values)
    if numbers is None:
        hint = "Save class numbers in one channel, or colours as RGB."
        raise BadImage("a mask of 1 channel or RGB colours", pluralise(len(values), "channel"), hint, path)
    return numbers[None]


def _with_segments(
    path: Path, volume: Volume
) -> tuple[Shaped[np.ndarray, "channels depth height width"], tuple[str, ...], tuple[tuple[int, str], ...]]:
    """Return the samples of a label volume, messages, and names of values, which 3D Slicer states.

    Layers, whose segments overlap, become numbers.
    """
    samples, messages = volume.samples, volume.header.warnings
    segments = read_segments(path) if volume.header.format == "NRRD" else ()
    if len(samples) == 1:
        return samples, messages, tuple((segment.value, segment.name) for segment in segments)
    numbers = number_segments(to_integers(samples, path), segments)
    if numbers is None:
        return samples, messages, ()
    names = tuple((number, segment.name) for number, segment in enumerate(segments, 1))
    shown = printable(", ".join(f"{number} {name}" for number, name in names))
    return numbers, (*messages, f"{SEGMENTS_ARE_CLASSES}: {shown}; where they overlap the later one counts"), names


def _volume_mask(
    path: Path, samples: Shaped[np.ndarray, "channels depth height width"], grid: Grid, messages: tuple[str, ...]
) -> MaskImage:
    samples, missing = number_missing(samples, path)
    values = to_integers(samples, path)
    if len(values) != 1:
        values, messages = _numbers_of_channels(values, path), (*messages, CHANNELS_ARE_CLASSES)
    nodata = float(MISSING) if missing else None
    return MaskImage(values[0], None, False, messages, grid=grid, nodata=nodata, undeclared=missing)


def is_gray(values: Num[np.ndarray, "3 height width"], *, lossy: bool) -> bool:
    """Return whether three channels are equal, or nearly so in a lossy file."""
    if not lossy or values.dtype.kind == "f":
        return all(np.array_equal(values[0], other, equal_nan=True) for other in values[1:])
    wide = values.astype(np.int32)
    return int((wide.max(0) - wide.min(0)).max(initial=0)) <= _LOSSY_GRAY


def _are_numbers_in_red(values: Integer[np.ndarray, "3 height width"]) -> bool:
    """Return whether numbers of classes or objects are in red alone: colours that people see are brighter.

    BBBC039 and CARLA store labels so.
    """
    if values[1:].any() or values.min() < 0:
        return False
    numbers = np.unique(values[0])
    return int(numbers[numbers > 0][0]) <= _SMALL_NUMBER and int(numbers[-1]) < _BRIGHT


def _shown_in_gray(samples: Shaped[np.ndarray, "channels height width"]) -> bool:
    """Return whether samples use the whole range from black to white, as numbers of classes and objects do not."""
    if samples.dtype.kind != "u":
        return samples.dtype.kind == "b"
    return int(samples.max(initial=0)) > np.iinfo(samples.dtype).max // 2
