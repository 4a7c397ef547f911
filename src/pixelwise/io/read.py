"""The entry point for image files: `read_image`, `read_mask`, `probe` and the writers.

Samples are interpreted by metadata, never by shape alone. Every failure is a `BadImage` with the file name, the problem
and a hint. The format is detected from the first bytes, not from the extension: `headers`, then `png`, `tiff` or
`pillow`. Writers are in `write`.
"""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import Integer, Num, Shaped

from pixelwise.errors import BadImage
from pixelwise.io.headers import (
    MAX_PIXELS,
    Header,
    apply_orientation,
    check_size,
    decoding,
    open_image_file,
)
from pixelwise.io.pillow import decode_jpeg, decode_pillow, read_pillow_header
from pixelwise.io.png import decode_png, read_png_header
from pixelwise.io.sample_values import apply_palette, invert, to_integers, to_pixels
from pixelwise.io.tiff import decode_tiff, read_tiff_header
from pixelwise.io.write import gif_bytes, mask_bytes, png_bytes, write_gif, write_image, write_labels, write_mask
from pixelwise.text import pluralise

__all__ = [
    "MAX_PIXELS",
    "SUFFIXES",
    "Image",
    "ImageInfo",
    "MaskImage",
    "check_pages",
    "gif_bytes",
    "mask_bytes",
    "png_bytes",
    "probe",
    "read_header",
    "read_image",
    "read_mask",
    "write_gif",
    "write_image",
    "write_labels",
    "write_mask",
]

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff")


@dataclass(frozen=True)
class Image:
    """An image.

    Attributes
    ----------
    pixels : (channels, height, width) array
        In the data type of the file: 8, 16 or 32 bits, integer or float (64-bit values are converted to 32 bits).
    spacing : (float, float) or None
        Micrometres per pixel, (y, x), if the file contains it.
    warnings : tuple of str
        Messages about automatic decisions (alpha channel dropped, damaged EXIF ignored).
    """

    pixels: Num[np.ndarray, "channels height width"]
    spacing: tuple[float, float] | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ImageInfo:
    """The header of the image that `read_image` returns: upright, without alpha, palette as RGB.

    `dtype` is that of the stored samples. `pages` above 1 is a stack. `reoriented`: the EXIF or TIFF orientation is not
    upright.
    """

    format: str
    channels: int
    height: int
    width: int
    dtype: str
    pages: int
    palette: bool
    reoriented: bool


@dataclass(frozen=True)
class MaskImage:
    """The values of a mask file.

    Attributes
    ----------
    values : (height, width) integers, or (height, width, 3) uint8 colours
        Indices for palette files. Colours that are all gray are reduced to one value per pixel.
    palette : dict or None
        Colour of each index in a palette file.
    lossy : bool
        The compression changes values (JPEG, lossy WebP, JPEG inside TIFF).
    warnings : tuple of str
        Messages about automatic decisions.
    """

    values: Integer[np.ndarray, "height width"] | Integer[np.ndarray, "height width 3"]
    palette: dict[int, tuple[int, int, int]] | None
    lossy: bool
    warnings: tuple[str, ...] = ()


def probe(path: Path) -> ImageInfo:
    """Read only the header.

    Raises
    ------
    BadImage
        The file is not a supported image. Damage after the header is not detected.
    """
    file, kind = open_image_file(path)
    with closing(file):
        header = read_header(file, kind, path)
    height, width = header.height, header.width
    if header.orientation >= 5:
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
    )


