"""What is settled before any decoder sees a file: that it is one, what it holds, and that it is small enough.

A path is opened without waiting (a pipe must not hang the program), its first bytes say what it is whatever its
ending claims, and its header says how many pixels it holds before room for one of them is asked for.
"""

import errno
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import Shaped, UInt8

from pixelwise.errors import BadImage, printable

MAX_PIXELS = 2_000_000_000
"""Pixels of one image that are read when the caller names no limit; the decoders' own limits are far smaller."""

PICTURES = "a PNG, JPEG, BMP, TIFF or WebP image"
_SAMPLES_PER_PIXEL = 4  # the pixel limit is meant for RGBA; more channels leave room for fewer pixels

_HEAD = 1024
_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
)
# Found often under an image's name; each with what its owner can do about it.
_CONVERT = "Export it as TIFF or PNG first."
_UNPACK = "Unpack it first and give the folder."
_STRANGERS: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"version https://git-lfs", "a Git LFS pointer instead of the picture", "Run `git lfs pull`."),
    (0, b"PK\x03\x04", "a zip archive", _UNPACK),
    (257, b"ustar", "a tar archive", _UNPACK),
    (0, b"\x1f\x8b", "a gzip file (.tar.gz, .nii.gz)", "Unpack it first; volumes must be exported as TIFF slices."),
    (344, b"n+1\0", "a NIfTI volume", "Export its slices as TIFF first."),
    (344, b"ni1\0", "a NIfTI volume", "Export its slices as TIFF first."),
    (128, b"DICM", "a DICOM file", _CONVERT),
    (0, b"ZISRAWFILE", "a Zeiss CZI file", _CONVERT),
    (0, b"\xda\xce\xbe\x0a", "a Nikon ND2 file", _CONVERT),
    (0, b"\x89HDF", "an HDF5 file", _CONVERT),
    (0, b"\x93NUMPY", "a NumPy array file", _CONVERT),
    (0, b"GIF8", "a GIF", "Save it as PNG first."),
    (0, b"\0\0\0\x0cjP", "a JPEG 2000 file", "Save it as TIFF or PNG first."),
    (4, b"ftyp", "a HEIC, AVIF or video file", "Save it as PNG first."),
    (0, b"%PDF", "a PDF document", "Save the picture in it as PNG first."),
    (0, b"%!PS", "a PostScript (EPS) drawing", "Save it as PNG first."),
    (0, b"\xd7\xcd\xc6\x9a", "a WMF drawing", "Save it as PNG first."),
)


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a file says about its samples before they are decoded; sizes are as stored, before any turn.

    `channels` counts the stored samples per pixel, `alpha` says that the last one is transparency. `palette` holds
    one (red, green, blue) row per index. `gray_step` is the factor by which a decoder stretched samples of fewer than
    8 bits. `stackable` says that the pages are plain samples of one size, so that they can be taken as channels.
    `inverted` says that zero is white. `orientation` is the EXIF number 1..8.
    """

    format: str
    height: int
    width: int
    channels: int
    dtype: str
    alpha: bool = False
    pages: int = 1
    stackable: bool = True
    orientation: int = 1
    palette: UInt8[np.ndarray, "entries 3"] | None = None
    lossy: bool = False
    gray_step: int = 1
    inverted: bool = False
    spacing: tuple[float, float] | None = None
    warnings: tuple[str, ...] = ()


def open_picture(path: Path) -> tuple[BinaryIO, str]:
    """Open a regular file and say which of the known formats it holds. The caller closes it.

    Raises
    ------
    BadImage
        No such file, no permission, a folder, pipe, device or socket, an empty file, or something that is no picture.
    """
    if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]+:/", str(path)) and not path.exists():
        raise BadImage("a file on this machine", "a web address", "Download the file and give its path.", path)
    file = _open_regular(path)
    try:
        return file, _recognise(file, path)
    except BaseException:
        file.close()
        raise


def check_size(header: Header, path: Path, max_pixels: int | None) -> None:
    """Refuse sizes that cannot be meant, from the header alone."""
    limit = MAX_PIXELS if max_pixels is None else max_pixels
    size = f"a header of {header.height} × {header.width} pixels"
    if header.height < 1 or header.width < 1:
        raise BadImage("an image with pixels", size, "The file is damaged; export it again.", path)
    if header.height * header.width > limit:
        hint = "Cut the image into parts, or raise the limit if the size is right."
        raise BadImage(f"at most {limit} pixels (height × width)", size, hint, path)
    if header.height * header.width * header.channels * header.pages > limit * _SAMPLES_PER_PIXEL:
        got = f"{size} with {header.channels * header.pages} samples each"
        hint = "Cut the image into parts, or save fewer channels."
        raise BadImage(f"at most {limit * _SAMPLES_PER_PIXEL} samples", got, hint, path)


def broken(path: Path, kind: str, error: Exception) -> BadImage:
    """Turn whatever a decoder raised into the one error of this room."""
    reason = " ".join(printable(str(error)).split()).rstrip(".")[:160] or type(error).__name__
    hint = "The file is damaged or cut short; fetch or export it again."
    return BadImage(f"a whole {kind} image", f"one that cannot be decoded ({reason})", hint, path)


def truncated(path: Path, kind: str, detail: str) -> BadImage:
    """Say that the file ends before its picture does."""
    return BadImage(f"a whole {kind} image", f"a truncated file ({detail})", "Fetch or export the file again.", path)


def turned(
    samples: Shaped[np.ndarray, "channels height width"], orientation: int
) -> Shaped[np.ndarray, "channels rows columns"]:
    """Turn stored samples upright. `orientation` as in EXIF 2.3, tag 0x0112; 1 is upright."""
    match orientation:
        case 2:
            view = samples[:, :, ::-1]
        case 3:
            view = samples[:, ::-1, ::-1]
        case 4:
            view = samples[:, ::-1]
        case 5:
            view = samples.transpose(0, 2, 1)
        case 6:
            view = samples[:, ::-1].transpose(0, 2, 1)
        case 7:
            view = samples[:, ::-1, ::-1].transpose(0, 2, 1)
        case 8:
            view = samples[:, :, ::-1].transpose(0, 2, 1)
        case _:
            return samples
    return np.ascontiguousarray(view)


def _open_regular(path: Path) -> BinaryIO:
    try:
        # O_NONBLOCK: opening a pipe must not wait for its other end; O_BINARY exists on Windows only.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        if stat.S_ISDIR(path.stat().st_mode):
            raise BadImage(PICTURES, "a folder", "Give the files in it, or the folder of a data set.", path)
        descriptor = os.open(path, flags)
    except (OSError, ValueError) as error:
        raise _not_opened(path, error) from error
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        hint = "Give the path of a file."
        raise BadImage(PICTURES, "a pipe, device or socket, not a regular file", hint, path)
    return os.fdopen(descriptor, "rb")


def _not_opened(path: Path, error: OSError | ValueError) -> BadImage:
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.ENOENT and path.is_symlink():
        got, hint = f"a link to a missing file ({printable(path.readlink())})", "Restore the file it points to."
    elif number == errno.ENOENT:
        got, hint = "no such file", "Check the path; the file may have been moved or deleted."
    elif number == errno.ELOOP:
        got, hint = "a link that leads back to itself", "Remove the link."
    elif number in (errno.EACCES, errno.EPERM):
        got, hint = "no permission to read it", "Make the file readable (chmod u+r)."
    elif number in (errno.ENXIO, errno.EOPNOTSUPP):
        got, hint = "a pipe, device or socket, not a regular file", "Give the path of a file."
    else:
        reason = error.strerror if isinstance(error, OSError) else None
        got, hint = (reason or str(error)).lower(), "Check the path."
    return BadImage(PICTURES, got, hint, path)


def _recognise(file: BinaryIO, path: Path) -> str:
    head = file.read(_HEAD)
    file.seek(0)
    if not head:
        raise BadImage(PICTURES, "an empty file (0 bytes)", "Fetch or export the file again.", path)
    for signature, kind in _SIGNATURES:
        if head.startswith(signature):
            return kind
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WEBP"
    got, hint = _describe(head)
    raise BadImage(PICTURES, got, hint, path)


def _describe(head: bytes) -> tuple[str, str]:
    for offset, signature, what, hint in _STRANGERS:
        if head[offset:].startswith(signature):
            return what, hint
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if b"<svg" in text:
        return "an SVG drawing", "Save it as PNG first."
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "what looks like an HTML page (perhaps an error page)", "Download the picture itself again."
    start = head[:24].decode("utf-8", "replace")
    got = f"something that is not an image (starts with {start!r})"
    return got, "Remove the file, or save the picture in one of these formats."
