"""What is asked of Ray, and the processes on a node: Ray itself is replaced, programs run."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from pixelwise.cluster import ray_workers as module
from pixelwise.cluster.ray_workers import THREADS, RayEngine, Slot, main, run_on_cluster, run_process
from pixelwise.errors import BadOption, OutputFailed
from sleepers import make_job

SLOT = Slot(node="a", number=3, threads=2)


class RayError(Exception):
    """A task that failed."""


class GetTimeoutError(RayError):
    """A result that does not come."""


class Ray:
    """Stands for the module `ray`: notes what it is asked; `results` are those of tasks by their name."""

    exceptions = SimpleNamespace(RayError=RayError, GetTimeoutError=GetTimeoutError)

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []
        self.results: dict[str, Any] = {}
        self.refusal: Exception | None = None

    def init(self, **options: Any) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.asked.append(("init", options["address"]))

    def nodes(self) -> list[dict[str, Any]]:
        return [{"NodeID": "a", "Alive": True, "Resources": {"CPU": 9.0}}]

    def remote(self, function: Any) -> Any:
        def start(*words: Any) -> str:
            self.asked.append((function.__name__, words))
            return "task"

        def options(**options: Any) -> Any:
            self.asked.append(("options", options))
            return SimpleNamespace(remote=start)

        return SimpleNamespace(options=options)

    def wait(self, tasks: list[Any], **options: Any) -> tuple[list[Any], list[Any]]:
        self.asked.append(("wait", list(tasks)))
        return [task for task in tasks if task in self.results], [task for task in tasks if task not in self.results]

    def get(self, task: str, timeout: float) -> Any:
        if isinstance(self.results[task], Exception):
            raise self.results[task]
        return self.results[task]

    def cancel(self, task: str) -> None:
        self.asked.append(("cancel", task))

    def shutdown(self) -> None:
        self.asked.append(("shutdown", None))


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Ray:
    made = Ray()
    strategies: Any = ModuleType("ray.util.scheduling_strategies")
    strategies.NodeAffinitySchedulingStrategy = lambda node, soft: (node, soft)
    for name, value in (("ray", made), ("ray.util", ModuleType("ray.util")), (strategies.__name__, strategies)):
        monkeypatch.setitem(sys.modules, name, value)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "1")
    return made


def test_a_worker_is_a_task_on_its_node(ray: Ray, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = RayEngine("head:6379")
    assert ray.asked == [("init", "head:6379")]
    assert [slot.threads for slot in engine.slots()] == [THREADS, THREADS]
    assert engine.start(SLOT, ("-m", "x"), Path("log")) == "task"
    (_, options), call = ray.asked[1:]
    assert (options["num_cpus"], options["max_retries"], options["scheduling_strategy"]) == (2, 0, ("a", False))
    assert call == ("run_process", (["-m", "x"], "log", 2))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert len(RayEngine("head:6379").slots()) == 9


def test_how_tasks_ended(ray: Ray) -> None:
    engine = RayEngine("head:6379")
    ray.results = {"done": (2, "Error: version"), "away": GetTimeoutError(), "dead": RayError("why\nthe node died\n")}
    assert engine.ended(["done", "runs", "away", "dead"]) == [
        ("done", 2, "Error: version"),
        ("dead", 1, "the node died"),
    ]


def test_stopping_cancels_waits_and_leaves(ray: Ray) -> None:
    engine = RayEngine("head:6379")
    ray.asked.clear()
    engine.stop(["a", "b"])
    assert ray.asked == [("cancel", "a"), ("cancel", "b"), ("wait", ["a", "b"]), ("shutdown", None)]
    ray.asked.clear()
    engine.stop([])
    assert ray.asked == [("shutdown", None)]


@pytest.mark.parametrize(("error", "got"), [(OSError("\n no head here\nmore"), "no head here"), (OSError(), "OSError")])
def test_without_a_cluster(ray: Ray, error: Exception, got: str) -> None:
    ray.refusal = error
    with pytest.raises(BadOption) as refused:
        RayEngine("head:6379")
    assert refused.value.got == got


def test_a_program_on_a_node(tmp_path: Path) -> None:
    program = "import os, sys; print('first'); print('threads', os.environ['OMP_NUM_THREADS']); sys.exit(3)"
    log = tmp_path / "log"
    assert run_process(["-c", program], str(log), 5) == (3, "threads 5")
    assert log.read_text("utf-8").split() == ["first", "threads", "5"]
    assert run_process(["-c", "pass"], str(tmp_path / "missing" / "log"), 1) == (0, ""), "the folder is not there"


def test_a_cancelled_task_ends_its_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = tmp_path / "begun"
    program = f"import pathlib, os, time; pathlib.Path({str(begun)!r}).write_text(str(os.getpid())); time.sleep(600)"

    cancels = [KeyboardInterrupt()]

    def cancelled(seconds: float) -> None:
        if cancels and begun.is_file() and begun.read_text("utf-8"):
            raise cancels.pop()
        threading.Event().wait(seconds)

    monkeypatch.setattr(module.time, "sleep", cancelled)
    with pytest.raises(KeyboardInterrupt):
        run_process(["-c", program], str(tmp_path / "log"), 1)
    assert not Path("/proc", begun.read_text("utf-8")).exists()


def test_a_task_cancelled_twice_ends_a_program_that_ignores_sigterm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = tmp_path / "begun"
    program = (
        "import os, pathlib, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        f"pathlib.Path({str(begun)!r}).write_text(str(os.getpid())); time.sleep(600)"
    )
    wait = subprocess.Popen.wait

    def cancelled(seconds: float) -> None:
        if begun.is_file() and begun.read_text("utf-8"):
            raise KeyboardInterrupt
        threading.Event().wait(seconds)

    def cancelled_again(process: Any, timeout: float | None = None) -> int:
        if timeout is not None:
            raise KeyboardInterrupt
        return wait(process)

    monkeypatch.setattr(module.time, "sleep", cancelled)
    monkeypatch.setattr(subprocess.Popen, "wait", cancelled_again)
    with pytest.raises(KeyboardInterrupt):
        run_process(["-c", program], str(tmp_path / "log"), 1)
    number = int(begun.read_text("utf-8"))
    left = Path("/proc", str(number)).exists()
    if left:
        os.kill(number, signal.SIGKILL)
    assert not left


def test_workers_run_until_the_job_is_sealed(ray: Ray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = make_job(tmp_path / "out", [{}])
    rounds: list[float] = []

    def seal(seconds: float) -> None:
        rounds.append(seconds)
        if len(rounds) == 2:
            monkeypatch.setattr(type(job), "sealed", True)

    monkeypatch.setattr(time, "sleep", seal)
    run_on_cluster("head:6379", job.out, ("program",))
    started = [value for name, value in ray.asked if name == "run_process"]
    assert [words[0][:2] for words in started] == [["program", str(job.out)]] * 2, "one in each slot, once"
    assert ray.asked[-1] == ("shutdown", None)


@pytest.mark.parametrize(
    ("error", "code"),
    [(None, 0), (OutputFailed("a", "b", "c"), OutputFailed("a", "b", "c").exit_code), (KeyboardInterrupt(), 75)],
)
def test_exit_codes_of_the_program(error: BaseException | None, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def run(*words: Any) -> None:
        asked.append(words)
        if error is not None:
            raise error

    monkeypatch.setattr(module, "run_on_cluster", run)
    assert main(["head:1", "own", "out"]) == main(["head:1", "out"]) == code
    assert asked == [("head:1", Path("out"), ["own"]), ("head:1", Path("out"), module.WORKER)]
