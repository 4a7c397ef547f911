"""The one door for picture files: readers that interpret by metadata, never by shape alone; writers by suffix.

No other module opens pictures. Every failure is a `BadImage` with the file's name, what is wrong and the mend. A file's
first bytes decide what it is, not its ending. PNG stands in `png`, TIFF in `tiff`, the rest in
`pillow`; what happens before them in `headers`; the writers in `write`.
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
    broken,
    check_size,
    open_picture,
    turned,
)
from pixelwise.io.pillow import decode_jpeg, decode_pillow, look_pillow
from pixelwise.io.png import decode_png, look_png
from pixelwise.io.sample_values import coloured, inverted, usable, whole_numbers
from pixelwise.io.tiff import decode_tiff, look_tiff
from pixelwise.io.write import gif_bytes, png_bytes, write_gif, write_image, write_labels, write_mask
from pixelwise.text import pluralise

__all__ = [
    "MAX_PIXELS",
    "SUFFIXES",
    "Image",
    "ImageInfo",
    "MaskImage",
    "check_pages",
    "gif_bytes",
    "look",
    "png_bytes",
    "probe",
    "read_image",
    "read_mask",
    "write_gif",
    "write_image",
    "write_labels",
    "write_mask",
]

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")


@dataclass(frozen=True)
class Image:
    """A picture.

    Attributes
    ----------
    pixels : (channels, height, width) array
        In the file's own type: 8, 16 or 32 bits, integer or float (64-bit values come as 32-bit ones, which hold them).
    spacing : (float, float) or None
        Micrometres per pixel, (y, x), where the file says so.
    warnings : tuple of str
        What was decided on the way (alpha dropped, broken EXIF ignored), in sentences.
    """

    pixels: Num[np.ndarray, "channels height width"]
    spacing: tuple[float, float] | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ImageInfo:
    """What a header says of the picture that `read_image` will give: upright, without alpha, palette as RGB.

    `dtype` is that of the stored samples. `pages` above 1 is a stack. `turned` says that EXIF (or TIFF's orientation)
    turns or mirrors the stored samples.
    """

    format: str
    channels: int
    height: int
    width: int
    dtype: str
    pages: int
    palette: bool
    turned: bool


@dataclass(frozen=True)
class MaskImage:
    """The values of a mask file.

    Attributes
    ----------
    values : (height, width) integers, or (height, width, 3) uint8 colours
        Palette files give their indices. Colours that are all gray give one value per pixel.
    palette : dict or None
        Colour of each index in a palette file.
    lossy : bool
        The format smears values (JPEG, lossy WebP, JPEG inside TIFF).
    warnings : tuple of str
        What was decided on the way.
    """

    values: Integer[np.ndarray, "height width"] | Integer[np.ndarray, "height width 3"]
    palette: dict[int, tuple[int, int, int]] | None
    lossy: bool
    warnings: tuple[str, ...] = ()


def probe(path: Path) -> ImageInfo:
    """Read the header alone.

    Raises
    ------
    BadImage
        The file is no picture that pixelwise reads. Damage behind the header is not found here.
    """
    file, kind = open_picture(path)
    with closing(file):
        header = look(file, kind, path)
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
        turned=header.orientation != 1,
    )


def read_image(path: Path, *, pages: int | None = None, max_pixels: int | None = None) -> Image:
    """Read a picture: turned upright, palette resolved to RGB, alpha dropped (told in `warnings`).

    One-bit pictures give 0 and 1; TIFF samples that store white as 0 are inverted, as TIFF 6.0 asks.

    Parameters
    ----------
    path : Path
    pages : int, optional
        Take a stack of this many pages as that many channels.
    max_pixels : int, optional
        Larger pictures (height × width) are refused from their header alone; default `MAX_PIXELS`.

    Raises
    ------
    BadImage
        Not a readable picture; a stack of pages without `pages`; complex, NaN or infinite values; whole numbers that
        float32 does not hold exactly.
    """
    samples, header, messages = _read(path, pages, max_pixels)
    if header.palette is not None:
        samples = coloured(samples[0], header.palette)
    elif header.inverted:
        samples = inverted(samples)
    if header.alpha:
        transparent = bool((samples[-1] != samples[-1].max()).any())
        messages += ("transparent areas were taken as opaque" if transparent else "the alpha channel was dropped",)
        samples = samples[:-1]
    pixels = usable(samples, path)
    if pixels.size > 1 and pixels.min() == pixels.max():
        messages += (f"all pixels have the same value ({pixels.flat[0]})",)
    spacing = header.spacing
    if spacing is not None and header.orientation >= 5:
        spacing = spacing[1], spacing[0]
    return Image(pixels, spacing, messages)


def read_mask(path: Path, *, max_pixels: int | None = None) -> MaskImage:
    """Read a mask: palette files as their indices, colours as colours, turned upright like images.

    Grays of 2 or 4 bits come as they are stored (0..3, 0..15), one-bit masks as 0 and 1.

    Raises
    ------
    BadImage
        Not a readable picture, several pages, channels that are neither one value nor RGB, or no whole numbers.
    """
    samples, header, messages = _read(path, None, max_pixels)
    values = whole_numbers(samples[:-1] if header.alpha else samples, path)
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


def look(file: BinaryIO, kind: str, path: Path) -> Header:
    """Read the header of an open file of a known kind.

    Raises
    ------
    BadImage
        The header is damaged, or says what pixelwise does not read.
    """
    try:
        if kind == "PNG":
            return look_png(file, path)
        return look_tiff(file, path) if kind == "TIFF" else look_pillow(file, kind, path)
    except BadImage:
        raise
    # Decoders meet hostile bytes and raise whatever they stumble over (OSError, SyntaxError, struct.error, MemoryError,
    # RuntimeError ...): here, and in `_decode`, all of it becomes the one error that names the file.
    except Exception as error:
        raise broken(path, kind, error) from error


def _decode(
    file: BinaryIO, path: Path, header: Header
) -> tuple[Shaped[np.ndarray, "channels height width"], tuple[str, ...]]:
    try:
        match header.format:
            case "PNG":
                return decode_png(file, path, header), ()
            case "TIFF":
                return decode_tiff(file, path, header), ()
            case "JPEG":
                return decode_jpeg(file)
            case kind:
                return decode_pillow(file, kind), ()
    except BadImage:
        raise
    except Exception as error:
        raise broken(path, header.format, error) from error


def _read(
    path: Path, pages: int | None, max_pixels: int | None
) -> tuple[Shaped[np.ndarray, "channels height width"], Header, tuple[str, ...]]:
    """Read the samples upright, before their meaning is settled."""
    file, kind = open_picture(path)
    with closing(file):
        header = look(file, kind, path)
        check_pages(header, path, pages)
        check_size(header, path, max_pixels)
        samples, messages = _decode(file, path, header)
    if np.issubdtype(samples.dtype, np.complexfloating):
        raise BadImage("real numbers", "complex numbers", "Save the magnitude.", path)
    return turned(samples, header.orientation), header, header.warnings + messages


def check_pages(header: Header, path: Path, pages: int | None) -> None:
    """Refuse a stack of pages, unless they are wanted as channels."""
    if header.pages == 1 or (header.pages == pages and header.stackable):
        return
    hint = "Split it into one file per page."
    if header.stackable:
        hint = f"Split it, or take its pages as channels with --pages {header.pages}."
    raise BadImage("one picture", f"a stack of {header.pages} pages", hint, path)
