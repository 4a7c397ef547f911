"""Read PNG: the header directly, samples with libpng (8 and 16 bits) or Pillow (palettes, lower bit depths).

Pillow alone is not enough: it returns 16-bit colour as 8-bit, and decodes the image to find an EXIF chunk.
Source: Portable Network Graphics (PNG) Specification, third edition, sections 5 and 11.
"""

import struct
import zlib
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import imagecodecs
import numpy as np
from jaxtyping import Integer, Shaped

from pixelwise.errors import BadImage
from pixelwise.io.headers import Header, check_size, decode_error, orientation_of, truncated_error
from pixelwise.io.pillow import decode_pillow

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
_HEADER_CHUNKS = {b"IHDR", b"PLTE", b"eXIf", b"acTL"}
_MAX_CHUNK = 1 << 20  # bytes; no valid header, palette or EXIF record is longer
_DEFLATE = 1032  # largest compression ratio of deflate (zlib technical notes)


def read_png_header(file: BinaryIO | BytesIO, path: Path) -> Header:
    """Read the chunks that describe the image, without decoding samples."""
    chunks, whole = _read_chunks(file)
    header = chunks.get(b"IHDR", b"")
    if len(header) != 13 or _read_at(file, 29, 4) != struct.pack(">I", zlib.crc32(b"IHDR" + header)):
        raise BadImage("a complete PNG image", "a damaged header", "Download or export the file again.", path)
    width, height, bits, colour, *_ = struct.unpack(">IIBBBBB", header)
    if colour not in _CHANNELS or bits not in (1, 2, 4, 8, 16):
        got = f"colour type {colour} with {bits} bits, which PNG does not have"
        raise BadImage("a PNG image", got, "The file is damaged; export it again.", path)
    if not whole and height * width:
        raise truncated_error(path, "PNG", f"{file.seek(0, 2)} bytes without the end chunk")
    orientation, warnings = orientation_of(chunks.get(b"eXIf"))
    if b"acTL" in chunks:
        warnings += ("animated PNG: only the first frame is used",)
    palette = np.frombuffer(chunks.get(b"PLTE", b""), np.uint8)
    return Header(
        format="PNG",
        height=height,
        width=width,
        channels=_CHANNELS[colour],
        dtype="uint16" if bits == 16 else "uint8",
        alpha=colour in (4, 6),
        orientation=orientation,
        palette=palette[: len(palette) // 3 * 3].reshape(-1, 3) if colour == 3 else None,
        bilevel=colour == 0 and bits == 1,
        gray_step=255 // (2**bits - 1) if colour == 0 and bits in (2, 4) else 1,
        warnings=warnings,
    )


def decode_png(file: BinaryIO, path: Path, header: Header) -> Shaped[np.ndarray, "channels height width"]:
    """Decode the samples, with the channels of a pixel next to each other in memory; 16 bits stay 16 bits."""
    bits, colour = _read_at(file, 24, 2)
    needed, length = header.height * header.width * header.channels * bits // 8, file.seek(0, 2)
    if needed > length * _DEFLATE:
        raise truncated_error(path, "PNG", f"{length} bytes cannot hold the {needed} bytes of samples in the header")
    if bits < 8 or colour == 3:
        return decode_pillow(file, "PNG")
    file.seek(0)
    samples = imagecodecs.png_decode(file.read())  # not a map, which ends the process if the file becomes shorter
    if samples.ndim == 2:
        return samples[None]
    # With a transparent colour (tRNS) libpng adds an alpha channel that the header does not count.
    return samples[:, :, : header.channels].transpose(2, 0, 1)


def _read_chunks(file: BinaryIO | BytesIO) -> tuple[dict[bytes, bytes], bool]:
    """Return the header chunks and whether the end chunk was reached."""
    length_of_file = file.seek(0, 2)
    at = file.seek(8)
    chunks: dict[bytes, bytes] = {}
    while at + 12 <= length_of_file:
        file.seek(at)
        length, name = struct.unpack(">I4s", file.read(8))
        if at + 12 + length > length_of_file:
            break
        if name == b"IEND":
            return chunks, True
        if name in _HEADER_CHUNKS and length <= _MAX_CHUNK:
            chunks.setdefault(name, file.read(length))
        at += 12 + length
    return chunks, False


def _read_at(file: BinaryIO | BytesIO, offset: int, length: int) -> bytes:
    file.seek(offset)
    return file.read(length)


def decode_png_mask(content: bytes, path: Path) -> Integer[np.ndarray, "height width"]:
    """Return the first channel of a PNG in memory; indices of a palette file, 0 and 1 of a one-bit one.

    Parameters
    ----------
    path : Path
        The file that contains it, for errors.

    Raises
    ------
    BadImage
        Not a complete PNG, or one that is too large.
    """
    if not content.startswith(_SIGNATURE):
        raise BadImage("a PNG image", "other bytes", "Export the file again.", path)
    header = read_png_header(BytesIO(content), path)
    check_size(header, path, None)
    try:
        return decode_pillow(BytesIO(content), "PNG")[0]
    except BadImage:
        raise
    except Exception as error:  # as in `read`: decoders raise anything on malformed input
        raise decode_error(path, "PNG", error) from error
