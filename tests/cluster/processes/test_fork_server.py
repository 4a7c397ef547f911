"""Workers that are copies of one process: they compute, are killed, frozen, started again and ended as others are."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path

import pytest

from pixelwise.cluster.driver import LocalWorkers, watch_local
from pixelwise.cluster.predict import MODULES, TORCH
from pixelwise.cluster.processes.forked import Starter
from pixelwise.errors import OutputFailed
from pixelwise.process_name import host_name, is_running_here
from pixelwise.progress import Progress
from sleepers import PROGRAM, attempts, check_complete, make_job, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks")

DRIVER = """
import sys
from pathlib import Path
import pixelwise.cluster.driver
from pixelwise.cluster.driver import LocalWorkers, watch_local
from pixelwise.cluster.job import open_job
from pixelwise.cluster.predict import MODULES, TORCH
from pixelwise.cluster.processes.forked import Starter
from pixelwise.progress import Progress
pixelwise.cluster.driver.COMMAND = ("sleepers",)
starter = Starter(["sleepers"], target="sleepers:main")
watch_local(LocalWorkers(open_job(Path(sys.argv[1])), 2, starter=starter), Progress(), "sleeping")
"""


@pytest.fixture
def starter(monkeypatch: pytest.MonkeyPatch) -> Generator[Starter, None, None]:
    """Starts workers of jobs that sleep; the command of `pixelwise worker` begins with two words more."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(PROGRAM[1]).parent), *sys.path]))
    monkeypatch.setattr("pixelwise.cluster.driver.COMMAND", ("sleepers",))
    made = Starter(["sleepers"], target="sleepers:main")
    yield made
    made.close()


def runs(process: int) -> bool:
    return bool(is_running_here(f"{host_name()}-{process}"))


def test_workers_complete_a_job_and_some_are_killed(tmp_path: Path, starter: Starter) -> None:
    job = make_job(tmp_path / "out", [{"seconds": 0.05}] * 20 + [{"die": True}])
    watch_local(LocalWorkers(job, 2, ("false",), starter=starter), Progress(), "sleeping")
    assert len(attempts(job)) == 23, "the unit that kills its worker was tried three times"
    assert (job.out / "0019.bin").is_file()


def test_ending_ends_the_workers_and_the_server(tmp_path: Path, starter: Starter) -> None:
    worker = starter.start(["sleepers", str(make_job(tmp_path / "out", [{"seconds": 60.0}]).out)], tmp_path / "log")
    assert worker is not None
    wait_until(lambda: worker.pid > 0)
    os.kill(worker.pid, signal.SIGSTOP)
    time.sleep(0.2)
    assert worker.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        worker.wait(0.1)
    starter.stop()
    assert worker.wait(60.0) is not None
    wait_until(lambda: starter.ended)
    assert not runs(worker.pid)
    assert starter.start(["sleepers"], tmp_path / "log") is None, "it starts no more"


def test_a_worker_that_has_just_been_copied_is_ended_too(tmp_path: Path) -> None:
    """SIGTERM comes while the copy still has what handles signals in the server: it sends the signal to itself."""
    program = (
        "import os, signal\n"
        "from pathlib import Path\n"
        "from pixelwise.cluster.processes import fork_server\n"
        "kept = signal.set_wakeup_fd\n"
        "def note(number, **more):\n"
        "    if number < 0:\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "    return kept(number, **more)\n"
        "signal.set_wakeup_fd = note\n"
        "fork_server.ForkServer(lambda: None).run()\n"
    )
    request = json.dumps({"number": 0, "words": ["worker"], "log": str(tmp_path / "log")})
    server = subprocess.run([sys.executable, "-c", program], input=f"{request}\n", stdout=subprocess.PIPE, text=True)
    assert [json.loads(line).get("code") for line in server.stdout.splitlines()] == [None, -signal.SIGTERM]


def test_exit_codes_are_those_of_a_process(tmp_path: Path, starter: Starter) -> None:
    bad = starter.start(["sleepers", "--no-such-option"], tmp_path / "bad")
    assert bad is not None
    assert bad.wait(60.0) == 2
    assert "usage" in (tmp_path / "bad").read_text(encoding="utf-8"), "what a worker says is in its log"
    killed = starter.start(["sleepers", str(make_job(tmp_path / "out", [{"die": True}]).out)], tmp_path / "log")
    assert killed is not None
    assert killed.wait(60.0) == -signal.SIGKILL


def test_without_its_server_a_worker_goes_on_and_others_start_in_the_ordinary_way(
    tmp_path: Path, starter: Starter
) -> None:
    job = make_job(tmp_path / "out", [{"seconds": 0.1}] * 20)
    workers = LocalWorkers(job, 2, PROGRAM, starter=starter)
    workers.keep_running(0)
    wait_until(lambda: len(workers.processes()) == 2)
    starter.stop()
    wait_until(lambda: starter.ended)
    watch_local(workers, Progress(), "sleeping")
    check_complete(job, range(20))


def test_workers_outlive_a_killed_driver(tmp_path: Path, starter: Starter) -> None:
    job = make_job(tmp_path / "out", [{"seconds": 0.1}] * 30)
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, str(job.out)])
    wait_until(lambda: len(attempts(job)) >= 4)
    driver.kill()
    driver.wait()
    wait_until(lambda: job.sealed)
    wait_until(lambda: not any(runs(int(process)) for _, process in attempts(job)))  # they remove what is not needed
    check_complete(job, range(30))


def test_a_server_that_cannot_import_is_replaced_by_the_ordinary_way(tmp_path: Path) -> None:
    broken = Starter(["no_such_module"], target="sleepers:main")
    wait_until(lambda: broken.ended)
    job = make_job(tmp_path / "out", [{}] * 4)
    watch_local(LocalWorkers(job, 2, PROGRAM, starter=broken), Progress(), "sleeping")
    broken.close()
    check_complete(job, range(4))


def test_workers_that_end_with_an_error_are_not_started_for_ever(tmp_path: Path, starter: Starter) -> None:
    job = make_job(tmp_path / "out", [{}])
    (job.folder / "job.json").write_text("{", encoding="utf-8")
    with pytest.raises(OutputFailed, match="workers that run"):
        watch_local(LocalWorkers(job, 2, PROGRAM, starter=starter), Progress(), "sleeping")


def test_workers_of_a_network_are_copies_of_a_process_that_has_imported_torch() -> None:
    """It is imported once and by one thread; exported models need none, which also shows that the list matters."""
    program = "import importlib, sys; from pixelwise.cluster.processes.fork_server import is_single_threaded as one\n"
    program += "for name in sys.argv[1:]: importlib.import_module(name); print(name, 'torch' in sys.modules, one())"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-c", program, *MODULES, TORCH]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"{name} {name == TORCH} True" for name in (*MODULES, TORCH)]
