"""Threads of a block of work: as many as asked for, and as before behind it."""

import pytest
import torch

from pixelwise.runtimes.machine import use_threads


@pytest.mark.parametrize("count", [0, 1, 2])
def test_threads_are_put_back_whatever_happens(count: int) -> None:
    before = torch.get_num_threads()
    inside: list[int] = []

    def work() -> None:
        with use_threads(count):
            inside.append(torch.get_num_threads())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert inside == [count or before]
    assert torch.get_num_threads() == before
