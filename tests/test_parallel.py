"""The same function over many items gives the same results in the same order, however many threads work."""

import os
import threading

import pytest

from pixelwise.parallel import cores, let_idle_threads_sleep, parallel_map


@pytest.mark.parametrize("threads", [None, 1, 3])
def test_results_come_in_order(threads: int | None) -> None:
    assert list(parallel_map(str, range(100), threads)) == [str(i) for i in range(100)]


def test_threads_really_work_side_by_side() -> None:
    both = threading.Barrier(2, timeout=10)
    assert sorted(parallel_map(lambda _: both.wait(), [0, 1], 2)) == [0, 1]


def test_an_error_comes_through() -> None:
    with pytest.raises(ZeroDivisionError):
        list(parallel_map(lambda x: 1 // x, [1, 0], 2))


def test_there_is_a_core() -> None:
    assert cores() >= 1


def test_waiting_threads_sleep_unless_the_user_wants_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    let_idle_threads_sleep()
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    let_idle_threads_sleep()
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"
