"""Folds trained by workers are those that one process trains, also if a worker is killed."""

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from pixelwise.cluster.folds import validate_with_workers
from pixelwise.cluster.job import LeaseTimes, open_job
from pixelwise.cluster.ledger import Ledger
from pixelwise.cluster.places import Place
from pixelwise.cluster.status import describe_job
from pixelwise.datasets.synthetic import write_demo
from pixelwise.progress import Progress
from pixelwise.workflow.train import train
from sleepers import wait_until

SETTINGS = (
    "network.base=4",
    "network.depth=2",
    "patches.height=64",
    "patches.width=64",
    "patches.batch=2",
    "training.precision=float32",
    "training.checkpoint_every=3",
    "training.threads=1",
)
DONE = (0, 5)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cells")
    write_demo(folder, train=4, val=2, test=0, size=64)
    return folder


def start(data: Path, out: Path, *more: str) -> "subprocess.Popen[bytes]":
    words = [sys.executable, "-m", "pixelwise", "train", str(data), "--out", str(out), *more]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def models(out: Path, folds: int) -> list[str]:
    paths = [out / "model.safetensors", *(out / "folds" / str(n) / "model.safetensors" for n in range(1, folds + 1))]
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]


def test_folds_of_workers_are_those_of_one_process(data: Path, tmp_path: Path) -> None:
    words = (*SETTINGS, "--steps", "9", "--folds", "2", "--seed", "1")
    one = start(data, tmp_path / "one", *words)
    _, errors = one.communicate()
    assert one.returncode in DONE, errors.decode()
    out = tmp_path / "many"
    many = start(data, out, *words, "--on", "local:2")
    wait_until(lambda: any((out / ".job" / "work").rglob("checkpoints/step-*/MANIFEST.json")), 300)
    worker = describe_job(out).workers[0]
    os.kill(int(worker.process.rpartition("-")[2]), signal.SIGKILL)
    _, errors = many.communicate()
    assert many.returncode in DONE, errors.decode()
    assert models(out, 2) == models(tmp_path / "one", 2)
    assert describe_job(out).sealed
    assert not (out / ".job" / "work").exists() or not any((out / ".job" / "work").rglob("*.safetensors"))
    again = start(data, out, "--resume", "--on", "local:2")
    _, errors = again.communicate()
    assert again.returncode in DONE, errors.decode()
    assert b"complete" in errors


def test_one_training_has_no_folds_to_share(data: Path, tmp_path: Path) -> None:
    process = start(data, tmp_path / "run", "--steps", "4", "--on", "local:2")
    _, errors = process.communicate()
    assert process.returncode == 2
    assert b"--folds" in errors
    assert not (tmp_path / "run").exists()


class KilledAndFrozen(threading.Thread):
    """Kills one worker once it has saved something, and freezes another one until others have taken its fold over."""

    def __init__(self, out: Path, seconds: float) -> None:
        super().__init__(daemon=True)
        self._out, self._seconds = out, seconds
        self.killed = self.frozen = 0
        self.overtaken = False

    def run(self) -> None:
        wait_until(lambda: len(self._saved()) >= 2, 300)
        (first, _), (second, attempt) = list(self._saved().items())[:2]
        self.killed = int(first.split("-")[1])
        os.kill(self.killed, signal.SIGKILL)
        self.frozen = int(second.split("-")[1])
        os.kill(self.frozen, signal.SIGSTOP)
        until, unit = time.monotonic() + self._seconds, int(attempt.partition(".")[0])
        tries = self._out / ".job" / "tries"
        while time.monotonic() < until and not self.overtaken:
            self.overtaken = any(tries.glob(f"*/{unit:06d}.[2-9].json")) or not tries.exists()
            time.sleep(0.1)
        with suppress(ProcessLookupError):
            os.kill(self.frozen, signal.SIGCONT)

    def _saved(self) -> dict[str, str]:
        """Return the workers that have a checkpoint, each with its attempt."""
        work = self._out / ".job" / "work"
        found = [path.relative_to(work).parts for path in work.rglob("step-*/MANIFEST.json")]
        return {parts[0]: parts[1] for parts in found}


@pytest.mark.slow
def test_five_folds_survive_a_killed_and_a_frozen_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    write_demo(tmp_path / "cells", train=6, val=4, test=0, size=64)
    given = {"overrides": SETTINGS, "steps": 30, "folds": 5, "seed": 1, "progress": Progress()}
    train(tmp_path / "cells", out=tmp_path / "one", **given)
    out = tmp_path / "many"
    chaos = KilledAndFrozen(out, 90.0)
    chaos.start()
    times = LeaseTimes(heartbeat=0.5, stale=5.0)
    train(tmp_path / "cells", out=out, cross_validate=validate_with_workers(Place(count=3), times), **given)
    chaos.join()
    assert chaos.killed
    assert chaos.overtaken, "the fold of the frozen worker was trained by another one"
    assert models(out, 5) == models(tmp_path / "one", 5)
    workers = {outcome.worker for outcome in Ledger(open_job(out)).outcomes()}
    assert not any(f"-{chaos.killed}-" in worker for worker in workers)
