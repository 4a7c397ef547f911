"""The preset unet2015 in training: as a word, in a file, on small images, and its settings with another network."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pixelwise.datasets.synthetic import write_demo
from pixelwise.progress import Progress
from pixelwise.training.batch import Batch
from pixelwise.training.learner import Learner, StepResult
from pixelwise.workflow.config import values_of
from pixelwise.workflow.evaluate import evaluate
from pixelwise.workflow.predict import load
from pixelwise.workflow.run import Run
from pixelwise.workflow.train import train

SMALL = ("network.base=2", "training.precision=float32")
UNET = (*SMALL, "network.depth=2", "patches.height=64", "patches.width=64", "patches.batch=2")


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Touching cells on images of 128 x 128."""
    folder = tmp_path_factory.mktemp("data") / "cells"
    write_demo(folder, train=3, val=1, test=1, size=128)
    return folder


class Watch:
    """Keeps what the learner was given at each step."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.learners: list[Learner] = []
        self.batches: list[Batch] = []
        step = Learner.step

        def seen(learner: Learner, index: int, batch: Batch, *, progress: float | None = None) -> StepResult:
            if progress is not None:  # the loop, not the measuring of a step
                self.learners.append(learner)
                self.batches.append(batch)
            return step(learner, index, batch, progress=progress)

        monkeypatch.setattr(Learner, "step", seen)


def learn(data: Path, out: Path, *words: str, **more: Any) -> Run:
    return train(data, out=out, overrides=words, progress=Progress(), steps=2, **more)


def test_the_preset_as_a_word_on_images_smaller_than_its_tile(
    cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = Watch(monkeypatch)
    run = learn(cells, tmp_path / "run", "preset=unet2015", *SMALL)
    config = run.config
    assert (config.preset, config.target.kind, config.network.classes) == ("unet2015", "components", 2)
    assert config.reasons["patches.height"] == "The output of 132 pixels covers the largest image, which has 128."
    images, targets, weights = watch.batches[0][:3]
    assert weights is not None
    assert images.shape == (1, 1, 316, 316)
    assert targets.shape == weights.shape == (1, 316, 316)
    assert 1.0 < float(weights.max()) <= 10.0  # between touching cells
    loss, optimiser = watch.learners[0].loss, watch.learners[0].optimiser
    assert len(loss.class_weights) == 2
    assert loss.class_weights != (1.0, 1.0)
    assert isinstance(optimiser, torch.optim.SGD)
    assert {(g["momentum"], g["nesterov"], g["weight_decay"]) for g in optimiser.param_groups} == {(0.99, False, 0.0)}
    model = load(run.folder)
    assert model.model_card.tta == 7
    predicted = model.predict(np.zeros((128, 100), np.uint8))
    assert np.shape(predicted) == (128, 100)
    assert evaluate(run.folder, cells, progress=Progress())["split"] == "test"
    learn(cells, run.folder, "preset=unet2015", *SMALL, resume=True)  # the same words, though a tile was planned anew


def test_the_preset_in_a_file_is_planned_as_the_word_is(cells: Path, tmp_path: Path) -> None:
    word = learn(cells, tmp_path / "word", "preset=unet2015", *SMALL)
    plan = tmp_path / "plan.yaml"
    plan.write_text("preset: unet2015\nnetwork:\n  base: 2\ntraining:\n  precision: float32\n", encoding="utf-8")
    file = learn(cells, tmp_path / "file", config=plan)
    assert values_of(file.config) == values_of(word.config)
    assert file.config.user_set == word.config.user_set == {"network.base", "training.precision"}
    assert {word.config.origins["network.base"], file.config.origins["network.base"]} == {"user", "file"}
    again = learn(cells, tmp_path / "again", config=word.config_path)
    assert values_of(again.config) == values_of(word.config)
    assert (again.config.origins, again.config.preset) == (word.config.origins, word.config.preset)


def test_words_stand_above_the_file(cells: Path, tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text("preset: unet2015\nnetwork:\n  base: 2\ntraining:\n  steps: 1\n", encoding="utf-8")
    run = train(cells, out=tmp_path / "run", config=plan, overrides=("network=unet",), progress=Progress())
    assert (run.config.network.name, run.config.network.base, run.config.training.steps) == ("unet", 2, 1)
    assert run.config.training.budget is None  # a number of steps of one's own is no start for a proposed budget
    assert run.config.patches.height == 128


def check_optimiser(run: Run, watch: Watch) -> None:
    optimiser = watch.learners[0].optimiser
    assert isinstance(optimiser, torch.optim.SGD)
    assert optimiser.param_groups[0]["momentum"] == 0.99


def check_border(run: Run, watch: Watch) -> None:
    # first at half the resolution, four times as many
    weights = [batch.weights for batch in watch.batches if batch.weights is not None]
    assert [tuple(each.shape) for each in weights] == [(8, 32, 32), (2, 64, 64)]
    assert max(float(each.max()) for each in weights) > 1.0


def check_balance(run: Run, watch: Watch) -> None:
    assert len(watch.learners[0].loss.class_weights) == run.config.network.classes


def check_separation(run: Run, watch: Watch) -> None:
    assert (run.config.target.kind, run.config.network.classes) == ("components", 2)
    assert "1 pixel of background is inserted between them" in run.config.reasons["target.kind"]


def check_dropout(run: Run, watch: Watch) -> None:
    layers = [m for m in watch.learners[0].network.modules() if isinstance(m, torch.nn.Dropout | torch.nn.Dropout2d)]
    assert [layer.p for layer in layers] == [0.5]


def check_tta(run: Run, watch: Watch) -> None:
    assert load(run.folder).model_card.tta == 7


def check_elastic(run: Run, watch: Watch) -> None:
    assert run.config.augmentation.elastic_share == 1.0


PIECES = {
    "gradient descent": (
        ("training.optimiser=sgd", "training.momentum=0.99", "training.nesterov=false"),
        check_optimiser,
    ),
    "weight map": (("loss.border_weight=10", "loss.border_sigma=5"), check_border),
    "class balance": (("loss.balanced=true",), check_balance),
    "separation border": (("target.separate=1",), check_separation),
    "elastic": (("augmentation.elastic_share=1", "augmentation.elastic_sd=10"), check_elastic),
    "dropout": (("network.dropout=0.5",), check_dropout),
    "test-time augmentation": (("prediction.tta=7",), check_tta),
}


@pytest.mark.parametrize("piece", PIECES)
def test_each_piece_goes_with_another_network(
    cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: str
) -> None:
    watch = Watch(monkeypatch)
    words, check = PIECES[piece]
    run = learn(cells, tmp_path / "run", *UNET, *words)
    assert run.config.network.name == "unet"
    check(run, watch)
    # control: without the words the piece is not there
    plain = Watch(monkeypatch)
    other = learn(cells, tmp_path / "plain", *UNET)
    with pytest.raises(AssertionError):
        check(other, plain)
