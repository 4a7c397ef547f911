"""Checks before decoding: regular file, format detection by signature, size limits from the header.

A path is opened without blocking (a pipe must not hang the program). The first bytes determine the format, not the file
extension. The size is checked before memory for the pixels is allocated.
"""

import errno
import os
import re
import stat
import threading
import warnings
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import Shaped, UInt8
from PIL import Image as Pillow

from pixelwise.errors import BadImage, PixelwiseError, printable
from pixelwise.io.array_paths import parse_array_path
from pixelwise.io.georeference import Georeference

MAX_PIXELS = 2_000_000_000
"""Default pixel limit of one image; the decoders' own limits are far smaller."""

WARNING_FILTERS = threading.Lock()
"""Held where filters of warnings or Pillow's pixel limit change: they belong to the process, not to a thread."""

ZARR_MARKERS = ("zarr.json", ".zattrs", ".zgroup")
"""Files of which a zarr store has one."""

IMAGE_FORMATS = "a PNG, JPEG, BMP, TIFF, WebP, GIF, AVIF, JPEG 2000 or PPM image"
_SAMPLES_PER_PIXEL = 4  # the pixel limit assumes RGBA; more channels allow fewer pixels

_HEAD = 1024
_ORIENTATION = 0x0112
_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"BM", "BMP"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"NRRD0", "NRRD"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG2000"),
)
# Other formats that are often given as images: offset, signature, name, hint.
_CONVERT = "Export it as TIFF or PNG first."
_FRAMES = "Save its frames as PNG."
_UNPACK = "Unpack it first and give the folder."
_OTHER_FORMATS: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"version https://git-lfs", "a Git LFS pointer instead of the image", "Run `git lfs pull`."),
    (30, b"[Content_Types].xml", "a document of Word, Excel or PowerPoint", "Save its pictures as PNG or TIFF."),
    (0, b"PK\x03\x04", "a zip archive", _UNPACK),
    (257, b"ustar", "a tar archive", _UNPACK),
    (0, b"\x1f\x8b", "a gzip file that is no NIfTI volume (.nii.gz)", "Unpack it first."),
    (344, b"ni1\0", "the header of a NIfTI volume in two files (.hdr, .img)", "Save it in one file, as .nii.gz."),
    (0, b"ZISRAWFILE", "a Zeiss CZI file", _CONVERT),
    (0, b"\xda\xce\xbe\x0a", "a Nikon ND2 file", _CONVERT),
    (0, b"\x89HDF", "an HDF5 file", "Name it .h5."),
    (0, b"\x93NUMPY", "a NumPy array file", "Name it .npy."),
    (4, b"ftypisom", "a video", _FRAMES),
    (4, b"ftypmp4", "a video", _FRAMES),
    (4, b"ftypM4V", "a video", _FRAMES),
    (4, b"ftypqt", "a video", _FRAMES),
    (8, b"AVI ", "a video", _FRAMES),
    (0, b"\x1a\x45\xdf\xa3", "a video", _FRAMES),
    (4, b"ftyp", "a HEIC or video file", "Save it as PNG first."),
    (0, b"%PDF", "a PDF document", "Export its image as PNG first."),
    (0, b"%!PS", "a PostScript (EPS) drawing", "Save it as PNG first."),
    (0, b"\xd7\xcd\xc6\x9a", "a WMF drawing", "Save it as PNG first."),
)


