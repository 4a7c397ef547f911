"""Ctrl-C and SIGTERM become a request that a loop reads where it can stop."""

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from pixelwise.errors import Interrupted


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


@contextmanager
def describe_where(whole: str, where: str, how: str, folder: Path) -> Generator[None, None, None]:
    """Say of what is stopped, as one of several trainings, how the whole goes on.

    Parameters
    ----------
    whole : str
        What should have been done.
    where : str
        In which part of it this is.
    how : str
        What goes on: a command, or how to find it.
    folder : Path
        Of the whole.
    """
    hint = f"The state is saved. Go on with: {how}"
    try:
        yield
    except Interrupted as error:
        raise Interrupted(error.expected, f"{where}: {error.got}", hint, folder) from error
    except KeyboardInterrupt as error:
        raise Interrupted(whole, where, hint, folder) from error
