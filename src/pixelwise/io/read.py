"""The entry point for image files: `read_image`, `read_mask`, `probe` and the writers.

Samples are interpreted by metadata, never by shape alone. Every failure is a `BadImage` with the file name, the problem
and a hint. The format is detected from the first bytes, not from the extension: `headers`, then `png`, `tiff` or
`pillow`. Writers are in `write`.
"""

from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
from jaxtyping import Integer, Num, Shaped

from pixelwise.errors import BadImage, BadOption
from pixelwise.io.georeference import Georeference
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
from pixelwise.io.sample_values import alpha_kind, apply_palette, invert, to_integers, to_pixels
from pixelwise.io.tiff import decode_tiff, read_tiff_header
from pixelwise.io.write import gif_bytes, mask_bytes, png_bytes, write_gif, write_image, write_labels, write_mask
from pixelwise.text import pluralise

__all__ = [
    "ALPHA_IS_DATA",
    "MAX_PIXELS",
    "SUFFIXES",
    "Image",
    "ImageInfo",
    "MaskImage",
    "Orientation",
    "ReadOptions",
    "check_pages",
    "gif_bytes",
    "mask_bytes",
    "place_of",
    "png_bytes",
    "probe",
    "read_header",
    "read_image",
    "read_mask",
    "read_place",
    "write_gif",
    "write_image",
    "write_labels",
    "write_mask",
]

ALPHA_IS_DATA = "the alpha channel, which is no transparency, was dropped"
_ALPHA_NOTES = {
    "constant": "the alpha channel was dropped",
    "transparency": "transparency was ignored",
    "data": ALPHA_IS_DATA,
}
_MIN_WIDTH = 64  # pixels: a stack of narrower pages probably has its bands on the last axis
_SMALL_NUMBER = 8  # the smallest number in a mask with numbers in its red channel, at most
_BRIGHT = 255  # a mask with smooth edges has this value of red too
_LOSSY_GRAY = 16  # largest difference between the channels of a gray image that was saved as colour JPEG

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".ppm", ".pgm", ".pbm", ".tif", ".tiff")


Orientation = Literal["apply", "ignore"]


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """How image files become pixels; stored in the model card, so that prediction reads images as training did.

    Attributes
    ----------
    exif : {"apply", "ignore"}
        Rotate and mirror images as their EXIF or TIFF orientation says, or use the stored pixels.
    nodata : str, optional
        Value of pixels without a measurement: a number, "nan" (NaN and infinite values), or "none". By default the
        GDAL_NODATA tag of each TIFF.
    """

    exif: Orientation = "apply"
    nodata: str | None = None

    def __post_init__(self) -> None:
        """Validate the value of missing pixels."""
        if self.nodata not in (None, "none"):
            try:
                float(self.nodata)
            except ValueError as error:
                hint = "Give the value of pixels without a measurement."
                raise BadOption("a number, nan or none for --nodata", f"`{self.nodata}`", hint) from error

    def nodata_of(self, header: Header) -> float | None:
        """Return the value that stands for missing pixels in a file; None if there is none."""
        if self.nodata is None:
            return header.nodata
        return None if self.nodata == "none" else float(self.nodata)