@dataclass(frozen=True, kw_only=True)
class Header:
    """The image header; sizes are as stored, before the orientation is applied.

    `channels` is the number of stored samples per pixel; with `alpha` the last one is transparency. `palette` holds
    one (red, green, blue) row per index. `gray_step` is the factor by which the decoder scales samples of fewer than
    8 bits; `bilevel`: one bit per sample, and no palette. `stackable`: all pages are plain samples of one size and can
    be used as channels. `white_is_zero`: TIFF photometric interpretation WhiteIsZero. `nodata`: value of pixels without
    a measurement (tag GDAL_NODATA). `bands_last`: pages are rows, and columns are bands. `orientation` is the EXIF
    orientation 1..8. `georeference` is that of the stored pixels. `slices`: the pages are this many slices of a volume,
    as the metadata of the file say; 0 if they do not. `slice_spacing` is their distance in micrometres. `times`: the
    pages are volumes at this many times; 0 if there is one.
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
    white_is_zero: bool = False
    bilevel: bool = False
    nodata: float | None = None
    bands_last: bool = False
    spacing: tuple[float, float] | None = None
    slices: int = 0
    slice_spacing: float | None = None
    georeference: Georeference | None = None
    times: int = 0
    warnings: tuple[str, ...] = ()


def open_image_file(path: Path) -> tuple[BinaryIO, str]:
    """Open a regular file and return it with its format; of a zarr store a file of its metadata. The caller closes it.

    Raises
    ------
    BadImage
        No such file, no permission, a folder, pipe, device or socket, an empty file, or not an image.
    """
    if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]+:/", str(path)) and not path.exists():
        raise BadImage("a file on this machine", "a web address", "Download the file and give its path.", path)
    array = parse_array_path(path)
    if array is None and (metadata := zarr_metadata(path)) is not None:
        return _open_regular(metadata), "OME-Zarr"
    file = _open_regular(path if array is None else array.file)
    try:
        return file, _detect_format(file, path) if array is None else array.kind
    except BaseException:
        file.close()
        raise


def zarr_metadata(path: Path) -> Path | None:
    """Return the file that makes a folder of this machine a zarr store; None for any other path."""
    try:
        return next((path / name for name in ZARR_MARKERS if (path / name).is_file()), None) if path.is_dir() else None
    except (PermissionError, ValueError):  # reported where the folder is opened
        return None


def check_size(header: Header, path: Path, max_pixels: int | None) -> None:
    """Raise `BadImage` if the size in the header is zero or above the limit."""
    limit = MAX_PIXELS if max_pixels is None else max_pixels
    size = f"a header of {header.height} × {header.width} pixels"
    if header.height < 1 or header.width < 1:
        raise BadImage("an image with pixels", size, "The file is damaged; export it again.", path)
    if header.height * header.width > limit:
        hint = "Split the image into tiles, or raise the limit if the size is correct."
        raise BadImage(f"at most {limit} pixels (height × width)", size, hint, path)
    if header.height * header.width * header.channels * header.pages > limit * _SAMPLES_PER_PIXEL:
        got = f"{size} with {header.channels * header.pages} samples each"
        hint = "Split the image into tiles, or save fewer channels."
        raise BadImage(f"at most {limit * _SAMPLES_PER_PIXEL} samples", got, hint, path)


def decode_error(path: Path, kind: str, error: Exception) -> BadImage:
    """Return the `BadImage` for an exception that a decoder raised."""
    said = str(error).rpartition("ITK ERROR: ")[2]  # before it ITK names a file of its own source
    said = said.partition(" <_io.")[0]  # Pillow names the object that it reads
    reason = " ".join(printable(said.replace(str(path), path.name)).split()).rstrip(".")[:160] or type(error).__name__
    hint = "The file is damaged or truncated; download or export it again."
    return BadImage(f"a complete {kind} image", f"one that cannot be decoded ({reason})", hint, path)


@contextmanager
def decoding(path: Path, kind: str) -> Generator[None]:
    """Raise whatever a decoder raises as one `BadImage` that names the file.

    On malformed input decoders raise OSError, SyntaxError, struct.error, TypeError, ZeroDivisionError, MemoryError and
    others.
    """
    try:
        yield
    except PixelwiseError:
        raise
    except Exception as error:
        raise decode_error(path, kind, error) from error


def truncated_error(path: Path, kind: str, detail: str) -> BadImage:
    """Return the `BadImage` for a file that ends before its image data."""
    hint = "Download or export the file again."
    return BadImage(f"a complete {kind} image", f"a truncated file ({detail})", hint, path)


def orientation_of(exif: bytes | None) -> tuple[int, tuple[str, ...]]:
    """Return the EXIF orientation (1 if there is none) and a warning if the record is damaged."""
    if not exif:
        return 1, ()
    ignored = ("damaged EXIF record: ignored, the image is read as upright",)
    record = Pillow.Exif()
    try:
        with WARNING_FILTERS, warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            record.load(exif)
            value = record.get(_ORIENTATION, 1)
    # Pillow's parser may raise anything; a damaged EXIF record is no reason to reject the image.
    except Exception:
        return 1, ignored
    if caught or not isinstance(value, int) or not 0 <= value <= 8:
        return 1, ignored
    return max(value, 1), ()  # some cameras write 0 for "unknown"


def apply_orientation(
    samples: Shaped[np.ndarray, "channels height width"], orientation: int
) -> Shaped[np.ndarray, "channels rows columns"]:
    """Apply an EXIF orientation (EXIF 2.3, tag 0x0112; 1 is upright) to stored samples."""
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
        # O_NONBLOCK: opening a pipe must not block; O_BINARY exists on Windows only.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        if stat.S_ISDIR(path.stat().st_mode):
            os.scandir(path).close()  # raises PermissionError
            raise BadImage(IMAGE_FORMATS, "a folder", "Give the files in it, or the folder of a data set.", path)
        descriptor = os.open(path, flags)
    except (OSError, ValueError) as error:
        raise _not_opened(path, error) from error
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        hint = "Give the path of a file."
        raise BadImage(IMAGE_FORMATS, "a pipe, device or socket, not a regular file", hint, path)
    return os.fdopen(descriptor, "rb")


def _not_opened(path: Path, error: OSError | ValueError) -> BadImage:
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.ENOENT and path.is_symlink():
        got, hint = f"a link to a missing file ({printable(path.readlink())})", "Restore the file it points to."
    elif number == errno.ENOENT:
        got, hint = "no such file", "Check the path; the file may have been moved or deleted."
    elif number == errno.ELOOP:
        got, hint = "a circular symbolic link", "Remove the link."
    elif number in (errno.EACCES, errno.EPERM):
        got, hint = "no permission to read it", "Make it readable (chmod u+r, for a folder u+rx)."
    elif number in (errno.ENXIO, errno.EOPNOTSUPP):
        got, hint = "a pipe, device or socket, not a regular file", "Give the path of a file."
    else:
        reason = error.strerror if isinstance(error, OSError) else None
        got, hint = (reason or str(error)).lower(), "Check the path."
    return BadImage(IMAGE_FORMATS, got, hint, path)


def _detect_format(file: BinaryIO, path: Path) -> str:
    head = file.read(_HEAD)
    file.seek(0)
    if not head:
        raise BadImage(IMAGE_FORMATS, "an empty file (0 bytes)", "Download or export the file again.", path)
    for signature, kind in _SIGNATURES:
        if head.startswith(signature):
            return kind
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WEBP"
    if head[4:8] == b"ftyp" and b"avi" in (head[8:11], head[16:19], head[20:23], head[24:27]):  # avif, avis
        return "AVIF"
    if re.match(rb"P[1-6][\s#]", head):
        return "PPM"
    if (volume := _volume_format(head)) is not None:
        return volume
    got, hint = _describe_unknown(head)
    raise BadImage(IMAGE_FORMATS, got, hint, path)


def _volume_format(head: bytes) -> str | None:
    """Return the format of a volume from its first bytes; None for other files."""
    if is_nifti(head):
        return "NIfTI"
    if head[128:132] == b"DICM":
        return "DICOM"
    return "MetaImage" if re.match(rb"(?i)\s*(ObjectType|NDims|Comment)\s*=", head) else None


def is_nifti(head: bytes) -> bool:
    """Return whether the first bytes of a file are those of NIfTI in one file, compressed or not."""
    if head[:2] == b"\x1f\x8b":
        try:
            head = zlib.decompressobj(31).decompress(head, _HEAD)
        except zlib.error:
            return False
    return head[344:348] == b"n+1\0" or head[4:12] == b"n+2\0\r\n\x1a\n"


def _describe_unknown(head: bytes) -> tuple[str, str]:
    for offset, signature, what, hint in _OTHER_FORMATS:
        if head[offset:].startswith(signature):
            return what, hint
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if b"<svg" in text:
        return "an SVG drawing", "Save it as PNG first."
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "an HTML page (perhaps an error page)", "Download the image itself again."
    start = head[:24].decode("utf-8", "replace")
    got = f"something that is not an image (starts with {start!r})"
    return got, "Remove the file, or save the image in one of these formats."
