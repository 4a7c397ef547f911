"""Damaged and hostile volumes are refused in one line, before memory is allocated for them."""

import contextlib
import gzip
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import drawn_volumes as drawn
from fuzz.mutations import limited
from pixelwise.errors import BadImage, BadOption
from pixelwise.io.read import read_image, read_mask
from pixelwise.io.volumes import itk, nifti
from pixelwise.io.volumes.volume import MAX_SAMPLES, check_volume
from pixelwise.io.volumes.write import write_labels_like

pytest.importorskip("nibabel")
pytest.importorskip("SimpleITK")


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    path = tmp_path / "a.nii"
    drawn.save_nifti(path, drawn.draw()[0], np.eye(4))
    return path


def changed(path: Path, at: int, data: bytes) -> Path:
    content = bytearray(path.read_bytes())
    content[at : at + len(data)] = data
    path.write_bytes(content)
    return path


def test_a_header_with_more_than_the_file(volume: Path) -> None:
    path = changed(volume, 42, np.array([4000, 4000, 100], "<i2").tobytes())
    with pytest.raises(BadImage, match="100 x 4000 x 4000"):
        read_image(path)


def test_a_header_above_the_limit(volume: Path) -> None:
    path = changed(volume, 42, np.array([32767, 32767, 32767], "<i2").tobytes())
    with pytest.raises(BadImage, match=str(MAX_SAMPLES)):
        read_image(path)


@pytest.mark.parametrize("number", [b"\x80\x80", b"\xff\xff"])
def test_a_header_with_a_negative_number_of_axes(volume: Path, number: bytes) -> None:
    """In either order of bytes, of data whose place is not stated: the shape is empty."""
    with pytest.raises(BadImage, match="axes"):
        read_image(changed(changed(volume, 40, number), 108, bytes(4)))


def test_the_limit_alone_stops_a_large_file() -> None:
    with pytest.raises(BadImage, match="at most"):
        check_volume(Path("a.nii"), (1, 4096, 4096, 4096), 2, 1 << 40)
    check_volume(Path("a.nii"), (1, 512, 512, 512), 2, 1 << 30)


def test_data_far_into_the_file(volume: Path) -> None:
    with pytest.raises(BadImage, match="begin at byte"):
        read_image(changed(volume, 108, np.array([1e9], "<f4").tobytes()))


def test_truncated_data(volume: Path) -> None:
    packed = volume.with_suffix(".nii.gz")
    packed.write_bytes(gzip.compress(volume.read_bytes())[:-200])
    volume.write_bytes(volume.read_bytes()[:-100])
    for path in (volume, packed):
        with pytest.raises(BadImage):
            read_image(path)


def test_a_grid_without_three_directions(volume: Path) -> None:
    with pytest.raises(BadImage, match="three"):
        read_image(changed(volume, 280, np.zeros(12, "<f4").tobytes()))


@pytest.mark.parametrize(
    "line", ["data file: /etc/passwd", "data file: ../other.raw", "data file: LIST", "data file: a%03d.raw 1 9 1"]
)
def test_data_of_nrrd_in_other_files(tmp_path: Path, line: str) -> None:
    path = tmp_path / "a.nrrd"
    path.write_text(f"NRRD0004\ntype: uint8\ndimension: 3\nsizes: 4 4 4\nencoding: raw\n{line}\n\n", encoding="utf-8")
    with pytest.raises(BadImage, match="same file or folder"):
        read_image(path)


def test_data_of_metaimage_in_other_folders(tmp_path: Path) -> None:
    path = tmp_path / "a.mhd"
    lines = ["ObjectType = Image", "NDims = 3", "DimSize = 4 4 4", "ElementType = MET_UCHAR"]
    path.write_text("\n".join([*lines, "ElementDataFile = /etc/passwd", ""]), encoding="utf-8")
    with pytest.raises(BadImage, match="same file or folder"):
        read_image(path)