@dataclass(frozen=True)
class Image:
    """An image.

    Attributes
    ----------
    pixels : (channels, height, width) array
        In the data type of the file: 8, 16 or 32 bits, integer or float (64-bit values are converted to 32 bits).
        float32 with NaN for pixels without data if there are any.
    spacing : (float, float) or None
        Micrometres per pixel, (y, x), if the file contains it.
    warnings : tuple of str
        Messages about automatic decisions (alpha channel dropped, damaged EXIF ignored).
    alpha : {"", "constant", "transparency", "data"}
        What a dropped alpha channel contains; see `sample_values.alpha_kind`.
    missing : float
        Fraction of the samples without data.
    bands_last : bool
        A stack of pages was read as (height, width, bands).
    reoriented : bool
        An EXIF or TIFF orientation was applied.
    dtype : str
        Data type of the stored samples.
    georeference : Georeference or None
        The place of the upright image on a map.
    """

    pixels: Num[np.ndarray, "channels height width"]
    spacing: tuple[float, float] | None = None
    warnings: tuple[str, ...] = ()
    alpha: Literal["", "constant", "transparency", "data"] = ""
    missing: float = 0.0
    bands_last: bool = False
    reoriented: bool = False
    dtype: str = ""
    georeference: Georeference | None = None


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
    alpha : (height, width) integers, or None
        The alpha channel, if the file has one.
    bilevel : bool
        One bit per pixel: 1 is shown as white.
    white_is_zero : bool
        The samples were inverted, so that higher values are brighter (TIFF WhiteIsZero).
    reoriented : bool
        An EXIF or TIFF orientation was applied.
    """

    values: Integer[np.ndarray, "height width"] | Integer[np.ndarray, "height width 3"]
    palette: dict[int, tuple[int, int, int]] | None
    lossy: bool
    warnings: tuple[str, ...] = ()
    alpha: Integer[np.ndarray, "height width"] | None = None
    bilevel: bool = False
    white_is_zero: bool = False
    reoriented: bool = False


def probe(path: Path, exif: Orientation = "apply") -> ImageInfo:
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
    )


def read_image(
    path: Path,
    *,
    pages: int | None = None,
    max_pixels: int | None = None,
    channels: int | None = None,
    size: tuple[int, int] | None = None,
    options: ReadOptions | None = None,
) -> Image:
    """Read an image: upright, palette converted to RGB, alpha dropped (see `warnings`).

    One-bit images have the values 0 and 1; WhiteIsZero TIFF samples are inverted (TIFF 6.0).

    Parameters
    ----------
    path : Path
    pages : int, optional
        Read a stack of this many pages as that many channels.
    max_pixels : int, optional
        Limit of height × width, checked before decoding; default `MAX_PIXELS`.
    channels : int, optional
        Expected number of channels, if known: with it, alpha is a channel like the others.
    size : (int, int), optional
        Expected height and width, if known. A stack whose pages are rows of an image of this size, or of `channels`
        columns, was saved as (height, width, bands), and is read so.
    options : ReadOptions, optional

    Raises
    ------
    BadImage
        Not a readable image; a stack of pages without `pages`; complex, NaN or infinite values that are not declared as
        missing; integers that float32 cannot represent exactly.
    """
    options = options or ReadOptions()
    samples, header, messages = _read(path, pages, max_pixels, options.exif, channels, size)
    bands_last = header.bands_last
    if header.palette is not None:
        samples = apply_palette(samples[0], header.palette)
    elif header.white_is_zero:
        samples = invert(samples)
    alpha: Literal["", "constant", "transparency", "data"] = ""
    if header.alpha and channels != len(samples):
        alpha = alpha_kind(samples[-1])
        messages += (_ALPHA_NOTES[alpha],)
        samples = samples[:-1]
    pixels, missing = to_pixels(samples, path, options.nodata_of(header))
    if pixels.size > 1 and pixels.min() == pixels.max():
        messages += (f"all pixels have the same value ({pixels.flat[0]})",)
    spacing = header.spacing
    if spacing is not None and header.orientation >= 5:
        spacing = spacing[1], spacing[0]
    reoriented = header.orientation != 1
    place = place_of(header, options)
    return Image(pixels, spacing, messages, alpha, missing, bands_last, reoriented, header.dtype, place)


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


def read_mask(path: Path, *, max_pixels: int | None = None, exif: Orientation = "apply") -> MaskImage:
    """Read a mask: palette files as indices, RGB as colours, upright.

    2-bit and 4-bit gray values are returned as stored (0..3, 0..15), one-bit masks as 0 and 1. WhiteIsZero samples are
    inverted, unless they are small numbers: those are classes or objects, whatever a viewer shows.

    Raises
    ------
    BadImage
        Not a readable image, several pages, neither one channel nor RGB, or not integers.
    """
    samples, header, messages = _read(path, None, max_pixels, exif)
    inverted = header.white_is_zero and _shown_in_gray(samples)
    values = to_integers(invert(samples) if inverted else samples, path)
    alpha, values = (values[-1], values[:-1]) if header.alpha else (None, values)
    bilevel = header.bilevel and len(values) == 1
    palette: dict[int, tuple[int, int, int]] | None = None
    if header.palette is not None:
        palette = {i: (int(r), int(g), int(b)) for i, (r, g, b) in enumerate(header.palette)}
    elif len(values) == 1:
        values = values // values.dtype.type(header.gray_step)
    elif len(values) != 3:
        hint = "Save class numbers in one channel, or colours as RGB."
        raise BadImage("a mask of 1 channel or RGB colours", pluralise(len(values), "channel"), hint, path)
    elif _is_gray(values, lossy=header.lossy):
        values = values[1:2]  # green has the largest share in luminance
    elif _are_numbers_in_red(values):
        values, messages = values[:1], (*messages, "green and blue are 0: the values of the mask are those of red")
    elif values.min() < 0 or values.max() > 255:
        hint = "Save the colours with 8 bits."
        raise BadImage("colours of 8 bits", f"colour values {values.min()} to {values.max()}", hint, path)
    colours_last = values[0] if len(values) == 1 else np.moveaxis(values.astype(np.uint8), 0, -1)
    reoriented = header.orientation != 1
    return MaskImage(colours_last, palette, header.lossy, messages, alpha, bilevel, inverted, reoriented)


def _is_gray(values: Integer[np.ndarray, "3 height width"], *, lossy: bool) -> bool:
    """Return whether three channels are equal, or nearly so in a lossy file."""
    if not lossy:
        return all(np.array_equal(values[0], other) for other in values[1:])
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
    path: Path,
    pages: int | None,
    max_pixels: int | None,
    exif: Orientation = "apply",
    channels: int | None = None,
    size: tuple[int, int] | None = None,
) -> tuple[Shaped[np.ndarray, "channels height width"], Header, tuple[str, ...]]:
    """Read the samples upright, without interpreting them."""
    file, kind = open_image_file(path)
    with closing(file):
        header = read_header(file, kind, path)
        if exif == "ignore":
            header = replace(header, orientation=1)
        bands_last = pages is None and _has_bands_last(header, channels, size)
        if not bands_last:
            check_pages(header, path, pages)
        check_size(header, path, max_pixels)
        samples, messages = _decode(file, path, header)
    if np.issubdtype(samples.dtype, np.complexfloating):
        raise BadImage("real numbers", "complex numbers", "Save the magnitude.", path)
    if bands_last:
        samples, header = np.ascontiguousarray(samples.transpose(2, 0, 1)), replace(header, bands_last=True)
    return apply_orientation(samples, header.orientation), header, header.warnings + messages


def _has_bands_last(header: Header, channels: int | None, size: tuple[int, int] | None) -> bool:
    """Return whether the pages of a stack are the rows of one image with its bands on the last axis."""
    if header.pages == 1 or not header.stackable or header.channels != 1 or header.orientation != 1:
        return False
    if channels is not None:
        return header.width == channels and header.pages != channels
    return size == (header.pages, header.height) and size != (header.height, header.width)


def check_pages(header: Header, path: Path, pages: int | None) -> None:
    """Raise `BadImage` for a stack of pages that are not requested as channels."""
    if header.pages == 1 or (header.pages == pages and header.stackable):
        return
    got, hint = f"a stack of {header.pages} pages", "Split it into one file per page."
    if header.stackable and header.width < _MIN_WIDTH and header.width < min(header.height, header.pages):
        got = (
            f"{got} of {header.height} × {header.width} pixels, probably (height, width, bands), bands on the last axis"
        )
        hint = f"Save it as (bands, height, width) = ({header.width}, {header.pages}, {header.height})."
    elif header.stackable:
        hint = f"Split it, or use its pages as channels with --pages {header.pages}."
    raise BadImage("one image", got, hint, path)
