"""`use_threads` sets the number of threads and restores it afterwards."""

import pytest
import torch

from pixelwise.runtimes.machine import use_threads


@pytest.mark.parametrize("count", [0, 1, 2])
def test_the_number_of_threads_is_restored_after_an_error(count: int) -> None:
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
