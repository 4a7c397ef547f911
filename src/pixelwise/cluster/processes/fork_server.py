"""A process that has imported what workers need, and becomes one of them in milliseconds (Linux).

Importing PyTorch takes each worker seconds of processor time. This process imports it once, while the driver makes the
job, computes nothing, and therefore has one thread; a copy of it (`fork`) is a worker. Requests are lines of JSON on
standard input, {"number", "words", "log"}; answers on standard output, {"number", "pid"} and {"number", "code"}.

It ends when its input has ended, because the driver is gone, and all its workers have: they go on without a driver.
"""

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from pixelwise.parallel import let_idle_threads_sleep

_READ = 1 << 16  # bytes of requests at a time
_FAILED = 1  # exit code of a worker that ended in an exception
_ENDING = (signal.SIGTERM,)


class ForkServer:
    """Answers requests.

    Parameters
    ----------
    target : callable
        What a worker calls, with its words in `sys.argv`.
    """

    def __init__(self, target: Callable[[], object]) -> None:
        self._target = target
        self._children: dict[int, int] = {}  # process -> number of the request
        self._pending = b""
        self._stopped = False

    def run(self) -> None:
        """Start workers, and report those that have ended, until the input has ended, and they have."""
        awake, wake = os.pipe()
        for end in (awake, wake):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _note)
        signal.signal(signal.SIGTERM, self._stop)
        opened = True
        while opened or self._children:
            ready, _, _ = select.select([0, awake] if opened else [awake], [], [])
            if awake in ready:
                os.read(awake, _READ)
            if self._stopped:
                self._stopped = opened = False
                self._pass_on()
            if opened and 0 in ready:
                opened = self._read()
            self._reap()

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._stopped = True

    def _pass_on(self) -> None:
        """End all workers."""
        for process in self._children:
            for number in (signal.SIGTERM, signal.SIGCONT):  # one that is suspended ends too
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, number)

    def _read(self) -> bool:
        """Start the workers that are asked for; return False when the input has ended."""
        received = os.read(0, _READ)
        *lines, self._pending = (self._pending + received).split(b"\n")
        for line in lines:
            self._fork(json.loads(line))
        return bool(received)

    def _fork(self, request: dict[str, Any]) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)  # a worker must not note it as this process does
        process = os.fork()
        if not process:
            _become(self._target, request["words"], Path(request["log"]))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
        self._children[process] = request["number"]
        _answer(number=request["number"], pid=process)

    def _reap(self) -> None:
        """Report the workers that have ended."""
        while self._children:
            process, status = os.waitpid(-1, os.WNOHANG)
            if not process:
                return
            _answer(number=self._children.pop(process), code=os.waitstatus_to_exitcode(status))


def _note(number: int, frame: FrameType | None) -> None:
    """Do nothing: that the signal came is noted by `set_wakeup_fd`."""


def _answer(**fields: int) -> None:
    with contextlib.suppress(BrokenPipeError):  # the driver was killed
        os.write(1, json.dumps(fields).encode() + b"\n")


def _become(target: Callable[[], object], words: Sequence[str], log: Path) -> None:
    """Be a worker, in a session of its own, until it ends."""
    code = _FAILED
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
        os.setsid()  # Ctrl-C reaches the driver, which ends its workers
        written = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        for source, number in ((os.open(os.devnull, os.O_RDONLY), 0), (written, 1), (written, 2)):
            os.dup2(source, number)
        sys.argv = list(words)
        code = _run(target)
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)


def _run(target: Callable[[], object]) -> int:
    """Call a function; return its exit code, as an interpreter does."""
    try:
        target()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        return _FAILED
    return 0


def is_single_threaded() -> bool:
    """Return whether this process has one thread: the others of a process are not copied, nor are their locks freed."""
    return len(list(Path("/proc/self/task").iterdir())) == 1


def main() -> None:
    """Import `MODULE ...`, and start workers that call `MODULE:FUNCTION`, the first word."""
    let_idle_threads_sleep()
    module, _, function = sys.argv[1].partition(":")
    target = getattr(importlib.import_module(module), function)
    for name in sys.argv[2:]:
        importlib.import_module(name)
    gc.freeze()  # so that copies share this memory: collecting would write to it
    if is_single_threaded():  # else the driver starts workers in the ordinary way
        ForkServer(target).run()


if __name__ == "__main__":
    main()
