"""The one door for picture files: readers that interpret by metadata, never by shape alone; writers by suffix.

No other module opens pictures. Every failure is a `BadImage` with the file's name, what is wrong and the mend.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Num

from pixelwise.errors import BadImage
from pixelwise.images.files_read import MAX_PIXELS, Decoded, Header, decode, read_header
from pixelwise.images.files_write import png_bytes, write_gif, write_image, write_labels, write_mask

__all__ = [
    "SUFFIXES",
    "Image",
    "ImageInfo",
    "MaskImage",
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
_EXACT_INTEGER = 2**24  # float32 holds every whole number up to here


@dataclass(frozen=True)
class Image:
    """A picture.

    Attributes
    ----------
    pixels : (channels, height, width) array
        In the file's own type: 8, 16 or 32 bits, integer or float.
    spacing : (float, float) or None
        Micrometres per pixel, (y, x), where the file says so.
    warnings : tuple of str
        What was decided on the way (alpha dropped, first frame used), in sentences.
    """

    pixels: Num[np.ndarray, "channels height width"]
    spacing: tuple[float, float] | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ImageInfo:
    """What a header says; height and width are those after the EXIF turn. `pages` above 1: a stack."""

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
    palette : dict or None
        Colour of each index in a palette file.
    lossy : bool
        The format smears values (JPEG).
    """

    values: np.ndarray
    palette: dict[int, tuple[int, int, int]] | None
    lossy: bool


def probe(path: Path) -> ImageInfo:
    """Read the header alone.

    Raises
    ------
    BadImage
        The file is no picture that pixelwise reads.
    """
    header = read_header(path)
    pages, channels, height, width = _layout(header)
    if header.orientation in (5, 6, 7, 8):
        height, width = width, height
    return ImageInfo(
        format=header.format,
        channels=3 if header.palette else channels,
        height=height,
        width=width,
        dtype=header.dtype,
        pages=pages,
        palette=header.palette,
        turned=header.orientation != 1,
    )


def read_image(path: Path, *, pages: int | None = None, max_pixels: int = MAX_PIXELS) -> Image:
    """Read a picture: EXIF turn applied, palette resolved to RGB, alpha dropped (told in `warnings`).

    Parameters
    ----------
    path : Path
    pages : int, optional
        Take a stack of this many pages as that many channels.
    max_pixels : int
        Larger pictures are refused from their header alone.

    Raises
    ------
    BadImage
        Not a readable picture; a stack of pages without `pages`; complex, NaN or infinite values.
    """
    decoded = decode(path, max_pixels)
    array = _by_axes(decoded, path, pages)
    notes = list(decoded.warnings)
    if decoded.palette and array.ndim == 2:
        array = np.array(decoded.palette, np.uint8)[array]
    if array.dtype == bool:
        array = array.astype(np.uint8) * 255
    if array.ndim == 2:
        array = array[:, :, None]
    if decoded.header.mode in ("LA", "RGBA", "PA", "RGBa", "La"):
        if (array[:, :, -1] != array[:, :, -1].max(initial=0)).any():
            notes.append(f"{path.name}: has transparent areas; transparency was dropped.")
        array = array[:, :, :-1]
    pixels = np.ascontiguousarray(np.moveaxis(array, -1, 0))
    return Image(_checked(pixels, path), decoded.spacing, tuple(notes))


def read_mask(path: Path) -> MaskImage:
    """Read a mask: palette files as their indices, colours as colours, EXIF turn applied.

    Raises
    ------
    BadImage
        Not a readable picture, several pages, or values that are no whole numbers.
    """
    decoded = decode(path)
    array = _by_axes(decoded, path, None)
    if array.ndim == 3:
        array = _without_alpha(array)
    if array.dtype == bool:
        array = array.astype(np.uint8)
    if np.issubdtype(array.dtype, np.floating):
        array = _whole_numbers(array, path)
    if np.issubdtype(array.dtype, np.complexfloating):
        raise BadImage("whole numbers in a mask", "complex numbers", "Save class numbers.", path)
    palette = dict(enumerate(decoded.palette)) if decoded.palette else None
    return MaskImage(array, palette, decoded.header.format == "JPEG")


