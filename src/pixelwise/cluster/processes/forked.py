"""Workers that a fork server starts, as a driver sees them."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from pixelwise.process_name import host_name, is_running_here

WORKER = "pixelwise.__main__:main"
_NEVER_RAN = -signal.SIGTERM  # exit code of a worker that was not started before the server ended
_END_SECONDS = 15.0  # for the server to end
_LOST_SECONDS = 0.05  # between two looks at a worker whose server is gone


@runtime_checkable
class Process(Protocol):
    """What a driver needs of the process of a worker; `subprocess.Popen` has it."""

    @property
    def pid(self) -> int:
        """The number of the process; 0 if it does not run yet."""
        ...

    def poll(self) -> int | None:
        """Return the exit code; None while it runs."""
        ...

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end; return the exit code."""
        ...

    def send_signal(self, sig: int) -> None:
        """Send a signal."""
        ...

    def terminate(self) -> None:
        """Ask it to end."""
        ...

    def kill(self) -> None:
        """End it at once."""
        ...


class Forked:
    """A worker that was asked for; see `Process`."""

    def __init__(self, starter: "Starter") -> None:
        self._starter = starter
        self.pid = 0
        self.code: int | None = None

    def poll(self) -> int | None:
        """Return the exit code; None while the worker runs, or is going to."""
        if self.code is None and self._starter.ended:
            # nobody can tell the exit code any more
            runs = self.pid and is_running_here(f"{host_name()}-{self.pid}")
            self.code = None if runs else (-signal.SIGKILL if self.pid else _NEVER_RAN)
        return self.code

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end; return the exit code.

        Raises
        ------
        subprocess.TimeoutExpired
            It runs for longer.
        """
        until = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            left = _LOST_SECONDS if until is None else until - time.monotonic()
            if left <= 0:
                raise subprocess.TimeoutExpired("worker", timeout or 0.0)
            self._starter.wait(min(left, _LOST_SECONDS))
        return code

    def send_signal(self, sig: int) -> None:
        """Send a signal, unless the worker has ended."""
        if self.pid and self.poll() is None:
            os.kill(self.pid, sig)

    def terminate(self) -> None:
        """Ask the worker to end, unless the server does that: `Starter.stop`. A second signal would cut it short."""
        if self._starter.ended:
            self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the worker at once."""
        with contextlib.suppress(ProcessLookupError):
            self.send_signal(signal.SIGKILL)


class Starter:
    """Starts a fork server at once, and asks it for workers.

    Parameters
    ----------
    modules : sequence of str
        What workers import.
    threads : int
        Of each worker; 0: as the environment says.
    target : str
        What a worker calls, MODULE:FUNCTION.
    """

    def __init__(self, modules: Sequence[str], threads: int = 0, target: str = WORKER) -> None:
        environment = dict(os.environ) | ({"OMP_NUM_THREADS": str(threads)} if threads else {})
        self._asked: dict[int, Forked] = {}
        self._changed = threading.Condition()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "pixelwise.cluster.processes.fork_server", target, *modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # what fails here is started again, and fails, where it is seen
            env=environment,
            start_new_session=True,
        )
        if self._process.stdin is None or self._process.stdout is None:
            raise ValueError("a process without its pipes")
        self._requests, self._answers = self._process.stdin, self._process.stdout
        self.ended = False
        self._listener = threading.Thread(target=self._listen, name="fork-server", daemon=True)
        self._listener.start()

    def start(self, words: Sequence[str], log: Path) -> Forked | None:
        """Ask for a worker; None if the server has ended."""
        asked = Forked(self)
        with self._changed:
            number = len(self._asked)
            self._asked[number] = asked
        request = json.dumps({"number": number, "words": list(words), "log": str(log)})
        try:
            self._requests.write(request.encode() + b"\n")
            self._requests.flush()
        except (OSError, ValueError):  # it has ended; or was closed
            return None
        return asked

    def stop(self) -> None:
        """Ask all workers to end, also those that are about to start, and start no more."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()

    def close(self) -> None:
        """End the server and all workers, and wait for the server."""
        self.stop()
        with contextlib.suppress(OSError):
            self._requests.close()
        self._listener.join(_END_SECONDS)

    def wait(self, seconds: float) -> None:
        """Wait until something was answered, at most for these seconds."""
        with self._changed:
            self._changed.wait(seconds)

    def _listen(self) -> None:
        """Note the answers of the server, until it has ended."""
        with contextlib.closing(self._answers) as answers:
            for line in answers:
                answer: Mapping[str, int] = json.loads(line)
                with self._changed:
                    asked = self._asked[answer["number"]]
                    asked.pid = answer.get("pid", asked.pid)
                    asked.code = answer.get("code")
                    self._changed.notify_all()
        self._process.wait()
        with self._changed:
            self.ended = True
            self._changed.notify_all()


def start_early(modules: Sequence[str], threads: int) -> Starter | None:
    """Start a fork server where it works: on Linux, whose libraries may be used after a fork."""
    return Starter(modules, threads) if sys.platform == "linux" else None
