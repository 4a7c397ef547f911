"""Training in small: a folder becomes a run with a model; unusable input raises errors."""

import csv
import errno
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from pixelwise.atomic_write import write_error
from pixelwise.datasets.dataset import DataOptions
from pixelwise.datasets.synthetic import write_demo
from pixelwise.errors import BadDataset, BadOption, BadRun, DiskFull, Diverged
from pixelwise.io.read import read_image, write_image
from pixelwise.progress import Progress
from pixelwise.training.batch import Batch
from pixelwise.training.learner import Learner, StepResult
from pixelwise.workflow.evaluate import evaluate
from pixelwise.workflow.predict import load
from pixelwise.workflow.run import Run
from pixelwise.workflow.train import train

SMALL = (
    "network.base=4", "network.depth=2", "patches.height=64", "patches.width=64", "patches.batch=2",
    "training.precision=float32", "training.validate_every=4",
)  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "cells"
    write_demo(folder, train=4, val=2, test=2, size=96)
    return folder


class Listener(Progress):
    """Records messages."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, *sentences: str) -> None:
        self.messages += sentences


def learn(data: Path, out: Path, *more: str, progress: Progress | None = None, **limits: object) -> Run:
    return train(data, out=out, overrides=(*SMALL, *more), progress=progress or Progress(), **limits)


@pytest.mark.parametrize(
    ("words", "option", "network"),
    [
        (("network=unet2015", "network.depth=6"), "network.depth=6", "unet2015"),
        (("preset=unet2015", "network.depth=6"), "network.depth=6", "unet2015"),
        (("encoder=resnet18", "network.max_width=64"), "network.max_width=64", "unet on resnet18"),
        (("network=vnet", "encoder=resnet18"), "network.encoder=resnet18", "vnet"),
        (("network=resnet18", "network.base=64"), "network.base=64", "resnet18"),
    ],
)
def test_an_option_that_the_network_does_not_read_is_refused_before_any_work(
    tmp_path: Path, words: tuple[str, ...], option: str, network: str
) -> None:
    nowhere, listener = tmp_path / "no data here", Listener()
    with pytest.raises(BadOption) as caught:
        train(nowhere, out=tmp_path / "run", overrides=words, progress=listener)
    assert caught.value.got == option
    assert f"that {network} reads" in caught.value.expected
    assert (listener.messages, list(tmp_path.iterdir())) == ([], [])
    with pytest.raises(BadDataset):  # control: without the option the data are looked for
        train(nowhere, out=tmp_path / "run", overrides=words[:1], progress=listener)


def test_an_option_in_a_file_that_its_network_does_not_read_is_refused(tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text("network:\n  name: unet2015\n  depth: 3\n", encoding="utf-8")
    with pytest.raises(BadOption, match="that unet2015 reads"):
        train(tmp_path / "no data here", out=tmp_path / "run", config=plan, progress=Progress())


def test_an_option_is_refused_that_the_planned_network_does_not_read(data: Path, tmp_path: Path) -> None:
    with pytest.raises(BadOption, match=r"that unet reads .*got network\.gates=aligned"):
        learn(data, tmp_path / "run", "network.gates=aligned", steps=2)
    assert not (tmp_path / "run").exists()


def test_the_physical_size_of_a_pixel_travels_to_the_model(data: Path, tmp_path: Path) -> None:
    measured = tmp_path / "measured"
    shutil.copytree(data, measured)
    for picture in sorted(measured.rglob("images/*")):
        pixels = read_image(picture).pixels
        tifffile.imwrite(picture.with_suffix(".tif"), pixels[0], resolution=(4e4, 2e4), resolutionunit="CENTIMETER")
        picture.unlink()
    assert load(learn(measured, tmp_path / "run", steps=2).folder).model_card.spacing == pytest.approx((0.5, 0.25))
    assert load(learn(data, tmp_path / "plain", steps=2).folder).model_card.spacing is None


def test_a_folder_becomes_a_run(data: Path, tmp_path: Path) -> None:
    listener = Listener()
    run = learn(data, tmp_path / "run", steps=8, progress=listener)
    assert any("task instance (--task)" in messages for messages in listener.messages)
    assert any(messages.startswith("Plan: unet of depth 2 and base width 4, 8 steps") for messages in listener.messages)
    (best,) = (messages for messages in listener.messages if messages.startswith("Best validation score"))
    assert "(mean Dice of interior and boundary) at step" in best
    assert not any("were planned" in messages for messages in listener.messages)
    with run.metrics_path.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["4", "8"]
    assert run.splits["cases"]["train"] == [f"train/cells_{i:02d}" for i in range(4)]
    assert run.understood["classes"] == ["background", "object"]
    assert {path.name for path in run.snapshots.iterdir()} == {
        "image.png", "truth.png", "step-0000004.png", "step-0000008.png",
    }  # fmt: skip
    assert np.shape(load(run.folder).predict(np.zeros((50, 40), np.uint8))) == (50, 40)
    scores = evaluate(run.folder, data, progress=Progress())
    assert scores["split"] == "test"
    assert run.scores_path.is_file()


def test_a_plan_can_be_edited_and_trained_again(data: Path, tmp_path: Path) -> None:
    first = learn(data, tmp_path / "first", steps=2)
    plan = tmp_path / "plan.yaml"
    plan.write_text(first.config_path.read_text(encoding="utf-8").replace("  steps: 2", "  steps: 3"), encoding="utf-8")
    second = train(data, out=tmp_path / "second", config=plan, progress=Progress())
    assert second.config.training.steps == 3
    assert second.config.network == first.config.network
    with pytest.raises(BadOption, match="--steps 8"):
        train(data, out=tmp_path / "third", config=plan, steps=8, progress=Progress())
    assert not (tmp_path / "third").exists()


def test_the_network_of_2015_can_be_trained(data: Path, tmp_path: Path) -> None:
    small = [word for word in SMALL if not word.startswith("network.depth")]  # it has the depth of the paper
    words = (*small, "network.name=unet2015", "patches.height=188", "patches.width=204")
    run = train(data, out=tmp_path / "run", overrides=words, steps=2, progress=Progress())
    assert load(run.folder).model_card.geometry.margin == 92


def test_a_budget_decides_the_number_of_steps(data: Path, tmp_path: Path) -> None:
    """How well it is kept is measured by benchmarks/five_sets.py: a test must not depend on the clock."""
    run = learn(data, tmp_path / "run", budget="15s")
    assert run.config.training.budget == 15.0
    assert "s remain, at" in run.config.reasons["training.steps"]
    assert run.model_path.is_file()


def test_steps_with_a_time_limit_that_is_not_reached_make_the_same_bits(data: Path, tmp_path: Path) -> None:
    free, limited = (learn(data, tmp_path / name, steps=6, **more) for name, more in TIMES.items())
    assert limited.config.training.time_limit == 3600.0
    assert free.model_path.read_bytes() == limited.model_path.read_bytes()


TIMES: dict[str, dict[str, Any]] = {"free": {}, "limited": {"time_limit": "60m"}}


def test_a_time_limit_of_folds_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(BadOption, match="--budget"):
        learn(data, tmp_path / "run", steps=6, folds=2, time_limit="1m")


def test_a_diverging_training_stops_and_keeps_its_best(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Learner.step

    def poisoned(self: Learner, index: int, batch: Batch, **more: Any) -> StepResult:
        spoiled = batch._replace(images=batch.images * float("nan"))
        return step(self, index, spoiled if index >= 4 else batch, **more)

    monkeypatch.setattr(Learner, "step", poisoned)
    with pytest.raises(Diverged, match="expected a finite loss; got 51 consecutive steps"):
        learn(data, tmp_path / "run", steps=200)
    model = load(tmp_path / "run")
    assert model.model_card.trained["step"] == "4"


@pytest.mark.parametrize(("coarse", "ended"), [(0.0, 11), (0.5, 11), (0.75, 16)])
def test_patience_is_counted_once_the_details_are_learned(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, coarse: float, ended: int
) -> None:
    monkeypatch.setattr("pixelwise.workflow.fit.validation.Validation.score", lambda *_: 0.5)
    listener = Listener()
    words = ("training.patience=2", "training.validate_every=1", f"patches.low_res_fraction={coarse}")
    run = learn(data, tmp_path / "run", *words, steps=20, progress=listener)
    end = f"the last {ended - 1} validations were no better than the best."
    assert f"Stopped early after step {ended} of 20: {end}" in listener.messages
    assert run.metrics_path.read_text(encoding="utf-8").splitlines()[-1].startswith(f"{ended},")


def test_nothing_is_written_beside_the_images(data: Path, tmp_path: Path) -> None:
    before = sorted(path for path in data.rglob("*"))
    learn(data, tmp_path / "run", steps=1)
    assert sorted(path for path in data.rglob("*")) == before


def test_what_cannot_be_trained_is_refused_and_leaves_nothing(data: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(BadDataset, match="empty"):
        learn(empty, tmp_path / "run", steps=1)
    with pytest.raises(BadOption, match=r"got `network\.dpth`"):
        learn(data, tmp_path / "run", "network.dpth=3", steps=1)
    with pytest.raises(BadOption, match="expected a budget that leaves 3 s for training"):
        learn(data, tmp_path / "run", budget="2s")
    with pytest.raises(BadOption, match="Give one of them"):
        learn(data, tmp_path / "run", budget="60s", steps=3)
    assert not any(path.is_file() for path in (tmp_path / "run").rglob("*"))


def test_a_run_is_continued_with_its_own_data_alone(data: Path, tmp_path: Path) -> None:
    learn(data, tmp_path / "run", steps=2)
    other = tmp_path / "other"
    write_demo(other, train=3, val=2, test=0, size=96)
    with pytest.raises(BadRun, match="expected the original train cases of the run; got 1 changed case,"):
        train(other, out=tmp_path / "run", resume=True, progress=Progress())
    with pytest.raises(BadRun, match="got nothing at this path"):
        train(data, out=tmp_path / "nowhere", resume=True, progress=Progress())


@pytest.mark.parametrize(
    ("asked", "got"),
    [
        ({"steps": 100}, "--steps 100"),
        ({"budget": "20s"}, "--budget 20.0"),
        ({"epochs": 3}, "--epochs 3"),
        ({"seed": 5}, "--seed 5"),
        ({"overrides": ("network.base=8",)}, "network.base 8"),
        ({"overrides": ("preset=unet2015",)}, "preset unet2015"),
        ({"options": DataOptions(val_share=0.5)}, "data options"),
    ],
)
def test_a_run_that_is_continued_takes_no_other_plan(
    data: Path, finished: Run, asked: dict[str, Any], got: str
) -> None:
    with pytest.raises(BadOption) as caught:
        train(data, out=finished.folder, resume=True, progress=Progress(), **asked)
    expected = "expected --resume with the plan of the run, 2 steps"
    assert f"{expected}; got {got}. Omit it, or start a new training" in str(caught.value)


def test_the_same_command_with_resume_behind_it_is_taken(data: Path, finished: Run) -> None:
    listener = Listener()
    learn(data, finished.folder, steps=2, resume=True, progress=listener)
    assert "Continuing from the checkpoint of step 2." in listener.messages


@pytest.fixture(scope="module")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return learn(data, tmp_path_factory.mktemp("finished") / "run", steps=2)


def test_a_full_disk_says_how_to_go_on(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, *rest: object) -> None:
        raise write_error(path, OSError(errno.ENOSPC, "No space left on device"))

    monkeypatch.setattr("pixelwise.workflow.fit.loop.save_model", full)
    with pytest.raises(DiskFull) as caught:
        learn(data, tmp_path / "run", steps=1)
    go_on = f"pixelwise train {data} --out {tmp_path / 'run'} --resume"
    assert str(caught.value).endswith(f"got a full disk. Free some space, then continue with: {go_on}")


def test_images_smaller_than_a_patch_are_trained_on(tmp_path: Path, rng: np.random.Generator) -> None:
    for part, count in (("train", 3), ("val", 1)):
        for index in range(count):
            pixels = rng.integers(0, 256, (1, 20, 30 + index)).astype(np.uint8)
            write_image(tmp_path / "data" / part / "images" / f"{part}{index}.png", pixels)
            write_image(tmp_path / "data" / part / "masks" / f"{part}{index}.png", (pixels > 127).astype(np.uint8))
    run = learn(tmp_path / "data", tmp_path / "run", steps=2)
    assert load(run.folder).model_card.task == "binary"
