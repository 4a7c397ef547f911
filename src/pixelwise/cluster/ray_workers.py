"""Workers on a Ray cluster: a program, started by the driver of a job, that keeps a worker in each slot of the cluster.

    python -m pixelwise.cluster.ray_workers HOST:PORT [PROGRAM ...] OUT

Ray only starts processes. It schedules no units and carries no results: a node that is cut off costs the units that it
was computing, and holds back no other (Ray itself may stop scheduling then: ray-project/ray#63405). The driver does not
import Ray, because Ray ends the process that uses it when the head of the cluster is lost.
"""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from pixelwise.cluster.job import Job, open_job
from pixelwise.cluster.ledger import Ledger
from pixelwise.errors import BadOption, OutputFailed, PixelwiseError
from pixelwise.parallel import usable_threads
from pixelwise.workflow.fit.signals import interrupt_on_signals

THREADS = 4  # of a worker, unless OMP_NUM_THREADS says otherwise or a node has fewer
_POLL_SECONDS = 1.0
_END_SECONDS = 12.0  # for workers to end
_MAX_DEATHS = 10  # of the worker of a slot, one after the other, without any progress of the job
_FINAL = (2, 3, 4)  # exit codes of a worker that would end in the same way again
WORKER = ("-m", "pixelwise", "worker")  # after the name of Python on the node


@dataclass(frozen=True, kw_only=True)
class Slot:
    """A place for one worker on a node of the cluster, with this many processor cores."""

    node: str
    number: int
    threads: int


