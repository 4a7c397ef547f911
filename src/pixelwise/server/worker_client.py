"""The server's side of a worker: starts it, sends calls, restarts it when it dies."""

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from pixelwise.server.failures import Failure
from pixelwise.server.workers.protocol import READY, Reply

MAX_CRASHES = 2
"""Calls about an input that so often ended the worker are refused."""

_RESTART_SECONDS = 0.2, 30.0  # shortest and longest pause before a restart
_DIED = "The worker ended; try again."
_LINE_LIMIT = 2**20
_STATUS = {
    **dict.fromkeys(("BadImage", "BadDataset", "BadOption", "BadModel", "BadRun"), 422),
    "MemoryError": 413,
    "DiskFull": 507,
}


class WorkerClient:
    """A child process that answers calls.

    Parameters
    ----------
    module : str
        Run as ``python -m module``.
    on_restart : callable
        Called when the process died and is started again.

    Attributes
    ----------
    ready : dict or None
        What the process reported once it could work; None while it starts.
    """

    def __init__(self, module: str, arguments: Sequence[str] = (), on_restart: Callable[[], object] = lambda: None):
        self._command = [sys.executable, "-m", module, *arguments]
        self._on_restart = on_restart
        self.ready: dict[str, Any] | None = None
        self.failure: Failure | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._pending: dict[int, tuple[asyncio.Future[Reply], str]] = {}
        self._crashes: Counter[str] = Counter()
        self._late = False  # the process was ended for a call that took too long
        self._started = asyncio.Event()
        self._last = READY
        self._supervisor: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The process id, if there is a process."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start the process and keep it running."""
        self._supervisor = asyncio.create_task(self._supervise())

    async def close(self) -> None:
        """End the process and wait for it."""
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.gather(self._supervisor, return_exceptions=True)
        await self._end()

    async def wait_ready(self) -> dict[str, Any]:
        """Wait until the process can work; return what it reported.

        Raises
        ------
        Failure
            It cannot start, such as with a damaged model.
        """
        await self._started.wait()
        if self.failure is not None:
            raise self.failure
        return self.ready or {}

    async def call(self, name: str, *, key: str = "", seconds: float | None = None, **arguments: Any) -> Reply:
        """Call a function of the worker.

        Parameters
        ----------
        key : str
            Identifies the input; a key whose calls ended the process `MAX_CRASHES` times is refused.
        seconds : float, optional
            After so long the call fails. A call that already runs cannot be taken back, so the process is ended.

        Raises
        ------
        Failure
            The input cannot be used (4xx), the process died (503), or the time is over (504).
        """
        if key and self._crashes[key] >= MAX_CRASHES:
            raise Failure(422, "bad_image", "This input ended the worker twice and is not tried again.")
        try:
            await asyncio.wait_for(self.wait_ready(), seconds)
        except TimeoutError:  # it is not the fault of this call
            raise Failure(503, "starting", "The worker is starting; try again.", retry_after=2) from None
        try:
            return await asyncio.wait_for(self._call(name, key, arguments), seconds)
        except TimeoutError:
            self._late = True
            self.kill()
            raise Failure(504, "deadline", f"The work was not finished within {seconds:g} s.") from None

    def kill(self) -> None:
        """End the process at once; it is started again."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    async def _call(self, name: str, key: str, arguments: dict[str, Any]) -> Reply:
        if not self._started.is_set():  # it died since this call was let in, and so did all calls before it
            raise Failure(503, "worker_died", _DIED, retry_after=1)
        self._last += 1
        number, process = self._last, self._process
        future = asyncio.get_running_loop().create_future()
        self._pending[number] = future, key
        line = json.dumps({"id": number, "call": name, "arguments": arguments}).encode() + b"\n"
        try:
            if process is not None and process.stdin is not None:
                process.stdin.write(line)
                await process.stdin.drain()
        except (OSError, RuntimeError):
            pass  # it died: the supervisor answers all pending calls
        try:
            return await future
        finally:
            self._pending.pop(number, None)

    async def _supervise(self) -> None:
        pause = _RESTART_SECONDS[0]
        while True:
            began = time.monotonic()
            await self._run()
            self._started.clear()
            self.ready = None
            self._fail_pending()
            self._on_restart()
            pause = _RESTART_SECONDS[0] if time.monotonic() - began > 5 else min(2 * pause, _RESTART_SECONDS[1])
            await asyncio.sleep(pause)

    async def _run(self) -> None:
        """Run the process until it ends, and hand its replies to those who wait."""
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            *self._command, stdin=pipe, stdout=pipe, limit=_LINE_LIMIT, start_new_session=True
        )
        output = self._process.stdout
        try:
            while output is not None and (line := await output.readline()):
                head = json.loads(line)
                payload = await output.readexactly(head["bytes"]) if head["bytes"] else b""
                self._take(head, payload)
        except (asyncio.IncompleteReadError, ValueError):
            pass  # it died within a reply
        finally:
            await self._end()

    def _take(self, head: dict[str, Any], payload: bytes) -> None:
        value = head["value"]
        failure = None if head["ok"] else _failure(value)
        if head["id"] == READY:
            self.ready, self.failure = value, failure
            self._started.set()
            return
        future, key = self._pending.get(head["id"], (None, ""))
        if future is None or future.done():
            return
        if failure is None:
            self._crashes.pop(key, None)
            future.set_result(Reply(value, payload))
        else:
            future.set_exception(failure)

    def _fail_pending(self) -> None:
        for future, key in list(self._pending.values()):
            if key and not self._late:  # else another call is to blame, or the machine is slow
                self._crashes[key] += 1
            if not future.done():
                future.set_exception(Failure(503, "worker_died", _DIED, retry_after=1))
        self._late = False

    async def _end(self) -> None:
        if self._process is None:
            return
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()


def _failure(value: dict[str, Any]) -> Failure:
    kind = str(value["kind"])
    code = {"BadImage": "bad_image", "Internal": "internal", "MemoryError": "too_large"}.get(kind, "bad_input")
    return Failure(_STATUS.get(kind, 500), code, str(value["text"]))
