"""Streams of a few bytes that state large pictures, many scans or long headers are refused before they are decoded."""

import io
import struct
from contextlib import suppress
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from fuzz.mutations import limited
from fuzz.test_fuzz_images import read_windows
from pixelwise.errors import BadImage
from pixelwise.io import pillow, tiff
from pixelwise.io.read import probe, read_image

PIXELS = np.random.default_rng(0).integers(0, 255, (16, 16, 3)).astype(np.uint8)
MARKER = {"jpeg": b"\xff\xc0", "jpeg2000": b"\xff\x51", "webp": b"VP8"}


def encoded(format: str, array: np.ndarray = PIXELS, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, format, **options)
    return file.getvalue()


def enlarged(content: bytes, kind: str, side: int) -> bytes:
    """Return a stream whose header states another size."""
    at, changed = content.index(MARKER[kind]), bytearray(content)
    if kind == "jpeg":
        changed[at + 5 : at + 9] = struct.pack(">2H", side, side)
    elif kind == "webp":  # without loss
        changed[at + 9 : at + 13] = struct.pack("<I", (side - 1) | (side - 1) << 14)
    else:
        for place in (6, 22):  # of the image, of a tile
            changed[at + place : at + place + 8] = struct.pack(">2I", side, side)
    return bytes(changed)


@pytest.mark.parametrize("kind", MARKER)
def test_strips_that_state_a_larger_picture(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PIXELS, compression=kind)
    assert read_image(path).pixels.shape == (3, 16, 16)
    path.write_bytes(enlarged(path.read_bytes(), kind, 8000))
    for read in (read_image, read_windows):
        with limited(), pytest.raises(BadImage, match="states 8000 x 8000 pixels"):
            read(path)
    monkeypatch.setattr(tiff, "_SMALL_SEGMENT", 1 << 40)  # the control: the decoder is called
    path.write_bytes(enlarged(path.read_bytes(), kind, 600))
    refusal = ""
    try:
        read_image(path)
    except BadImage as error:
        refusal = str(error)
    assert "states" not in refusal


@pytest.mark.parametrize("tile", [200, 44_000])
def test_jpeg_2000_of_many_tiles_or_of_nothing(tmp_path: Path, tile: int, monkeypatch: pytest.MonkeyPatch) -> None:
    content = bytearray(imagecodecs.jpeg2k_encode(np.zeros((64, 64), np.uint8), codecformat="jp2", level=0))
    at = content.index(b"\xff\x51")
    content[at + 6 : at + 14], content[at + 22 : at + 30] = (
        struct.pack(">2I", *[44_000] * 2),
        struct.pack(">2I", tile, tile),
    )
    (tmp_path / "a.jp2").write_bytes(content)
    with pytest.raises(BadImage, match="bytes for 44000 × 44000 pixels"):
        probe(tmp_path / "a.jp2")
    for limit, value in (("_JP2_TILE", 0), ("_JP2_BLANK", 1 << 60)):  # the control
        monkeypatch.setattr(pillow, limit, value)
    assert probe(tmp_path / "a.jp2").width == 44_000


def test_blank_and_plain_jpeg_2000(tmp_path: Path) -> None:
    (tmp_path / "a.jp2").write_bytes(imagecodecs.jpeg2k_encode(np.zeros((4000, 3000), np.uint8), level=0))
    (tmp_path / "b.jp2").write_bytes(imagecodecs.jpeg2k_encode(PIXELS[:, :9], level=0, codecformat="jp2"))
    assert (probe(tmp_path / "a.jp2").height, probe(tmp_path / "a.jp2").width) == (4000, 3000)
    assert np.array_equal(read_image(tmp_path / "b.jp2").pixels, PIXELS[:, :9].transpose(2, 0, 1))


def test_a_header_box_that_contradicts_the_codestream(tmp_path: Path) -> None:
    """The decoder goes by the codestream."""
    content = bytearray(imagecodecs.jpeg2k_encode(np.zeros((64, 80), np.uint8), level=0, codecformat="jp2"))
    at = content.index(b"ihdr")
    content[at + 4 : at + 12] = struct.pack(">2I", 16, 16)
    (tmp_path / "a.jp2").write_bytes(content)
    assert (probe(tmp_path / "a.jp2").height, probe(tmp_path / "a.jp2").width) == (64, 80)


