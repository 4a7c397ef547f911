"""A run that is stopped at any moment and continued ends in the same bits as one that never was.

Real processes are killed for real; without the checkpoints' tensors the test's comparison fails (control below).
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from pixelwise.datasets.synthetic import write_demo
from pixelwise.errors import OutputFailed
from pixelwise.workflow.fit.validation import Validation
from pixelwise.workflow.train import train

STEPS = 40
DONE = (0, 5)  # exit codes of a training that came to its end: one as short as this may have learned nothing
SETTINGS = (
    "network.base=4",
    "network.depth=2",
    "network.dropout=0.3",
    "patches.height=64",
    "patches.width=64",
    "patches.batch=4",
    "training.precision=float32",
    "training.validate_every=10",
    "training.checkpoint_every=6",
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cells")
    write_demo(folder, train=4, val=2, test=1, size=96)
    return folder


def start(data: Path, out: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "pixelwise", "train", str(data), "--out", str(out), *more]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def first(data: Path, out: Path) -> subprocess.Popen[str]:
    return start(data, out, *SETTINGS, "--steps", str(STEPS), "--seed", "3")


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, messages = process.communicate(timeout=120)
    return process.returncode, messages


def wait_for(found: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Wait until something has happened in the run folder; the process must still be alive then."""
    deadline = time.monotonic() + 90
    while not found():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.001)


def files(run: Path) -> dict[str, bytes]:
    """Collect what a finished run has learned: the model, the last state, the curve without its clock."""
    last = sorted((run / "checkpoints").glob("step-*"))[-1]
    rows = [line.split(",") for line in (run / "metrics.csv").read_text(encoding="utf-8").splitlines()]
    curve = "\n".join(",".join(row[:1] + row[2:]) for row in rows).encode()
    states = {f"{last.name}/{path.name}": path.read_bytes() for path in last.glob("*.safetensors")}
    frames = {path.name: path.read_bytes() for path in (run / "snapshots").glob("*.png")}
    return {"model": (run / "model.safetensors").read_bytes(), "curve": curve, **states, **frames}


