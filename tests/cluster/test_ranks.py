"""One training in several processes: the same bits for any number, also over kills, and it goes on by itself."""

import contextlib
import hashlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pixelwise.cluster.ranks import RankRequest, train_in_processes, without_flags
from pixelwise.datasets.synthetic import write_demo
from pixelwise.errors import BadOption
from pixelwise.progress import Progress
from pixelwise.workflow.train import train
from sleepers import wait_until

SETTINGS = (
    "network.base=4",
    "network.depth=2",
    "network.dropout=0.2",
    "patches.height=64",
    "patches.width=64",
    "patches.batch=4",
    "training.slots=4",
    "training.precision=float32",
    "training.validate_every=10",
    "training.checkpoint_every=5",
    "training.threads=1",
    "training.tune=false",
)
DONE = (0, 5)  # a training as short as this may have learned nothing


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cells")
    write_demo(folder, train=4, val=2, test=1, size=96)
    return folder


def start(data: Path, out: Path, *more: str) -> "subprocess.Popen[bytes]":
    words = [sys.executable, "-m", "pixelwise", "train", str(data), "--out", str(out), *more]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PIXELWISE_LOST_SECONDS": "20"}
    return subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def first(data: Path, out: Path, *more: str, steps: int = 12) -> "subprocess.Popen[bytes]":
    return start(data, out, *SETTINGS, "--steps", str(steps), "--seed", "3", *more)


def model(out: Path) -> str:
    return hashlib.sha256((out / "model.safetensors").read_bytes()).hexdigest()


