"""Read JPEG, BMP, WebP, AVIF, GIF, PPM, PGM, PBM and PNG of low bit depth with Pillow, in the detected format alone.

JPEG 2000 is decoded by OpenJPEG through imagecodecs, which keeps 16 bits.

Loading truncated images stays off in Pillow: a truncated file would be returned as an image that is partly gray.
"""

import io
import re
import struct
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import imagecodecs
import numpy as np
from jaxtyping import Shaped
from PIL import Image as Pillow

from pixelwise.errors import BadImage
from pixelwise.io.headers import WARNING_FILTERS, Header, orientation_of

_ARITHMETIC = (b"\xff\xc9", b"\xff\xca")  # markers of JPEG frames with arithmetic codes
_JP2_HEAD = 1 << 16  # bytes that hold the headers of a JPEG 2000 codestream
_JP2_TILE = 14  # bytes of a tile without samples: the markers SOT and SOD (A.4.2, A.4.3)
_JP2_BLANK = 1 << 18  # pixels per byte: those of one value take less than any others, about 250 bytes in all
_PPM_HEAD = 1 << 16  # bytes of a header of PPM: Pillow reads comments of any length, byte by byte
_PPM = re.compile(rb"P(?:[14](?:{0}[0-9]+){2}|[2356](?:{0}[0-9]+){3})\s".replace(b"{0}", rb"(?:\s|#[^\r\n]*[\r\n])+"))
_JPEG_HEAD = 1 << 12  # bytes: the segments before the samples of a plain JPEG take less than 1000
_AVIF_HEAD = 1 << 16  # bytes in which the metadata are, and the header of the sequence behind them
_SEQUENCE_HEADER = re.compile(rb"(?:\x12\0)?\x0a([\x01-\x7f])")  # of AV1, after an empty delimiter or none
_MAX_SCANS = 300  # of a progressive JPEG, each of which takes as long as an image; programs write about 10
_SPARSE = 1 << 22  # pixels of compressed images that any number of bytes may stand for: rows and frames can end early
# Pixels per byte: two bytes are a run of up to 255, and 12 bits a string of less than 2^12 (GIF89a, appendix F).
_RUNS = {"bmp_rle": 128, "gif": 2560}
_BAND = 1 << 22  # samples copied from Pillow at a time
_CHANNELS = {"1": 1, "L": 1, "P": 1, "RGB": 3, "RGBX": 3, "CMYK": 3, "RGBA": 4}
# Tails appended to the last data byte of a JPEG, with different first bits.
_TAILS = (b"", b"\x00" * 64, b"\x55" * 64, b"\xaa" * 64, b"\x33" * 64, b"\xcc" * 64, b"\x7e" * 64)


@contextmanager
def open_pillow(file: BinaryIO | io.BytesIO, kind: str) -> Generator[tuple[Pillow.Image, tuple[str, ...]], None, None]:
    """Open `file` in the format `kind` only; yield the lazy image and Pillow's warnings.

    Pillow's own pixel limit is disabled while the header is read: `headers.check_size` applies ours before decoding.
    """
    file.seek(0)
    with WARNING_FILTERS, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        limit, Pillow.MAX_IMAGE_PIXELS = Pillow.MAX_IMAGE_PIXELS, None
        try:
            image = Pillow.open(file, formats=(kind,))
        finally:
            Pillow.MAX_IMAGE_PIXELS = limit
    # Not closed here: that would close the caller's file.
    yield image, tuple(dict.fromkeys(str(w.message) for w in caught))


def read_pillow_header(file: BinaryIO, kind: str, path: Path) -> Header:
    """Read the header of a JPEG, BMP, WebP, AVIF, GIF, PPM, PGM or PBM file."""
    checks = {"BMP": _check_bmp, "WEBP": _check_webp, "PPM": _check_ppm_header}
    if kind in checks:
        checks[kind](file, path)
    with open_pillow(file, kind) as (image, caught):
        if kind == "PPM":
            _check_ppm(image, path)
        if kind == "JPEG":
            _check_jpeg(file, image.height, image.width, path)
        if kind == "AVIF":
            _check_avif(file, image.height, image.width, path)
        if image.mode not in _CHANNELS:
            raise _unsupported_mode(path, image.mode)
        if image.mode == "CMYK" and image.info.get("adobe_transform") == 2:
            raise _unsupported_mode(path, "YCCK")
        orientation, messages = orientation_of(_exif_of(image))
        messages = caught + messages
        if image.mode == "CMYK":
            messages += ("CMYK colours were converted to RGB",)
        if kind in ("WEBP", "AVIF") and getattr(image, "n_frames", 1) > 1:
            messages += (f"animated {'WebP' if kind == 'WEBP' else kind}: only the first frame is used",)
        if kind == "GIF":
            messages += _check_gif(image, path)
        return Header(
            format=kind,
            height=image.height,
            width=image.width,
            channels=_CHANNELS[_gif_mode(image) if kind == "GIF" else image.mode],
            dtype="uint8",
            alpha=image.mode == "RGBA",
            orientation=orientation,
            palette=None if kind == "GIF" else _palette_of(image),
            bilevel=image.mode == "1",
            lossy=kind in ("JPEG", "AVIF") or (kind == "WEBP" and _webp_is_lossy(file)),
            warnings=messages,
        )


