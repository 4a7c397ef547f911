"""The name of a process is unique among hosts that share a file system."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pixelwise.process_name import host_name, is_running_here, process_name


def test_a_process_is_known_while_it_runs() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    name = f"{host_name()}-{child.pid}"
    assert is_running_here(name)
    child.communicate(b"\n")
    assert is_running_here(name) is False


@pytest.mark.skipif(not Path("/proc/self/stat").is_file(), reason="needs /proc")
def test_a_process_that_was_killed_and_not_waited_for_has_ended() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    name = f"{host_name()}-{child.pid}"
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # ended, and kept for its parent
    os.kill(child.pid, 0)  # control: its number still exists
    assert is_running_here(name) is False
    child.communicate()


@pytest.mark.parametrize("name", ["0123abcd-1", "", "1", f"{host_name()}-x", f"{host_name()}"])
def test_others_are_unknown(name: str) -> None:
    assert is_running_here(name) is None


@pytest.mark.skipif(not Path("/proc/sys/kernel/random/boot_id").is_file(), reason="needs /proc")
def test_machines_of_one_name_are_other_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    names: set[str] = set()
    for boot in ("one", "two"):
        monkeypatch.setattr(Path, "read_text", lambda self, *_, drawn=boot: drawn)
        host_name.cache_clear()
        names.add(host_name())
    monkeypatch.undo()
    host_name.cache_clear()
    assert len(names) == 2


def test_containers_with_equal_process_numbers_are_other_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    names: set[str] = set()
    for namespace in ("pid:[1]", "pid:[2]"):
        monkeypatch.setattr(Path, "readlink", lambda self, inside=namespace: Path(inside))
        host_name.cache_clear()
        names.add(process_name())
    monkeypatch.undo()
    host_name.cache_clear()
    assert len(names) == 2
    assert all(name.endswith(f"-{os.getpid()}") for name in names)
