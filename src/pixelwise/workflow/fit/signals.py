"""Handling of Ctrl-C and SIGTERM: a loop stops at the next step, other work of a training at once."""

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from pixelwise.errors import Interrupted


@contextmanager
def handle_signals(handler: Callable[[int, FrameType | None], object]) -> Generator[None, None, None]:
    """Let `handler` handle Ctrl-C and SIGTERM; do nothing outside of the main thread, which alone gets signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with _handle(signal.SIGINT, handler), _handle(signal.SIGTERM, handler):
        yield


@contextmanager
def _handle(number: int, handler: Callable[[int, FrameType | None], object]) -> Generator[None, None, None]:
    """Let `handler` handle one signal, and give it back also where it comes before the last line of this one."""
    before = signal.getsignal(number)
    try:
        signal.signal(number, handler)
        yield
    finally:
        signal.signal(number, before)


@contextmanager
def stop_on_signals() -> Generator[Callable[[], bool], None, None]:
    """Yield a function that returns whether Ctrl-C or SIGTERM was received; a second signal interrupts at once."""
    requested: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if requested:
            raise KeyboardInterrupt
        requested.append(number)

    with handle_signals(note):
        yield lambda: bool(requested)


@contextmanager
def interrupt_on_signals() -> Generator[None, None, None]:
    """Let SIGTERM raise KeyboardInterrupt, as Ctrl-C does, outside of a loop that stops by itself."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    with handle_signals(interrupt):
        yield


@contextmanager
def describe_interruption(whole: str, where: str, how: str, folder: Path) -> Generator[None, None, None]:
    """Add to an interruption of one of several trainings how to continue all of them.

    Parameters
    ----------
    whole : str
        The expected work.
    where : str
        The current training.
    how : str
        The command that continues, or how to find it.
    folder : Path
        The run folder of the whole work.
    """
    hint = f"The state is saved. Continue with: {how}"
    try:
        yield
    except Interrupted as error:
        raise Interrupted(error.expected, f"{where}: {error.got}", hint, folder) from error
    except KeyboardInterrupt as error:
        raise Interrupted(whole, where, hint, folder) from error
