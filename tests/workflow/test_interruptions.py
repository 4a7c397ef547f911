"""A training that is stopped after its last step ends with a line, and keeps the true notes of what was chosen."""

import signal
from pathlib import Path
from typing import Any

import pytest

from drawn import image, save
from pixelwise.datasets.synthetic import write_demo
from pixelwise.errors import Interrupted
from pixelwise.model_file.model_file import read_model_card
from pixelwise.progress import Progress
from pixelwise.workflow.fit import segmentation_task
from pixelwise.workflow.fit.loop import Training
from pixelwise.workflow.fit.segmentation_task import SegmentationTask
from pixelwise.workflow.predict import predict
from pixelwise.workflow.prediction import large
from pixelwise.workflow.prediction.options import PredictOptions
from pixelwise.workflow.run import Run
from pixelwise.workflow.train import train
from tiny import write_model

SETTINGS = (
    "network.base=2", "network.depth=2", "patches.height=32", "patches.width=32", "patches.batch=2",
    "training.precision=float32", "training.validate_every=2", "training.threads=1",
)  # fmt: skip
NOTE = "The last weights were chosen."


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "cells"
    write_demo(folder, train=3, val=2, test=1, size=64)
    return folder


@pytest.fixture(autouse=True)
def last_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first validation counts as the best, and the last weights are chosen for the objects."""
    scores = iter([0.9, *[0.1] * 20])
    monkeypatch.setattr(SegmentationTask, "score", lambda *_: next(scores))
    monkeypatch.setattr(segmentation_task, "choose_weights", lambda each, *_: (len(each) - 1, NOTE))


def learn(data: Path, out: Path, **more: Any) -> Run:
    return train(data, out=out, overrides=SETTINGS, progress=Progress(), **more)


@pytest.fixture
def whole(data: Path, tmp_path: Path) -> bytes:
    """The model of a training that nobody stopped."""
    run = learn(data, tmp_path / "whole", steps=4)
    card = read_model_card(run.model_path)
    assert card.trained["weights"] == NOTE
    assert card.trained["step"] == "4"
    return run.model_path.read_bytes()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda one: one.name)
def test_a_signal_after_the_last_step_ends_with_a_line(
    number: signal.Signals, data: Path, tmp_path: Path, whole: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish, before = SegmentationTask.finish, signal.getsignal(signal.SIGTERM)

    def stop(*arguments: Any) -> Any:
        signal.raise_signal(number)
        return finish(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(SegmentationTask, "finish", stop)
        with pytest.raises(Interrupted) as caught:
            learn(data, tmp_path / "run", steps=4)
    assert caught.value.exit_code == 75
    assert "--resume" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert signal.getsignal(signal.SIGTERM) == before
    assert learn(data, tmp_path / "run", resume=True).model_path.read_bytes() == whole


@pytest.mark.parametrize("moment", ["_finish", "_write_summary"])
def test_a_resumed_finish_keeps_its_notes(
    moment: str, data: Path, tmp_path: Path, whole: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ended before the choices, or between them and the summary."""

    def end(*_: Any) -> None:
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr(Training, moment, end)
        with pytest.raises(SystemExit):
            learn(data, tmp_path / "run", steps=4)
    run = learn(data, tmp_path / "run", resume=True)
    assert run.model_path.read_bytes() == whole
    assert run.read_json("summary.json")["best_step"] == 4
    again = learn(data, tmp_path / "run", resume=True)
    assert again.model_path.read_bytes() == whole, "a finished run stays as it is"


def test_control_choices_are_not_made_twice(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made again from the chosen weights, they would lose the note: the others are no longer there to compare."""
    run = learn(data, tmp_path / "run", steps=4)
    calls: list[int] = []
    finish = SegmentationTask.finish

    def count(self: SegmentationTask, models: Any, seconds: float | None) -> Any:
        calls.append(len(models))
        return finish(self, models, seconds)

    monkeypatch.setattr(SegmentationTask, "finish", count)
    learn(data, run.folder, resume=True)
    assert calls == []


def test_an_image_ended_between_its_result_and_its_record_is_predicted_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same command goes on, instead of refusing the result that is there."""
    images, model, options = tmp_path / "images", tmp_path / "model.safetensors", PredictOptions(format="tiff")
    for seed in range(2):
        save(images / f"{seed}.png", image(seed))
    write_model(model)
    predict(model, [images], tmp_path / "whole", options, progress=Progress())
    write = large.atomic_write_text

    def end(path: Path, text: str) -> None:
        if text != large.BEGUN:
            raise SystemExit
        write(path, text)

    with monkeypatch.context() as patched:
        patched.setattr(large, "atomic_write_text", end)
        with pytest.raises(SystemExit):
            predict(model, [images], tmp_path / "out", options, progress=Progress())
    assert (tmp_path / "out" / "0.tif").exists()
    predict(model, [images], tmp_path / "out", options, progress=Progress())
    whole, out = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("whole", "out"))
    assert out == whole
