"""Processes are killed, frozen and woken, the driver too: every unit is done once, and no file ever changes."""

import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from pixelwise.cluster.driver import LocalWorkers, watch_local, worker_threads
from pixelwise.cluster.heartbeat import Lives
from pixelwise.cluster.job import Job
from pixelwise.cluster.ledger import Ledger
from pixelwise.errors import Interrupted, OutputFailed
from pixelwise.io.read import write_image
from pixelwise.process_name import host_name, is_running_here
from pixelwise.progress import Progress
from sleepers import PROGRAM, attempts, check_complete, make_job, wait_until
from tiny import write_model

DRIVER = """
import sys
from pathlib import Path
from pixelwise.cluster.driver import LocalWorkers, watch_local
from pixelwise.cluster.job import open_job
from pixelwise.progress import Progress
watch_local(LocalWorkers(open_job(Path(sys.argv[1])), 3, sys.argv[2:]), Progress(), "sleeping")
"""

STOPPED_IN = """
import importlib, sys, time
module, _, name = sys.argv[1].rpartition(".")
def stop_here(*args, **more):
    print("here", flush=True)
    time.sleep(600)
setattr(importlib.import_module(module), name, stop_here)
sys.argv[:2] = ["pixelwise"]
from pixelwise.__main__ import main
main()
"""


class Chaos(threading.Thread):
    """Kills workers, and freezes and wakes them, at seeded moments; notes when a published file changes."""

    def __init__(self, job: Job, seed: int, kills: int, freezes: int) -> None:
        super().__init__(daemon=True)
        self._job, self._rng = job, random.Random(seed)
        self.plan = ["kill"] * kills + ["freeze"] * freezes
        self._rng.shuffle(self.plan)
        self.killed = self.frozen = 0
        self.changed: list[str] = []
        self._seen: dict[str, tuple[int, int]] = {}
        self._thawing: list[tuple[float, int]] = []

    def run(self) -> None:
        moment, done = time.monotonic(), -1
        while not self._job.sealed:
            self._look()
            now = time.monotonic()
            for entry in [entry for entry in self._thawing if entry[0] < now]:
                self._thawing.remove(entry)
                _send(entry[1], signal.SIGCONT)
            # after some progress: on a busy machine workers would be killed before they have begun
            if self.plan and now > moment and len(self._seen) > done and self._strike(self.plan[-1]):
                self.plan.pop()
                moment, done = now + self._rng.uniform(0.05, 0.5), len(self._seen)
            time.sleep(0.02)
        for _, process in self._thawing:
            _send(process, signal.SIGCONT)
        self._look()

    def _strike(self, what: str) -> bool:
        asleep = {process for _, process in self._thawing}
        living = [int(facts.process.rpartition("-")[2]) for facts in Lives(self._job).alive()]
        awake = [process for process in living if process not in asleep]
        if not awake or (what == "freeze" and len(awake) < 2):
            return False
        process = self._rng.choice(awake)
        if what == "kill":
            self.killed += _send(process, signal.SIGKILL)
        else:
            self.frozen += _send(process, signal.SIGSTOP)
            self._thawing.append((time.monotonic() + self._job.times.stale + 1, process))
        return True

    def _look(self) -> None:
        for path in self._job.out.glob("*.bin"):
            stat = path.stat()
            mark = stat.st_ino, stat.st_mtime_ns
            if self._seen.setdefault(path.name, mark) != mark:
                self.changed.append(path.name)


def _send(process: int, number: int) -> bool:
    try:
        os.kill(process, number)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)])
def test_kills_and_freezes_lose_nothing_and_do_nothing_twice(tmp_path: Path, seed: int) -> None:
    kills, freezes = (6, 2) if seed == 0 else (20, 5)
    job = make_job(tmp_path / "out", [{"seconds": 0.05}] * (60 if seed == 0 else 300))
    chaos = Chaos(job, seed, kills, freezes)
    chaos.start()
    watch_local(LocalWorkers(job, 3, PROGRAM), Progress(), "sleeping")
    chaos.join()
    check_complete(job, range(job.units))
    assert chaos.killed > 0, "something was killed"
    assert chaos.changed == []
    assert len(attempts(job)) >= job.units
    assert [outcome.unit for outcome in Ledger(job).outcomes()] == list(range(job.units))
    assert not (job.folder / "work").exists() or not list((job.folder / "work").rglob("*.bin"))


