"""Ctrl-C and SIGTERM become a request that a loop reads where it can stop."""

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stop_on_signals() -> Generator[Callable[[], bool], None, None]:
    """Turn a first Ctrl-C or SIGTERM into a request that the loop reads at the next step; a second ends at once."""
    requested: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if requested:
            raise KeyboardInterrupt
        requested.append(number)

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False  # signals reach the main thread only
        return
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(requested)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
