"""Files as they arrive in practice and in attacks, one small generator per row of the catalogue of bad inputs.

A row's `make(folder)` writes its file in a moment and returns its path. `outcome` is what reading it must come to:
"refuse" with an error that holds all of `words`, "warn" with a warning that holds them, or "accept"; `check` then
tells whether the right thing was read.
"""

import io
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tifffile
from PIL import Image

Make = Callable[[Path], Path]


@dataclass(frozen=True)
class Row:
    """One row of the catalogue; several rows may share a number."""

    number: int
    name: str
    make: Make
    kind: Literal["image", "mask", "dataset"]
    outcome: Literal["refuse", "warn", "accept"]
    words: tuple[str, ...] = ()
    check: Callable[[Any], object] = lambda _: True


# The drawn world of most rows: 21 rows by 26 columns, no symmetry, edges off the 8-pixel grid of JPEG.
GRAY = (np.add.outer(np.arange(21) * 7, np.arange(26) * 3) % 251).astype(np.uint8)
COLOUR = np.stack([GRAY, GRAY[::-1], 255 - GRAY], axis=-1)
CLASSES = np.zeros((21, 26), np.uint8)
CLASSES[3:11, 5:14], CLASSES[12:19, 3:10], CLASSES[5:18, 17:23] = 1, 2, 3
PALETTE = ((0, 0, 0), (200, 30, 30), (20, 180, 40), (40, 60, 220))
NOISE = np.random.default_rng(7).integers(0, 256, (64, 72), dtype=np.uint8)


def content(name: str, data: bytes) -> Make:
    """Make a generator for a file of these bytes."""

    def make(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(data)
        return path

    return make


def picture(name: str, array: np.ndarray, **options: Any) -> Make:
    """Make a generator for a file that Pillow writes."""
    return content(name, encoded(array, **options))


def encoded(array: np.ndarray, format: str = "PNG", **options: Any) -> bytes:
    """Return the bytes of a picture."""
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format, **options)
    return buffer.getvalue()


def tiff(array: np.ndarray, **options: Any) -> Make:
    """Make a generator for a file that tifffile writes."""

    def make(folder: Path) -> Path:
        path = folder / "image.tif"
        tifffile.imwrite(path, array, **{"photometric": "minisblack", **options})
        return path

    return make