def read_image(path: Path, *, pages: int | None = None, max_pixels: int | None = None) -> Image:
    """Read an image: upright, palette converted to RGB, alpha dropped (see `warnings`).

    One-bit images have the values 0 and 1; WhiteIsZero TIFF samples are inverted (TIFF 6.0).

    Parameters
    ----------
    path : Path
    pages : int, optional
        Read a stack of this many pages as that many channels.
    max_pixels : int, optional
        Limit of height × width, checked before decoding; default `MAX_PIXELS`.

    Raises
    ------
    BadImage
        Not a readable image; a stack of pages without `pages`; complex, NaN or infinite values; integers that float32
        cannot represent exactly.
    """
    samples, header, messages = _read(path, pages, max_pixels)
    if header.palette is not None:
        samples = apply_palette(samples[0], header.palette)
    elif header.white_is_zero:
        samples = invert(samples)
    if header.alpha:
        transparent = bool((samples[-1] != samples[-1].max()).any())
        messages += ("transparency was ignored" if transparent else "the alpha channel was dropped",)
        samples = samples[:-1]
    pixels = to_pixels(samples, path)
    if pixels.size > 1 and pixels.min() == pixels.max():
        messages += (f"all pixels have the same value ({pixels.flat[0]})",)
    spacing = header.spacing
    if spacing is not None and header.orientation >= 5:
        spacing = spacing[1], spacing[0]
    return Image(pixels, spacing, messages)


def read_mask(path: Path, *, max_pixels: int | None = None) -> MaskImage:
    """Read a mask: palette files as indices, RGB as colours, upright.

    2-bit and 4-bit gray values are returned as stored (0..3, 0..15), one-bit masks as 0 and 1.

    Raises
    ------
    BadImage
        Not a readable image, several pages, neither one channel nor RGB, or not integers.
    """
    samples, header, messages = _read(path, None, max_pixels)
    values = to_integers(samples[:-1] if header.alpha else samples, path)
    if header.palette is not None:
        palette = {i: (int(r), int(g), int(b)) for i, (r, g, b) in enumerate(header.palette)}
        return MaskImage(values[0], palette, header.lossy, messages)
    if len(values) == 3 and all(np.array_equal(values[0], other) for other in values[1:]):
        values = values[:1]
    if len(values) == 1:
        return MaskImage(values[0] // values.dtype.type(header.gray_step), None, header.lossy, messages)
    if len(values) != 3:
        hint = "Save class numbers in one channel, or colours as RGB."
        raise BadImage("a mask of 1 channel or RGB colours", pluralise(len(values), "channel"), hint, path)
    if values.min() < 0 or values.max() > 255:
        hint = "Save the colours with 8 bits."
        raise BadImage("colours of 8 bits", f"colour values {values.min()} to {values.max()}", hint, path)
    return MaskImage(np.moveaxis(values.astype(np.uint8), 0, -1), None, header.lossy, messages)


def read_header(file: BinaryIO, kind: str, path: Path) -> Header:
    """Read the header of an open file of format `kind`.

    Raises
    ------
    BadImage
        The header is damaged, or describes an unsupported image.
    """
    with decoding(path, kind):
        if kind == "PNG":
            return read_png_header(file, path)
        return read_tiff_header(file, path) if kind == "TIFF" else read_pillow_header(file, kind, path)


def _decode(
    file: BinaryIO, path: Path, header: Header
) -> tuple[Shaped[np.ndarray, "channels height width"], tuple[str, ...]]:
    with decoding(path, header.format):
        match header.format:
            case "PNG":
                return decode_png(file, path, header), ()
            case "TIFF":
                return decode_tiff(file, path, header), ()
            case "JPEG":
                return decode_jpeg(file)
            case kind:
                return decode_pillow(file, kind), ()


def _read(
    path: Path, pages: int | None, max_pixels: int | None
) -> tuple[Shaped[np.ndarray, "channels height width"], Header, tuple[str, ...]]:
    """Read the samples upright, without interpreting them."""
    file, kind = open_image_file(path)
    with closing(file):
        header = read_header(file, kind, path)
        check_pages(header, path, pages)
        check_size(header, path, max_pixels)
        samples, messages = _decode(file, path, header)
    if np.issubdtype(samples.dtype, np.complexfloating):
        raise BadImage("real numbers", "complex numbers", "Save the magnitude.", path)
    return apply_orientation(samples, header.orientation), header, header.warnings + messages


def check_pages(header: Header, path: Path, pages: int | None) -> None:
    """Raise `BadImage` for a stack of pages that are not requested as channels."""
    if header.pages == 1 or (header.pages == pages and header.stackable):
        return
    hint = "Split it into one file per page."
    if header.stackable:
        hint = f"Split it, or use its pages as channels with --pages {header.pages}."
    raise BadImage("one image", f"a stack of {header.pages} pages", hint, path)