def find_slots(nodes: Sequence[Mapping[str, Any]], threads: int) -> list[Slot]:
    """Return the slots of the nodes that are alive.

    Parameters
    ----------
    nodes : sequence of dict
        As `ray.nodes()` returns them.
    threads : int
        Cores of a worker; of all of them if a node has fewer.

    Examples
    --------
    >>> nodes = [{"NodeID": "a", "Alive": True, "Resources": {"CPU": 9.0}}, {"NodeID": "b", "Alive": False}]
    >>> [(slot.node, slot.number) for slot in find_slots(nodes, 4)]
    [('a', 0), ('a', 1)]
    """
    slots: list[Slot] = []
    for node in sorted(nodes, key=lambda node: str(node["NodeID"])):
        cores = int(node["Resources"].get("CPU", 0)) if node["Alive"] else 0
        each = min(threads, cores)
        slots += [Slot(node=node["NodeID"], number=number, threads=each) for number in range(cores // max(1, each))]
    return slots


@runtime_checkable
class Engine(Protocol):
    """What starts processes on the nodes of a cluster; a task is whatever it needs to find one again."""

    def slots(self) -> list[Slot]:
        """Return where workers can run now."""
        ...

    def start(self, slot: Slot, words: Sequence[str], log: Path) -> Any:
        """Run Python with these arguments in a slot, and return the task."""
        ...

    def ended(self, tasks: Sequence[Any]) -> list[tuple[Any, int, str]]:
        """Return the tasks that have ended, each with the exit code and the last line of its output."""
        ...

    def stop(self, tasks: Sequence[Any]) -> None:
        """End tasks."""
        ...


@dataclass
class _Worker:
    """The worker of a slot: its number, its task while it runs, and the error that it would end with again."""

    index: int
    task: Any = None
    deaths: int = 0
    error: str = ""


@dataclass
class RemoteWorkers:
    """One worker in each slot of a cluster.

    Parameters
    ----------
    program : sequence of str
        The command of a worker after the name of Python, without the output folder.
    """

    job: Job
    engine: Engine
    program: Sequence[str] = WORKER
    workers: dict[Slot, _Worker] = field(default_factory=dict[Slot, _Worker])

    def __post_init__(self) -> None:
        self._ledger, self._done = Ledger(self.job), 0

    def keep_running(self) -> None:
        """Start workers, and those that died again.

        Raises
        ------
        OutputFailed
            There are no slots, or all workers end with an error.
        """
        self._note_ended()
        slots = self.engine.slots()
        if not slots and not self.workers:
            raise OutputFailed(
                "a cluster with processors", "none", "Start its nodes: ray start --address=...", self.job.out
            )
        for slot in slots:
            worker = self.workers.setdefault(slot, _Worker(len(self.workers)))
            if worker.task is None and not worker.error:
                worker.task = self._start(slot, worker.index)
        errors = [worker.error for worker in self.workers.values() if worker.error]
        if len(errors) == len(self.workers):
            raise OutputFailed(
                "workers that run", errors[-1], "All nodes need the same folders and pixelwise.", self.job.out
            )

    def stop(self) -> None:
        """End all workers: they drop the units that they compute."""
        self.engine.stop(self._tasks())

    def _tasks(self) -> list[Any]:
        return [worker.task for worker in self.workers.values() if worker.task is not None]

    def _start(self, slot: Slot, index: int) -> Any:
        place = ["--index", str(index), "--of", str(max(index + 1, len(self.workers)))]
        log = self.job.folder / "logs" / f"ray-{index}.log"
        return self.engine.start(slot, [*self.program, str(self.job.out), *place], log)

    def _note_ended(self) -> None:
        """Note which workers have ended, and how."""
        tasks = self._tasks()
        ended = self.engine.ended(tasks) if tasks else []
        progressed = bool(ended) and self._progressed()
        for task, code, text in ended:
            worker = next(worker for worker in self.workers.values() if worker.task == task)
            worker.task = None
            worker.deaths = 0 if progressed else worker.deaths + (code != 0)
            if code in _FINAL or worker.deaths >= _MAX_DEATHS:
                worker.error = text or f"exit code {code}"

    def _progressed(self) -> bool:
        """Return whether units were done since a worker ended last."""
        before, self._done = self._done, int(self._ledger.scan().sum())
        return self._done > before


def run_process(words: Sequence[str], log: str, threads: int) -> tuple[int, str]:
    """On a node: run Python until it ends or the task is cancelled; return its exit code and last line of output."""
    import signal
    import tempfile

    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    try:
        file = open(log, "w+b")  # noqa: PTH123, SIM115, closed below
    except OSError:  # the folder is not there on this node, which the worker says
        file = tempfile.TemporaryFile()  # noqa: SIM115, closed below
    with file:
        process = subprocess.Popen(
            [sys.executable, *words], stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=environment
        )
        try:
            while process.poll() is None:
                time.sleep(0.2)  # Ray cancels between two instructions of Python, not inside a call
        finally:
            try:
                if process.poll() is None:
                    process.terminate()
                    process.send_signal(signal.SIGCONT)
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(10)
            finally:  # also if the task is cancelled again meanwhile
                process.kill()
                process.wait()
        file.seek(0)
        lines = file.read().decode("utf-8", "replace").strip().splitlines()
    return process.returncode, lines[-1] if lines else ""


class RayEngine:
    """The processes that Ray starts on the nodes of a cluster.

    Parameters
    ----------
    address : str
        host:port of its head; this machine must have joined the cluster.

    Raises
    ------
    BadOption
        There is no connection.
    """

    def __init__(self, address: str) -> None:
        self._ray = _import_ray()
        try:
            self._ray.init(address=address, namespace="pixelwise", log_to_driver=False, logging_level="ERROR")
        except Exception as error:  # of many kinds: no head, another token, no Ray on this machine
            lines = [line for line in str(error).splitlines() if line.strip()]
            got = lines[0].strip() if lines else type(error).__name__
            hint = f"Join the cluster with this machine: ray start --address={address}, with the same token."
            raise BadOption("a connection to the Ray cluster", got, hint, f"--on ray://{address}") from error
        self._threads = usable_threads() if "OMP_NUM_THREADS" in os.environ else THREADS

    def slots(self) -> list[Slot]:
        """Return where workers can run now."""
        return find_slots(self._ray.nodes(), self._threads)

    def start(self, slot: Slot, words: Sequence[str], log: Path) -> Any:
        """Run Python with these arguments in a slot, and return the task."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        # no second try by Ray: it would come without a look at what is done
        task = self._ray.remote(run_process).options(
            name=f"pixelwise worker {slot.number}",
            num_cpus=slot.threads,
            max_retries=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(slot.node, soft=False),
        )
        return task.remote(list(words), str(log), slot.threads)

    def ended(self, tasks: Sequence[Any]) -> list[tuple[Any, int, str]]:
        """Return the tasks that have ended, each with the exit code and the last line of its output."""
        ready, _ = self._ray.wait(list(tasks), num_returns=len(tasks), timeout=0, fetch_local=False)
        found: list[tuple[Any, int, str]] = []
        for task in ready:
            try:
                found.append((task, *self._ray.get(task, timeout=5)))
            except self._ray.exceptions.GetTimeoutError:  # of a node that was cut off since
                continue
            except self._ray.exceptions.RayError as error:
                found.append((task, 1, str(error).strip().splitlines()[-1]))
        return found

    def stop(self, tasks: Sequence[Any]) -> None:
        """End tasks, and leave the cluster."""
        for task in tasks:
            self._ray.cancel(task)
        if tasks:
            self._ray.wait(list(tasks), num_returns=len(tasks), timeout=_END_SECONDS, fetch_local=False)
        self._ray.shutdown()


def _import_ray() -> Any:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray

    return ray


def run_on_cluster(address: str, out: Path, program: Sequence[str] = WORKER) -> None:
    """Keep workers on a cluster until a job is sealed.

    Raises
    ------
    BadOption, OutputFailed
        There is no connection, or workers end with an error.
    """
    job = open_job(out)
    workers = RemoteWorkers(job, RayEngine(address), program)
    try:
        while not job.sealed:
            workers.keep_running()
            time.sleep(_POLL_SECONDS)
    finally:
        workers.stop()


def main(words: Sequence[str]) -> int:
    """Run the program; return its exit code."""
    try:
        with interrupt_on_signals():
            run_on_cluster(words[0], Path(words[-1]), words[1:-1] or WORKER)
    except PixelwiseError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return 75
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
