"""Workers on a Ray cluster: which slots get one, what is started again, and a real cluster with killed workers."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pixelwise.cluster.driver import RAY_PROGRAM, LocalWorkers, watch_local
from pixelwise.cluster.heartbeat import Lives
from pixelwise.cluster.job import Job
from pixelwise.cluster.places import check_cluster
from pixelwise.cluster.predict import predict_on
from pixelwise.cluster.ray_workers import RemoteWorkers, Slot, find_slots
from pixelwise.errors import BadOption, OutputFailed
from pixelwise.io.read import write_image
from pixelwise.progress import Progress
from pixelwise.workflow.predict import predict
from pixelwise.workflow.prediction.results import Predictions
from sleepers import PROGRAM, attempts, check_complete, make_job, wait_until
from tiny import write_model

ROOT = Path(__file__).resolve().parents[2]
RAY = Path(sys.executable).with_name("ray")
TOKEN = "0123456789abcdef" * 4


needs_ray = pytest.mark.skipif(not RAY.is_file(), reason="needs Ray")


def on_a_cluster(test: Callable[..., None]) -> Callable[..., None]:
    """Mark a test that starts the processes of a cluster."""
    return pytest.mark.slow(needs_ray(test))


def node(name: str, cores: float, *, alive: bool = True) -> dict[str, Any]:
    return {"NodeID": name, "Alive": alive, "Resources": {"CPU": cores}}


@dataclass
class Recording:
    """An engine that starts nothing: `ends` holds what the next tasks end with."""

    nodes: list[dict[str, Any]]
    ends: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])
    started: list[tuple[Slot, list[str]]] = field(default_factory=list[tuple[Slot, list[str]]])
    stopped: list[Any] = field(default_factory=list[Any])

    def slots(self) -> list[Slot]:
        return find_slots(self.nodes, 2)

    def start(self, slot: Slot, words: Sequence[str], log: Path) -> Any:
        self.started.append((slot, list(words)))
        return len(self.started)

    def ended(self, tasks: Sequence[Any]) -> list[tuple[Any, int, str]]:
        ends, self.ends = self.ends, []
        return [(task, *end) for task, end in zip(tasks, ends, strict=False)]

    def stop(self, tasks: Sequence[Any]) -> None:
        self.stopped += tasks


def test_a_node_has_as_many_slots_as_workers_fit() -> None:
    nodes = [node("b", 9), node("a", 3), node("c", 0), node("d", 8, alive=False)]
    slots = [(slot.node, slot.number, slot.threads) for slot in find_slots(nodes, 4)]
    assert slots == [("a", 0, 3), ("b", 0, 4), ("b", 1, 4)]


def test_each_slot_has_a_worker_with_a_place_of_its_own(tmp_path: Path) -> None:
    engine = Recording([node("a", 4), node("b", 2)])
    workers = RemoteWorkers(make_job(tmp_path / "out", [{}]), engine)
    workers.keep_running()
    workers.keep_running()
    assert [slot.node for slot, _ in engine.started] == ["a", "a", "b"], "each once"
    assert [words[words.index("--index") + 1] for _, words in engine.started] == ["0", "1", "2"]
    engine.nodes.append(node("c", 2))
    workers.keep_running()
    assert [slot.node for slot, _ in engine.started][3:] == ["c"], "a node that joins later works too"
    workers.stop()
    assert engine.stopped == [1, 2, 3, 4]


def test_a_worker_that_dies_is_started_again_and_one_that_refuses_is_not(tmp_path: Path) -> None:
    engine = Recording([node("a", 4)])
    workers = RemoteWorkers(make_job(tmp_path / "out", [{}]), engine)
    workers.keep_running()
    engine.ends = [(-9, "")]
    workers.keep_running()
    assert len(engine.started) == 3
    engine.ends = [(2, "Error: another version"), (0, "")]
    workers.keep_running()
    assert len(engine.started) == 4, "one ended because nothing is left to take: it looks again"
    engine.ends = [(2, "Error: another version")]
    with pytest.raises(OutputFailed, match="another version"):
        workers.keep_running()


def test_a_node_that_is_gone_gets_no_worker_and_holds_back_no_other(tmp_path: Path) -> None:
    engine = Recording([node("a", 2), node("b", 2)])
    workers = RemoteWorkers(make_job(tmp_path / "out", [{}]), engine)
    workers.keep_running()
    engine.nodes[1] = node("b", 2, alive=False)
    engine.ends = [(0, ""), (1, "the node died")]
    workers.keep_running()
    assert [slot.node for slot, _ in engine.started] == ["a", "b", "a"]


def test_workers_that_die_for_ever_end_with_a_line(tmp_path: Path) -> None:
    engine = Recording([node("a", 1)])
    workers = RemoteWorkers(make_job(tmp_path / "out", [{}]), engine)
    for _ in range(10):
        workers.keep_running()
        engine.ends = [(1, "No module named pixelwise")]
    with pytest.raises(OutputFailed, match="No module named pixelwise"):
        workers.keep_running()
    with pytest.raises(OutputFailed, match="processors"):
        RemoteWorkers(make_job(tmp_path / "two", [{}]), Recording([node("a", 0)])).keep_running()


def test_the_driver_and_its_checks_load_no_ray() -> None:
    program = "import sys, pixelwise.cluster.driver, pixelwise.cluster.ray_workers; print('ray' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_base_install_does_not_pull_ray() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert not [line for line in project["dependencies"] if line.startswith("ray")]
    (pinned,) = project["optional-dependencies"]["cluster"]
    assert pinned.startswith("ray>=2.60,<2.61")


@contextmanager
def ray_head(environment: dict[str, str]) -> Generator[str, None, None]:
    """Run a head with three processors; yield its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [RAY, "start", "--head", "--block", f"--port={port}", "--node-ip-address=127.0.0.1", "--num-cpus=3"]
    words += ["--include-dashboard=false", "--object-store-memory=80000000", "--disable-usage-stats"]
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True) as folder:  # short: sockets
        log = Path(folder, "log")
        with log.open("wb") as file:
            head = subprocess.Popen(
                [*map(str, words), f"--temp-dir={folder}"],
                env=environment,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        try:
            wait_until(lambda: b"Ray runtime started" in log.read_bytes() or head.poll() is not None, 400)
            if head.poll() is not None:
                raise OSError(log.read_text("utf-8"))
            yield f"127.0.0.1:{port}"
        finally:
            head.terminate()
            head.wait(60)
            with suppress(ProcessLookupError):
                os.killpg(head.pid, signal.SIGKILL)


def ray_environment(folder: Path, mode: str = "token") -> dict[str, str]:
    """Return the environment of a cluster: workers of one thread, and a home folder without a token."""
    shown = {"RAY_AUTH_MODE": mode, "OMP_NUM_THREADS": "1", "HOME": str(folder), "RAY_USAGE_STATS_ENABLED": "0"}
    return {**os.environ, **shown, **({"RAY_AUTH_TOKEN": TOKEN} if mode == "token" else {})}


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Generator[str, None, None]:
    with ray_head(ray_environment(tmp_path_factory.mktemp("home"))) as address:
        yield address


@pytest.fixture
def shell(head: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a cluster, in an environment that knows its token."""
    for name, value in ray_environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    return head


def workers_on(address: str, job: Job) -> LocalWorkers:
    return LocalWorkers(job, 1, (*RAY_PROGRAM, address, PROGRAM[1]), elsewhere=True)


@on_a_cluster
def test_killed_workers_are_started_again_and_nothing_is_lost(shell: str, tmp_path: Path) -> None:
    job = make_job(tmp_path / "out", [{"seconds": 0.05}] * 200)
    check_cluster(shell)
    killed: list[int] = []

    class Killing(Progress):
        """Kills a worker whenever ten more units are done."""

        @contextmanager
        def bar(self, label: str, total: int) -> Generator[Any, None, None]:
            def advance(count: int, text: str = "") -> None:
                living = [int(facts.process.rpartition("-")[2]) for facts in Lives(job).alive()]
                if living and len(killed) < 6 and len(attempts(job)) > 20 * (1 + len(killed)):
                    killed.append(living[0])
                    os.kill(living[0], signal.SIGKILL)

            yield advance

    watch_local(workers_on(shell, job), Killing(), "sleeping")
    check_complete(job, range(200))
    assert killed
    assert len({process for _, process in attempts(job)}) > 3, "others took their places"


def is_second(log: Path) -> bool:
    """Return whether the worker of a log, whichever of them had the unit, found that its commit came second."""
    return "was first" in log.read_text("utf-8")


@on_a_cluster
@pytest.mark.parametrize("naive", [False, True], ids=["exclusive", "control"])
def test_a_frozen_worker_that_wakes_changes_nothing(
    naive: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = ray_environment(tmp_path) | ({"NAIVE": "1"} if naive else {})
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    first, second = tmp_path / "first", tmp_path / "second"
    job = make_job(tmp_path / "out", [{"hold": str(first)}, {"hold": str(second)}, *[{}] * 10])
    output, logs = job.out / "0000.bin", job.folder / "logs"
    with ray_head(environment) as address:
        words = [*RAY_PROGRAM, address, PROGRAM[1], str(job.out)]
        logs.mkdir()
        launcher = subprocess.Popen(words)
        wait_until(lambda: {0, 1} <= {unit for unit, _ in attempts(job)}, 300)
        zombie = next(int(process) for unit, process in attempts(job) if unit == 0)
        os.kill(zombie, signal.SIGSTOP)
        wait_until(output.exists, 300)
        before = output.stat().st_ino
        first.touch()
        os.kill(zombie, signal.SIGCONT)
        wait_until(lambda: output.stat().st_ino != before or any(map(is_second, logs.glob("ray-*.log"))), 300)
        assert (output.stat().st_ino != before) == naive, "without exclusive commits the last one wins"
        second.touch()
        assert launcher.wait(300) == 0
    if not naive:
        check_complete(job, range(12))


@needs_ray
def test_a_prediction_on_ray_is_that_of_one_process(shell: str, tmp_path: Path, rng: np.random.Generator) -> None:
    write_model(tmp_path / "model.safetensors")
    for number in range(6):
        write_image(tmp_path / "images" / f"{number}.png", rng.integers(0, 256, (1, 40, 40)).astype(np.uint8))
    predict(tmp_path / "model.safetensors", [tmp_path / "images"], tmp_path / "one", progress=Progress())
    place = f"ray://{shell}"
    result = predict_on(
        tmp_path / "model.safetensors", [tmp_path / "images"], tmp_path / "many", place, progress=Progress()
    )
    assert isinstance(result, Predictions)
    assert not result.failed
    for path in (tmp_path / "one").iterdir():
        assert (tmp_path / "many" / path.name).read_bytes() == path.read_bytes()


@on_a_cluster
def test_a_stopped_program_ends_its_workers_and_the_same_one_goes_on(shell: str, tmp_path: Path) -> None:
    job = make_job(tmp_path / "out", [{"seconds": 0.2}] * 40)
    (job.folder / "logs").mkdir()
    words = [*RAY_PROGRAM, shell, PROGRAM[1], str(job.out)]
    launcher = subprocess.Popen(words)
    wait_until(lambda: len(attempts(job)) >= 5, 300)
    launcher.terminate()
    assert launcher.wait(300)
    wait_until(lambda: not Lives(job).alive(), 60)
    assert not job.sealed
    # what Ray kills because it did not end soon enough leaves an attempt without an error
    errors = [json.loads(path.read_bytes())["error"] for path in (job.folder / "tries").rglob("*.json")]
    assert not any(errors), "units that were dropped do not count as failed"
    assert subprocess.run(words, check=False).returncode == 0
    check_complete(job, range(40))


@on_a_cluster
def test_nodes_with_another_version_are_refused_in_a_line(shell: str, tmp_path: Path) -> None:
    job = make_job(tmp_path / "out", [{}])
    record = json.loads((job.folder / "job.json").read_text("utf-8"))
    (job.folder / "job.json").write_text(json.dumps(record | {"pixelwise": "0.0.0"}), "utf-8")
    with pytest.raises(OutputFailed, match=r"version 0\.0\.0"):
        watch_local(workers_on(shell, job), Progress(), "sleeping")


@on_a_cluster
@pytest.mark.parametrize("token", ["f" * 64, ""])
def test_a_wrong_token_is_refused(head: str, tmp_path: Path, token: str) -> None:
    check_cluster(head, ray_environment(tmp_path))
    with pytest.raises(BadOption, match="auth_token"):
        check_cluster(head, ray_environment(tmp_path) | {"RAY_AUTH_TOKEN": token})


@on_a_cluster
def test_a_machine_that_has_not_joined_is_told_to(head: str, tmp_path: Path) -> None:
    environment = ray_environment(tmp_path) | {"RAY_AUTH_TOKEN": "f" * 64}
    job = make_job(tmp_path / "out", [{}])
    words = [*RAY_PROGRAM, head, PROGRAM[1], str(job.out)]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "ray start --address" in done.stderr.splitlines()[-1]


@on_a_cluster
def test_a_cluster_without_token_and_one_that_is_not_there_are_refused(tmp_path: Path) -> None:
    known = ray_environment(tmp_path)
    with ray_head(ray_environment(tmp_path, "disabled")) as address, pytest.raises(BadOption, match="everybody"):
        check_cluster(address, known)
    with pytest.raises(BadOption, match="no answer"):
        check_cluster(address, known)
