"""DICOM files and series whose headers contradict one another, or are no numbers, are refused."""

import faulthandler
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import drawn_volumes as drawn
from pixelwise.errors import BadImage
from pixelwise.io.read import read_image
from pixelwise.io.volumes import dicom_lengths, itk

pytest.importorskip("SimpleITK")
AXIAL = b"1\\0\\0\\0\\1\\0"


def element(group: int, number: int, kind: bytes, value: bytes | int) -> bytes:
    """Return an element, explicit and little-endian."""
    content = struct.pack("<H", value) if isinstance(value, int) else value + b"\0" * (len(value) % 2)
    long = kind in (b"OB", b"OW")
    return (
        struct.pack("<HH2s", group, number, kind)
        + struct.pack("<HI" if long else "<H", *[0] * long, len(content))
        + content
    )


def dicom(slice_: int = 0, **changes: Any) -> bytes:
    """Return a slice of 20 x 16 values of 16 bits."""
    values: dict[str, Any] = {
        "samples": 1, "colours": b"MONOCHROME2", "frames": b"1", "rows": 20, "columns": 16, "bits": 16,
        "spacing": b"1\\1", "position": b"0\\0\\%d" % slice_, "directions": AXIAL, "pixels": bytes(640),
    }  # fmt: skip
    values |= changes
    kind, uid = b"1.2.840.10008.5.1.4.1.1.4", b"1.2.3.%d" % slice_
    meta = element(2, 2, b"UI", kind) + element(2, 3, b"UI", uid) + element(2, 16, b"UI", b"1.2.840.10008.1.2.1")
    body = [
        element(8, 0x16, b"UI", kind), element(8, 0x18, b"UI", uid), element(8, 0x60, b"CS", b"MR"),
        element(0x20, 0xD, b"UI", b"1.2.1"), element(0x20, 0xE, b"UI", b"1.2.2"),
        element(0x20, 0x13, b"IS", b"%d" % slice_), element(0x20, 0x32, b"DS", values["position"]),
        element(0x20, 0x37, b"DS", values["directions"]), element(0x28, 2, b"US", values["samples"]),
        element(0x28, 4, b"CS", values["colours"]), element(0x28, 8, b"IS", values["frames"]),
        element(0x28, 0x10, b"US", values["rows"]), element(0x28, 0x11, b"US", values["columns"]),
        element(0x28, 0x30, b"DS", values["spacing"]), element(0x28, 0x100, b"US", values["bits"]),
        element(0x28, 0x101, b"US", values["bits"]), element(0x28, 0x102, b"US", values["bits"] - 1),
        element(0x28, 0x103, b"US", 0),
    ]  # fmt: skip
    pixels = element(0x7FE0, 0x10, b"OW", values["pixels"]) if values["pixels"] else b""
    return bytes(128) + b"DICM" + element(2, 0, b"UL", struct.pack("<I", len(meta))) + meta + b"".join(body) + pixels


def write_series(folder: Path, **changes: Any) -> Path:
    """Write three slices, the second one changed."""
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.dcm").write_bytes(dicom(number, **(changes if number == 1 else {})))
    return folder


def test_a_series_without_contradictions(tmp_path: Path) -> None:
    assert read_image(write_series(tmp_path / "a")).pixels.shape == (1, 3, 20, 16)
    rounded = write_series(tmp_path / "b", spacing=b"1.0004\\0.9997", directions=b"1\\0.0002\\0\\0\\1\\0")
    assert read_image(rounded).pixels.shape == (1, 3, 20, 16)


@pytest.mark.parametrize(
    "change",
    [
        {"bits": 8, "pixels": bytes(320)},
        {"samples": 3, "colours": b"RGB", "bits": 8, "pixels": bytes(960)},
        {"directions": b"0\\1\\0\\1\\0\\0"},
        {"spacing": b"1\\3"},
    ],
)
def test_slices_that_contradict_one_another(
    tmp_path: Path, change: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_series(tmp_path / "series", **change)
    with pytest.raises(BadImage, match="one geometry and one type"):
        read_image(folder)
    monkeypatch.setattr(itk, "_differ", lambda *_: False)  # the control: it is taken as if it were like the others
    assert read_image(folder).pixels.shape == (1, 3, 20, 16)


@pytest.mark.parametrize(
    "change",
    [
        {"spacing": b"nan\\nan"},
        {"spacing": b"0\\1"},
        {"spacing": b"-1\\1"},
        {"position": b"a\\b\\c"},
        {"position": b"0\\inf\\0"},
        {"directions": b"1\\0"},
        {"directions": b"0\\0\\0\\0\\1\\0"},
    ],
)
def test_places_that_are_no_numbers(tmp_path: Path, change: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.dcm").write_bytes(dicom(**change))
    with pytest.raises(BadImage, match="numbers as"):
        read_image(tmp_path / "a.dcm")
    if b"nan" not in change.get("spacing", b""):
        monkeypatch.setattr(itk, "_check_place", lambda *_: None)  # the control: the library takes other numbers
        assert read_image(tmp_path / "a.dcm").grid is not None


def test_places_near_the_largest_numbers(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(dicom(spacing=b"1e300\\1e300"))
    with pytest.raises(BadImage, match="finite matrix"), np.errstate(all="raise"):
        read_image(tmp_path / "a.dcm")


@pytest.mark.parametrize(
    "change", [{"samples": 3, "colours": b"RGB", "bits": 8}, {"frames": b"2"}, {"rows": 60_000}, {"pixels": bytes(638)}]
)
def test_fewer_pixels_than_stated(tmp_path: Path, change: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.dcm").write_bytes(dicom(**change))
    with pytest.raises(BadImage, match="bytes of pixels that take"):
        read_image(tmp_path / "a.dcm")
    if change.get("samples") == 3:  # the control: the library returns what is in memory
        monkeypatch.setattr(dicom_lengths._Walk, "_needed", lambda _: 0)
        assert read_image(tmp_path / "a.dcm").pixels.shape == (3, 1, 20, 16)


def test_a_file_without_pixels_is_reported(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "series")
    (folder / "3.dcm").write_bytes(dicom(3, pixels=b""))
    image = read_image(folder)
    assert image.pixels.shape == (1, 3, 20, 16)
    assert any("1 file" in message for message in image.warnings)


@pytest.mark.parametrize("place", ["folder", "file"])
def test_names_that_are_not_utf_8(tmp_path: Path, place: str) -> None:
    """The library ends the process for such a name; the control is a process of its own."""
    odd = os.fsdecode(b"\xff")
    try:
        folder = write_series(tmp_path / (f"s{odd}" if place == "folder" else "s"))
    except OSError:
        pytest.skip("the file system takes UTF-8 alone")
    if place == "file":
        (folder / "1.dcm").rename(folder / f"1{odd}.dcm")
    with pytest.raises(BadImage, match="UTF-8"):
        read_image(folder)
    if place == "file":
        return
    if (child := os.fork()) == 0:
        faulthandler.disable()
        os.close(2)
        itk._check_name = lambda _: None
        try:
            read_image(folder)
        finally:
            os._exit(0)
    assert os.waitpid(child, 0)[1] != 0


def test_names_of_other_volumes(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"\xff.nrrd")
    drawn.save_itk(tmp_path / "a.nrrd", drawn.draw()[0], np.eye(4))
    try:
        (tmp_path / "a.nrrd").rename(path)
    except OSError:
        pytest.skip("the file system takes UTF-8 alone")
    with pytest.raises(BadImage, match="UTF-8"):
        read_image(path)