def _layout(header: Header) -> tuple[int, int, int, int]:
    """Return pages, channels, height and width from the named axes."""
    sizes = dict(zip(header.axes, header.shape, strict=True))
    height, width = sizes.pop("Y", 1), sizes.pop("X", 1)
    channels = sizes.pop("S", 1) * sizes.pop("C", 1)
    pages = 1
    for size in sizes.values():
        pages *= size
    return pages, channels, height, width


def _by_axes(decoded: Decoded, path: Path, pages: int | None) -> np.ndarray:
    """Order the axes as (height, width[, channels])."""
    array, header = decoded.array, decoded.header
    if header.format != "TIFF":
        return array
    axes = "".join(a for a, n in zip(header.axes, header.shape, strict=True) if n != 1 or a in "YX")
    array = array.reshape([n for a, n in zip(header.axes, header.shape, strict=True) if n != 1 or a in "YX"])
    stacks = [a for a in axes if a not in "YXSC"]
    if stacks:
        count = int(np.prod([array.shape[axes.index(a)] for a in stacks]))
        if pages != count or len(stacks) > 1 or array.ndim != 3:
            mend = f"Split it, or take its pages as channels with --pages {count}."
            raise BadImage("one picture", f"a stack of {count} pages", mend, path)
        axes = axes.replace(stacks[0], "C")
    order = [axes.index("Y"), axes.index("X"), *(i for i, a in enumerate(axes) if a in "SC")]
    array = array.transpose(order)
    return array if array.ndim <= 3 else array.reshape(*array.shape[:2], -1)


def _without_alpha(array: np.ndarray) -> np.ndarray:
    """Reduce colours that are gray to one channel, and drop an alpha channel."""
    colours = array[:, :, :3] if array.shape[2] in (3, 4) else array[:, :, :1]
    if colours.shape[2] == 3 and (colours[:, :, :1] == colours).all():
        colours = colours[:, :, :1]
    return colours[:, :, 0] if colours.shape[2] == 1 else colours


def _whole_numbers(array: np.ndarray, path: Path) -> np.ndarray:
    mend = "Save class or object numbers as 8- or 16-bit PNG or TIFF."
    if not np.isfinite(array).all():
        raise BadImage("whole numbers in a mask", f"{int((~np.isfinite(array)).sum())} pixels of NaN or Inf", mend, path)
    if (array != np.round(array)).any():
        raise BadImage("whole numbers in a mask", f"float values such as {array[array != np.round(array)][0]:g}", mend, path)
    return array.astype(np.int64)


def _checked(pixels: np.ndarray, path: Path) -> np.ndarray:
    """Refuse values that training and prediction cannot work with."""
    if np.issubdtype(pixels.dtype, np.complexfloating):
        raise BadImage("real numbers", "complex numbers", "Save the magnitude.", path)
    if np.issubdtype(pixels.dtype, np.floating):
        bad = int(pixels.size - np.isfinite(pixels).sum())
        if bad:
            raise BadImage("finite numbers", f"{bad} values of NaN or Inf", "Fill or crop them first.", path)
        return pixels.astype(np.float32) if pixels.dtype != np.float32 else pixels
    if pixels.dtype.itemsize > 2:
        largest = max(abs(int(pixels.min())), abs(int(pixels.max())))
        if largest > _EXACT_INTEGER:
            came = f"{pixels.dtype} values up to {largest:,}"
            raise BadImage("whole numbers up to 16,777,216", came, "Scale them to 16 bits.", path)
        return pixels.astype(np.int32)
    return pixels.astype(pixels.dtype.newbyteorder("="))