@pytest.mark.parametrize("header", [b"P5 16 16\n%s255\n", b"P5\n%s16 16 255\n", b"P4 16%s 16\n", b"P5 16 16"])
def test_headers_of_ppm_with_long_comments(tmp_path: Path, header: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    comment = b"#" + bytes(1 << 17) + b"\n"
    (tmp_path / "a.ppm").write_bytes((header % comment if b"%" in header else header + comment) + bytes(256))
    with pytest.raises(BadImage, match="too long"):
        probe(tmp_path / "a.ppm")
    (tmp_path / "a.ppm").write_bytes(b"P5 16 16\n#" + bytes(1000) + b"\n255\n" + PIXELS[..., 0].tobytes())
    assert np.array_equal(read_image(tmp_path / "a.ppm").pixels[0], PIXELS[..., 0])
    monkeypatch.setattr(pillow, "_PPM_HEAD", 500)  # the control: the limit is what refuses
    with pytest.raises(BadImage, match="too long"):
        probe(tmp_path / "a.ppm")


def test_jpegs_of_many_scans(tmp_path: Path) -> None:
    content = encoded("JPEG", progressive=True)
    scan = content[content.rindex(b"\xff\xda") : -2]
    for count in (100, 400):
        (tmp_path / f"{count}.jpg").write_bytes(content[:-2] + scan * count + content[-2:])
    assert np.array_equal(read_image(tmp_path / "100.jpg").pixels.shape, (3, 16, 16))
    with pytest.raises(BadImage, match="scans"):
        read_image(tmp_path / "400.jpg")


@pytest.mark.parametrize("format", ["JPEG", "WEBP", "PNG"])
@pytest.mark.parametrize("lossless", [True, False])
def test_sizes_of_streams(format: str, lossless: bool) -> None:
    array = np.zeros((30, 70, 3), np.uint8)
    assert pillow.stated_size(encoded(format, array, lossless=lossless)) == (30, 70)
    assert pillow.stated_size(encoded("WEBP", array, exif=b"Exif\0\0", lossless=lossless)) == (30, 70)
    assert pillow.stated_size(imagecodecs.jpeg2k_encode(array)) == (30, 70)
    assert pillow.stated_size(b"\xff\xd8\xff") == (0, 0)
    assert pillow.stated_size(b"II*\0") is None


def bmp(height: int, compression: int, content: bytes) -> bytes:
    """Return an 8-bit BMP of 24 columns: without compression (0) or with run lengths (1)."""
    info = struct.pack("<IiiHHIIiiII", 40, 24, height, 1, 8, compression, 0, 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", 54 + 1024 + len(content), 0, 0, 54 + 1024) + info + bytes(1024) + content


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rows.bmp", bmp(80_000_000, 0, bytes(600))),
        ("runs.bmp", bmp(80_000_000, 1, b"\0\2\0\xff" * 100)),  # each skips 255 rows
        (
            "canvas.gif",
            encoded("GIF", PIXELS[..., 0]).replace(b"\x10\0\x10\0", b"\x10\x27\x10\x27", 1),
        ),
        ("binary.pgm", b"P5 24 80000000 255\n" + bytes(600)),
        ("text.pgm", b"P2 24 80000000 255\n" + b"1 " * 300),
        ("bits.pbm", b"P4 24 80000000\n" + bytes(600)),
        ("digits.pbm", b"P1 24 80000000\n" + b"01" * 300),
    ],
)
def test_rows_that_a_file_cannot_hold(
    tmp_path: Path, name: str, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pillow would allocate a pointer for each row, run lengths in several copies, and what a frame does not cover."""
    (tmp_path / name).write_bytes(content)
    loaded: list[str] = []
    monkeypatch.setattr(pillow, "_samples", lambda image: loaded.append(image.format))
    with pytest.raises(BadImage, match="bytes, at least"):
        read_image(tmp_path / name)
    assert not loaded
    monkeypatch.setattr(pillow, "_check_length", lambda image, file: None)  # the control
    with suppress(BadImage, TypeError, AttributeError):
        read_image(tmp_path / name)
    assert loaded


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
@pytest.mark.parametrize("width", [1, 7, 8, 33])
def test_files_of_exactly_the_needed_length(tmp_path: Path, mode: str, width: int) -> None:
    drawn = Image.fromarray(np.resize(PIXELS, (5, width, 3))).convert(mode)
    names = ["a.bmp"] if mode == "P" else ["a.bmp", "a.ppm"]
    for name in names:
        drawn.save(tmp_path / name)
        assert read_image(tmp_path / name).pixels.shape[1:] == (5, width)
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-1])
        with pytest.raises(BadImage, match="bytes, at least"):
            read_image(tmp_path / name)
    if mode in ("1", "L"):
        text = b"0" * (5 * width) if mode == "1" else b" ".join([b"7"] * (5 * width))
        (tmp_path / "a.pnm").write_bytes(
            b"P%d %d 5%s\n" % (1 if mode == "1" else 2, width, b"" if mode == "1" else b" 255") + text
        )
        assert read_image(tmp_path / "a.pnm").pixels.shape[1:] == (5, width)
