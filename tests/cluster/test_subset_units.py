"""The trainings of a forecast by workers are those of one process, and so is the curve."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pixelwise.active_learning.forecast import forecast
from pixelwise.cluster.launch_commands import WORKERS
from pixelwise.cluster.status import describe_job
from pixelwise.cluster.subset_units import train_with_workers
from pixelwise.cluster.worker import Messages, run_worker
from pixelwise.datasets.synthetic import write_demo
from pixelwise.errors import Interrupted, OutputFailed
from pixelwise.progress import Progress
from sleepers import wait_until

SMALL = (
    "network.base=4", "network.depth=2", "patches.height=32", "patches.width=32", "patches.batch=2",
    "training.precision=float32", "training.checkpoint_every=2", "training.threads=1",
)  # fmt: skip
STEPS = 3


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cells")
    write_demo(folder, train=4, val=2, test=0, size=64)
    return folder


def models(out: Path) -> dict[str, str]:
    paths = sorted(out.glob("trainings/*/model.safetensors"))
    return {path.parent.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def run(data: Path, out: Path, **more: Any) -> dict[str, Any]:
    result = forecast(data, out=out, steps=STEPS, overrides=SMALL, progress=Progress(), **more).to_json()
    return {name: value for name, value in result.items() if str(out) not in str(value)}


def test_the_curve_of_workers_is_that_of_one_process(data: Path, tmp_path: Path) -> None:
    one = run(data, tmp_path / "one")
    out = tmp_path / "many"

    messages = Messages()
    with pytest.raises(Interrupted, match="same command"):
        forecast(data, out=out, steps=STEPS, overrides=SMALL, progress=messages, train_first=train_with_workers(None))
    assert any("sbatch" in text for text in messages.texts)
    state = describe_job(out)
    assert 1 < state.units <= WORKERS
    run_worker(out, 1, 2)
    assert describe_job(out).sealed
    assert models(out) == models(tmp_path / "one")
    assert len(models(out)) == state.units
    assert run(data, out, train_first=train_with_workers(None)) == one


def test_a_training_that_was_stopped_without_workers_is_not_touched(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(Interrupted):
        run(data, out, train_first=train_with_workers(None))
    shutil.rmtree(out / ".job")
    stopped = out / "trainings" / "4-1"  # on all images
    stopped.mkdir(parents=True)
    with pytest.raises(OutputFailed, match="stopped"):
        run(data, out, train_first=train_with_workers(None))
    assert list(stopped.iterdir()) == []
    assert not (out / ".job").exists()


@pytest.mark.slow
def test_a_killed_worker_costs_nothing_but_time(data: Path, tmp_path: Path) -> None:
    one = run(data, tmp_path / "one")
    out = tmp_path / "many"
    words = [sys.executable, "-m", "pixelwise", "forecast", str(data), *SMALL, "--steps", str(STEPS)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([*words, "--out", str(out), "--on", "local:2"], env=environment, stderr=subprocess.PIPE)
    wait_until(lambda: any((out / ".job" / "work").rglob("checkpoints/step-*/MANIFEST.json")), 300)
    worker = describe_job(out).workers[0]
    os.kill(int(worker.process.rpartition("-")[2]), signal.SIGKILL)
    _, errors = process.communicate()
    assert process.returncode == 0, errors.decode()
    assert models(out) == models(tmp_path / "one")
    assert run(data, out) == one