def png(width: int, height: int, *chunks: tuple[bytes, bytes], bits: int = 8, colour: int = 0) -> bytes:
    """Return a PNG with any header and these chunks after it."""
    header = (b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    parts = [struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in (header, *chunks)]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def tiff_bytes(tags: dict[int, int], following: int = 0, pixels: bytes = b"") -> bytes:
    """Return a little-endian TIFF of one directory of 32-bit tags, which names `following` as the next one."""
    entries = b"".join(struct.pack("<HHII", code, 4, 1, value) for code, value in sorted(tags.items()))
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", following) + pixels


def tags(width: int, height: int, offset: int = 200, **other: int) -> dict[int, int]:
    """Return the tags of an 8-bit gray picture in one strip."""
    size = min(width * height, 2**32 - 1)
    strip = {256: width, 257: height, 258: 8, 259: other.get("compression", 1), 262: 1, 273: offset}
    return {**strip, 277: 1, 278: height, 279: other.get("length", size)}


def exif(orientation: int) -> bytes:
    """Return an EXIF record that holds an orientation."""
    record = Image.Exif()
    record[0x0112] = orientation
    return record.tobytes()


def _folder(folder: Path) -> Path:
    (folder / "x.png").mkdir()
    return folder / "x.png"


def _pipe(folder: Path) -> Path:
    os.mkfifo(folder / "pipe.png")
    return folder / "pipe.png"


def _dangling(folder: Path) -> Path:
    (folder / "link.png").symlink_to(folder / "gone.png")
    return folder / "link.png"


def _loop(folder: Path) -> Path:
    (folder / "a.png").symlink_to(folder / "b.png")
    (folder / "b.png").symlink_to(folder / "a.png")
    return folder / "a.png"


def _unreadable(folder: Path) -> Path:
    path = picture("secret.png", GRAY)(folder)
    path.chmod(0)
    return path


def _removed(folder: Path) -> Path:
    path = picture("gone.png", GRAY)(folder)
    path.unlink()
    return path


def _flipped(position: int) -> Make:
    data = bytearray(encoded(NOISE))
    data[position] ^= 0x10
    return content("flipped.png", bytes(data))


def _animated(folder: Path) -> Path:
    path = folder / "moving.png"
    frames = [Image.fromarray(array) for array in (GRAY, 255 - GRAY)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    return path


def _many_directories() -> bytes:
    chain = np.zeros(1_000_000, np.dtype([("entries", "<u2"), ("following", "<u4")]))
    chain["following"][:-1] = 8 + 6 * np.arange(1, len(chain))
    return b"II*\0" + struct.pack("<I", 8) + chain.tobytes()


def _bmp(offset: int, value: int) -> Make:
    indexed = Image.fromarray(CLASSES)
    indexed.putpalette([value for colour in PALETTE for value in colour])
    buffer = io.BytesIO()
    indexed.save(buffer, "BMP")
    data = bytearray(buffer.getvalue())
    data[offset : offset + 4] = struct.pack("<I", value)
    return content("a.bmp", bytes(data))


def _palette(name: str, **options: Any) -> Make:
    def make(folder: Path) -> Path:
        indexed = Image.fromarray(CLASSES)
        indexed.putpalette([value for colour in PALETTE for value in colour])
        indexed.save(folder / name, **options)
        return folder / name

    return make


def _mode(name: str, mode: str, array: np.ndarray) -> Make:
    def make(folder: Path) -> Path:
        Image.fromarray(array).convert(mode).save(folder / name)
        return folder / name

    return make


def _with_nan(value: float) -> np.ndarray:
    array = GRAY.astype(np.float32)
    array[2, 3:6] = value
    return array


def _archive(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "set.png", "w") as archive:
        archive.writestr("a.txt", "a")
    return folder / "set.png"


def _same(expected: np.ndarray) -> Callable[[Any], bool]:
    """Check an image against (height, width) or (height, width, channels), values and type."""
    planes = expected[None] if expected.ndim == 2 else expected.transpose(2, 0, 1)
    return lambda image: image.pixels.dtype == planes.dtype and np.array_equal(image.pixels, planes)


def _values(expected: np.ndarray, lossy: bool = False) -> Callable[[Any], bool]:
    return lambda mask: np.array_equal(mask.values, expected) and mask.lossy == lossy


def _channels(count: int) -> Callable[[Any], bool]:
    return lambda image: image.pixels.shape == (count, 21, 26)


def _near(expected: np.ndarray, tolerance: float) -> Callable[[Any], bool]:
    planes = expected.transpose(2, 0, 1).astype(float)
    return lambda image: np.abs(image.pixels - planes).mean() < tolerance


_jpeg = encoded(NOISE, "JPEG", quality=90)
_rgba = np.dstack([COLOUR, np.full(GRAY.shape, 255, np.uint8)])
_holed = _rgba.copy()
_holed[:5, :5, 3] = 0
_flat = zlib.compress(bytes(22))
_lossy_mask = encoded(CLASSES * 85, "JPEG", quality=75)
_wide = GRAY.astype(np.uint16) * 257
_wide_colour = COLOUR.astype(np.uint16) * 200 + 17
_stack = np.stack([GRAY, 255 - GRAY, GRAY // 2])
_smooth = np.dstack([np.add.outer(np.arange(32), np.arange(48)) * k for k in (3, 2, 1)]).astype(np.uint8)
_wrong_crc = b"\0\0\0\x01tEXtx\0\0\0\0"
_signed_png = encoded(GRAY)

ROWS: list[Row] = [
    Row(1, "empty file", content("a.png", b""), "image", "refuse", ("empty file", "0 bytes")),
    Row(2, "text named png", content("a.png", b"hello there"), "image", "refuse", ("not an image", "'hello")),
    Row(3, "web page", content("a.jpg", b"\n<!DOCTYPE html><p>404"), "image", "refuse", ("HTML page",)),
    Row(
        4,
        "LFS pointer",
        content("a.png", b"version https://git-lfs.github.com/spec/v1\noid sha256:0"),
        "image",
        "refuse",
        ("Git LFS pointer", "git lfs pull"),
    ),
    Row(5, "folder", _folder, "image", "refuse", ("a folder",)),
    Row(6, "pipe", _pipe, "image", "refuse", ("a pipe",)),
    Row(7, "dangling link", _dangling, "image", "refuse", ("a link to a missing file", "gone.png")),
    Row(8, "link loop", _loop, "image", "refuse", ("circular symbolic link",)),
    Row(9, "no permission", _unreadable, "image", "refuse", ("no permission", "chmod")),
    Row(10, "removed", _removed, "image", "refuse", ("no such file",)),
    Row(11, "half a JPEG", content("a.jpg", _jpeg[: len(_jpeg) // 2]), "image", "refuse", ("truncated",)),
    Row(11, "half a PNG", content("a.png", _signed_png[: len(_signed_png) // 2]), "image", "refuse", ("truncated",)),
    Row(12, "JPEG without end", content("a.jpg", _jpeg[:-2]), "image", "warn", ("end marker",)),
    Row(12, "JPEG without last byte of data", content("a.jpg", _jpeg[:-3]), "image", "refuse", ("truncated",)),
    Row(13, "PNG, bit flipped in the data", _flipped(900), "image", "refuse", ("cannot be decoded",)),
    Row(13, "PNG, bit flipped in the header", _flipped(17), "image", "refuse", ("damaged",)),
    Row(
        14,
        "PNG, wrong sum of a comment",
        content("a.png", _signed_png[:33] + _wrong_crc + _signed_png[33:]),
        "image",
        "accept",
        (),
        _same(GRAY),
    ),
    Row(16, "animated PNG", _animated, "image", "warn", ("animated PNG", "first frame"), _same(GRAY)),
    Row(
        18,
        "200 Mpx in 69 bytes",
        content("a.png", png(20_000, 10_000, (b"IDAT", _flat[:12]), (b"IEND", b""))),
        "image",
        "refuse",
        ("truncated",),
    ),
    Row(
        19,
        "2^31 - 1 squared",
        content("a.png", png(2**31 - 1, 2**31 - 1, (b"IDAT", _flat), (b"IEND", b""))),
        "image",
        "refuse",
        ("2147483647",),
    ),
    Row(
        20,
        "no width",
        content("a.png", png(0, 7, (b"IDAT", _flat), (b"IEND", b""))),
        "image",
        "refuse",
        ("7 × 0 pixels",),
    ),
    Row(20, "TIFF without height", content("a.tif", tiff_bytes(tags(5, 0))), "image", "refuse", ("TIFF",)),
    Row(19, "BMP of 4e9 colours", _bmp(46, 2**32 - 1), "image", "refuse", ("4294967295 colours",)),
    Row(19, "palette BMP of 10^10 pixels", _bmp(18, 500_000_000), "image", "refuse", ("21 × 500000000 pixels",)),
    Row(21, "one pixel", picture("a.png", GRAY[:1, 1:2]), "image", "accept", (), _same(GRAY[:1, 1:2])),
    Row(
        22,
        "strip",
        picture("a.png", np.arange(10_000, dtype=np.uint16)[None]),
        "image",
        "accept",
        (),
        _same(np.arange(10_000, dtype=np.uint16)[None]),
    ),
    Row(23, "odd size", picture("a.bmp", GRAY, format="BMP"), "image", "accept", (), _same(GRAY)),
    Row(
        24,
        "TIFF of 10^12 pixels",
        content("a.tif", tiff_bytes(tags(10**6, 10**6, length=100), pixels=bytes(4000))),
        "image",
        "refuse",
        ("at most 2000000000 pixels", "1000000 × 1000000"),
    ),
    Row(
        26,
        "circle of directories",
        content("a.tif", tiff_bytes(tags(5, 4), following=8, pixels=bytes(82) + bytes(range(20)))),
        "image",
        "warn",
        ("circular",),
    ),
    Row(27, "a million directories", content("a.tif", _many_directories()), "image", "refuse", ("directories",)),
    Row(
        28,
        "truncated TIFF",
        content("a.tif", tiff_bytes(tags(50, 40), pixels=bytes(182))),
        "image",
        "refuse",
        ("truncated", "are missing"),
    ),
    Row(
        29,
        "strips outside the file",
        content("a.tif", tiff_bytes(tags(5, 4, offset=10**9), pixels=bytes(99))),
        "image",
        "refuse",
        ("are missing",),
    ),
    Row(
        32,
        "JPEG in TIFF tiles",
        tiff(_smooth, photometric="rgb", compression="jpeg", tile=(16, 16)),
        "image",
        "accept",
        (),
        _near(_smooth, 4),
    ),
    Row(33, "LZW", tiff(GRAY, compression="lzw"), "image", "accept", (), _same(GRAY)),
    Row(33, "ZSTD", tiff(GRAY, compression="zstd"), "image", "accept", (), _same(GRAY)),
    Row(
        33,
        "unknown compression",
        content("a.tif", tiff_bytes(tags(5, 4, compression=77), pixels=bytes(200))),
        "image",
        "refuse",
        ("compression",),
    ),
    Row(34, "palette image", _palette("a.png"), "image", "accept", (), _same(np.array(PALETTE, np.uint8)[CLASSES])),
    Row(
        34,
        "palette TIFF",
        _palette("a.tif"),
        "image",
        "accept",
        (),
        _same(np.array(PALETTE, np.uint8)[CLASSES]),
    ),
    Row(
        35,
        "palette mask",
        _palette("a.png"),
        "mask",
        "accept",
        (),
        lambda m: np.array_equal(m.values, CLASSES) and all(m.palette[i] == c for i, c in enumerate(PALETTE)),
    ),
    Row(35, "palette mask of 2 bits", _palette("a.png", bits=2), "mask", "accept", (), _values(CLASSES)),
    Row(35, "palette TIFF mask", _palette("a.tif"), "mask", "accept", (), _values(CLASSES)),
    Row(35, "palette BMP mask", _palette("a.bmp"), "mask", "accept", (), _values(CLASSES)),
    Row(
        36,
        "1-bit mask",
        _mode("a.png", "1", (CLASSES > 0) * np.uint8(255)),
        "mask",
        "accept",
        (),
        _values((CLASSES > 0).astype(np.uint8)),
    ),
    Row(
        36,
        "1-bit image",
        _mode("a.tif", "1", (CLASSES > 0) * np.uint8(255)),
        "image",
        "accept",
        (),
        _same((CLASSES > 0).astype(np.uint8)),
    ),
    Row(
        36,
        "gray mask of 2 bits",
        content(
            "a.png",
            png(4, 1, (b"IDAT", zlib.compress(b"\0\x1b")), (b"IEND", b""), bits=2),
        ),
        "mask",
        "accept",
        (),
        _values(np.array([[0, 1, 2, 3]])),
    ),
    Row(37, "gray with alpha", _mode("a.png", "LA", GRAY), "image", "warn", ("alpha",), _same(GRAY)),
    Row(38, "opaque RGBA", picture("a.png", _rgba), "image", "warn", ("alpha channel was dropped",), _same(COLOUR)),
    Row(38, "opaque RGBA TIFF", tiff(_rgba, photometric="rgb"), "image", "warn", ("alpha",), _same(COLOUR)),
    Row(39, "transparent RGBA", picture("a.png", _holed), "image", "warn", ("transparency",), _same(COLOUR)),
    Row(40, "CMYK JPEG", _mode("a.jpg", "CMYK", _smooth), "image", "warn", ("CMYK",), _near(_smooth, 12)),
    Row(40, "CMYK TIFF", _mode("a.tif", "CMYK", COLOUR), "image", "refuse", ("SEPARATED colours", "RGB")),
    Row(41, "Lab TIFF", _mode("a.tif", "LAB", COLOUR), "image", "refuse", ("CIELAB colours",)),
    Row(42, "16-bit gray PNG", picture("a.png", _wide), "image", "accept", (), _same(_wide)),
    Row(43, "16-bit RGB TIFF", tiff(_wide_colour, photometric="rgb"), "image", "accept", (), _same(_wide_colour)),
    Row(
        44,
        "12 bits in 16",
        tiff(GRAY.astype(np.uint16) * 16, metadata=None),
        "image",
        "accept",
        (),
        _same(GRAY.astype(np.uint16) * 16),
    ),
    Row(
        45, "int64 that fits", tiff(GRAY.astype(np.int64) - 9), "image", "accept", (), _same(GRAY.astype(np.int32) - 9)
    ),
    Row(45, "uint32 that fits", tiff(GRAY.astype(np.uint32)), "image", "accept", (), _same(GRAY.astype(np.int32))),
    Row(
        45,
        "int32 that does not fit",
        tiff(GRAY.astype(np.int32) + 2**24),
        "image",
        "refuse",
        ("up to 16777216", "16777431"),
    ),
    Row(
        46,
        "float from 0 to 1",
        tiff((GRAY / 255).astype(np.float32)),
        "image",
        "accept",
        (),
        _same((GRAY / 255).astype(np.float32)),
    ),
    Row(47, "NaN", tiff(_with_nan(np.nan)), "image", "refuse", ("3 NaN and 0 infinite",)),
    Row(48, "infinity", tiff(_with_nan(-np.inf)), "image", "refuse", ("0 NaN and 3 infinite",)),
    Row(48, "float64 beyond float32", tiff(GRAY * 1e200), "image", "refuse", ("float32 holds", "e+202")),
    Row(49, "constant", picture("a.png", np.full_like(GRAY, 9)), "image", "warn", ("same value (9)",)),
    Row(50, "complex", tiff(GRAY.astype(np.complex64)), "image", "refuse", ("complex numbers",)),
    Row(51, "big-endian", tiff(_wide, byteorder=">"), "image", "accept", (), _same(_wide)),
    Row(
        52,
        "planes stored apart",
        tiff(_wide_colour.transpose(2, 0, 1), photometric="rgb", planarconfig="separate"),
        "image",
        "accept",
        (),
        _same(_wide_colour),
    ),
    Row(
        53,
        "3 × 3 × 3",
        tiff(COLOUR[:3, :3], photometric="rgb"),
        "image",
        "accept",
        (),
        _same(COLOUR[:3, :3]),
    ),
    Row(
        54,
        "z stack",
        tiff(_stack[:2], imagej=True, metadata={"axes": "ZYX"}),
        "image",
        "accept",
        (),
        lambda image: np.array_equal(image.pixels[0], _stack[:2]) and image.grid is not None,
    ),
    Row(54, "time series", tiff(_stack[:2], imagej=True, metadata={"axes": "TYX"}), "image", "refuse", ("2 pages",)),
    Row(
        54,
        "pages of two sizes",
        lambda folder: _two_sizes(folder),
        "image",
        "refuse",
        ("a stack of 2 pages", "one file per page"),
    ),
    Row(55, "3 gray pages", tiff(_stack, metadata=None), "image", "refuse", ("a stack of 3 pages", "--pages 3")),
    Row(55, "3 gray pages as mask", tiff(_stack), "mask", "refuse", ("a stack of 3 pages",)),
    Row(
        56,
        "5 channels",
        tiff(np.stack([GRAY] * 4 + [GRAY // 2]), metadata={"axes": "CYX"}),
        "image",
        "accept",
        (),
        _channels(5),
    ),
    Row(57, "gray", picture("a.webp", GRAY, format="WEBP"), "image", "accept", (), _channels(3)),
    Row(
        58,
        "turned JPEG",
        picture("a.jpg", _smooth, format="JPEG", quality=95, exif=exif(6)),
        "image",
        "accept",
        (),
        _near(np.rot90(_smooth, -1), 4),
    ),
    Row(
        58,
        "turned PNG mask",
        picture("a.png", CLASSES, exif=exif(8)),
        "mask",
        "accept",
        (),
        _values(np.rot90(CLASSES)),
    ),
    Row(
        58,
        "mirrored TIFF",
        tiff(GRAY, extratags=[(274, 3, 1, 2, True)]),
        "image",
        "accept",
        (),
        _same(GRAY[:, ::-1]),
    ),
    Row(
        59,
        "broken EXIF",
        picture("a.jpg", _smooth, format="JPEG", quality=95, exif=b"Exif\0\0MM\0*junk"),
        "image",
        "warn",
        ("EXIF", "ignored"),
        _near(_smooth, 4),
    ),
    Row(59, "EXIF orientation 77", picture("a.png", GRAY, exif=exif(77)), "image", "warn", ("EXIF",), _same(GRAY)),
    Row(
        60,
        "ids beyond 255",
        picture("a.png", CLASSES.astype(np.uint16) * 300),
        "mask",
        "accept",
        (),
        _values(CLASSES.astype(np.uint16) * 300),
    ),
    Row(
        63,
        "JPEG mask",
        content("a.jpg", _lossy_mask),
        "mask",
        "accept",
        (),
        lambda m: m.lossy and len(np.unique(m.values)) > 4,
    ),
    Row(67, "float mask of whole numbers", tiff(CLASSES.astype(np.float32)), "mask", "accept", (), _values(CLASSES)),
    Row(
        67,
        "float mask of halves",
        tiff(CLASSES.astype(np.float32) / 2),
        "mask",
        "refuse",
        ("whole numbers in a mask", "0.5"),
    ),
    Row(
        67,
        "NaN in a mask",
        tiff(_with_nan(np.nan)),
        "mask",
        "accept",  # the set is refused, unless it is declared as missing
        (),
        lambda m: np.array_equal(m.values, _with_nan(-1)) and 0 < m.undeclared < 0.02,
    ),
    Row(
        67,
        "negative labels",
        tiff(CLASSES - np.int16(1)),
        "mask",
        "accept",
        (),
        _values(CLASSES.astype(int) - 1),
    ),
    Row(
        68,
        "colour mask",
        picture("a.png", np.array(PALETTE, np.uint8)[CLASSES]),
        "mask",
        "accept",
        (),
        _values(np.array(PALETTE)[CLASSES]),
    ),
    Row(
        68, "5-channel mask", tiff(np.stack([CLASSES] * 5), metadata={"axes": "CYX"}), "mask", "refuse", ("5 channels",)
    ),
    Row(89, "NIfTI", content("a.png", bytes(344) + b"n+1\0" + bytes(99)), "image", "refuse", ("NIfTI",)),
    Row(89, "gzipped NIfTI", content("a.png", b"\x1f\x8b\x08rest"), "image", "refuse", (".nii.gz",)),
    Row(89, "DICOM", content("a.tif", bytes(128) + b"DICM" + bytes(99)), "image", "refuse", ("DICOM",)),
    Row(89, "CZI", content("a.tif", b"ZISRAWFILE" + bytes(99)), "image", "refuse", ("CZI",)),
    Row(89, "ND2", content("a.tif", b"\xda\xce\xbe\x0a" + bytes(99)), "image", "refuse", ("ND2",)),
    Row(90, "zip archive", _archive, "image", "refuse", ("zip archive", "Unpack")),
    Row(
        90,
        "tar archive",
        content("a.png", bytes(257) + b"ustar\0" + bytes(99)),
        "image",
        "refuse",
        ("tar",),
    ),
    Row(91, "SVG", content("a.png", b'<?xml version="1.0"?><svg xmlns="x"/>'), "image", "refuse", ("SVG",)),
    Row(91, "PDF", content("a.png", b"%PDF-1.7 rest"), "image", "refuse", ("PDF",)),
    Row(91, "EPS", content("a.png", b"%!PS-Adobe-3.0 EPSF"), "image", "refuse", ("PostScript",)),
    Row(91, "WMF", content("a.bmp", b"\xd7\xcd\xc6\x9a rest"), "image", "refuse", ("WMF",)),
    Row(92, "web address", lambda _: Path("https://example.org/a.png"), "image", "refuse", ("web address",)),
]


def _two_sizes(folder: Path) -> Path:
    with tifffile.TiffWriter(folder / "a.tif") as file:
        file.write(GRAY, metadata=None)
        file.write(GRAY[:9, :11], metadata=None)
    return folder / "a.tif"
