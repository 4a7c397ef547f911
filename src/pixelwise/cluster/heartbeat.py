"""Signs of life of workers: each touches a file of its own, so that others know whether its claims still hold.

Ages are differences between times that the file system itself gave, never those of clocks of two machines. Some file
systems give the time of the machine that asks: who sees a file change by its own clock believes that instead.
"""

import contextlib
import json
import os
import threading
import time
from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from secrets import token_hex
from types import TracebackType
from typing import Any

from pixelwise.cluster.job import Job
from pixelwise.exclusive_write import write_new_bytes
from pixelwise.process_name import is_running_here, process_name
from pixelwise.runtimes.cache import machine_facts


@dataclass(frozen=True, kw_only=True)
class WorkerFacts:
    """What is known about a worker: its name, process, place among the workers, and machine."""

    name: str
    process: str
    index: int
    of: int
    machine: dict[str, Any]


class Heartbeat:
    """The file of a worker, touched by a thread while the worker lives; a context manager.

    Parameters
    ----------
    index, of : int
        The place of the worker among all workers.
    """

    def __init__(self, job: Job, index: int = 0, of: int = 1) -> None:
        process = process_name()
        self.facts = WorkerFacts(
            name=f"{process}-{token_hex(4)}", process=process, index=index, of=of, machine=machine_facts()
        )
        self._times, self._path = job.times, _path(job, self.facts.name)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> "Heartbeat":
        write_new_bytes(self._path, json.dumps(asdict(self.facts)).encode(), durable=False)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join()
        with contextlib.suppress(OSError):
            self._path.unlink()

    def now(self) -> float:
        """Return the time of the file system, or nan if it cannot be written."""
        try:
            os.utime(self._path)
            return self._path.stat().st_mtime
        except OSError:
            return float("nan")

    def _beat(self) -> None:
        while not self._stopped.wait(self._times.heartbeat):
            with contextlib.suppress(OSError):  # a share that is away comes back, or the others take over
                os.utime(self._path)


class Lives:
    """Which workers of a job are alive."""

    def __init__(self, job: Job) -> None:
        self._job = job
        # of a worker: its last sign, the own clock when it was first seen, and whether another one was seen before
        self._seen: dict[str, tuple[float, float, bool]] = {}

    def is_alive(self, worker: str, now: float) -> bool:
        """Return whether a worker gave a sign of life recently; `now` is the time of the file system.

        A worker of this machine whose process has ended is known to be dead at once.
        """
        if is_running_here(worker.rpartition("-")[0]) is False:
            return False
        try:
            sign = _path(self._job, worker).stat().st_mtime
        except OSError:
            return False
        here, stale = time.monotonic(), self._job.times.stale
        last, since, moved = self._seen.setdefault(worker, (sign, here, False))
        if last != sign:
            since, moved = here, True
            self._seen[worker] = sign, since, moved
        return here - since <= stale and (moved or not now - sign > stale)

    def alive(self) -> list[WorkerFacts]:
        """Return the workers that are alive."""
        with share_clock(self._job) as now:
            return [facts for facts in self._known() if self.is_alive(facts.name, now)]

    def _known(self) -> Iterator[WorkerFacts]:
        for path in sorted(_folder(self._job).glob("*.json")):
            if path.name.startswith("."):
                continue
            try:
                yield WorkerFacts(**json.loads(path.read_bytes()))
            except (OSError, ValueError, TypeError):  # it ended meanwhile, or is damaged
                continue


@contextlib.contextmanager
def share_clock(job: Job) -> Generator[float, None, None]:
    """Yield the time of the file system of a job; nan if it cannot be written, which makes nobody old."""
    path = _folder(job) / f".clock.{process_name()}-{token_hex(4)}"
    try:
        path.touch()
        now = path.stat().st_mtime
    except OSError:  # a reader without the right to write
        now = float("nan")
    try:
        yield now
    finally:
        with contextlib.suppress(OSError):
            path.unlink()


def _folder(job: Job) -> Path:
    return job.folder / "workers"


def _path(job: Job, worker: str) -> Path:
    return _folder(job) / f"{worker}.json"
