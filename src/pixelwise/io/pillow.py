"""JPEG, BMP, WebP and small-depth PNG through Pillow, held to one format at a time.

Pillow's switch for loading truncated files stays off: with it half a picture comes back as a whole one, its rest gray.
"""

import io
import struct
import threading
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import Shaped
from PIL import Image as Pillow

from pixelwise.errors import BadImage
from pixelwise.io.headers import Header

_ORIENTATION = 0x0112
_BAND = 1 << 22  # samples copied out of Pillow at a time
_CHANNELS = {"1": 1, "L": 1, "P": 1, "RGB": 3, "RGBX": 3, "CMYK": 3, "RGBA": 4}
# One at a time: the pixel limit and the warning filters belong to the whole process.
_opening = threading.Lock()
# Tails put after a JPEG's last data byte; they start with bits of every kind.
_TAILS = (b"", b"\x00" * 64, b"\x55" * 64, b"\xaa" * 64, b"\x33" * 64, b"\xcc" * 64, b"\x7e" * 64)


@contextmanager
def opened(file: BinaryIO | io.BytesIO, kind: str) -> Generator[tuple[Pillow.Image, tuple[str, ...]], None, None]:
    """Open `file` as `kind` and nothing else; yields the lazy picture and what Pillow warned about.

    Pillow's own pixel limit is switched off while the header is read, because `headers.check_size` sets ours before
    anything is decoded.
    """
    file.seek(0)
    with _opening, warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        limit, Pillow.MAX_IMAGE_PIXELS = Pillow.MAX_IMAGE_PIXELS, None
        try:
            picture = Pillow.open(file, formats=(kind,))
        finally:
            Pillow.MAX_IMAGE_PIXELS = limit
    # Not closed here: that would close the file, which belongs to the caller.
    yield picture, tuple(dict.fromkeys(str(w.message) for w in heard))


def look_pillow(file: BinaryIO, kind: str, path: Path) -> Header:
    """Read the header of a JPEG, BMP or WebP file."""
    if kind == "BMP":
        _check_bmp(file, path)
    with opened(file, kind) as (picture, heard):
        if picture.mode not in _CHANNELS:
            raise _strange_colours(path, picture.mode)
        if picture.mode == "CMYK" and picture.info.get("adobe_transform") == 2:
            raise _strange_colours(path, "YCCK")
        orientation, messages = orientation_of(_exif_of(picture))
        messages = heard + messages
        if picture.mode == "CMYK":
            messages += ("CMYK colours were converted to RGB",)
        if kind == "WEBP" and getattr(picture, "n_frames", 1) > 1:
            messages += ("animated WebP: only its first picture is used",)
        return Header(
            format=kind,
            height=picture.height,
            width=picture.width,
            channels=_CHANNELS[picture.mode],
            dtype="uint8",
            alpha=picture.mode == "RGBA",
            orientation=orientation,
            palette=_palette_of(picture),
            lossy=kind == "JPEG" or (kind == "WEBP" and _webp_is_lossy(file)),
            warnings=messages,
        )


def decode_pillow(file: BinaryIO | io.BytesIO, kind: str) -> Shaped[np.ndarray, "channels height width"]:
    """Decode the samples: palette indices stay indices, one-bit pictures become 0 and 1, CMYK becomes RGB."""
    with opened(file, kind) as (picture, _):
        return _samples(picture)


def decode_jpeg(file: BinaryIO) -> tuple[Shaped[np.ndarray, "channels height width"], tuple[str, ...]]:
    """Decode a JPEG; one that lacks nothing but its end marker is mended, with a warning.

    A decoder fills the missing rest of a cut file with whatever follows it. So the file is decoded with several
    different tails in place of the marker: only when all give the same picture was nothing of it missing.
    """
    try:
        return decode_pillow(file, "JPEG"), ()
    except OSError as error:
        file.seek(0)
        content = file.read()
        if not _one_scan(content):
            raise
        stem = content.removesuffix(b"\xff")
        try:
            pictures = (decode_pillow(io.BytesIO(stem + tail + b"\xff\xd9"), "JPEG") for tail in _TAILS)
            first = next(pictures)
            same = all(np.array_equal(first, other) for other in pictures)
        except OSError:
            raise error from None
        if not same:
            raise
        return first, ("the end marker of the JPEG is missing; all its pixels are there",)