def read_jpeg_header(file: BinaryIO, path: Path) -> Header:
    """Read the header of a JPEG: of a plain gray or RGB one without Pillow, in a tenth of its time."""
    file.seek(0)
    size = _plain_jpeg_size(file.read(_JPEG_HEAD))
    if size is None:
        return read_pillow_header(file, "JPEG", path)
    height, width, channels = size
    _check_jpeg(file, height, width, path)
    return Header(format="JPEG", height=height, width=width, channels=channels, dtype="uint8", lossy=True)


def _plain_jpeg_size(head: bytes) -> tuple[int, int, int] | None:
    """Return height, width and channels of a JPEG whose segments before the samples say nothing else; else None.

    With EXIF, CMYK colours, several images, arithmetic codes or anything unusual it is for Pillow to read.
    """
    at, size = 2, None
    while at + 10 <= len(head) and head[at] == 0xFF:
        marker, length = head[at + 1], struct.unpack(">H", head[at + 2 : at + 4])[0]
        content = head[at + 4 : at + 2 + length]
        if marker == 0xDA:
            return size
        if marker in (0xC0, 0xC1, 0xC2) and len(content) > 8:
            bits, height, width, channels = struct.unpack(">BHHB", content[:6])
            if size is not None or bits != 8 or channels not in (1, 3) or not height or not width:
                return None
            size = height, width, channels
        elif not (marker in (0xC4, 0xDB, 0xDD, 0xFE) or (marker, content[:5]) == (0xE0, b"JFIF\0")):
            return None
        at += 2 + length
    return None


def decode_pillow(file: BinaryIO | io.BytesIO, kind: str) -> Shaped[np.ndarray, "channels height width"]:
    """Decode the samples: palette indices are kept (except in GIF), one-bit images become 0 and 1, CMYK becomes RGB."""
    if kind == "JPEG2000":
        file.seek(0)
        samples = imagecodecs.jpeg2k_decode(file.read())
        return samples[None] if samples.ndim == 2 else np.ascontiguousarray(samples.transpose(2, 0, 1))
    with open_pillow(file, kind) as (image, _):
        if kind in ("BMP", "PPM", "GIF"):
            _check_length(image, file)
        return _samples(image.convert(_gif_mode(image)) if kind == "GIF" else image)