NRRD = "NRRD0004\n{}type: uint8\ndimension: 3\nsizes: 4 4 4\nencoding: raw\n{}\n\n"
META = "{}ObjectType = Image\nNDims = 3\nBinaryData = True\nDimSize = 4 4 4\nElementType = MET_UCHAR\n{}\n"
HIDDEN = {  # headers that name a file elsewhere in ways that the library understands
    "padded.nrrd": (NRRD, "# comment\n" * 200_000, "data file: {}"),
    "spaces.nrrd": (NRRD, "", " data file: {}"),
    "old.nrrd": (NRRD, "comment: a\r", "data file: {}"),
    "padded.mha": (META, "Comment = a\n" * 200_000, "ElementDataFile = {}"),
    "spaces.mha": (META, "", "  ElementDataFile = {}"),
    "colon.mha": (META, "", "ElementDataFile : {}"),
    "decoy.mha": (META, "Comment = a\nelementdatafile = LOCAL\n", "ElementDataFile = {}"),
    "zero.mha": (META, "", "ElementDataFile\0x = {}\nElementDataFile = LOCAL"),
    "long.nrrd": (NRRD, "# " + "x" * 100_000 + "\n", "data file: {}"),
    "axes.mha": (META, "NDims = 1000000000\nndims = 3\n", "ElementDataFile = LOCAL"),
    "negative.mha": (META, "NDims = -13\n", "ElementDataFile = LOCAL"),
    "fraction.nrrd": (NRRD, "dimension: 3.5\n", ""),
}


@pytest.mark.parametrize("name", HIDDEN)
def test_headers_that_hide_where_the_data_are(tmp_path: Path, name: str) -> None:
    form, first, last = HIDDEN[name]
    (tmp_path / "secret").write_bytes(b"secret of 64 bytes".ljust(64))
    (tmp_path / name).write_text(form.format(first, last.format(tmp_path / "secret")), encoding="utf-8")
    with limited(), pytest.raises(BadImage, match=r"same file or folder|text header|axes"):
        read_image(tmp_path / name)


def test_control_without_the_check_the_hidden_data_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    form, first, last = HIDDEN["decoy.mha"]
    (tmp_path / "secret").write_bytes(b"secret of 64 bytes".ljust(64))
    (tmp_path / "a.mha").write_text(form.format(first, last.format(tmp_path / "secret")), encoding="utf-8")
    monkeypatch.setattr(itk, "_check_text", lambda _: True)
    monkeypatch.setattr(itk, "_unpacked", lambda *_: None)
    assert sorted(read_image(tmp_path / "a.mha").pixels.tobytes()) == sorted(b"secret of 64 bytes".ljust(64))


def test_control_without_the_check_a_negative_number_of_axes_ends_the_process(tmp_path: Path) -> None:
    text = META.replace("NDims = 3", "NDims = -13\nOffset = -12.5 7.25 31").format("", "ElementDataFile = LOCAL")
    (tmp_path / "a.mha").write_text(text, encoding="utf-8")
    code = f"""
from pathlib import Path
from pixelwise.io.volumes import itk
itk._check_numbers = lambda *_: None
itk.read_itk_header(Path({str(tmp_path / "a.mha")!r}), "MetaImage")
"""
    assert subprocess.run([sys.executable, "-c", code], check=False, stderr=subprocess.DEVNULL).returncode < 0


@pytest.mark.parametrize(("name", "last"), [("a.nrrd", "data file: {}"), ("a.mha", "ElementDataFile = {}")])
def test_data_in_a_file_whose_name_is_too_long(tmp_path: Path, name: str, last: str) -> None:
    form = NRRD if name.endswith("nrrd") else META
    (tmp_path / name).write_text(form.format("", last.format("a" * 300)), encoding="utf-8")
    with pytest.raises(BadImage, match="of data beside it"):
        read_image(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "form", "last"), [("a.nrrd", NRRD, "data file: b"), ("a.mha", META, "ElementDataFile = b")]
)
def test_data_in_a_pipe_or_in_no_file(tmp_path: Path, name: str, form: str, last: str) -> None:
    (tmp_path / name).write_text(form.format("", last), encoding="utf-8")
    with pytest.raises(BadImage, match="a file `b` of data"):
        read_image(tmp_path / name)
    os.mkfifo(tmp_path / "b")
    with pytest.raises(BadImage, match="a file `b` of data"):
        read_image(tmp_path / name)
    (tmp_path / "b").unlink()
    (tmp_path / "b").write_bytes(bytes(range(64)))
    assert read_image(tmp_path / name).pixels.size == 64


