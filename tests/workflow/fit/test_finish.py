"""The end of a training: one prediction of the validation images, one model file, the same after an interruption."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pixelwise.datasets.cases import Case
from pixelwise.datasets.dataset import DataOptions, Dataset
from pixelwise.errors import Interrupted
from pixelwise.io.read import write_image
from pixelwise.model_file.model_file import read_model_card
from pixelwise.progress import Progress
from pixelwise.workflow.fit import loop
from pixelwise.workflow.fit.select import object_thresholds
from pixelwise.workflow.run import Run
from pixelwise.workflow.train import train

SETTINGS = (
    "network.base=4", "network.depth=2", "patches.height=32", "patches.width=32", "patches.batch=2",
    "training.precision=float32", "training.learning_rate=0.01", "training.validate_every=10", "target.kind=boundary",
)  # fmt: skip
INSTANCE = DataOptions(task="instance")


@pytest.fixture(scope="module")
def discs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two training and three validation images with nine bright discs each, as label images."""
    folder = tmp_path_factory.mktemp("discs")
    rows, columns = np.mgrid[:64, :64]
    inside = (rows % 21 - 10) ** 2 + (columns % 21 - 10) ** 2 < 50
    labels = np.where(inside & (rows < 63) & (columns < 63), 1 + rows // 21 * 3 + columns // 21, 0).astype(np.uint16)
    for split, count in (("train", 2), ("val", 3)):
        for index in range(count):
            noise = np.random.default_rng(10 * count + index).normal(60, 20, labels.shape)
            image = (noise + 100 * (labels > 0)).clip(0, 255).astype(np.uint8)
            write_image(folder / split / "images" / f"{index}.png", image[None])
            write_image(folder / split / "masks" / f"{index}.png", labels[None])
    return folder


def learn(data: Path, out: Path, **more: Any) -> Run:
    return train(
        data, out=out, steps=20, overrides=SETTINGS, options=INSTANCE, progress=Progress(), device="cpu", **more
    )


def test_the_images_are_predicted_and_the_model_is_written_once(
    discs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_thresholds, "MIN_OBJECTS", 10)
    predicted: list[str] = []
    finishes: list[bool] = []
    read, save, finish = Dataset.read_labelled, loop.save_model, loop.Training._finish
    written: list[Path] = []

    def reading(dataset: Dataset, case: Case) -> Any:
        if finishes:
            predicted.append(case.image.name)
        return read(dataset, case)

    def saving(path: Path, *more: Any) -> None:
        written.append(path)
        save(path, *more)

    def finishing(training: loop.Training) -> Any:
        written.clear()
        finishes.append(True)
        return finish(training)

    monkeypatch.setattr(Dataset, "read_labelled", reading)
    monkeypatch.setattr(loop, "save_model", saving)
    monkeypatch.setattr(loop.Training, "_finish", finishing)
    run = learn(discs, tmp_path / "run")
    assert sorted(predicted) == ["0.png", "1.png", "2.png"]
    assert written == [run.model_path]
    assert {"thresholds", "calibration"} <= read_model_card(run.model_path).trained.keys(), "several selections"


def test_a_training_that_is_stopped_after_its_choices_makes_the_same_ones_again(
    discs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_thresholds, "MIN_OBJECTS", 10)
    expected = learn(discs, tmp_path / "straight").model_path.read_bytes()

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(loop.Training, "_write_summary", stop)
        with pytest.raises(Interrupted):
            learn(discs, tmp_path / "run")
    run = Run.open(tmp_path / "run")
    assert run.model_path.read_bytes() == expected
    assert read_model_card(run.model_path).target != run.config.target, "control: choices start from other thresholds"
    assert not run.summary_path.exists()
    train(discs, out=run.folder, resume=True, progress=Progress(), device="cpu")
    assert run.model_path.read_bytes() == expected
    assert run.summary_path.is_file()