@pytest.mark.parametrize("several", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_several_processes_write_the_model_of_one(data: Path, tmp_path: Path, several: int) -> None:
    models: set[str] = set()
    for ranks in (1, several):
        assert first(data, tmp_path / str(ranks), "--ranks", str(ranks)).wait() in DONE
        models.add(model(tmp_path / str(ranks)))
    assert len(models) == 1
    rows = [
        (tmp_path / ranks / "metrics.csv").read_text(encoding="utf-8").splitlines() for ranks in ("1", str(several))
    ]
    assert len(rows[0]) == len(rows[1])


def test_a_second_run_takes_the_plan_of_the_first_for_another_number_of_processes(data: Path, tmp_path: Path) -> None:
    assert first(data, tmp_path / "one", steps=4).wait() in DONE
    plan = str(tmp_path / "one" / "config.yaml")
    assert start(data, tmp_path / "two", "--config", plan, "--ranks", "2").wait() in DONE
    assert model(tmp_path / "two") == model(tmp_path / "one")


@pytest.mark.slow
def test_kills_and_another_number_of_processes_end_in_the_same_model(data: Path, tmp_path: Path) -> None:
    assert first(data, tmp_path / "whole", steps=40).wait() in DONE
    rng, out = random.Random(5), tmp_path / "killed"
    process = first(data, out, "--ranks", "2", steps=40)
    for _ in range(10):
        wait_until(lambda: (out / "checkpoints").is_dir(), 300)
        time.sleep(rng.uniform(0.0, 3.0))
        if process.poll() is not None:
            break
        process.kill()
        process.wait()
        time.sleep(1.0)
        process = start(data, out, "--resume", "--ranks", rng.choice(("1", "2", "4")))
    assert process.wait() in DONE
    assert model(out) == model(tmp_path / "whole")


def test_a_killed_process_is_noticed_and_the_training_goes_on_by_itself(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    process = first(data, out, "--ranks", "2", "--supervise")
    wait_until(lambda: any((out / "checkpoints").glob("step-*/MANIFEST.json")), 300)
    ranks = [int(pid) for pid in children(process.pid)]
    assert len(ranks) == 2
    os.kill(ranks[1], signal.SIGKILL)
    assert process.wait() in DONE
    assert first(data, tmp_path / "whole").wait() in DONE
    assert model(out) == model(tmp_path / "whole")


def children(process: int) -> list[str]:
    return Path(f"/proc/{process}/task/{process}/children").read_text(encoding="utf-8").split()


@pytest.mark.parametrize(
    ("limits", "text"), [({"budget": "60s"}, "--steps"), ({"steps": 4, "folds": 2}, "folds")], ids=str
)
def test_what_several_processes_cannot_share(
    data: Path, tmp_path: Path, limits: dict[str, Any], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(BadOption, match=text):
        train(data, out=tmp_path / "run", progress=Progress(), **limits)


def test_a_refusal_of_several_processes_ends_the_command(
    data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command = ("train", str(data), "--out", str(tmp_path / "run"), "--steps", "4")
    assert train_in_processes(RankRequest(words=command, folder=tmp_path / "run", ranks=2), Progress()) == 2
    assert "training.slots" in capfd.readouterr().err


FAKE = """
import os, pathlib, sys
folder = pathlib.Path({folder!r})
number = len(list(folder.glob("call-*")))
(folder / f"call-{{number}}").write_text(" ".join(sys.argv[1:]))
if {checkpoints}:
    (folder / "checkpoints" / f"step-{{number:08d}}").mkdir(parents=True)
(folder / "config.yaml").touch()
code = {codes}[min(number, len({codes}) - 1)]
os.kill(os.getpid(), -code) if code < 0 else sys.exit(code)
"""


def supervise(
    folder: Path, codes: list[int], *, checkpoints: bool = True, supervise: bool = True
) -> tuple[int, list[str]]:
    program = (sys.executable, "-c", FAKE.format(folder=str(folder), codes=codes, checkpoints=checkpoints))
    request = RankRequest(words=("train", "data"), folder=folder, supervise=supervise, program=program)
    code = train_in_processes(request, Progress())
    return code, [path.read_text(encoding="utf-8") for path in sorted(folder.glob("call-*"))]


def test_a_training_is_continued_until_it_ends(tmp_path: Path) -> None:
    code, calls = supervise(tmp_path, [75, -9, 0])
    assert (code, calls) == (0, ["train data", "train data --resume", "train data --resume"])


@pytest.mark.parametrize("code", [2, 4, 5])
def test_a_mistake_is_not_repeated(code: int, tmp_path: Path) -> None:
    assert supervise(tmp_path, [code, 0]) == (code, ["train data"])


def test_without_supervision_the_training_is_run_once(tmp_path: Path) -> None:
    assert supervise(tmp_path, [75, 0], supervise=False) == (75, ["train data"])


def test_a_training_without_progress_is_given_up(tmp_path: Path) -> None:
    code, calls = supervise(tmp_path, [-9], checkpoints=False)
    assert (code, len(calls)) == (75, 3)


def test_the_number_of_processes_is_a_power_of_two(tmp_path: Path) -> None:
    with pytest.raises(BadOption, match="1, 2, 4, 8"):
        train_in_processes(RankRequest(words=(), folder=tmp_path, ranks=3), Progress())


def test_the_flags_of_the_launcher_are_not_passed_on() -> None:
    words = ["train", "d", "--ranks=4", "--out", "--ranks", "2", "--supervise", "x"]
    assert without_flags(words) == ("train", "d", "--out", "x")


@pytest.mark.slow
def test_a_lost_node_of_torchrun_is_noticed_and_another_number_of_processes_goes_on(data: Path, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    out = tmp_path / "run"
    node = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1"]
    node += ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"127.0.0.1:{port}", "--rdzv-id", "test", "-m", "pixelwise"]
    words = ["train", str(data), "--out", str(out), *SETTINGS, "--steps", "120", "--seed", "3"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PIXELWISE_LOST_SECONDS": "20"}
    quiet = subprocess.DEVNULL
    nodes = [
        subprocess.Popen([*node, *words], env=environment, stdout=quiet, stderr=quiet, start_new_session=True)
        for _ in range(2)
    ]
    try:
        wait_until(lambda: any((out / "checkpoints").glob("step-*/MANIFEST.json")), 300)
        for process in (nodes[1].pid, *map(int, children(nodes[1].pid))):
            os.kill(process, signal.SIGKILL)
        nodes[1].wait()
        assert nodes[0].wait(180), "the other one ends by itself, with an error"
    finally:
        for process in nodes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    assert not (out / "summary.json").exists()
    assert start(data, out, "--resume", "--ranks", "4").wait() in DONE
    assert first(data, tmp_path / "whole", steps=120).wait() in DONE
    assert model(out) == model(tmp_path / "whole")