def read_jpeg2000_header(file: BinaryIO, path: Path) -> Header:
    """Read the sizes of the codestream (ISO/IEC 15444-1, A.5.1), and whether its wavelet is irreversible (A.6.1).

    The decoder goes by them, not by the header box before them.
    """
    content = _jpeg2000_codestream(file)
    if content[:4] != b"\xff\x4f\xff\x51" or len(content) < 45:
        hint = "The file is damaged; download or export it again."
        raise BadImage("a JPEG 2000 image", "a file without an image header", hint, path)
    right, bottom, left, top, tile_width, tile_height, first, above = struct.unpack(">8I", content[8:40])
    channels, depth, height, width = *struct.unpack(">HB", content[40:43]), bottom - top, right - left
    tiles = -(-max(0, bottom - above) // max(1, tile_height)) * -(-max(0, right - first) // max(1, tile_width))
    if (length := file.seek(0, 2)) < max(tiles * _JP2_TILE, height * width // _JP2_BLANK):
        got = f"{length} bytes for {height} × {width} pixels in {tiles} tiles"
        raise BadImage("a complete JPEG 2000 image", got, "The file is damaged; download or export it again.", path)
    bits, signed, cod = (depth & 0x7F) + 1, bool(depth & 0x80), content.find(b"\xff\x52")
    if signed or bits > 16:
        got = "signed samples" if signed else f"{bits} bits"
        raise BadImage("samples of 1 to 16 bits", got, "Save it as TIFF.", path)
    return Header(
        format="JPEG2000",
        height=height,
        width=width,
        channels=channels,
        dtype="uint8" if bits <= 8 else "uint16",
        lossy=0 <= cod < len(content) - 13 and content[cod + 13] == 0,
    )


def _jpeg2000_codestream(file: BinaryIO) -> bytes:
    """Return the start of the codestream, which is in the first box `jp2c` (I.4); empty if there is none."""
    end, at = file.seek(0, 2), 0
    while at + 8 <= end:
        file.seek(at)
        length, name = struct.unpack(">I4s", file.read(8))
        if name == b"jp2c":
            file.seek(at + (16 if length == 1 else 8))
            return file.read(_JP2_HEAD)
        if length == 1:
            length = int.from_bytes(file.read(8))
        if length < 8:
            break
        at += length
    return b""


def stated_size(stream: bytes) -> tuple[int, int] | None:
    """Return the height and width that a JPEG, JPEG 2000, WebP or PNG stream inside another file states.

    None for other streams; (0, 0) if a JPEG states none where it is looked for.
    """
    if stream.startswith(b"\xff\xd8"):
        return _jpeg_size(stream)
    if stream.startswith(b"\x89PNG"):
        return struct.unpack(">2I", stream[20:24] + stream[16:20])
    if stream.startswith((b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  ")):
        content = stream if stream[:1] == b"\xff" else _jpeg2000_codestream(io.BytesIO(stream))
        right, bottom, left, top = struct.unpack(">4I", content[8:24].ljust(16, b"\0"))
        return bottom - top, right - left
    if stream.startswith(b"RIFF") and stream[12:16] == b"VP8L":
        bits = int.from_bytes(stream[21:25], "little")
        return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1
    if stream.startswith(b"RIFF") and stream[12:15] == b"VP8":
        extended = stream[15:16] == b"X"  # three bytes each, less one; else two
        sides = (stream[24:27], stream[27:30]) if extended else (stream[26:28], stream[28:30])
        width, height = (int.from_bytes(side, "little") + extended for side in sides)
        return (height, width) if extended else (height & 0x3FFF, width & 0x3FFF)
    return None


def _jpeg_size(stream: bytes) -> tuple[int, int]:
    at = 2
    while at + 9 <= len(stream) and stream[at] == 0xFF:
        marker = stream[at + 1]
        if marker in range(0xC0, 0xD0) and marker not in (0xC4, 0xC8, 0xCC):  # a frame (ITU-T T.81, table B.1)
            return struct.unpack(">2H", stream[at + 5 : at + 9])
        at += 1 if marker == 0xFF else 2 + int.from_bytes(stream[at + 2 : at + 4])
    return 0, 0


def decode_jpeg(file: BinaryIO) -> tuple[Shaped[np.ndarray, "channels height width"], tuple[str, ...]]:
    """Decode a JPEG; if only its end marker is missing, repair it with a warning.

    A decoder fills the missing rest of a truncated file from the bytes that follow. The file is decoded with several
    tails instead of the marker: no data are missing if all give the same image.
    """
    fast = _decode_whole_jpeg(file)
    if fast is not None:
        return fast, ()
    try:
        return decode_pillow(file, "JPEG"), ()
    except OSError as error:
        file.seek(0)
        content = file.read()
        if not _one_scan(content):
            raise
        stem = content.removesuffix(b"\xff")
        try:
            images = (decode_pillow(io.BytesIO(stem + tail + b"\xff\xd9"), "JPEG") for tail in _TAILS)
            first = next(images)
            same = all(np.array_equal(first, other) for other in images)
        except OSError:
            raise error from None
        if not same:
            raise
        return first, ("the end marker of the JPEG is missing; all pixels are present",)


def _decode_whole_jpeg(file: BinaryIO) -> Shaped[np.ndarray, "channels height width"] | None:
    """Decode a gray or RGB JPEG that ends with its end marker in a third of Pillow's time; None for others.

    The channels of a pixel are next to each other in memory.

    Both use libjpeg-turbo and return the same values. What is cut off is found by Pillow only: without the end marker
    this decoder fills the rest.
    """
    file.seek(0)
    content = file.read()
    if content.count(b"\xff\xda") - content.count(b"\xff\xd8") > _MAX_SCANS:  # a scan for each image, and further ones
        raise ValueError(f"more than {_MAX_SCANS} scans")
    if not content.endswith(b"\xff\xd9"):
        return None
    try:
        samples = imagecodecs.jpeg8_decode(content)
    except imagecodecs.Jpeg8Error:
        return None
    if samples.dtype != np.uint8 or (samples.ndim == 3 and samples.shape[2] != 3):
        return None
    return samples[None] if samples.ndim == 2 else samples.transpose(2, 0, 1)


def _exif_of(image: Pillow.Image) -> bytes | None:
    exif = image.info.get("exif")
    return exif if isinstance(exif, bytes) else None


def _palette_of(image: Pillow.Image) -> Shaped[np.ndarray, "entries 3"] | None:
    if image.mode != "P" or image.palette is None:
        return None
    # Not `image.getpalette`: that decodes the whole image, of any size.
    order = image.palette.rawmode or image.palette.mode
    entries = np.frombuffer(bytes(image.palette.palette), np.uint8)
    rows = entries[: len(entries) // len(order) * len(order)].reshape(-1, len(order))
    return rows[:, 2::-1] if order.startswith("BGR") else rows[:, :3]


def _samples(image: Pillow.Image) -> Shaped[np.ndarray, "channels height width"]:
    image.load()
    if image.mode in ("CMYK", "RGBX"):
        image = image.convert("RGB")
    width, height = image.size
    samples = np.empty((len(image.getbands()), height, width), np.uint8)
    rows = max(1, _BAND // (width * len(samples)))
    # In bands: converting the whole image would need two more copies in memory.
    for top in range(0, height, rows):
        bottom = min(height, top + rows)
        band = image if rows >= height else image.crop((0, top, width, bottom))
        for channel, plane in zip(samples, band.split(), strict=True):  # faster than a transposition
            channel[top:bottom] = np.asarray(plane)
    return samples


def _one_scan(jpeg: bytes) -> bool:
    """Return whether the first scan of a sequential JPEG has all components (ITU-T T.81, B.2)."""
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
    """Raise `BadImage` for more than 256 palette colours: Pillow would allocate memory for all of them, up to 16 GB."""
    file.seek(0)
    head = file.read(50)
    if len(head) == 50 and head[14] >= 40 and (count := struct.unpack("<I", head[46:50])[0]) > 256:
        hint = "The file is damaged; export it again."
        raise BadImage("a BMP palette of at most 256 colours", f"{count} colours", hint, path)


def _check_length(image: Pillow.Image, file: BinaryIO | io.BytesIO) -> None:
    """Raise `ValueError` for a BMP, PPM or GIF with less data than its size needs.

    Pillow allocates a pointer for each row before it reads one, decodes run lengths of BMP into several copies, and
    fills what the frame of a GIF does not cover.
    """
    tiles: list[Any] = getattr(image, "tile", [])
    codec, _, offset, arguments = tiles[0]
    samples, one_bit = image.width * image.height * len(image.getbands()), image.mode == "1"
    if codec in _RUNS:
        offset, needed = 0, samples // _RUNS[codec] if samples > _SPARSE else 0
    elif codec == "ppm_plain":  # numbers, each with a space after it; those of one bit need none
        needed = samples if one_bit else 2 * samples - 1
    elif image.format == "BMP":
        needed = arguments[1] * image.height  # bytes of a row
    else:
        needed = -(-image.width // 8) * image.height if one_bit else samples
    if (length := file.seek(0, 2)) < offset + needed:
        raise ValueError(f"{length} bytes, at least {offset + needed} needed")


def _check_webp(file: BinaryIO, path: Path) -> None:
    """Raise `BadImage` for a lossy image with less data than its size needs, for which Pillow would allocate memory.

    Each block of 16 x 16 pixels takes more than a bit: the modes of blocks have fixed probabilities (RFC 6386, section
    11.2), by which the most probable ones take three.
    """
    for name, at, length in _webp_chunks(file):
        if name == b"VP8 ":
            file.seek(at)
            head = file.read(10)
            if head[3:6] != b"\x9d\x01\x2a" or len(head) < 10:
                return  # for the decoder to refuse
            width, height = (side & 0x3FFF for side in struct.unpack("<2H", head[6:]))
            if 8 * length < -(-width // 16) * -(-height // 16):
                got = f"{length} bytes for {height} × {width} pixels"
                raise BadImage("a complete WebP image", got, "The file is damaged; download or export it again.", path)
            return


def _check_jpeg(file: BinaryIO, height: int, width: int, path: Path) -> None:
    """Raise `BadImage` for an image with less data than its size needs: decoders fill what is missing with gray.

    A code of Huffman has at least a bit, and each block of 8 x 8 pixels has one for its mean (ITU T.81, annex F.1.2 and
    G.1.2). Arithmetic codes can be shorter.
    """
    length = file.seek(0, 2)
    if 8 * length >= -(-width // 8) * -(-height // 8):
        return
    file.seek(0)
    head = file.read(1 << 16)
    if not any(marker in head for marker in _ARITHMETIC):
        got = f"{length} bytes for {height} × {width} pixels"
        raise BadImage("a complete JPEG image", got, "The file is damaged; download or export it again.", path)


def _check_avif(file: BinaryIO, height: int, width: int, path: Path) -> None:
    """Raise `BadImage` for an image that states more pixels than are coded: the decoder would enlarge it."""
    file.seek(0)
    coded = _coded_avif_size(file.read(_AVIF_HEAD))
    if coded is not None and height * width > coded[0] * coded[1]:
        got = f"a header of {height} × {width} pixels for {coded[0]} × {coded[1]}"
        raise BadImage("an AVIF image of its size", got, "The file is damaged; download or export it again.", path)


def _coded_avif_size(head: bytes) -> tuple[int, int] | None:
    """Return height and width of the coded picture; None for several tiles, and where it is not the first in the data.

    The AV1 specification, section 5.5.1, with a reduced header of a still picture, as encoders of AVIF write it.
    """
    meta, _, data = head.partition(b"mdat")
    found = _SEQUENCE_HEADER.match(data)
    if found is None or b"grid" in meta:
        return None
    bits = "".join(f"{byte:08b}" for byte in data[found.end() :][: found[1][0]])
    if bits[4:5] != "1" or len(bits) < 18:
        return None
    middle = 18 + int(bits[10:14], 2) + 1
    wide, high = bits[18:middle], bits[middle : middle + int(bits[14:18], 2) + 1]
    return (int(high, 2) + 1, int(wide, 2) + 1) if wide and high else None


def _check_ppm_header(file: BinaryIO, path: Path) -> None:
    file.seek(0)
    if not _PPM.match(file.read(_PPM_HEAD)):
        hint = "The file is damaged; export it again."
        raise BadImage("a PPM, PGM or PBM file with a size", "a header without one, or too long", hint, path)


def _check_ppm(image: Pillow.Image, path: Path) -> None:
    """Raise `BadImage` unless samples have one bit or the values 0 to 255: Pillow would scale others without a word."""
    tiles: list[Any] = getattr(image, "tile", [])
    arguments = tiles[0].args if tiles else None
    scaled = isinstance(arguments, tuple) and arguments[-1] != 255  # (mode, largest value), unless decoded as stored
    if image.mode not in ("1", "L", "RGB") or scaled:
        hint = "Save it as PNG or TIFF."
        raise BadImage("a PPM, PGM or PBM file with values up to 255", "other values", hint, path)


def _check_gif(image: Pillow.Image, path: Path) -> tuple[str, ...]:
    """Raise `BadImage` for an animated GIF; return a warning if it has a transparent colour."""
    if getattr(image, "is_animated", False):
        hint = "Save the frame that belongs to the image as PNG."
        raise BadImage("a GIF of one frame", "an animated GIF", hint, path)
    return ("transparency was ignored",) if "transparency" in image.info else ()


def _gif_mode(image: Pillow.Image) -> str:
    """Return L if all colours of a GIF are gray, else RGB.

    Its indices are not kept: programs number the colours of each GIF anew when they save it.
    """
    palette = _palette_of(image)
    return "L" if palette is None or bool((palette == palette[:, :1]).all()) else "RGB"


def _webp_is_lossy(file: BinaryIO) -> bool:
    """Return whether a WebP file holds a lossy (`VP8 `) stream."""
    return any(name in (b"VP8 ", b"ANMF") for name, _, _ in _webp_chunks(file))


def _webp_chunks(file: BinaryIO) -> Generator[tuple[bytes, int, int]]:
    """Yield name, place and length of the chunks that a WebP file has (RFC 9649, section 2.3)."""
    end, at = file.seek(0, 2), 12
    while at + 8 <= end:
        file.seek(at)
        name, length = struct.unpack("<4sI", file.read(8))
        yield name, at + 8, min(length, end - at - 8)
        at += 8 + length + length % 2


def _unsupported_mode(path: Path, mode: str) -> BadImage:
    return BadImage("gray, palette, RGB or CMYK colours", f"{mode} colours", "Save the image as RGB.", path)
