"""Trainings and other commands as child processes; the run folder is their state, so they outlive the server."""

import asyncio
import contextlib
import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from pixelwise.atomic_write import atomic_write_json
from pixelwise.errors import printable
from pixelwise.server.failures import Failure
from pixelwise.server.project import Project
from pixelwise.text import command as as_text

State = Literal["running", "stopping", "done", "stopped", "failed"]

_POLL_SECONDS = 0.5
_SAVED, _NOTHING_LEARNED, _FAULTS = 75, 5, 6  # exit codes of `pixelwise train` and `pixelwise doctor`
_DONE = {"train": (0, _NOTHING_LEARNED), "check": (0, _FAULTS)}
_NICE = 5


@dataclass(frozen=True, kw_only=True)
class Job:
    """A child process of the server.

    Attributes
    ----------
    kind : str
        "train", "export", "report", "check" or "fix".
    command : tuple of str
        The words after `pixelwise`.
    folder : str
        The run, or the folder of the exported file.
    started : float
        Seconds since 1970.
    seconds : float or None
        The time budget.
    message : str
        Why it failed or stopped.
    resumed : bool
        Its run was started before and continues.
    revision : int
        Grows with every change: of two descriptions of a job, that with the larger one is newer.
    """

    id: str
    kind: str
    command: tuple[str, ...]
    folder: str
    started: float
    seconds: float | None = None
    pid: int = 0
    state: State = "running"
    message: str = ""
    resumed: bool = False
    revision: int = 0

    @property
    def words(self) -> tuple[str, ...]:
        """The words that are run; a run that continues has a configuration of its own."""
        if not self.resumed:
            return self.command
        place = self.command.index("--config") if "--config" in self.command else len(self.command)
        return (*self.command[:place], *self.command[place + 2 :], "--resume")

    @property
    def active(self) -> bool:
        """Whether its process runs."""
        return self.state in ("running", "stopping")

    def to_json(self) -> dict[str, Any]:
        """Return what a page may know."""
        names = ("id", "kind", "started", "seconds", "state", "revision")
        message = _progress_in(self.message, self.folder) if self.state == "stopped" else self.message
        return {**{name: getattr(self, name) for name in names}, "message": message, "command": as_text(*self.words)}


