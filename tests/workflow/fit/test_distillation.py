"""Distillation of the ensemble into one network: it can be continued, and predicts as fast as one network."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pixelwise.datasets.dataset import detect_dataset
from pixelwise.errors import BadDataset, BadOption, BadRun, Interrupted
from pixelwise.io.read import write_image, write_mask
from pixelwise.model_file.model_file import load_network
from pixelwise.progress import Progress
from pixelwise.training.learner import Learner, StepResult
from pixelwise.workflow.evaluate import evaluate
from pixelwise.workflow.fit.distillation import with_training_images_as_val
from pixelwise.workflow.run import Run
from pixelwise.workflow.train import train

SMALL = (
    "network.base=4", "network.depth=2", "patches.height=32", "patches.width=32", "patches.batch=2",
    "training.precision=float32", "training.validate_every=2", "training.checkpoint_every=1",
)  # fmt: skip
FOLDS, STEPS = 2, 3


@pytest.fixture(scope="module")
def blocks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bright blocks on noise; the mask is where they are."""
    folder = tmp_path_factory.mktemp("blocks")
    for index in range(8):
        rng = np.random.default_rng(index)
        drawn = np.zeros((40, 48), np.uint8)
        top, left = rng.integers(2, 24, 2)
        drawn[top : top + 12, left : left + 14] = 1
        part = folder / ("test" if index > 5 else "train")
        pixels = rng.integers(0, 90, (1, 40, 48)) + 120 * drawn[None]
        write_image(part / f"images/b{index}.png", pixels.astype(np.uint8))
        write_mask(part / f"masks/b{index}.png", drawn * 255, [(0, 0, 0)] * 256)
    return folder


def learn(data: Path, out: Path, progress: Progress | None = None, **more: Any) -> Run:
    limits: dict[str, Any] = {"steps": STEPS, "folds": FOLDS, "distil": True, "overrides": SMALL, **more}
    return train(data, out=out, progress=progress or Progress(), **limits)


class Listener(Progress):
    """Records messages."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, *sentences: str) -> None:
        self.messages += sentences


@pytest.fixture(scope="module")
def taught(blocks: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Listener]:
    listener = Listener()
    return learn(blocks, tmp_path_factory.mktemp("taught") / "run", listener), listener


def test_the_student_is_one_network_that_has_seen_all_images(taught: tuple[Run, Listener], blocks: Path) -> None:
    run, listener = taught
    _, model_card = load_network(run.student.model_path)
    assert model_card.members == 1
    assert model_card.trained["distilled_from"] == "2 networks"
    assert model_card.trained["validation_images"] == "seen in training"
    assert run.student.splits["cases"]["val"] == []
    assert len(run.student.splits["cases"]["train"]) == 6
    (messages,) = (text for text in listener.messages if "It predicts as fast as one network" in text)
    assert (
        f"does not measure performance on new images; for that run: pixelwise evaluate {run.student.folder} {blocks}"
        in messages
    )
    assert evaluate(run.student.folder, blocks, progress=Progress())["split"] == "test"
    with pytest.raises(BadDataset, match=r"the val split; got none \(test 2, val 0, train 6\)"):
        evaluate(run.student.folder, blocks, split="val", progress=Progress())


def test_it_begins_with_the_weights_of_the_first_fold_and_hears_the_ensemble(
    taught: tuple[Run, Listener], blocks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = taught
    begun: list[tuple[bool, int]] = []
    step = Learner.step

    def seen(self: Learner, index: int, *batch: Any, **more: Any) -> StepResult:
        if self._teacher is not None and index == 0:
            wanted = load_network(tmp_path / "run/folds/1/model.safetensors")[0].state_dict()
            own = self.network.state_dict()
            same = all(bool((own[name] == value).all()) for name, value in wanted.items())
            begun.append((same, len(list(self._teacher.network.children()))))
        return step(self, index, *batch, **more)

    monkeypatch.setattr(Learner, "step", seen)
    again = learn(blocks, tmp_path / "run")
    assert begun == [(True, FOLDS)]
    assert again.student.model_path.read_bytes() == run.student.model_path.read_bytes()


def test_a_stopped_student_goes_on_to_the_same_bits(
    taught: tuple[Run, Listener], blocks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Learner.step

    def stopping(self: Learner, index: int, *batch: Any, **more: Any) -> StepResult:
        if self._teacher is not None and index == 2:
            raise KeyboardInterrupt
        return step(self, index, *batch, **more)

    with monkeypatch.context() as patched:
        patched.setattr(Learner, "step", stopping)
        with pytest.raises(Interrupted, match="the student"):
            learn(blocks, tmp_path / "run")
    listener = Listener()
    run = learn(blocks, tmp_path / "run", listener, resume=True)
    assert "All 2 folds are complete" in " ".join(listener.messages)
    assert "Continuing from the checkpoint of step 2." in listener.messages
    assert run.student.model_path.read_bytes() == taught[0].student.model_path.read_bytes()


def test_a_student_needs_an_ensemble_and_is_not_gone_on_with_alone(taught: tuple[Run, Listener], blocks: Path) -> None:
    with pytest.raises(BadOption, match="expected --distil with --folds; got no folds"):
        train(blocks, steps=1, distil=True, progress=Progress())
    with pytest.raises(BadRun, match="expected a complete run; got the student of"):
        train(blocks, out=taught[0].student.folder, resume=True, progress=Progress())


def test_some_training_images_are_in_the_validation_split(blocks: Path) -> None:
    dataset = with_training_images_as_val(detect_dataset(blocks), 3)
    assert len(dataset.splits["train"]) == 6
    assert [case.name for case in dataset.splits["val"]] == [case.name for case in dataset.splits["train"][::3]]
