"""A whole training: fine-tuning, frozen encoder, layer-wise learning rates, and messages about its length."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from pixelwise.datasets.synthetic import write_demo
from pixelwise.model_file.model_file import read_model_card
from pixelwise.networks.architectures import build
from pixelwise.progress import Progress
from pixelwise.training.batch import Batch
from pixelwise.training.learner import Learner, TrainingOptions
from pixelwise.training.team import Team
from pixelwise.workflow.fit.messages import describe_length
from pixelwise.workflow.fit.validation import Validation
from pixelwise.workflow.run import Run
from pixelwise.workflow.train import train

WORDS = (
    "network=unet", "encoder=resnet18", "network.base=2", "patches.height=64", "patches.width=64",
    "patches.batch=2", "training.precision=float32",
)  # fmt: skip
PLAIN = ("encoder=plain", "network.depth=2")  # much faster, where the encoder does not matter
FROZEN = ("freeze=2ep", "training.optimiser=adamw")


class Listener(Progress):
    """Records messages."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, *sentences: str) -> None:
        self.messages += sentences

    def frozen(self) -> list[str]:
        return [messages for messages in self.messages if messages.startswith("Encoder frozen")]


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four training images of 64 x 64: a pass takes two steps of two patches of that size."""
    folder = tmp_path_factory.mktemp("data") / "cells"
    write_demo(folder, train=4, val=1, test=1, size=64)
    return folder


def learn(data: Path, out: Path, *words: str, steps: int = 4) -> tuple[Run, Listener]:
    listener = Listener()
    return train(data, out=out, overrides=(*WORDS, *words), steps=steps, progress=listener), listener


def last_weights(run: Run) -> dict[str, Tensor]:
    return load_file(sorted(run.checkpoints.glob("step-*"))[-1] / "weights.safetensors")


def first_weights(run: Run) -> dict[str, Tensor]:
    torch.manual_seed(run.config.training.seed)
    return dict(build(run.config.network).state_dict())


def moved(run: Run, part: str) -> list[bool]:
    """Return for each tensor of a module, batch statistics included, whether it has changed."""
    before, after = first_weights(run), last_weights(run)
    names = [name for name in before if name.startswith(part)]
    assert names
    return [not torch.equal(before[name], after[name]) for name in names]


def test_an_encoder_frozen_for_two_passes_learns_from_the_fifth_step_on(cells: Path, tmp_path: Path) -> None:
    run, listener = learn(cells, tmp_path / "short", *FROZEN, "transfer.layer_decay=0.5")
    assert listener.frozen() == ["Encoder frozen to the last step: its weights and batch statistics do not change."]
    assert {"transfer.freeze", "transfer.layer_decay"} <= run.config.user_set
    assert not any(moved(run, "encoder."))
    assert all(moved(run, "decoder."))
    run, listener = learn(cells, tmp_path / "long", *FROZEN, steps=5)
    assert listener.frozen() == ["Encoder frozen until step 4 of 5: its weights and batch statistics do not change."]
    assert all(moved(run, "encoder."))


def test_control_without_freezing_weights_and_statistics_move_and_nothing_is_told(cells: Path, tmp_path: Path) -> None:
    run, listener = learn(cells, tmp_path / "run", steps=1)
    assert listener.frozen() == []
    assert all(moved(run, "encoder."))


def test_random_weights_that_are_frozen_are_told(cells: Path, tmp_path: Path) -> None:
    """They are no error: a frozen random encoder is the control that shows what learned weights are worth."""
    _, listener = learn(cells, tmp_path / "run", "freeze=50%", steps=2)
    assert (
        "Warning: the frozen encoder has random weights. Give encoder_weights=, or omit freeze=." in listener.messages
    )


def test_the_lower_rates_arrive_in_the_optimiser(cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[set[float]] = []
    step = Learner.step

    def seen(learner: Learner, *batch: Any, progress: float | None = None) -> Any:
        done = step(learner, *batch, progress=progress)
        if progress is not None:  # the loop, not the measuring of a step
            rate = learner.schedule.rate(progress)
            found.append({round(g["lr"] / rate, 6) for g in learner.optimiser.param_groups})
        return done

    monkeypatch.setattr(Learner, "step", seen)
    learn(cells, tmp_path / "lower", "transfer.layer_decay=0.5", steps=1)
    learn(cells, tmp_path / "same", steps=1)
    # five parts of a ResNet, each half as fast as the next one towards the decoder, which learns at the full rate
    assert found == [{0.03125, 0.0625, 0.125, 0.25, 0.5, 1.0}, {1.0}]


@pytest.mark.parametrize(("fraction", "low"), [(0.0, 0), (0.3, 3), (0.5, 5)])
def test_the_low_resolution_phase_has_exactly_its_fraction_of_the_steps(
    cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fraction: float, low: int
) -> None:
    sides: list[int] = []
    step = Learner.step

    def seen(learner: Learner, index: int, batch: Batch, **more: Any) -> Any:
        if "progress" in more:
            sides.append(batch.images.shape[-1])
        return step(learner, index, batch, **more)

    monkeypatch.setattr(Learner, "step", seen)
    words = (*PLAIN, f"patches.low_res_fraction={fraction}", "training.validate_every=10")
    learn(cells, tmp_path / "run", *words, steps=10)
    assert sides == [32] * low + [64] * (10 - low)


@pytest.mark.parametrize("keep", ["best", "last"])
def test_weights_that_are_not_finite_are_never_kept(
    cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: str
) -> None:
    """The EMA weights become NaN after the first validation, and score better than before."""
    scores: list[float] = []

    def score(_: Validation, network: nn.Module, team: Team) -> float:
        scores.append(0.1 + 0.1 * len(scores))
        if len(scores) > 1:
            next(iter(network.parameters())).fill_(float("nan"))
        return scores[-1]

    monkeypatch.setattr(Validation, "score", score)
    words = (*PLAIN, "training.validate_every=1", f"training.keep={keep}", "training.tune=false")
    run, _ = learn(cells, tmp_path / "run", *words, steps=3)
    weights = load_file(run.model_path)
    assert all(bool(torch.isfinite(value).all()) for value in weights.values())
    assert read_model_card(run.model_path).trained["step"] == "1"
    assert len(scores) == 3


def test_deep_supervision_is_trained_and_predicted(cells: Path, tmp_path: Path) -> None:
    words = ("network=unetplusplus", *PLAIN)
    run, _ = learn(cells, tmp_path / "run", *words, "network.deep_supervision=true", steps=2)
    assert all(moved(run, "head."))
    heads = {name.split(".")[1] for name in last_weights(run) if name.startswith("head.")}
    assert len(heads) == 2
    assert np.isfinite([row["train_loss"] for row in _rows(run)]).all()


def _rows(run: Run) -> list[dict[str, float]]:
    head, *rows = [line.split(",") for line in run.metrics_path.read_text(encoding="utf-8").splitlines()]
    return [{name: float(cell) for name, cell in zip(head, row, strict=True) if cell} for row in rows]


def test_another_number_of_steps_than_expected_is_told() -> None:
    budget = TrainingOptions(steps=415, budget=60.0, patience=0)
    (messages,) = describe_length(budget, 358, 1.0, 0)
    assert "358 steps" in messages
    assert "415" in messages
    assert describe_length(budget, 415, 1.0, 0) == []
    assert describe_length(TrainingOptions(steps=40), 40, 1.0, 3) == []


def test_a_training_that_lost_its_patience_says_so() -> None:
    (messages,) = describe_length(TrainingOptions(steps=20, patience=1), 10, 0.5, 1)
    assert "step 10 of 20" in messages
    assert "no better" in messages