def test_a_killed_driver_leaves_workers_that_go_on_and_the_next_one_watches(tmp_path: Path) -> None:
    job = make_job(tmp_path / "out", [{"seconds": 0.05}] * 60)
    for done in (5, 15):
        driver = subprocess.Popen([sys.executable, "-c", DRIVER, str(job.out), *PROGRAM])
        wait_until(lambda least=done: len(attempts(job)) >= least)
        driver.kill()
        driver.wait()
    assert len(Lives(job).alive()) <= 3, "the second driver did not start three more"
    watch_local(LocalWorkers(job, 3, PROGRAM), Progress(), "sleeping")
    check_complete(job, range(60))


def test_ctrl_c_ends_the_workers_and_the_same_call_goes_on(tmp_path: Path) -> None:
    job = make_job(tmp_path / "out", [{"seconds": 0.05}] * 30)
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, str(job.out), *PROGRAM], stderr=subprocess.PIPE)
    wait_until(lambda: len(attempts(job)) >= 5)
    driver.send_signal(signal.SIGINT)
    _, errors = driver.communicate()
    assert Interrupted.__name__ in errors.decode()
    assert Lives(job).alive() == []
    before = len(attempts(job))
    time.sleep(0.3)
    assert len(attempts(job)) == before, "no worker is left"
    watch_local(LocalWorkers(job, 2, PROGRAM), Progress(), "sleeping")
    check_complete(job, range(30))


def test_a_second_ctrl_c_ends_workers_that_do_not_end_by_themselves(tmp_path: Path) -> None:
    job = make_job(tmp_path / "out", [{}])
    stubborn = "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(os.getpid(), flush=True)"
    words = (sys.executable, "-c", f"{stubborn}; time.sleep(600)")
    logs = job.folder / "logs"
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, str(job.out), *words], stderr=subprocess.PIPE)
    wait_until(lambda: sum(path.stat().st_size > 0 for path in logs.glob("*.log")) == 3)
    workers = [int(path.read_text("utf-8")) for path in logs.glob("*.log")]
    driver.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert driver.poll() is None, "it waits for them"
    driver.send_signal(signal.SIGINT)
    _, errors = driver.communicate()
    assert not [process for process in workers if is_running_here(f"{host_name()}-{process}")]
    assert Interrupted.__name__ in errors.decode().splitlines()[-1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda one: one.name)
@pytest.mark.parametrize(
    ("function", "code"),
    [("image_job.open_or_create", 130), ("predict.watch_local", 75), ("image_job.collect_predictions", 75)],
)
def test_a_command_is_stopped_at_any_time_with_one_line(
    tmp_path: Path, function: str, code: int, number: signal.Signals
) -> None:
    write_model(tmp_path / "model.safetensors")
    write_image(tmp_path / "images" / "a.png", np.zeros((1, 20, 20), np.uint8))
    words = ["predict", tmp_path / "model.safetensors", tmp_path / "images", "--out", tmp_path / "out"]
    line = [sys.executable, "-c", STOPPED_IN, f"pixelwise.cluster.{function}", *map(str, words), "--on", "local:1"]
    driver = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    assert driver.stdout is not None
    assert driver.stdout.readline() == b"here\n"
    os.killpg(driver.pid, number)  # as a terminal does
    _, errors = driver.communicate()
    assert driver.returncode == code, errors.decode()
    said = [text for text in re.split("[\r\n]", errors.decode()) if text.strip()]
    assert [text.startswith("Stopped") for text in said] == [False] * (len(said) - 1) + [True], said
    assert not list(tmp_path.rglob("*.part"))


def test_workers_that_end_with_an_error_are_not_started_for_ever(tmp_path: Path) -> None:
    job = make_job(tmp_path / "out", [{}])
    words = (sys.executable, "-c", "import sys; sys.stderr.write('Error: no model\\n'); sys.exit(2)")
    with pytest.raises(OutputFailed, match="no model"):
        watch_local(LocalWorkers(job, 2, words), Progress(), "sleeping")
    crash = (sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(OutputFailed, match="no message"):
        watch_local(LocalWorkers(make_job(tmp_path / "two", [{}]), 2, crash), Progress(), "sleeping")


def test_the_cores_are_shared_unless_the_user_set_a_limit() -> None:
    assert worker_threads(10_000, {}) == 1
    assert worker_threads(1, {}) >= 1
    assert worker_threads(2, {"OMP_NUM_THREADS": "3"}) == 0
