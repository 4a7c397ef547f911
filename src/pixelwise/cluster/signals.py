"""SIGTERM, which schedulers send before they take a machine away, ends a block like Ctrl-C."""

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def interrupted_by_signals() -> Generator[None, None, None]:
    """Let SIGTERM raise KeyboardInterrupt in the block; do nothing outside the main thread, which gets the signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
