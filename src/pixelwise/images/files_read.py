"""How pixels leave a file: Pillow for PNG, JPEG, BMP and WebP, tifffile for TIFF. Every failure is a `BadImage`.

Pillow opens dozens of formats; only the five named here are allowed. It would read 16-bit colour TIFF as 8 bits and
drop channels and pages, so TIFF never goes through it.
"""

import os
import stat
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import ExifTags, Image, ImageOps, PngImagePlugin

from pixelwise.errors import BadImage

PILLOW_FORMATS = ("PNG", "JPEG", "BMP", "WEBP")
TIFF_SUFFIXES = (".tif", ".tiff")
MAX_PIXELS = 2_000_000_000
_TEXT_LIMIT = 64 * 2**20  # bytes of compressed text or profiles in a PNG; more is an attack
_SAVE_AGAIN = "Save it again as PNG or TIFF."
_COPY_AGAIN = "Copy or export the file again."

# Sizes are checked from the header by `check_pixels`, with a limit that the caller chooses.
Image.MAX_IMAGE_PIXELS = None
PngImagePlugin.MAX_TEXT_MEMORY = _TEXT_LIMIT


@dataclass(frozen=True)
class Header:
    """What the header of a file says; `axes` names the array's axes as tifffile does (Y, X, S or C, and others)."""

    format: str
    axes: str
    shape: tuple[int, ...]
    dtype: str
    palette: bool = False
    orientation: int = 1
    frames: int = 1
    mode: str = ""


@dataclass(frozen=True)
class Decoded:
    """Pixels as (height, width) or (height, width, channels), before any interpretation of colours."""

    header: Header
    array: np.ndarray
    palette: tuple[tuple[int, int, int], ...]
    warnings: tuple[str, ...]
    spacing: tuple[float, float] | None = None


def check_file(path: Path) -> bytes:
    """Refuse what is no ordinary, readable file with something in it; return its first bytes."""
    if "://" in str(path).replace(":/", "://", 1) and str(path).split(":", 1)[0] in ("http", "https", "ftp", "s3"):
        raise BadImage("a file on this machine", "a web address", "Download it first.", path)
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        link = path.is_symlink()
        came = "a link that leads nowhere" if link else (error.strerror or str(error)).lower()
        raise BadImage("an image file", came, "Check the path.", path) from error
    if stat.S_ISDIR(mode):
        raise BadImage("an image file", "a folder", "Rename the folder, or give its files.", path)
    if not stat.S_ISREG(mode):
        raise BadImage("an image file", "a pipe or device", "Give an ordinary file.", path)
    try:
        with path.open("rb") as file:
            start = file.read(512)
    except OSError as error:
        raise BadImage("a file that may be read", "no permission", "Change its rights.", path) from error
    if not start:
        raise BadImage("an image", "an empty file (0 bytes)", _COPY_AGAIN, path)
    _refuse_text(start, path)
    return start


def _refuse_text(start: bytes, path: Path) -> None:
    head = start.lstrip().lower()
    if head.startswith(b"version https://git-lfs"):
        raise BadImage("an image", "a git-LFS pointer", "Run `git lfs pull`.", path)
    if head.startswith((b"<!doctype html", b"<html")):
        raise BadImage("an image", "a web page (HTML)", "Download the image itself.", path)
    if head.startswith((b"<svg", b"<?xml", b"%pdf", b"%!ps")):
        raise BadImage("PNG, JPEG, BMP, WebP or TIFF", "a drawing (SVG, XML, PDF or PostScript)", _SAVE_AGAIN, path)
    if head.startswith((b"pk\x03\x04", b"\x1f\x8b")):
        raise BadImage("an image", "an archive (zip or gzip)", "Unpack it first.", path)


def check_pixels(header: Header, path: Path, most: int) -> None:
    """Refuse sizes of nothing and sizes beyond the limit, before anything is decoded."""
    pixels = 1
    for side in header.shape:
        pixels *= side
    if pixels == 0:
        raise BadImage("an image with pixels", f"shape {header.shape}", _COPY_AGAIN, path)
    if pixels > most:
        mend = "Use prediction in windows for pictures of this size, or check the file."
        raise BadImage(f"at most {most:,} values", f"a header that tells of {pixels:,}", mend, path)