@pytest.fixture(scope="module")
def straight(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("straight") / "run"
    code, messages = finish(first(data, out))
    assert code in DONE, messages
    return files(out)


def checkpointed(run: Path, step: int) -> Callable[[], bool]:
    return lambda: (run / "checkpoints" / f"step-{step:08d}" / "MANIFEST.json").exists()


def partly_checkpointed(run: Path, step: int) -> Callable[[], bool]:
    return lambda: (run / "checkpoints" / f"step-{step:08d}").exists()


def has_snapshot(run: Path, step: int) -> Callable[[], bool]:
    return lambda: (run / "snapshots" / f"step-{step:07d}.png").exists()


MOMENTS: dict[str, Callable[[Path], Callable[[], bool]]] = {
    "before the first checkpoint": lambda run: lambda: (run / "config.yaml").exists(),
    "while a checkpoint is written": lambda run: partly_checkpointed(run, 12),
    "after a checkpoint": lambda run: checkpointed(run, 18),
    "while validating": lambda run: has_snapshot(run, 20),
}


@pytest.mark.parametrize(
    "moment",
    [
        "before the first checkpoint",
        pytest.param("while a checkpoint is written", marks=pytest.mark.slow),
        "after a checkpoint",
        pytest.param("while validating", marks=pytest.mark.slow),
    ],
)
def test_kill_minus_nine_and_go_on(data: Path, tmp_path: Path, straight: dict[str, bytes], moment: str) -> None:
    out = tmp_path / "run"
    process = first(data, out)
    wait_for(MOMENTS[moment](out), process)
    process.kill()
    assert finish(process)[0] == -signal.SIGKILL
    code, messages = finish(start(data, out, "--resume"))
    assert code in DONE, messages
    assert files(out) == straight


@pytest.mark.parametrize(
    "number", [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGTERM], ids=lambda n: n.name
)
def test_a_request_to_stop_saves_and_says_how_to_go_on(
    data: Path, tmp_path: Path, straight: dict[str, bytes], number: signal.Signals
) -> None:
    out = tmp_path / "run"
    process = first(data, out)
    wait_for(has_snapshot(out, 10), process)
    process.send_signal(number)
    code, messages = finish(process)
    assert code == 75, messages
    go_on = f"Continue with: pixelwise train {data} --out {out} --resume"
    assert f" of {STEPS} steps are done. The state is saved and the best model so far is kept. {go_on}" in messages
    assert f"Stopped: {out}: " in messages
    assert "expected" not in messages
    assert "Traceback" not in messages
    assert (out / "model.safetensors").exists()
    code, messages = finish(start(data, out, "--resume"))
    assert code in DONE, messages
    assert files(out) == straight


def test_control_another_state_ends_in_other_bits(data: Path, tmp_path: Path, straight: dict[str, bytes]) -> None:
    """With the moments of the optimiser lost, as in a resume that restores the weights alone, the bits differ."""
    out = tmp_path / "run"
    process = first(data, out)
    wait_for(checkpointed(out, 18), process)
    process.kill()
    finish(process)
    code = (
        "import pixelwise.training.learner as t; load = t.Learner.load_tensors\n"
        "t.Learner.load_tensors = lambda self, x: load(self, {**x, 'optimiser': "
        "{k: v * 0.5 for k, v in x['optimiser'].items()}})\n"
        f"import pixelwise; pixelwise.train({str(data)!r}, out={str(out)!r}, resume=True)"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, capture_output=True, timeout=120)
    assert files(out)["model"] != straight["model"]


@pytest.mark.parametrize("best", [1, 3], ids=["on the way", "the last"])
def test_the_model_holds_the_averaged_weights_of_the_best_validation(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, best: int
) -> None:
    looked: list[dict[str, Tensor]] = []

    def score(_: Validation, network: nn.Module, team: object) -> float:
        looked.append({name: tensor.clone() for name, tensor in network.state_dict().items()})
        return 0.9 if len(looked) == best + 1 else 0.1

    monkeypatch.setattr(Validation, "score", score)
    train(data, out=tmp_path / "run", steps=STEPS, seed=3, overrides=(*SETTINGS, "training.tune=false"))
    average = load_file(sorted((tmp_path / "run" / "checkpoints").glob("step-*"))[-1] / "average.safetensors")
    model = load_file(tmp_path / "run" / "model.safetensors")
    equal = [all(torch.equal(weights[name], model[name]) for name in model) for weights in (*looked, average)]
    assert equal == [index == best for index in range(4)] + [best == 3]


def test_two_trainings_of_one_folder_are_refused(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    process = first(data, out)
    wait_for(checkpointed(out, 6), process)
    os.kill(process.pid, signal.SIGSTOP)
    try:
        with pytest.raises(OutputFailed, match="a run that is not being trained; got one that is being trained"):
            train(data, out=out, resume=True)
    finally:
        os.kill(process.pid, signal.SIGCONT)
    assert finish(process)[0] in DONE


def test_a_folder_that_holds_something_is_refused(data: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(OutputFailed, match="a new or empty folder for the run; got an existing one"):
        train(data, out=tmp_path, steps=STEPS)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


FROZEN = (
    *(word for word in SETTINGS if not word.startswith(("network.depth", "network.dropout"))),
    *("encoder=resnet18", "freeze=20st", "transfer.layer_decay=0.5"),
)


@pytest.mark.slow
@pytest.mark.parametrize("step", [12, 18, 24], ids=["frozen", "the encoder begins to learn in between", "thawed"])
def test_a_frozen_encoder_goes_on_as_if_never_stopped(
    data: Path, tmp_path: Path, thawing: dict[str, bytes], step: int
) -> None:
    """The encoder is frozen until step 20 and checkpoints are written every 6 steps."""
    out = tmp_path / "run"
    process = start(data, out, *FROZEN, "--steps", str(STEPS), "--seed", "3")
    wait_for(checkpointed(out, step), process)
    process.kill()
    finish(process)
    code, messages = finish(start(data, out, "--resume"))
    assert code in DONE, messages
    assert ("Encoder frozen until step 20 of 40" in messages) == (step < 20)
    assert files(out) == thawing


@pytest.fixture(scope="module")
def thawing(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("thawing") / "run"
    code, messages = finish(start(data, out, *FROZEN, "--steps", str(STEPS), "--seed", "3"))
    assert code in DONE, messages
    assert "Encoder frozen until step 20 of 40" in messages
    return files(out)