def test_metaimage_of_a_billion_channels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    form = META.format("", "ElementNumberOfChannels = {}\nElementDataFile = LOCAL")
    (tmp_path / "a.mha").write_text(form.format(10**9), encoding="utf-8")
    with pytest.raises(BadImage, match="channels; got 1000000000"):
        read_image(tmp_path / "a.mha")
    (tmp_path / "a.mha").write_text(form.format(70_000), encoding="utf-8")
    monkeypatch.setattr(itk, "_MAX_CHANNELS", 10**9)  # the control
    with pytest.raises(BadImage, match="complete"):
        read_image(tmp_path / "a.mha")


def test_a_series_with_a_pipe(tmp_path: Path) -> None:
    drawn.save_dicom(tmp_path / "series", drawn.draw()[0], drawn.OBLIQUE)
    os.mkfifo(tmp_path / "series" / "slice_000a.dcm")
    with pytest.raises(BadImage, match="pipe"):
        read_image(tmp_path / "series")


def test_a_nrrd_of_a_huge_size(tmp_path: Path) -> None:
    path = tmp_path / "a.nrrd"
    path.write_text("NRRD0004\ntype: uint8\ndimension: 3\nsizes: 9000 9000 9000\nencoding: raw\n\n", encoding="utf-8")
    with pytest.raises(BadImage, match="at most"):
        read_image(path)


def test_a_series_with_a_slice_that_is_missing(tmp_path: Path) -> None:
    drawn.save_dicom(tmp_path / "series", drawn.draw()[0], drawn.OBLIQUE, without=4)
    with pytest.raises(BadImage, match="evenly spaced"):
        read_image(tmp_path / "series")


def test_elements_longer_than_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "series"
    drawn.save_dicom(folder, drawn.draw()[0], drawn.OBLIQUE)
    path = folder / "slice_003.dcm"
    content = path.read_bytes()
    at = content.index(b"\xe0\x7f\x10\x00")  # the pixels: tag, length
    path.write_bytes(content[: at + 4] + b"\xf0\xff\xff\xff" + content[at + 8 :])
    with pytest.raises(BadImage, match="4294967280 bytes"):
        read_image(folder)


def test_data_of_metaimage_longer_than_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.mha"
    drawn.save_itk(path, drawn.draw()[0], np.eye(4))
    content = path.read_bytes()
    at = content.index(b"CompressedDataSize = ") + 21
    path.write_bytes(content[:at] + b"9999999" + content[at:])
    with pytest.raises(BadImage, match="compressed bytes"):
        read_image(path)


def test_labels_of_another_size(volume: Path) -> None:
    image = read_image(volume)
    assert image.grid is not None
    with pytest.raises(BadOption, match="12 x 20 x 16"):
        write_labels_like(volume.with_name("b.nii"), image.pixels[0, 1:] * 0, image.grid, (volume, "NIfTI"))
    with pytest.raises(BadOption, match="0 to"):
        write_labels_like(volume.with_name("b.nii"), image.pixels[0] * 0 - 1, image.grid)


def test_a_mask_with_channels(tmp_path: Path) -> None:
    import nibabel

    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 4, 4, 2), np.uint8), np.eye(4)), tmp_path / "a.nii.gz")
    with pytest.raises(BadImage, match="2 channels"):
        read_mask(tmp_path / "a.nii.gz")


def test_without_the_package(volume: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "nibabel", None)
    with pytest.raises(BadOption, match=r"pixelwise\[volumes\]"):
        read_image(volume)


@given(st.lists(st.tuples(st.integers(0, 351), st.integers(0, 255)), min_size=1, max_size=6))
def test_damaged_headers_are_one_line(tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]]) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    drawn.save_nifti(folder / "a.nii", drawn.draw(shape=(3, 4, 5))[0], np.eye(4))
    content = bytearray((folder / "a.nii").read_bytes())
    for at, value in changes:
        content[at] = value
    (folder / "a.nii").write_bytes(content)
    with contextlib.suppress(BadImage):  # and nothing else
        read_image(folder / "a.nii")


def test_control_without_the_check_of_sizes(volume: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nifti, "check_volume", lambda *_: None)
    path = changed(volume, 42, np.array([400, 400, 100], "<i2").tobytes())
    with pytest.raises(BadImage) as caught:
        read_image(path)
    assert "in a file of" not in str(caught.value), "memory was allocated before the end of the file was found"


