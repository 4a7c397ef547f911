"""MAT files: arrays, structures, versions, and damaged or growing files."""

import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io

from pixelwise.errors import BadImage
from pixelwise.io.arrays import matlab
from pixelwise.io.arrays.matlab import main_mask, open_mat
from pixelwise.io.read import read_mask

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