class Jobs:
    """Starts, watches and stops jobs; one training at a time.

    Parameters
    ----------
    on_end : callable
        Called with a job that ended, and with each job of an earlier server.
    program : sequence of str
        What runs the words of a command.
    """

    def __init__(
        self,
        project: Project,
        on_end: Callable[[Job], object],
        program: Sequence[str] = (sys.executable, "-m", "pixelwise"),
    ) -> None:
        self._project, self._on_end, self._program = project, on_end, program
        self.jobs: dict[str, Job] = {}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._watchers: set[asyncio.Task[None]] = set()
        self._announced: dict[str, tuple[float, int]] = {}  # last step of metrics, and last snapshot
        self._folder = project.folder / "jobs"

    def restore(self) -> None:
        """Take up the jobs of an earlier server: those that still run are watched again.

        What was announced is read from the log of events: a server that is killed has no time to note it.
        """
        names, states = {field.name for field in fields(Job)}, self._read_events()
        for path in sorted(self._folder.glob("*.json")):
            value: dict[str, Any] = json.loads(path.read_text("utf-8"))
            known: dict[str, Any] = {name: value[name] for name in value if name in names}
            known["command"] = tuple(value["command"])
            job = Job(**known)
            self.jobs[job.id] = job
            if states.get(job.id) != job.state:
                self._project.events.add("job", job=job.to_json())
            self._on_end(job)
            if job.active:
                self._watch(job, None)

    async def close(self) -> None:
        """Stop watching; the processes go on."""
        for watcher in self._watchers:
            watcher.cancel()
        await asyncio.gather(*self._watchers, return_exceptions=True)
        for process in self._processes.values():
            process.returncode = process.poll() or 0  # nobody waits for it any more
        self._processes.clear()

    def running(self, kind: str) -> Job | None:
        """Return the job of a kind that runs."""
        return next((job for job in self.jobs.values() if job.kind == kind and job.active), None)

    def get(self, job_id: str) -> Job:
        """Return a job; raises `Failure` (404) for an unknown id."""
        if job_id not in self.jobs:
            raise Failure(404, "unknown_job", "There is no such job.")
        return self.jobs[job_id]

    def start(self, kind: str, command: Sequence[str], folder: Path, seconds: float | None = None) -> Job:
        """Start `pixelwise` with the words of a command."""
        number = max((int(name) for name in self.jobs), default=0) + 1
        job = Job(
            id=f"{number:04d}", kind=kind, command=tuple(command), folder=str(folder), started=time.time(),
            seconds=seconds,
        )  # fmt: skip
        return self._launch(job)

    def resume(self, job_id: str) -> Job:
        """Continue a training that was stopped."""
        job = self.get(job_id)
        if job.kind != "train" or job.state not in ("stopped", "failed"):
            raise Failure(409, "not_stopped", "Only a training that was stopped can be continued.")
        begun = (Path(job.folder) / "config.yaml").is_file()
        if not begun:  # it ended before there was a plan: begin again
            shutil.rmtree(job.folder, ignore_errors=True)
            Path(job.folder).mkdir(parents=True)
        return self._launch(replace(job, resumed=begun, state="running", message="", started=time.time()))

    def stop(self, job_id: str) -> Job:
        """Ask a job to save its state and end."""
        job = self.get(job_id)
        if job.active:
            with contextlib.suppress(ProcessLookupError):
                os.kill(job.pid, signal.SIGTERM)
            job = self._update(replace(job, state="stopping"))
        return job

    def last_snapshot(self, job_id: str) -> int:
        """Return the step of the newest snapshot that was announced; -1 if there is none."""
        return self._announced.get(job_id, (-1.0, -1))[1]

    def log_path(self, job: Job) -> Path:
        """Return the file with the output of a job."""
        return self._folder / f"{job.id}.log"

    def result_path(self, job: Job) -> Path:
        """Return the file with the standard output of a job."""
        return self._folder / f"{job.id}.out"

    def _read_events(self) -> dict[str, str]:
        """Return the last announced state of each job, and note what else was announced."""
        states: dict[str, str] = {}
        for _, event in self._project.events.after(0):
            if event["kind"] == "job":
                states[event["job"]["id"]] = event["job"]["state"]
            elif event["kind"] in ("metrics", "snapshot"):
                step, snapshot = self._announced.get(event["job"], (-1.0, -1))
                new = (event["row"]["step"], snapshot) if event["kind"] == "metrics" else (step, event["step"])
                self._announced[event["job"]] = new
        return states

    def _launch(self, job: Job) -> Job:
        self._folder.mkdir(exist_ok=True)
        with self.log_path(job).open("ab") as log, self.result_path(job).open("wb") as out:
            # not of asyncio, which ends its processes when the loop is closed: this one outlives the server
            process = subprocess.Popen(
                [*self._program, *job.words],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
                start_new_session=True,
            )
        with contextlib.suppress(OSError, AttributeError):
            os.setpriority(os.PRIO_PROCESS, process.pid, _NICE)  # the page stays quick
        self._processes[job.id] = process
        job = self._update(replace(job, pid=process.pid))
        self._watch(job, process)
        return job

    def _watch(self, job: Job, process: subprocess.Popen[bytes] | None) -> None:
        task = asyncio.create_task(self._follow(job.id, process))
        self._watchers.add(task)
        task.add_done_callback(self._watchers.discard)

    async def _follow(self, job_id: str, process: subprocess.Popen[bytes] | None) -> None:
        while True:
            running = process.poll() is None if process is not None else _is_ours(self.jobs[job_id])
            self._announce(job_id)
            if not running:
                break
            await asyncio.sleep(_POLL_SECONDS)
        code = process.returncode if process is not None else None
        self._processes.pop(job_id, None)
        self._on_end(self._update(self._finished(self.jobs[job_id], code)))

    def _announce(self, job_id: str) -> None:
        """Turn new rows of metrics and new snapshots of a run into events.

        A run that was killed and continues writes some rows again: only later steps are new.
        """
        folder = Path(self.jobs[job_id].folder)
        step, snapshot = self._announced.get(job_id, (-1.0, -1))
        for row in read_metrics(folder):
            if row["step"] > step:
                step = row["step"]
                self._project.events.add("metrics", job=job_id, row=row)
        newest = max(snapshot_steps(folder), default=-1)
        if newest > snapshot:
            self._project.events.add("snapshot", job=job_id, step=newest)
        self._announced[job_id] = step, max(newest, snapshot)

    def _finished(self, job: Job, code: int | None) -> Job:
        last = _last_line(self.log_path(job))
        done = code in _DONE.get(job.kind, (0,)) or (code is None and self._looks_done(job))
        if done:
            return replace(job, state="done", message=last if code == _NOTHING_LEARNED else "")
        if code == _SAVED or job.state == "stopping" or code is None:
            return replace(job, state="stopped", message=last)
        return replace(job, state="failed", message=last or f"It ended with exit code {code}.")

    def _looks_done(self, job: Job) -> bool:
        """Return whether a job whose exit code nobody saw has written its result."""
        folder = Path(job.folder)
        if job.kind == "check":
            return self.result_path(job).stat().st_size > 0
        return (folder / "summary.json").is_file() if job.kind == "train" else any(folder.glob("*"))

    def _update(self, job: Job) -> Job:
        job = replace(job, revision=job.revision + 1)
        self._save(job)
        self._project.events.add("job", job=job.to_json())
        return job

    def _save(self, job: Job) -> None:
        self.jobs[job.id] = job
        atomic_write_json(self._folder / f"{job.id}.json", asdict(job))


def read_metrics(run: Path) -> list[dict[str, float]]:
    """Return the rows of metrics.csv of a run; empty values are left out."""
    try:
        text = (run / "metrics.csv").read_text("utf-8")
    except OSError:
        return []
    return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(text.splitlines())]


def snapshot_steps(run: Path) -> list[int]:
    """Return the steps of which a run has a snapshot."""
    return sorted(int(path.stem.partition("-")[2]) for path in (run / "snapshots").glob("step-*.png"))


def _is_ours(job: Job) -> bool:
    """Return whether the process of a job that another server started still runs."""
    try:
        os.kill(job.pid, 0)
        words = Path(f"/proc/{job.pid}/cmdline").read_bytes().split(b"\0")
    except FileNotFoundError:
        return not Path("/proc").exists()  # without /proc, a process of this id counts as ours
    except (OSError, ValueError):
        return False
    return any(word.startswith(job.folder.encode()) for word in words)


def _progress_in(line: str, folder: str) -> str:
    """Return what a stopped command says of its progress, without its folder and the command that continues it.

    The page shows the one elsewhere, and has a button for the other.

    >>> _progress_in("Stopped: runs/1: 4 of 9 steps are done. Continue with: pixelwise train data --resume", "runs/1")
    '4 of 9 steps are done.'
    >>> _progress_in("Stopped.", "runs/1")
    ''
    """
    said = line.removeprefix("Stopped.").removeprefix("Stopped: ").removeprefix(f"{printable(folder)}: ")
    return said.partition(" Continue with: ")[0]


def _last_line(path: Path) -> str:
    try:
        lines = path.read_text("utf-8", "replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1][:500] if lines else ""
