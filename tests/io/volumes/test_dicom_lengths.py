"""The walk through the elements of DICOM files, on files written here byte by byte."""

import struct
from pathlib import Path

import pytest

from pixelwise.errors import BadImage
from pixelwise.io.volumes import dicom_lengths
from pixelwise.io.volumes.dicom_lengths import check_lengths

UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = (0xFFFE, 0xE000), (0xFFFE, 0xE00D), (0xFFFE, 0xE0DD)
EXPLICIT, DEFLATED = b"1.2.840.10008.1.2.1", b"1.2.840.10008.1.2.1.99"


def short(group: int, number: int, kind: bytes, value: bytes) -> bytes:
    return struct.pack("<HH2sH", group, number, kind, len(value)) + value


def long(group: int, number: int, kind: bytes, value: bytes, length: int | None = None) -> bytes:
    return struct.pack("<HH2sHI", group, number, kind, 0, len(value) if length is None else length) + value


def mark(tag: tuple[int, int], value: bytes = b"", length: int | None = None) -> bytes:
    return struct.pack("<HHI", *tag, len(value) if length is None else length) + value


def write(path: Path, content: bytes, syntax: bytes = EXPLICIT) -> Path:
    meta = short(0x0002, 0x0010, b"UI", syntax + b"\0" * (len(syntax) % 2))
    path.write_bytes(b"\0" * 128 + b"DICM" + meta + content)
    return path


ELEMENT = short(0x0008, 0x0060, b"CS", b"MR")


@pytest.mark.parametrize(
    "content",
    [
        ELEMENT,
        long(0x0008, 0x1140, b"SQ", mark(ITEM, ELEMENT)),
        long(0x0008, 0x1140, b"SQ", mark(ITEM, ELEMENT + mark(ITEM_END), UNDEFINED) + mark(SEQUENCE_END), UNDEFINED),
        long(0x7FE0, 0x0010, b"OB", mark(ITEM) + mark(ITEM, b"jpeg") + mark(SEQUENCE_END), UNDEFINED),
    ],
    ids=["element", "sequence", "undefined lengths", "fragments"],
)
def test_sound_files_pass(content: bytes, tmp_path: Path) -> None:
    check_lengths(write(tmp_path / "a.dcm", content + ELEMENT))


def nested(depth: int) -> bytes:
    content = ELEMENT
    for _ in range(depth):
        content = long(0x0008, 0x1140, b"SQ", mark(ITEM, content))
    return content


@pytest.mark.parametrize(
    ("content", "syntax", "got"),
    [
        (long(0x0008, 0x1140, b"SQ", mark(ITEM, ELEMENT, 5000)), EXPLICIT, "an item of 5000 bytes"),
        (long(0x7FE0, 0x0010, b"OB", mark(ITEM, b"jpeg", 4_000_000_000), UNDEFINED), EXPLICIT, "an item of 4000000000"),
        (long(0x0008, 0x1140, b"OB", b"", 4_000_000_000), EXPLICIT, "4000000000 bytes"),
        (nested(20), EXPLICIT, "deeper nesting"),
        (ELEMENT, DEFLATED, "a deflated data set"),
    ],
)
def test_lengths_that_lie_are_refused(content: bytes, syntax: bytes, got: str, tmp_path: Path) -> None:
    with pytest.raises(BadImage) as refused:
        check_lengths(write(tmp_path / "a.dcm", content, syntax))
    assert got in refused.value.got


def test_a_file_of_many_elements_ends_the_walk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.dcm", ELEMENT * 30)
    check_lengths(path)
    monkeypatch.setattr(dicom_lengths, "_MAX_ELEMENTS", 20)
    with pytest.raises(BadImage, match="more than 20 elements"):
        check_lengths(path)


@pytest.mark.parametrize("photometric", [b"MONOCHROME2 ", b"YBR_FULL_422"])
def test_pixels_that_are_fewer_than_stated(photometric: bytes, tmp_path: Path) -> None:
    sizes = b"".join(
        short(0x0028, number, b"US", struct.pack("<H", value))
        for number, value in ((0x0002, 1), (0x0010, 4), (0x0011, 6), (0x0100, 16))
    )
    described = short(0x0028, 0x0004, b"CS", photometric) + sizes
    check_lengths(write(tmp_path / "a.dcm", described + long(0x7FE0, 0x0010, b"OW", bytes(48))))
    fewer = write(tmp_path / "b.dcm", described + long(0x7FE0, 0x0010, b"OW", bytes(32)))
    if photometric.startswith(b"YBR"):
        check_lengths(fewer)  # colours may be stored for every second pixel
        return
    with pytest.raises(BadImage, match="32 bytes of pixels that take 48"):
        check_lengths(fewer)
