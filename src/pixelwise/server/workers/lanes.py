"""How predictions share the processor: two at a time, each with a part of the threads.

Two images side by side are computed in less time than one after the other with all threads: the threads of one do not
wait for each other at the end of every layer, and while one is read or written the other one is computed.
"""

from collections.abc import Generator
from contextlib import contextmanager
from threading import Lock

from pixelwise.parallel import usable_threads
from pixelwise.runtimes.base import Runtime

LANES = 2
"""Calls that are worked on at the same time; each needs memory for the maps of a network."""


class Lanes:
    """Gives each call its share of the threads.

    Only plain PyTorch on the processor divides its threads by the thread that calls it; other runtimes compute one
    image after the other.
    """

    def __init__(self) -> None:
        self._counting, self._alone = Lock(), Lock()
        self._calls, self._threads = 0, usable_threads()

    @contextmanager
    def call(self) -> Generator[None]:
        """Take part, from reading to writing."""
        with self._counting:
            self._calls += 1
        try:
            yield
        finally:
            with self._counting:
                self._calls -= 1

    @contextmanager
    def compute(self, runtime: Runtime) -> Generator[None]:
        """Compute with the share of this call."""
        if not getattr(runtime, "divides_threads", False):
            with self._alone:
                yield
            return
        _set_threads(max(1, self._threads // max(1, self._calls)))
        yield


def _set_threads(count: int) -> None:
    """Set the threads of PyTorch for the calling thread; what it prepared for another number is lost."""
    import torch

    if torch.get_num_threads() != count:
        torch.set_num_threads(count)