def orientation_of(exif: bytes | None) -> tuple[int, tuple[str, ...]]:
    """Return the EXIF orientation (1 when there is none) and a warning when the record is broken."""
    if not exif:
        return 1, ()
    ignored = ("broken EXIF record: ignored, the image is taken as upright",)
    record = Pillow.Exif()
    try:
        with _opening, warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            record.load(exif)
            value = record.get(_ORIENTATION, 1)
    # Pillow lets whatever its parser stumbles over escape; none of it is worth losing the picture.
    except Exception:
        return 1, ignored
    if heard or not isinstance(value, int) or not 0 <= value <= 8:
        return 1, ignored
    return max(value, 1), ()  # some cameras write 0 for "not known"


def _exif_of(picture: Pillow.Image) -> bytes | None:
    exif = picture.info.get("exif")
    return exif if isinstance(exif, bytes) else None


def _palette_of(picture: Pillow.Image) -> Shaped[np.ndarray, "entries 3"] | None:
    if picture.mode != "P" or picture.palette is None:
        return None
    # Not `picture.getpalette`: that decodes the whole picture, of whatever size the header tells.
    order = picture.palette.rawmode or picture.palette.mode
    entries = np.frombuffer(bytes(picture.palette.palette), np.uint8)
    rows = entries[: len(entries) // len(order) * len(order)].reshape(-1, len(order))
    return rows[:, 2::-1] if order.startswith("BGR") else rows[:, :3]


def _samples(picture: Pillow.Image) -> Shaped[np.ndarray, "channels height width"]:
    picture.load()
    if picture.mode in ("CMYK", "RGBX"):
        picture = picture.convert("RGB")
    width, height = picture.size
    samples = np.empty((len(picture.getbands()), height, width), np.uint8)
    rows = max(1, _BAND // (width * len(samples)))
    # In bands: a conversion of the whole picture would lie in memory twice more.
    for top in range(0, height, rows):
        bottom = min(height, top + rows)
        band = np.asarray(picture.crop((0, top, width, bottom)))
        samples[:, top:bottom] = band.reshape(bottom - top, width, -1).transpose(2, 0, 1)
    return samples


def _one_scan(jpeg: bytes) -> bool:
    """Whether all colours of a sequential JPEG lie in its first scan (ITU-T T.81, B.2): else a scan may be missing."""
    at, components = 2, 0
    while at + 4 <= len(jpeg) and jpeg[at] == 0xFF:
        marker, length = jpeg[at + 1], struct.unpack(">H", jpeg[at + 2 : at + 4])[0]
        if marker in (0xC0, 0xC1):
            components = jpeg[at + 9]
        if marker == 0xDA:
            return components > 0 and jpeg[at + 4] == components
        at += 2 + length
    return False


def _check_bmp(file: BinaryIO, path: Path) -> None:
    """Refuse a colour count beyond a palette's 256: Pillow would ask for room for all of them, up to 16 GB."""
    file.seek(0)
    head = file.read(50)
    if len(head) == 50 and head[14] >= 40 and (count := struct.unpack("<I", head[46:50])[0]) > 256:
        hint = "The file is damaged; export it again."
        raise BadImage("a BMP palette of at most 256 colours", f"{count} colours", hint, path)


def _webp_is_lossy(file: BinaryIO) -> bool:
    """Whether a WebP file holds a lossy (`VP8 `) stream (RFC 9649, section 2.5)."""
    end, at = file.seek(0, 2), 12
    while at + 8 <= end:
        file.seek(at)
        name, length = struct.unpack("<4sI", file.read(8))
        if name in (b"VP8 ", b"ANMF"):
            return True
        at += 8 + length + length % 2
    return False


def _strange_colours(path: Path, mode: str) -> BadImage:
    return BadImage("gray, palette, RGB or CMYK colours", f"{mode} colours", "Save the image as RGB.", path)
