"""The driver of a job: starts workers on this machine or on a Ray cluster, and shows the progress.

Nothing depends on it: workers go on when it is killed, and the same command watches them again.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pixelwise.cluster.heartbeat import Lives
from pixelwise.cluster.job import Job, find_job
from pixelwise.cluster.ledger import Ledger
from pixelwise.cluster.places import Place
from pixelwise.cluster.processes.forked import Process, Starter
from pixelwise.cluster.sealing import sweep
from pixelwise.cluster.work import WAITING
from pixelwise.errors import Interrupted, OutputFailed
from pixelwise.parallel import cores
from pixelwise.process_name import host_name, process_name
from pixelwise.progress import Advance, Progress
from pixelwise.text import pluralise
from pixelwise.workflow.fit.signals import interrupt_on_signals

POLL_SECONDS = 0.5
_SEAL_SECONDS = 0.05  # between two looks at whether the job is complete
_END_SECONDS = 15.0  # for workers to end after SIGTERM
_TAIL = 10_000  # bytes of a log that are looked at
_MAX_DEATHS = 10  # of workers, one after the other, without any progress
_NOT_KILLED = (2, 3, 4, 75)  # exit codes with which a worker ends by itself
AGAIN = "Run the same command again to continue."
COMMAND = ("pixelwise", "worker")
PROGRAM = (sys.executable, "-m", *COMMAND)
RAY_PROGRAM = (sys.executable, "-m", "pixelwise.cluster.ray_workers")


def worker_threads(count: int, environment: Mapping[str, str] | None = None) -> int:
    """Return the threads of each of `count` workers on this machine; 0 if OMP_NUM_THREADS limits them already."""
    limited = "OMP_NUM_THREADS" in (os.environ if environment is None else environment)
    return 0 if limited else max(1, cores() // count)


@dataclass
class _Slot:
    """A place for a worker: its process, if one runs, and where it writes."""

    index: int
    log: Path
    process: Process | None = None
    ended: bool = False


@dataclass
class LocalWorkers:
    """Worker processes on this machine, or one process that starts workers elsewhere.

    Parameters
    ----------
    program : sequence of str
        The command of a worker, without the output folder.
    elsewhere : bool
        The program starts workers elsewhere: it gets neither a place among workers nor a number of threads.
    starter : Starter, optional
        Starts the workers, as long as it runs, without importing everything again.
    """

    job: Job
    count: int
    program: Sequence[str] = PROGRAM
    elsewhere: bool = False
    starter: Starter | None = None
    deaths: int = 0
    slots: list[_Slot] = field(default_factory=list[_Slot])

    def __post_init__(self) -> None:
        logs = self.job.folder / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        self.slots = [_Slot(index, logs / f"{process_name()}-{index}.log") for index in range(self.count)]

    def keep_running(self, others: int) -> None:
        """Start workers so that `count` run, with `others` that another driver started.

        Raises
        ------
        OutputFailed
            Workers end with an error, or die again and again.
        """
        for slot in self.slots:
            self._check(slot)
        running = sum(slot.process is not None for slot in self.slots)
        for slot in self.slots:
            if slot.process is None and not slot.ended and running + others < self.count:
                self._start(slot)
                running += 1
        if all(slot.ended for slot in self.slots) and not others and not self.job.sealed:
            self._give_up()

    def stop(self) -> None:
        """End all workers: they drop the unit that they compute. Ctrl-C ends them at once."""
        running = [slot.process for slot in self.slots if slot.process is not None]
        if self.starter is not None:
            self.starter.stop()
        for process in running:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
                process.send_signal(signal.SIGCONT)  # one that is suspended ends too
        until = time.monotonic() + _END_SECONDS
        try:
            for process in running:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(max(0.1, until - time.monotonic()))
        finally:
            for process in running:
                if process.poll() is None:
                    process.kill()
                    process.wait()

    def waits(self) -> set[str]:
        """Return what workers wait for, as they say."""
        lines = {_last_line(slot.log) for slot in self.slots if slot.process is not None}
        return {line for line in lines if line.startswith(WAITING)}

    def processes(self) -> set[int]:
        """Return the numbers of the processes that run."""
        return {slot.process.pid for slot in self.slots if slot.process is not None and slot.process.pid}

    def _start(self, slot: _Slot) -> None:
        place = [] if self.elsewhere else ["--index", str(slot.index), "--of", str(self.count)]
        words = [str(self.job.out), *place]
        slot.process = None if self.starter is None else self.starter.start([*COMMAND, *words], slot.log)
        slot.process = slot.process or self._open(words, slot.log)

    def _open(self, words: Sequence[str], path: Path) -> Process:
        environment = dict(os.environ)
        threads = 0 if self.elsewhere else worker_threads(self.count)
        if threads:
            environment["OMP_NUM_THREADS"] = str(threads)
        with path.open("ab") as log:
            return subprocess.Popen(
                [*self.program, *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,  # Ctrl-C reaches the driver, which ends its workers
            )

    def _check(self, slot: _Slot) -> None:
        """Note whether a worker has ended, and how."""
        code = None if slot.process is None else slot.process.poll()
        if code is None:
            return
        slot.process = None
        slot.ended = code == 0 or code in _NOT_KILLED
        if code == 0 and not self.job.sealed:
            slot.ended = False
        self.deaths += code != 0
        if self.deaths >= _MAX_DEATHS:
            self._give_up()

    def _give_up(self) -> None:
        log = max((slot.log for slot in self.slots), key=_changed)
        last = _last_line(log) or "no message"
        raise OutputFailed("workers that run", f"workers that end: {last}", f"See {log}.", self.job.out)


def workers_at(place: Place, job: Job, starter: Starter | None = None) -> LocalWorkers:
    """Return what starts the workers of a job."""
    if place.ray:
        return LocalWorkers(job, 1, (*RAY_PROGRAM, place.ray), elsewhere=True)
    return LocalWorkers(job, place.count, starter=starter)


@contextlib.contextmanager
def continued_later(out: Path) -> Generator[None, None, None]:
    """End a command on Ctrl-C or SIGTERM with how it continues, if its job has been made in the output folder.

    Raises
    ------
    Interrupted
        There is a job.
    """
    try:
        with interrupt_on_signals():
            yield
    except KeyboardInterrupt as stop:
        if find_job(out) is None:
            raise
        raise Interrupted("a complete job", "the job is kept", AGAIN, out) from stop


def watch_local(workers: LocalWorkers, progress: Progress, label: str, how: str = AGAIN) -> None:
    """Run workers until the job is sealed, with one progress bar for all.

    Parameters
    ----------
    label : str
        Of the bar.
    how : str
        How the command continues.

    Raises
    ------
    Interrupted
        Ctrl-C or SIGTERM.
    OutputFailed
        See `LocalWorkers.keep_running`.
    """
    job = workers.job
    view, said = _View(job), set[str]()
    try:
        with interrupt_on_signals():
            try:
                with progress.bar(label, view.total) as advance:
                    while not job.sealed:
                        others = 0 if workers.elsewhere else view.others(workers.processes())
                        workers.keep_running(others)
                        progress.message(*sorted(workers.waits() - said))
                        said |= workers.waits()
                        running = view.living() if workers.elsewhere else len(workers.processes()) + others
                        if view.show(advance, running):
                            workers.deaths = 0
                        _wait_for_seal(job, POLL_SECONDS + 10 * view.scan_seconds)
                    view.show(advance, 0)
            finally:
                workers.stop()
                if job.sealed:
                    sweep(job)
    except KeyboardInterrupt as stop:
        raise Interrupted("a complete job", f"{view.done:,} of {view.total:,} done", how, job.out) from stop


def _wait_for_seal(job: Job, seconds: float) -> None:
    """Wait until a job is sealed, at most for these seconds; asking costs a tenth of a millisecond."""
    until = time.monotonic() + seconds
    while not job.sealed and (left := until - time.monotonic()) > 0:
        time.sleep(min(left, _SEAL_SECONDS))


def _last_line(log: Path) -> str:
    """Return the last line of the output of a worker; "" without any."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
            lines = file.read().decode("utf-8", "replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1] if lines else ""


def _changed(log: Path) -> float:
    return log.stat().st_mtime if log.is_file() else 0.0


class _View:
    """What a driver sees of a job."""

    def __init__(self, job: Job) -> None:
        self._job, self._ledger, self._lives = job, Ledger(job), Lives(job)
        self.total, self.done, self.scan_seconds = int(job.weights.sum()), 0, 0.0

    def show(self, advance: Advance, running: int) -> bool:
        """Advance the bar; return whether anything was done since the last call."""
        began = time.monotonic()
        # a folder that is away comes back
        done = max(self.done, int(self._job.weights[self._ledger.scan()].sum()))
        self.scan_seconds = time.monotonic() - began
        advance(done - self.done, pluralise(running, "worker"))
        progressed, self.done = done > self.done, done
        return progressed

    def living(self) -> int:
        """Return the number of workers that are alive, on all machines."""
        return len(self._lives.alive())

    def others(self, own: set[int]) -> int:
        """Return the number of workers on this machine that this driver did not start."""
        names = [facts.process for facts in self._lives.alive()]
        here = [name for name in names if name.startswith(f"{host_name()}-")]
        return sum(int(name.rpartition("-")[2]) not in own for name in here)