def test_an_element_of_an_unknown_kind_must_end_within_the_file_too(tmp_path: Path) -> None:
    """GDCM takes such an element for one without a kind, whose length are the four bytes after its tag."""
    drawn.save_dicom(tmp_path, drawn.draw(shape=(1, 4, 5))[0], drawn.OBLIQUE)
    path = tmp_path / "slice_000.dcm"
    content = path.read_bytes()
    damaged = content.replace(b"\x02\x00\x03\x00UI", b"\x02\x00\x03\x00iI")
    assert damaged != content
    assert read_image(path).pixels.size == 20
    path.write_bytes(damaged)
    with pytest.raises(BadImage, match="end within the file"):
        read_image(path)


PACKED = (
    "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = {}\nDimSize = 5 4 3\n"
    "ElementType = MET_SHORT\nCompressedData = True\n{}ElementDataFile = {}\n"
)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("place", ["LOCAL", "b.zraw"])
@pytest.mark.parametrize("stated", [True, False])
def test_compressed_metaimage(tmp_path: Path, order: str, place: str, stated: bool) -> None:
    """Without the compressed size, which is optional, the library returns what is in memory."""
    values = np.arange(60, dtype=f"{order}i2").reshape(3, 4, 5)
    data = zlib.compress(values.tobytes())
    size = f"CompressedDataSize = {len(data)}\n" if stated else ""
    header = PACKED.format(order == ">", size, place).encode()
    (tmp_path / "a.mha").write_bytes(header + data * (place == "LOCAL"))
    (tmp_path / "b.zraw").write_bytes(data)
    image = read_image(tmp_path / "a.mha")
    assert image.grid is not None
    assert np.array_equal(np.sort(image.pixels.ravel()), np.arange(60))
    reader, _ = itk._open(tmp_path / "a.mha", "MetaImage")
    if stated and place == "LOCAL":  # the control: where the library reads it, it reads the same
        stored = np.asarray(itk._sitk().GetArrayFromImage(reader.Execute()))
        assert np.array_equal(stored, values)
        assert np.array_equal(
            itk.read_itk_header(tmp_path / "a.mha", "MetaImage").grid.turn.apply(stored[None]), image.pixels
        )


@pytest.mark.parametrize("data", [b"\xff" * 64, zlib.compress(bytes(100)), zlib.compress(bytes(200))[:-9], b""])
def test_damaged_compression_of_metaimage(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.mha").write_bytes(PACKED.format("False", "", "LOCAL").encode() + data)
    with pytest.raises(BadImage, match="complete MetaImage"):
        read_image(tmp_path / "a.mha")


@pytest.mark.parametrize("length", [2_000_000_000, -1, 0, 40])
@pytest.mark.parametrize("packed", [True, False])
def test_extensions_of_nifti_longer_than_the_header_states(volume: Path, length: int, packed: bool) -> None:
    content = volume.read_bytes()
    whole = struct.pack("<ii", 32, 6) + b"a comment".ljust(24)
    start = content[:108] + struct.pack("<f", 384) + content[112:348] + b"\1\0\0\0"
    path = volume.with_name("b.nii.gz" if packed else "b.nii")
    for extension, refused in ((whole, False), (struct.pack("<i", length) + whole[4:], True)):
        changed = start + extension + content[352:]
        path.write_bytes(gzip.compress(changed) if packed else changed)
        if refused:
            with pytest.raises(BadImage, match="extension 1"):
                read_image(path)
        else:
            assert np.array_equal(read_image(path).pixels, read_image(volume).pixels)


def test_control_of_extensions(volume: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nifti, "_check_extensions", lambda *_: None)
    content = volume.read_bytes()
    start = content[:108] + struct.pack("<f", 384) + content[112:348] + b"\1\0\0\0"
    volume.write_bytes(start + struct.pack("<ii", 2_000_000_000, 6) + bytes(24) + content[352:])
    with pytest.raises(BadImage) as caught:
        read_image(volume)
    assert "extension 1 of" not in str(caught.value)


def test_nrrd_of_many_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = "".join(f"key{number}:=v\n" for number in range(6000))
    header = f"NRRD0004\ntype: uint8\ndimension: 3\nsizes: 4 4 4\nencoding: raw\n{keys}\n".encode()
    (tmp_path / "a.nrrd").write_bytes(header + bytes(64))
    with pytest.raises(BadImage, match="too long"):
        read_image(tmp_path / "a.nrrd")
    monkeypatch.setattr(itk, "_LINES", 10_000)  # the control
    assert read_image(tmp_path / "a.nrrd").pixels.size == 64
