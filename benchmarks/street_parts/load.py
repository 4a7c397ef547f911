"""Competing load: processes that compute all the time, and how busy the machine really was meanwhile."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

# A process that ends by itself when its parent is gone, also when that was killed and could not end it.
SPIN = """
import os, sys
parent = int(sys.argv[1])
while os.getppid() == parent:
    for number in range(1_000_000):
        number * number
"""


class Load:
    """Processes of one busy thread each, which run while the block does and are gone after it.

    They run on the cores that this process may use, at its priority, as another user's programs would.

    Parameters
    ----------
    count : int
        Number of processes.

    Examples
    --------
    >>> with Load(2) as load:
    ...     len(load.pids)
    2
    >>> load.pids
    []
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._running: list[subprocess.Popen[bytes]] = []

    @property
    def pids(self) -> list[int]:
        """The process ids of what runs."""
        return [child.pid for child in self._running]

    def __enter__(self) -> Self:
        """Start the processes."""
        command = [sys.executable, "-I", "-S", "-c", SPIN, str(os.getpid())]
        try:
            for _ in range(self._count):
                self._running.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True))
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the processes, whatever has happened."""
        self._end()

    def _end(self) -> None:
        for child in self._running:
            child.kill()
        for child in self._running:
            child.wait()
        self._running.clear()


class Watch:
    """Counts the runnable threads of the machine from time to time while the block runs.

    Parameters
    ----------
    interval : float
        Seconds between two looks.
    count : callable
        Returns how many threads are runnable now; None where the system does not say.
    """

    def __init__(self, interval: float = 0.5, count: Callable[[], int | None] | None = None) -> None:
        self._interval, self._count = interval, count or runnable
        self._counts: list[int] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    @property
    def mean(self) -> float | None:
        """The mean number of runnable threads; None without any count."""
        return sum(self._counts) / len(self._counts) if self._counts else None

    def __enter__(self) -> Self:
        """Begin to look."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop looking."""
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while True:
            if (found := self._count()) is not None:
                self._counts.append(found)
            if self._over.wait(self._interval):
                return


def runnable(path: Path = Path("/proc/loadavg")) -> int | None:
    """Return the number of threads that run or wait for a core, without the one that asks; None where none is told.

    The fourth field of /proc/loadavg is "runnable/existing"; source: proc_loadavg(5).
    """
    try:
        return max(0, int(path.read_text("utf-8").split()[3].partition("/")[0]) - 1)
    except (OSError, ValueError, IndexError):
        return None


def processor_seconds() -> float:
    """Return the processor time, in seconds, of all child processes that have ended and were waited for."""
    times = os.times()
    return times.children_user + times.children_system
