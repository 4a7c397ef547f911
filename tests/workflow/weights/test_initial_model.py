"""A training that starts from all weights of a model."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from pixelwise.datasets.synthetic import write_demo
from pixelwise.errors import BadModel, BadOption, BadRun
from pixelwise.io.write import write_image
from pixelwise.model_file.model_file import load_network
from pixelwise.networks.architectures import build
from pixelwise.progress import Progress
from pixelwise.workflow.run import Run
from pixelwise.workflow.train import train
from pixelwise.workflow.weights.initial_model import load_initial_weights

WORDS = (
    "network.base=4", "network.depth=2", "patches.height=64", "patches.width=64", "patches.batch=2",
    "training.precision=float32", "training.tune=false", "training.keep=last",
)  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "cells"
    write_demo(folder, train=2, val=1, test=1, size=64)
    return folder


@pytest.fixture(scope="module")
def first(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(data, out=tmp_path_factory.mktemp("runs") / "first", overrides=WORDS, steps=3, progress=Progress())


def continued(data: Path, first: Run, out: Path, *words: str) -> Run:
    words = (f"transfer.initial_model={first.folder}", *words)
    return train(data, out=out, config=first.config_path, overrides=words, progress=Progress())


def test_it_starts_from_the_weights_and_with_the_plan(data: Path, first: Run, tmp_path: Path) -> None:
    run = continued(data, first, tmp_path / "second", "training.steps=1", "training.learning_rate=1.0e-12")
    assert run.config.network == first.config.network
    before, after = (dict(load_network(each.model_path)[0].named_parameters()) for each in (first, run))
    assert all(torch.allclose(before[name], after[name], atol=1e-6) for name in before)
    card = load_network(run.model_path)[1]
    assert card.trained["initial_model_sha256"] == run.read_json("initial_model.json")["sha256"]


def test_control_without_it_the_weights_are_random(data: Path, first: Run, tmp_path: Path) -> None:
    words = ("training.steps=1", "training.learning_rate=1.0e-12")
    run = train(data, out=tmp_path / "other", config=first.config_path, overrides=words, progress=Progress())
    before, after = (dict(load_network(each.model_path)[0].named_parameters()) for each in (first, run))
    assert not all(torch.allclose(before[name], after[name], atol=1e-3) for name in before)


def write_set(folder: Path, pixels: np.ndarray, masks: np.ndarray) -> Path:
    for split in ("train", "val"):
        for index in range(len(pixels)):
            write_image(folder / split / "images" / f"{index}.png", pixels[index][None])
            write_image(folder / split / "masks" / f"{index}.png", masks[index][None])
    return folder


def test_a_training_learns_what_the_model_predicts_where_nothing_is_labelled(tmp_path: Path) -> None:
    """What that does to predictions: `tests/training/test_kept_predictions.py`."""
    random = np.random.default_rng(0)
    pixels = random.integers(90, 110, (2, 64, 64)).astype(np.uint8)
    marks = np.full((2, 64, 64), 255, np.uint8)
    marks[:, :4, :4], marks[:, 60:, 60:] = 1, 0
    words = (*WORDS, "data.task=binary", "data.ignore_index=255", "data.allow_duplicates=true")
    drawn = write_set(tmp_path / "drawn", pixels, (pixels > 100).astype(np.uint8))
    first = train(drawn, out=tmp_path / "first", overrides=words, steps=3, progress=Progress())
    painted = write_set(tmp_path / "marks", pixels, marks)
    weights: list[Tensor] = []
    for number, kept in enumerate((1, 0, 0)):
        words = (f"transfer.keep_predictions={kept}", "training.steps=3", "training.learning_rate=0.01")
        run = continued(painted, first, tmp_path / f"{number}", *words)
        weights.append(next(load_network(run.model_path)[0].parameters()))
    assert torch.equal(weights[1], weights[2]), "control: all else is equal"
    assert not torch.equal(weights[0], weights[1])


@pytest.mark.parametrize(
    ("words", "folds"),
    [
        (("transfer.initial_model=nowhere",), None),
        (("transfer.initial_model={first}", "network.base=6"), None),
        (("transfer.initial_model={first}",), 2),
        (("transfer.keep_predictions=1",), None),
        (("transfer.initial_model={first}", "transfer.keep_predictions=-1"), None),
    ],
)
def test_what_it_cannot_start_from(
    words: tuple[str, ...], folds: int | None, data: Path, first: Run, tmp_path: Path
) -> None:
    given = tuple(word.format(first=first.folder) for word in words)
    with pytest.raises(BadOption):
        train(data, out=tmp_path / "run", overrides=(*WORDS, *given), steps=1, folds=folds, progress=Progress())
    assert not (tmp_path / "run").exists()


def test_a_folder_without_a_model(data: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadModel):
        train(
            data,
            out=tmp_path / "run",
            overrides=(*WORDS, f"transfer.initial_model={tmp_path / 'empty'}"),
            steps=1,
            progress=Progress(),
        )


def test_a_model_that_has_changed_is_refused(data: Path, first: Run, tmp_path: Path) -> None:
    run = continued(data, first, tmp_path / "second", "training.steps=1")
    network = build(run.config.network)
    assert load_initial_weights(network, run, Progress())
    record = run.folder / "initial_model.json"
    record.write_text(record.read_text("utf-8").replace('"sha256": "', '"sha256": "0'), "utf-8")
    with pytest.raises(BadRun):
        load_initial_weights(network, Run(run.folder), Progress())
