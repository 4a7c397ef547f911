"""Decoding of image files: their headers and their samples, upright but not interpreted.

The format is detected from the first bytes, not from the extension: `headers`, then `png`, `tiff`, `pillow`, `arrays`
or `volumes`.
"""

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import Shaped

from pixelwise.errors import BadImage
from pixelwise.io.array_paths import ARRAY_KINDS, FRAMES, PAGES
from pixelwise.io.arrays.read import decode_array, read_array_header
from pixelwise.io.georeference import read_world_file
from pixelwise.io.headers import Header, apply_orientation, check_size, decoding, open_image_file
from pixelwise.io.images import Orientation
from pixelwise.io.pillow import (
    decode_jpeg,
    decode_pillow,
    read_jpeg2000_header,
    read_jpeg_header,
    read_pillow_header,
)
from pixelwise.io.png import decode_png, read_png_header
from pixelwise.io.tiff import decode_tiff, read_tiff_header
from pixelwise.io.volumes.read import FILE_FORMATS, folder_format, read_volume
from pixelwise.io.volumes.volume import Volume
from pixelwise.io.zarr import ZarrPlanes

_WITH_WORLD_FILES = ("TIFF", "PNG", "JPEG", "JPEG2000")
_MIN_WIDTH = 64  # pixels: a stack of narrower pages probably has its bands on the last axis


def read_header(file: BinaryIO, kind: str, path: Path) -> Header:
    """Read the header of an open file of format `kind`.

    Raises
    ------
    BadImage
        The header is damaged, or describes an unsupported image.
    """
    header = _read_header(file, kind, path)
    if header.georeference is None and header.pages == 1 and kind in _WITH_WORLD_FILES:
        return replace(header, georeference=read_world_file(path))
    return header


def _read_header(file: BinaryIO, kind: str, path: Path) -> Header:
    with decoding(path, kind):
        if kind in (*ARRAY_KINDS.values(), PAGES, FRAMES):
            return read_array_header(path)
        if kind == "OME-Zarr":
            return ZarrPlanes(path).header
        if kind == "PNG":
            return read_png_header(file, path)
        if kind == "JPEG2000":
            return read_jpeg2000_header(file, path)
        if kind == "JPEG":
            return read_jpeg_header(file, path)
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
            case "OME-Zarr":
                planes = ZarrPlanes(path)
                return planes.read((0, header.height), (0, header.width)), planes.messages
            case "NPY" | "NPZ" | "HDF5" | "MAT" | "TIFF pages" | "frames":
                return decode_array(path), ()
            case kind:
                return decode_pillow(file, kind), ()


def read_samples(
    path: Path,
    pages: int | None,
    max_pixels: int | None,
    exif: Orientation = "apply",
    channels: int | None = None,
    size: tuple[int, int] | None = None,
    *,
    volumes: bool = False,
    interleaved: bool = False,
) -> tuple[Shaped[np.ndarray, "channels height width"], Header, tuple[str, ...]] | Volume:
    """Read the samples upright, without interpreting them; a stack of pages as (pages x channels, height, width).

    The parameters are those of `read_image`, `volumes` that of `ReadOptions`.

    Raises
    ------
    BadImage
        Not a readable image; a stack of pages that is neither asked for as channels nor a volume; complex numbers.
    """
    if (folder := folder_format(path)) is not None:
        return read_volume(path, folder)
    file, kind = open_image_file(path)
    with closing(file):
        if kind in FILE_FORMATS:
            return read_volume(path, kind)
        header = read_header(file, kind, path)
        if exif == "ignore":
            header = replace(header, orientation=1)
        bands_last = pages is None and _has_bands_last(header, channels, size)
        if not bands_last and not is_stack(header, pages, volumes):
            check_pages(header, path, pages)
        check_size(header, path, max_pixels)
        samples, messages = _decode(file, path, header)
    if np.issubdtype(samples.dtype, np.complexfloating):
        raise BadImage("real numbers", "complex numbers", "Save the magnitude.", path)
    if bands_last:
        samples, header = np.ascontiguousarray(samples.transpose(2, 0, 1)), replace(header, bands_last=True)
    upright = apply_orientation(samples, header.orientation)
    return upright if interleaved else np.ascontiguousarray(upright), header, header.warnings + messages


def _has_bands_last(header: Header, channels: int | None, size: tuple[int, int] | None) -> bool:
    """Return whether the pages of a stack are the rows of one image with its bands on the last axis."""
    if header.pages == 1 or not header.stackable or header.channels != 1 or header.orientation != 1:
        return False
    if header.slices:
        return False
    if channels is not None:
        return header.width == channels and header.pages != channels
    return size == (header.pages, header.height) and size != (header.height, header.width)


def is_stack(header: Header, pages: int | None, volumes: bool) -> bool:
    """Return whether the pages of a file are the slices of a volume: by its metadata, or because the user says so."""
    if pages is not None or header.pages == 1 or not header.stackable:
        return False
    return volumes or header.slices > 0


def check_pages(header: Header, path: Path, pages: int | None) -> None:
    """Raise `BadImage` for a stack of pages that are not requested as channels."""
    if header.pages == 1 or (header.pages == pages and header.stackable):
        return
    got, hint = f"a stack of {header.pages} pages", "Split it into one file per page."
    if header.times:
        got = f"{header.times} times of {header.pages // header.times} slices"
        raise BadImage("one image or volume", got, "Save a volume per time, such as with Stacks > Tools in Fiji.", path)
    if header.stackable and header.width < _MIN_WIDTH and header.width < min(header.height, header.pages):
        got = (
            f"{got} of {header.height} × {header.width} pixels, probably (height, width, bands), bands on the last axis"
        )
        hint = f"Save it as (bands, height, width) = ({header.width}, {header.pages}, {header.height})."
    elif header.stackable:
        hint = f"Use its pages as slices of a volume with --volumes, or as channels with --pages {header.pages}."
    raise BadImage("one image", got, hint, path)
