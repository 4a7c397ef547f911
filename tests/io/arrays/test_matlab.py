"""MAT files: arrays, structures, versions, and damaged or growing files."""

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io

from pixelwise.errors import BadImage
from pixelwise.io.arrays import matlab
from pixelwise.io.arrays.matlab import main_mask, open_mat
from pixelwise.io.read import probe, read_mask

VALUES = np.arange(35, dtype=np.int32).reshape(5, 7)


@pytest.mark.parametrize("compressed", [True, False])
def test_arrays_and_structures(tmp_path: Path, compressed: bool) -> None:
    content = {"mask": VALUES, "groundTruth": {"Segmentation": VALUES + 1, "Names": ["a", "b"]}, "text": "none"}
    scipy.io.savemat(tmp_path / "a.mat", content, do_compression=compressed)
    with open_mat(tmp_path / "a.mat") as arrays:
        assert set(arrays) == {"mask", "groundTruth/Segmentation"}
        assert np.array_equal(arrays["groundTruth/Segmentation"], VALUES + 1)
        assert main_mask(arrays) == "mask"
    assert np.array_equal(read_mask(tmp_path / "a.mat/mask").values, VALUES)


def test_the_axes_of_version_7_3_are_reversed(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.mat", "w", userblock_size=512) as file:
        file.create_dataset("mask", data=VALUES.T)
    with (tmp_path / "a.mat").open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM")
    with open_mat(tmp_path / "a.mat") as arrays:
        assert arrays["mask"].shape == VALUES.shape
        assert np.array_equal(arrays["mask"][...], VALUES)


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    scipy.io.savemat(tmp_path / "a.mat", {"mask": VALUES}, do_compression=True)
    content = (tmp_path / "a.mat").read_bytes()
    for damaged in (b"", b"text", content[:140], content[:150] + b"\xff" * 20 + content[170:]):
        (tmp_path / "b.mat").write_bytes(damaged)
        with pytest.raises(BadImage), open_mat(tmp_path / "b.mat"):
            pass


def test_files_that_grow_beyond_the_limit_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scipy.io.savemat(tmp_path / "a.mat", {"mask": np.zeros((400, 500))}, do_compression=True)
    with open_mat(tmp_path / "a.mat") as arrays:  # the control
        assert "mask" in arrays
    monkeypatch.setattr(matlab, "MAX_BYTES", 1 << 20)
    with pytest.raises(BadImage, match="at most"), open_mat(tmp_path / "a.mat"):
        pass
    assert len(zlib.compress(bytes(1 << 20))) < 2000


def _nested(depth: int) -> bytes:
    """Return a MAT file of a cell array in a cell array, and so on."""

    def element(kind: int, data: bytes) -> bytes:
        return struct.pack("<II", kind, len(data)) + data + bytes(-len(data) % 8)

    def array(kind: int, name: bytes, content: bytes) -> bytes:
        head = element(6, struct.pack("<II", kind, 0)) + element(5, struct.pack("<ii", 1, 1)) + element(1, name)
        return element(14, head + content)

    content = array(9, b"", element(2, b"\1"))
    for level in range(depth):
        content = array(1, b"a" if level == depth - 1 else b"", content)
    return b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H", 0x0100) + b"IM" + content


@pytest.mark.parametrize("compressed", [False, True])
def test_deeply_nested_cell_arrays(compressed: bool, tmp_path: Path) -> None:
    """SciPy reads 5,000 levels by recursion in compiled code, which ends the process."""
    path, content = tmp_path / "a.mat", _nested(5000)
    if compressed:
        packed = zlib.compress(content[128:])
        content = content[:128] + struct.pack("<II", 15, len(packed)) + packed
    path.write_bytes(content)
    with pytest.raises(BadImage, match="nested"):
        probe(path)
    path.write_bytes(_nested(20))
    with pytest.raises(BadImage, match="got none"):
        probe(path)


def test_control_without_the_check_deep_nesting_ends_the_process(tmp_path: Path) -> None:
    (tmp_path / "a.mat").write_bytes(_nested(5000))
    program = (
        "import sys; from pathlib import Path; from pixelwise.io.arrays import matlab\n"
        "from pixelwise.io.read import probe\nmatlab._check_containers = lambda *_: None\nprobe(Path(sys.argv[1]))"
    )
    ended = subprocess.run([sys.executable, "-c", program, str(tmp_path / "a.mat")], capture_output=True, check=False)
    assert ended.returncode < 0
    assert b"BadImage" not in ended.stderr


def test_a_structure_that_lies_about_what_is_in_it(tmp_path: Path) -> None:
    """A cell array of two arrays with one: the library would read what follows as the second."""
    content = bytearray(_nested(3))
    at = content.index(struct.pack("<ii", 1, 1))
    struct.pack_into("<ii", content, at, 1, 2)
    (tmp_path / "a.mat").write_bytes(content)
    with pytest.raises(BadImage, match="nested"):
        probe(tmp_path / "a.mat")


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("kind", [0, 8, 0x82, 255, 0xFFFF])
def test_types_of_data_that_do_not_exist(tmp_path: Path, packed: bool, kind: int) -> None:
    """SciPy looks them up in a table without its end: the control is a process of its own."""
    file = io.BytesIO()
    scipy.io.savemat(file, {"mask": VALUES})
    content = file.getvalue()
    at = content.rindex(struct.pack("<I", VALUES.nbytes)) - 4
    element = content[128:at] + struct.pack("<I", kind) + content[at + 4 :]
    stored = zlib.compress(element)
    whole = content[:128] + (struct.pack("<II", 15, len(stored)) + stored if packed else element)
    (tmp_path / "a.mat").write_bytes(whole)
    with pytest.raises(BadImage, match="unknown type"):
        read_mask(tmp_path / "a.mat")


def test_control_of_types_that_do_not_exist(tmp_path: Path) -> None:
    file = io.BytesIO()
    scipy.io.savemat(file, {"mask": VALUES})
    content = file.getvalue()
    at = content.rindex(struct.pack("<I", VALUES.nbytes)) - 4
    (tmp_path / "a.mat").write_bytes(content[:at] + struct.pack("<I", 0xFFFF) + content[at + 4 :])
    program = (
        "import sys; from pathlib import Path; from pixelwise.io.arrays import matlab\n"
        "from pixelwise.io.read import probe\nmatlab._are_known = lambda *_: True\nprobe(Path(sys.argv[1]))"
    )
    ended = subprocess.run([sys.executable, "-c", program, str(tmp_path / "a.mat")], capture_output=True, check=False)
    assert ended.returncode != 0


@pytest.mark.parametrize("cut", [1, 20, 60])
def test_compressed_structures_that_end_early(tmp_path: Path, cut: int) -> None:
    scipy.io.savemat(tmp_path / "a.mat", {"truth": {"mask": VALUES}}, do_compression=True)
    (tmp_path / "a.mat").write_bytes((tmp_path / "a.mat").read_bytes()[:-cut])
    with pytest.raises(BadImage, match="complete MAT file"):
        probe(tmp_path / "a.mat")
