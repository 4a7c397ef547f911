"""How computations share the threads."""

from threading import Barrier, Thread
from typing import Any

import numpy as np
import pytest
import torch

from pixelwise.server.workers import lanes
from pixelwise.server.workers.lanes import Lanes


class Plain:
    """A runtime whose threads can be divided, or not."""

    def __init__(self, divides: bool) -> None:
        self.divides_threads = divides

    def __call__(self, tiles: np.ndarray) -> np.ndarray:
        return tiles


def threads_of(count: int, runtime: Any, monkeypatch: pytest.MonkeyPatch, cores: int = 8) -> list[int]:
    """Compute `count` times at the same time; return the threads that each computation has."""
    monkeypatch.setattr(lanes, "usable_threads", lambda: cores)
    shared, together, found = Lanes(), Barrier(count, timeout=20), list[int]()

    def work() -> None:
        with shared.call():
            together.wait()
            with shared.compute(runtime):
                found.append(torch.get_num_threads())
            together.wait()

    workers = [Thread(target=work) for _ in range(count)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sorted(found)


def test_one_computation_has_all_threads_and_two_share_them(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    try:
        assert threads_of(1, Plain(divides=True), monkeypatch) == [8]
        assert threads_of(2, Plain(divides=True), monkeypatch) == [4, 4]
        assert threads_of(2, Plain(divides=True), monkeypatch, cores=1) == [1, 1]
    finally:
        torch.set_num_threads(before)


def test_other_runtimes_compute_one_after_the_other() -> None:
    shared, inside, most = Lanes(), [0], [0]

    def work() -> None:
        with shared.compute(Plain(divides=False)):
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            sum(range(100_000))
            inside[0] -= 1

    workers = [Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert most == [1]
