"""The competing load of `benchmarks/street.py` is there while it is asked for, and never after."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from street_parts.load import Load, Watch, processor_seconds, runnable


def alive(pid: int) -> bool:
    """Whether a process is there and has not ended (a zombie has)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked up in /proc")


@needs_proc
def test_the_processes_run_in_the_block_and_are_gone_after_it() -> None:
    with Load(3) as load:
        pids = load.pids
        assert len(set(pids)) == 3
        assert all(alive(pid) for pid in pids)
    assert not any(alive(pid) for pid in pids)
    assert load.pids == []


@needs_proc
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_they_are_gone_when_the_block_fails_or_is_interrupted(error: type[BaseException]) -> None:
    pids: list[int] = []

    def fail() -> None:
        with Load(2) as load:
            pids.extend(load.pids)
            raise error

    with pytest.raises(error):
        fail()
    assert len(pids) == 2
    assert not any(alive(pid) for pid in pids)


@needs_proc
def test_they_end_by_themselves_when_their_parent_is_killed() -> None:
    code = "import time; from street_parts.load import Load\nwith Load(1) as load:\n"
    code += " print(load.pids[0], flush=True)\n time.sleep(600)"
    paths = {"PYTHONPATH": os.pathsep.join(sys.path)}
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=os.environ | paths)
    assert parent.stdout is not None
    with parent, parent.stdout as lines:
        pid = int(lines.readline())
        assert alive(pid)
        parent.kill()
    wait_until_ended(pid)


def wait_until_ended(pid: int) -> None:
    """Wait for a process that notices by itself; give up after a minute."""
    for _ in range(600):
        if not alive(pid):
            return
        time.sleep(0.1)
    pytest.fail(f"process {pid} is still there")


def test_processor_time_is_that_of_children_that_have_ended() -> None:
    before = processor_seconds()
    subprocess.run([sys.executable, "-c", "sum(range(5_000_000))"], check=True)
    assert processor_seconds() > before


def test_no_load_starts_nothing() -> None:
    with Load(0) as load:
        assert load.pids == []


def test_the_watch_averages_what_it_counts() -> None:
    numbers = iter([2, 4])
    with Watch(3600, lambda: next(numbers)) as watch:
        pass
    assert watch.mean == 2.0


def test_a_watch_that_counts_nothing_has_no_mean() -> None:
    with Watch(3600, lambda: None) as watch:
        pass
    assert watch.mean is None


def test_runnable_threads_are_read_without_the_one_that_asks(tmp_path: Path) -> None:
    path = tmp_path / "loadavg"
    path.write_text("1.88 0.64 0.27 6/116 7579\n", encoding="utf-8")
    assert runnable(path) == 5


@pytest.mark.parametrize("text", ["", "1 2 3", "1 2 3 x/y 4"])
def test_what_cannot_be_read_is_not_known(tmp_path: Path, text: str) -> None:
    path = tmp_path / "loadavg"
    path.write_text(text, encoding="utf-8")
    assert runnable(path) is None
    assert runnable(tmp_path / "missing") is None
