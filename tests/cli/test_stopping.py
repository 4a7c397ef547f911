"""Ctrl-C and SIGTERM at any moment of a command: it ends with an exit code, and is not killed by the signal."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals")

STOPPED, NO_JOB = 130, 2
SIGNALS = [signal.SIGINT, signal.SIGTERM]

# The program writes a line at the place, and goes on when its input ends.
WAIT = """
import os, sys
def wait(*words, write=os.write, read=os.read):
    write(1, b"here\\n")
    read(0, 1)
class Finder:
    def find_spec(self, name, path, target=None):
        name == NAME and wait()
class Late:
    def __del__(self, wait=wait):
        wait()
"""
PLACES = {
    "import": "NAME = 'pixelwise.cli.main'\nsys.meta_path.insert(0, Finder())",
    "answer": "import pixelwise.cli.overview\npixelwise.cli.overview.quick_answer = wait",
    "command": "import pixelwise.cluster.status\npixelwise.cluster.status.describe_job = wait",
    "exit": "import types\nimport pixelwise.__main__ as program\n"
    "program.sys = types.SimpleNamespace(argv=sys.argv, exit=lambda code: (wait(), sys.exit(code)))",
    "atexit": "import atexit\natexit.register(wait)",
    "thread": "import threading\nthreading.Thread(target=lambda: (threading.main_thread().join(), wait())).start()",
    "teardown": "late = Late()",
}
ENTRIES = {
    "script": "from pixelwise.__main__ import main\nsys.exit(main())",  # as pip writes it
    "module": "import runpy\nrunpy.run_module('pixelwise', run_name='__main__', alter_sys=True)",
    "unprotected": "from pixelwise.__main__ import run\nsys.exit(run())",
}


def begin(entry: str, place: str, *words: str) -> subprocess.Popen[str]:
    """Start a command; return when it is at the place."""
    program = f"{WAIT}{place}\nsys.argv[1:] = {list(words)}\n{ENTRIES[entry]}"
    line = [sys.executable, "-c", program]
    started = subprocess.Popen(
        line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert started.stdout is not None
    assert started.stdout.readline() == "here\n"
    return started


def stop_at(entry: str, place: str, number: signal.Signals, out: Path) -> tuple[int, str]:
    """Send a signal to a command without a job where it waits; return its exit code and its messages."""
    started = begin(entry, PLACES[place], "jobs", str(out))
    started.send_signal(number)
    _, errors = started.communicate()
    return started.returncode, errors


@pytest.mark.parametrize("number", SIGNALS, ids=lambda one: one.name)
@pytest.mark.parametrize("entry", ["script", "module"])
@pytest.mark.parametrize("place", ["import", "answer", "command"])
def test_a_command_with_nothing_to_save_is_stopped_with_one_line(
    place: str, entry: str, number: signal.Signals, tmp_path: Path
) -> None:
    assert stop_at(entry, place, number, tmp_path) == (STOPPED, "Stopped.\n")


@pytest.mark.parametrize("number", SIGNALS, ids=lambda one: one.name)
@pytest.mark.parametrize("place", ["exit", "thread", "atexit", "teardown"])
def test_the_exit_code_stands_once_a_command_has_ended(place: str, number: signal.Signals, tmp_path: Path) -> None:
    code, errors = stop_at("script", place, number, tmp_path)
    assert code == NO_JOB
    assert len(errors.splitlines()) == 1, "that of the command"


def test_an_interpreter_alone_is_killed_by_a_signal_at_its_end(tmp_path: Path) -> None:
    assert stop_at("unprotected", "teardown", signal.SIGINT, tmp_path)[0] == -signal.SIGINT


@pytest.mark.parametrize("entry", ["script", "module"])
def test_a_signal_at_any_moment_ends_with_an_exit_code(entry: str) -> None:
    rng = random.Random(entry)
    first = "NAME = 'pixelwise.cli'\nsys.meta_path.insert(0, Finder())"  # the first import of the command line

    def end(words: tuple[str, ...], wait: float | None) -> tuple[int, float]:
        started = begin(entry, first, *words)
        assert started.stdin is not None
        started.stdin.close()
        started.stdin = None
        began = time.monotonic()
        if wait is not None:
            time.sleep(wait)
            started.send_signal(rng.choice(SIGNALS))
        started.communicate()
        return started.returncode, time.monotonic() - began

    for words, count in ((("--version",), 5), (("jobs", "no-such-folder"), 15)):
        code, seconds = end(words, None)
        codes = {end(words, rng.uniform(0, seconds))[0] for _ in range(count)}
        assert codes <= {code, STOPPED}
    assert STOPPED in codes, "the control: signals come while the last command runs"
