"""A file appears completely or not at all."""

import errno
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import pytest

from pixelwise.atomic_write import (
    TEMPORARY,
    atomic_write,
    atomic_write_json,
    atomic_write_text,
    check_writable,
    move_file,
    new_folder,
    remove_leftovers,
    temporary_path,
)
from pixelwise.errors import DiskFull, OutputFailed
from pixelwise.process_name import host_name, process_name


def half(file: BinaryIO) -> None:
    file.write(b"half")
    raise RuntimeError("killed")


def test_an_interrupted_write_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    atomic_write_text(target, "old")
    with pytest.raises(RuntimeError, match="killed"):
        atomic_write(target, half)
    assert target.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_control_a_plain_write_destroys_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old", encoding="utf-8")
    with pytest.raises(RuntimeError, match="killed"), target.open("wb") as file:
        half(file)
    assert target.read_text(encoding="utf-8") == "half"


def test_a_place_that_is_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(OutputFailed, match="expected a writable path"):
        atomic_write_text(tmp_path / "a", "text")


def test_a_file_in_the_way_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("", encoding="utf-8")
    with pytest.raises(OutputFailed, match="Choose another folder with --out"):
        atomic_write_text(tmp_path / "a" / "b.txt", "text")


def test_json_has_no_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        atomic_write_json(tmp_path / "a.json", {"x": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_names_that_are_no_utf_8_are_read_as_they_were(tmp_path: Path) -> None:
    value = {"é🙂": ["a\udcff.png"]}
    atomic_write_json(tmp_path / "a.json", value)
    assert json.loads((tmp_path / "a.json").read_text("utf-8")) == value


def test_a_full_disk_has_its_own_error(tmp_path: Path) -> None:
    def fill(file: BinaryIO) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(DiskFull, match=r"got a full disk\. Free some space and run the same command again"):
        atomic_write(tmp_path / "a.txt", fill)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["é" * 120 + ".png", "a" * 251 + ".png"])
def test_names_of_the_longest_length_are_written(name: str, tmp_path: Path) -> None:
    atomic_write_text(tmp_path / name, "text")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_name_that_is_too_long_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(OutputFailed) as caught:
        atomic_write_text(tmp_path / ("a" * 300), "text")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


ENDED = 2**22 + 1  # above the largest process number


def leftovers(folder: Path) -> set[Path]:
    """Write what an ended process left, a file and a folder; return what must stay."""
    for name in ("model.safetensors", "data"):
        (folder / f".{name}.{host_name()}-{ENDED}-0123abcd{TEMPORARY}").touch()
    (folder / f".set.{host_name()}-{ENDED}-0123abcd{TEMPORARY}" / "images").mkdir(parents=True)
    old = folder / f".model.safetensors.0123abcd-1-0123abcd{TEMPORARY}"
    running = temporary_path(folder / "model.safetensors")
    elsewhere = folder / f".model.safetensors.0123abcd-2-0123abcd{TEMPORARY}"  # of another host, and new
    foreign = folder / f".notes{TEMPORARY}"
    for path in (old, running, elsewhere, foreign):
        path.touch()
    os.utime(old, (1, 1))
    return {running, elsewhere, foreign}


def test_leftovers_of_ended_processes_are_removed(tmp_path: Path) -> None:
    kept = leftovers(tmp_path)
    remove_leftovers(tmp_path)
    assert set(tmp_path.iterdir()) == kept


def test_the_first_write_into_a_folder_removes_them(tmp_path: Path) -> None:
    kept = leftovers(tmp_path)
    atomic_write_text(tmp_path / "a.txt", "text")
    assert set(tmp_path.iterdir()) == {*kept, tmp_path / "a.txt"}
    again = tmp_path / f".b.{host_name()}-{ENDED}-0123abcd{TEMPORARY}"
    again.touch()
    atomic_write_text(tmp_path / "b.txt", "text")
    assert again.exists(), "the folder is listed once"


def test_a_new_folder_removes_them(tmp_path: Path) -> None:
    kept = leftovers(tmp_path)
    with new_folder(tmp_path / "new") as folder:
        (folder / "a").touch()
    assert set(tmp_path.iterdir()) == {*kept, tmp_path / "new"}


def test_a_file_is_moved_from_another_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as that of temporary files, to which no rename leads."""
    source, target = tmp_path / "a" / "source", tmp_path / "b" / "target"
    for path in (source, target):
        path.parent.mkdir()
        path.write_bytes(path.name.encode())
    rename = os.rename

    def refuse(here: Path | str, there: Path | str) -> None:
        if Path(here).parent != Path(there).parent:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        rename(here, there)

    monkeypatch.setattr(os, "rename", refuse)
    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="cross-device"):
        source.replace(target)  # control
    move_file(source, target)
    assert target.read_bytes() == b"source"
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["target"]


def test_every_temporary_file_has_a_name_of_its_own(tmp_path: Path) -> None:
    names = {temporary_path(tmp_path / "a.txt") for _ in range(100)}
    assert len(names) == 100
    assert all(process_name() in path.name for path in names)


def test_two_probes_of_one_folder_do_not_meet(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(check_writable, [tmp_path] * 200))
    assert list(tmp_path.iterdir()) == []
