"""Folds trained by workers are those that one process trains, also if a worker is killed."""

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pixelwise.cluster.status import describe_job
from pixelwise.datasets.synthetic import write_demo
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
