"""Folds trained by workers are those that one process trains, also if a worker is killed."""

import hashlib
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from command_line import run_here
from pixelwise.cluster.folds import FOLDS, open_fold_work, take_over_checkpoints, validate_with_workers
from pixelwise.cluster.job import LeaseTimes, open_job
from pixelwise.cluster.ledger import OUTPUTS, Ledger
from pixelwise.cluster.places import Place
from pixelwise.cluster.status import describe_job
from pixelwise.cluster.worker import run_worker
from pixelwise.datasets.synthetic import write_demo
from pixelwise.errors import BadRun
from pixelwise.progress import Progress
from pixelwise.training.checkpoint import Checkpoint, newest_checkpoint, save_checkpoint
from pixelwise.workflow.train import train
from sleepers import make_job, wait_until

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
    train(data, out=tmp_path / "one", overrides=SETTINGS, steps=9, folds=2, seed=1, progress=Progress())
    out = tmp_path / "many"
    many = start(data, out, *words, "--on", "local:2")
    wait_until(lambda: any((out / ".job" / "work").rglob("checkpoints/step-*/MANIFEST.json")), 300)
    worker = describe_job(out).workers[0]
    os.kill(int(worker.process.rpartition("-")[2]), signal.SIGKILL)
    many.send_signal(signal.SIGTERM)
    _, errors = many.communicate()
    assert many.returncode == 75, errors.decode()
    onward = shlex.split(errors.decode().strip().splitlines()[-1].partition("Continue with: pixelwise train ")[2])
    assert onward[-2:] == ["--on", "local:2"]
    many = start(Path(onward[0]), out, *onward[1:])
    _, errors = many.communicate()
    assert many.returncode in DONE, errors.decode()
    assert models(out, 2) == models(tmp_path / "one", 2)
    assert describe_job(out).sealed
    assert not (out / ".job" / "work").exists() or not any((out / ".job" / "work").rglob("*.safetensors"))
    again = run_here("train", data, "--out", out, "--resume", "--on", "local:2")
    assert again.returncode in DONE, again.stderr
    assert "complete" in again.stderr


def test_one_training_has_no_folds_to_share(data: Path, tmp_path: Path) -> None:
    done = run_here("train", data, "--out", tmp_path / "run", "--steps", "4", "--on", "local:2")
    assert done.returncode == 2
    assert "--folds" in done.stderr
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


class Sentences(Progress):
    """Keeps what it is given to say."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def message(self, *sentences: str) -> None:
        self.said += sentences


def train_here(data: Path, out: Path, progress: Progress, **more: Any) -> None:
    """Train two folds by workers that are started by hand."""
    words = ("training.checkpoint_every=1", *(word for word in SETTINGS if "checkpoint_every" not in word))
    train(
        data, out=out, seed=1, device="cpu", progress=progress, cross_validate=validate_with_workers(None),
        **({"steps": 3, "folds": 2, "overrides": words} | more),
    )  # fmt: skip


def test_folds_in_this_process(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    out, progress = tmp_path / "run", Sentences()
    train_here(data, out, progress)
    assert "worker" in "".join(progress.said), "the command that starts a worker"
    job = open_job(out)
    assert not job.sealed
    work = open_fold_work(job, progress)
    assert work.inputs({"fold": 2}) == ["fold 2"]

    outputs = job.folder / "work" / "one" / "000000.1" / OUTPUTS
    work.compute(0, {"fold": 1}, outputs, tmp_path, progress)
    first = outputs / FOLDS / "1"
    assert (first / "summary.json").is_file()

    failure = SimpleNamespace(unit=1, set_aside=True)
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "failures", lambda self: [failure])
        with pytest.raises(BadRun, match="none of fold 2"):
            work.join(Ledger(job), outputs)

    assert run_worker(out, progress=progress).sealed
    assert len(set(models(out, 2))) == 3, "two folds, and the ensemble"
    train_here(data, out, progress, resume=True, steps=None, folds=None, overrides=())
    assert any("folds are complete" in sentence for sentence in progress.said)


def test_an_attempt_goes_on_from_the_checkpoint_that_came_furthest(tmp_path: Path) -> None:
    job = make_job(tmp_path / "out", [{}, {}])

    def attempt(worker: str, name: str) -> tuple[Path, Path]:
        outputs = job.folder / "work" / worker / name / OUTPUTS
        return outputs, outputs / FOLDS / "1"

    for worker, step in (("one", 4), ("two", 20), ("three", 9)):
        checkpoint = Checkpoint(step=step, tensors={"weights": {"w": torch.full((2,), float(step))}}, state={})
        save_checkpoint(attempt(worker, "000000.1")[1] / "checkpoints", checkpoint)
    attempt("four", "000000.1")[1].mkdir(parents=True)

    outputs, place = attempt("five", "000000.2")
    take_over_checkpoints(job, 0, outputs, place)
    taken, warnings = newest_checkpoint(place / "checkpoints")
    assert taken is not None
    assert not warnings
    assert taken.step == 20
    assert taken.tensors["weights"]["w"].tolist() == [20.0, 20.0]

    outputs, place = attempt("five", "000001.1")
    take_over_checkpoints(job, 1, outputs, place)
    assert not place.exists(), "no attempt at this unit"


def test_an_attempt_without_a_checkpoint_is_not_copied(tmp_path: Path) -> None:
    job = make_job(tmp_path / "out", [{}])
    first, second = (job.folder / "work" / name / "000000.1" / OUTPUTS for name in ("one", "two"))
    (first / FOLDS / "1" / "checkpoints").mkdir(parents=True)
    take_over_checkpoints(job, 0, second, second / FOLDS / "1")
    assert not second.exists()


def test_a_cluster_is_asked_for_before_anything_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr("pixelwise.cluster.folds.check_cluster", asked.append)
    validate_with_workers(Place(ray="head:6379"))
    assert asked == ["head:6379"]
