"""Of several processes that write one name the first wins, on file systems with and without hard links."""

import errno
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pixelwise import exclusive_write
from pixelwise.atomic_write import atomic_write_bytes
from pixelwise.errors import DiskFull, OutputFailed
from pixelwise.exclusive_write import link_new, rename_new, write_new, write_new_bytes

RACE = """
import sys, time
from pathlib import Path
from pixelwise.exclusive_write import write_new_bytes
folder, number, start = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
time.sleep(max(0.0, start - time.time()))
won = [name for name in map(str, range(200)) if write_new_bytes(folder / name, number.encode(), durable=False)]
sys.stdout.write(" ".join(won))
"""


def refuse_links(code: int) -> Any:
    def link(*given: object) -> None:
        raise OSError(code, os.strerror(code))

    return link


def test_the_first_of_several_processes_wins_every_name(tmp_path: Path) -> None:
    import time

    start = str(time.time() + 2)
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, str(tmp_path), str(number), start], stdout=subprocess.PIPE, text=True
        )
        for number in range(3)
    ]
    won = {number: set(racer.communicate()[0].split()) for number, racer in enumerate(racers)}
    assert sum(len(names) for names in won.values()) == 200, "every name was won once"
    for number, names in won.items():
        assert {(tmp_path / name).read_text(encoding="utf-8") for name in names} <= {str(number)}
    assert len(list(tmp_path.iterdir())) == 200, "no temporary file is left"


def test_a_second_file_is_refused_and_the_first_is_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "inner" / "a.txt"
    assert write_new_bytes(path, b"first")
    before = path.stat()
    assert not write_new_bytes(path, b"second")
    after = path.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert path.read_bytes() == b"first"
    assert list(path.parent.iterdir()) == [path]


def test_control_an_atomic_write_replaces_the_first_file(tmp_path: Path) -> None:
    atomic_write_bytes(tmp_path / "a", b"first")
    atomic_write_bytes(tmp_path / "a", b"second")
    assert (tmp_path / "a").read_bytes() == b"second"


@pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK])
def test_without_hard_links_a_rename_refuses_the_second(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exclusive_write.os, "link", refuse_links(code))
    try:
        first = write_new_bytes(tmp_path / "a", b"first")
    except OutputFailed:
        pytest.skip("this file system has no rename that refuses a name")
    assert first
    assert not write_new_bytes(tmp_path / "a", b"second")
    assert (tmp_path / "a").read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]


def test_a_file_system_with_neither_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exclusive_write.os, "link", refuse_links(errno.EPERM))

    def rename(source: Path, target: Path) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(exclusive_write, "_rename_linux", rename)
    with pytest.raises(OutputFailed, match="expected a file system with hard links"):
        write_new_bytes(tmp_path / "a", b"first")
    assert list(tmp_path.iterdir()) == []


def test_other_errors_are_not_hidden_by_the_way_around(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exclusive_write.os, "link", refuse_links(errno.EACCES))
    with pytest.raises(OutputFailed, match="permission denied"):
        write_new_bytes(tmp_path / "a", b"first")


def test_a_full_disk_has_its_own_error_and_leaves_nothing(tmp_path: Path) -> None:
    def fill(file: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(DiskFull):
        write_new(tmp_path / "a", fill)
    assert list(tmp_path.iterdir()) == []


def test_a_link_whose_answer_was_lost_counts_as_made(tmp_path: Path) -> None:
    (tmp_path / "source").write_text("x", encoding="utf-8")
    assert link_new(tmp_path / "source", tmp_path / "target")
    assert link_new(tmp_path / "source", tmp_path / "target"), "the call is repeated"
    (tmp_path / "other").write_text("y", encoding="utf-8")
    assert not link_new(tmp_path / "other", tmp_path / "target")


def test_a_rename_refuses_a_name_that_exists(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(name, encoding="utf-8")
    assert not rename_new(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_text(encoding="utf-8") == "b"


def test_threads_of_one_process_do_not_share_a_temporary_file(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda text: write_new_bytes(tmp_path / "a", text.encode()), map(str, range(64))))
    assert sum(won) == 1
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]
