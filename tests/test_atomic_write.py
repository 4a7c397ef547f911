"""A file appears completely or not at all."""

import errno
from pathlib import Path
from typing import BinaryIO

import pytest

from pixelwise.atomic_write import atomic_write, atomic_write_json, atomic_write_text
from pixelwise.errors import DiskFull, OutputFailed


def half(file: BinaryIO) -> None:
    file.write(b"half")
    raise RuntimeError("killed")


def test_an_interrupted_write_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    atomic_write_text(target, "old")
    with pytest.raises(RuntimeError, match="killed"):
        atomic_write(target, half)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_control_a_plain_write_destroys_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(RuntimeError, match="killed"), target.open("wb") as file:
        half(file)
    assert target.read_text() == "half"


def test_a_place_that_is_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(OutputFailed, match="expected a writable path"):
        atomic_write_text(tmp_path / "a", "text")


def test_a_file_in_the_way_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    with pytest.raises(OutputFailed, match="Choose another folder with --out"):
        atomic_write_text(tmp_path / "a" / "b.txt", "text")


def test_json_has_no_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        atomic_write_json(tmp_path / "a.json", {"x": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_has_its_own_error(tmp_path: Path) -> None:
    def fill(file: BinaryIO) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(DiskFull, match=r"got a full disk\. Free some space and run the same command again"):
        atomic_write(tmp_path / "a.txt", fill)
    assert list(tmp_path.iterdir()) == []
