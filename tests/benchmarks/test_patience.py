"""A limit of seconds that does not run while a processor is waited for."""

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import machine
import pytest
from machine import Patience, waiting_seconds, with_children


@pytest.mark.parametrize(("waiting", "over"), [(0.0, True), (1.0, False)])
def test_seconds_without_a_processor_do_not_count(waiting: float, over: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A minute passes between two looks; the process waits for its whole length, or not at all."""
    now = [0.0]
    monkeypatch.setattr(machine.time, "monotonic", lambda: now[0])

    def waited(processes: Iterable[int]) -> dict[str, float]:
        return {str(process): waiting * now[0] for process in processes}

    patience = Patience(100.0, lambda: [1, 2], waited)
    now[0] = 60.0
    assert not patience.over
    now[0] = 120.0
    assert patience.over == over


def test_what_began_later_is_no_reason_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(machine.time, "monotonic", lambda: now[0])
    patience = Patience(100.0, lambda: [1], lambda _: {f"thread of {now[0]}": 1000.0})
    now[0] = 120.0
    assert patience.over


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="there is no schedstat in /proc")
def test_the_threads_of_a_process_and_its_children_are_found() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert {os.getpid(), child.pid} <= set(with_children(os.getpid()))
        assert waiting_seconds([child.pid]).keys() == {str(child.pid)}
        child.communicate(b"\n")
    assert waiting_seconds([child.pid]) == {}