def is_tiff(start: bytes) -> bool:
    """Tell TIFF and BigTIFF, of both byte orders, by their first bytes."""
    return start[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def read_header(path: Path) -> Header:
    """Read what the header says, without decoding."""
    start = check_file(path)
    return _tiff_header(path) if is_tiff(start) else _pillow_header(path, start)


def decode(path: Path, most_pixels: int = MAX_PIXELS) -> Decoded:
    """Decode a whole file; EXIF orientation is applied."""
    start = check_file(path)
    if is_tiff(start):
        header = _tiff_header(path)
        check_pixels(header, path, most_pixels)
        return _decode_tiff(path, header)
    header = _pillow_header(path, start)
    check_pixels(header, path, most_pixels)
    return _decode_pillow(path, header)


def _open_pillow(path: Path, start: bytes) -> Image.Image:
    try:
        return Image.open(path, formats=PILLOW_FORMATS)
    except (OSError, SyntaxError, ValueError, MemoryError) as error:
        shown = "".join(chr(b) if 32 <= b < 127 else "." for b in start[:16])
        raise BadImage(
            "PNG, JPEG, BMP, WebP or TIFF", f"a file that starts with '{shown}'", _SAVE_AGAIN, path
        ) from error


def _pillow_header(path: Path, start: bytes) -> Header:
    with _quiet(), _open_pillow(path, start) as picture:
        width, height = picture.size
        return Header(
            format=picture.format or "",
            axes="YXS",
            shape=(height, width, len(picture.getbands())),
            dtype=_pillow_dtype(picture.mode),
            palette=picture.mode == "P",
            orientation=_orientation(picture),
            frames=int(getattr(picture, "n_frames", 1)),
            mode=picture.mode,
        )


def _decode_pillow(path: Path, header: Header) -> Decoded:
    notes: list[str] = []
    if header.mode in ("YCbCr", "LAB", "HSV"):
        raise BadImage("gray or RGB", f"{header.mode} colours", "Save it as RGB.", path)
    if header.frames > 1:
        notes.append(f"{path.name}: an animation of {header.frames} frames; the first one is used.")
    with _quiet(), _open_pillow(path, b"") as picture:
        try:
            picture.load()
            if header.mode == "CMYK":
                picture = picture.convert("RGB")
                notes.append(f"{path.name}: CMYK was converted to RGB.")
            palette = _palette(picture)
            turned = ImageOps.exif_transpose(picture) if header.orientation != 1 else picture
        except (OSError, SyntaxError, ValueError, MemoryError, EOFError) as error:
            came = "a truncated file" if "truncated" in str(error) else f"damaged data ({error})"
            raise BadImage("a whole image", came, _COPY_AGAIN, path) from error
        array = np.array(turned)
    return Decoded(header, array, palette, tuple(notes))


def _palette(picture: Image.Image) -> tuple[tuple[int, int, int], ...]:
    if picture.mode != "P":
        return ()
    flat = picture.getpalette("RGB") or []
    return tuple((flat[i], flat[i + 1], flat[i + 2]) for i in range(0, len(flat) - 2, 3))


def _pillow_dtype(mode: str) -> str:
    return {"1": "bool", "I": "int32", "F": "float32"}.get(mode, "uint16" if mode.startswith("I;16") else "uint8")


def _orientation(picture: Image.Image) -> int:
    try:
        value = picture.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # Pillow's EXIF parser raises what it meets; broken EXIF says nothing about the pixels
        return 1
    return value if isinstance(value, int) and 2 <= value <= 8 else 1


def _tiff_header(path: Path) -> Header:
    with _quiet():
        try:
            with tifffile.TiffFile(path) as file:
                series: Any = file.series[0]
                return Header(
                    format="TIFF",
                    axes=str(series.axes),
                    shape=tuple(int(n) for n in series.shape),
                    dtype=str(series.dtype),
                    palette=int(file.pages[0].photometric) == 3,
                    mode=str(getattr(file.pages[0].photometric, "name", "")),
                )
        except (OSError, ValueError, IndexError, KeyError, TypeError, MemoryError, RuntimeError) as error:
            raise BadImage("a whole TIFF", f"a damaged one ({_line(error)})", _COPY_AGAIN, path) from error


def _decode_tiff(path: Path, header: Header) -> Decoded:
    with _quiet():
        try:
            with tifffile.TiffFile(path) as file:
                page: Any = file.pages[0]
                array = np.asarray(file.series[0].asarray())
                colormap = page.colormap if header.palette else None
                spacing = _spacing(file, page)
        except (OSError, ValueError, IndexError, KeyError, TypeError, MemoryError, RuntimeError) as error:
            text = _line(error)
            if "imagecodecs" in text or "codec" in text.lower():
                raise BadImage("a known compression", text, "Run `pip install imagecodecs`.", path) from error
            raise BadImage("a whole TIFF", f"truncated or damaged data ({text})", _COPY_AGAIN, path) from error
    palette: tuple[tuple[int, int, int], ...] = ()
    if colormap is not None:
        palette = tuple((int(r) >> 8, int(g) >> 8, int(b) >> 8) for r, g, b in zip(*colormap, strict=True))
    return Decoded(header, array, palette, (), spacing)


def _spacing(file: Any, page: Any) -> tuple[float, float] | None:
    """Return micrometres per pixel (y, x) where ImageJ or the resolution tags in centimetres say so."""
    unit = (file.imagej_metadata or {}).get("unit", "")
    scale = {"micron": 1.0, "um": 1.0, "µm": 1.0, "\\u00B5m": 1.0, "nm": 1e-3, "mm": 1e3}.get(str(unit))
    if scale is None and page.tags.get("ResolutionUnit") and int(page.tags["ResolutionUnit"].value) == 3:
        scale = 1e4  # pixels per centimetre
    if scale is None or not page.tags.get("XResolution") or not page.tags.get("YResolution"):
        return None
    (xn, xd), (yn, yd) = page.tags["XResolution"].value, page.tags["YResolution"].value
    return (scale * yd / yn, scale * xd / xn) if xn and yn else None


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__


class _quiet(warnings.catch_warnings):  # noqa: N801 - reads as a word in `with`
    """Silence the libraries' own warnings: what matters is told through `Decoded.warnings`."""

    def __enter__(self) -> None:
        super().__enter__()
        warnings.simplefilter("ignore")
