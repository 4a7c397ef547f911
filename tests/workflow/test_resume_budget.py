"""A training under a budget that is stopped and continued: time already used counts, and progress continues."""

import csv
import time
from pathlib import Path
from typing import Any

import pytest

from pixelwise.datasets.synthetic import write_demo
from pixelwise.progress import Progress
from pixelwise.training.learner import Learner, StepResult
from pixelwise.workflow.fit import pacing
from pixelwise.workflow.fit.loop import Training
from pixelwise.workflow.fit.segmentation_task import SegmentationTask
from pixelwise.workflow.run import Run
from pixelwise.workflow.train import train

SETTINGS = (
    "network.base=2", "network.depth=1", "patches.height=32", "patches.width=32", "patches.batch=1",
    "training.precision=float32", "training.tune=false",
)  # fmt: skip
BUDGET, STEP = 60.0, 1.0  # seconds
STOPPED = 30  # the step that is not made any more


class Stopped(Exception):
    """The process ends here."""


class Clock:
    """A clock that only steps of training move."""

    def __init__(self, now: float) -> None:
        self.now, self.steps = now, 0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "cells"
    write_demo(folder, train=2, val=1, test=1, size=64)
    return folder


def learn(monkeypatch: pytest.MonkeyPatch, data: Path, out: Path, stop: int | None = None, **more: Any) -> Clock:
    """Train on a clock of its own, which begins anywhere, as that of another process would."""
    clock, step = Clock(1000.0 if more else 5.0), Learner.step

    def timed(self: Learner, *batch: Any, **rest: Any) -> StepResult:
        if "progress" in rest:  # the loop, not the measuring of a step
            if clock.steps == stop:
                raise Stopped
            clock.now, clock.steps = clock.now + STEP, clock.steps + 1
        return step(self, *batch, **rest)

    with monkeypatch.context() as patched:
        patched.setattr(time, "monotonic", clock)
        patched.setattr(time, "perf_counter", clock)  # what validations take on a busy machine would count too
        patched.setattr(pacing, "CHECKPOINT_SECONDS", 5.0)
        patched.setattr(pacing, "TARGET_STEPS", 1)  # steps keep their size
        patched.setattr(Learner, "step", timed)
        if stop is None:
            train(data, out=out, overrides=SETTINGS, progress=Progress(), **(more or {"budget": BUDGET}))
        else:
            with pytest.raises(Stopped):
                train(data, out=out, overrides=SETTINGS, progress=Progress(), budget=BUDGET)
    return clock


def rows(out: Path) -> list[dict[str, float]]:
    with Run(out).metrics_path.open(encoding="utf-8", newline="") as file:
        return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]


def continued(monkeypatch: pytest.MonkeyPatch, data: Path, out: Path) -> tuple[int, list[dict[str, float]]]:
    """Stop a training and continue it; return the steps of both parts that count, and its validations."""
    learn(monkeypatch, data, out, stop=STOPPED)
    after = learn(monkeypatch, data, out, resume=True)
    return int(rows(out)[-1]["step"]), [{"made": after.steps}, *rows(out)]


def test_time_already_spent_counts_and_progress_goes_on(
    monkeypatch: pytest.MonkeyPatch, cells: Path, tmp_path: Path
) -> None:
    learn(monkeypatch, cells, tmp_path / "straight")
    straight = rows(tmp_path / "straight")
    steps, (_, *found) = continued(monkeypatch, cells, tmp_path / "run")
    assert steps == pytest.approx(straight[-1]["step"], abs=2)
    for name, up in (("progress", 1), ("learning_rate", -1)):
        late = [up * row[name] for row in found if row["progress"] > 0.1]  # the rate has warmed up by then
        assert late == sorted(late)
    # the same moment of the time has the same progress as in the training that was not stopped
    for row in found[1:-1]:
        assert row["progress"] == pytest.approx((row["step"]) / straight[-1]["step"], abs=0.08)


def test_time_that_the_end_needs_is_not_trained(monkeypatch: pytest.MonkeyPatch, cells: Path, tmp_path: Path) -> None:
    """Choices after the last step that take 20 s leave 20 s less for steps of one second."""
    steps: dict[float, int] = {}
    for seconds in (0.0, 20.0):
        monkeypatch.setattr(SegmentationTask, "finish_seconds", lambda *_, seconds=seconds: seconds)
        steps[seconds] = learn(monkeypatch, cells, tmp_path / f"{seconds}").steps
    assert steps[0.0] - steps[20.0] == pytest.approx(20, abs=2)


def test_control_without_the_seconds_spent_a_continuation_takes_longer(
    monkeypatch: pytest.MonkeyPatch, cells: Path, tmp_path: Path
) -> None:
    save = Training._save

    def forget(self: Training) -> None:
        seconds = self._seconds
        self._seconds = lambda: 0.0
        try:
            save(self)
        finally:
            self._seconds = seconds

    monkeypatch.setattr(Training, "_save", forget)
    steps, _ = continued(monkeypatch, cells, tmp_path / "run")
    assert steps > BUDGET + 10


def test_control_without_the_line_of_progress_the_rate_rises_again(
    monkeypatch: pytest.MonkeyPatch, cells: Path, tmp_path: Path
) -> None:
    monkeypatch.setattr(pacing.ClockPacing, "state", lambda self: {})
    _, (_, *found) = continued(monkeypatch, cells, tmp_path / "run")
    rates = [row["learning_rate"] for row in found if row["progress"] > 0.1]
    assert rates != sorted(rates, reverse=True)
