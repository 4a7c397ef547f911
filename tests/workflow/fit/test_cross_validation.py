"""Cross-validation in small: out-of-fold scores, and the ensemble in one model file."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pixelwise.datasets.dataset import detect_dataset
from pixelwise.errors import BadDataset, BadModel, BadOption, BadRun, Interrupted
from pixelwise.inference.classification_model import ClassificationModel
from pixelwise.inference.segmentation_model import SegmentationModel
from pixelwise.io.read import read_image, read_mask, write_image, write_mask
from pixelwise.labels.targets import TargetOptions
from pixelwise.model_file.model_file import load_model, load_network, read_model_card
from pixelwise.networks.ensemble import Ensemble
from pixelwise.progress import Progress
from pixelwise.training.learner import Learner, StepResult
from pixelwise.workflow.evaluate import evaluate
from pixelwise.workflow.evaluation.out_of_fold import common_target
from pixelwise.workflow.export import export
from pixelwise.workflow.predict import load, predict
from pixelwise.workflow.report import report
from pixelwise.workflow.run import Run
from pixelwise.workflow.train import train

SMALL = (
    "network.base=4", "network.depth=2", "patches.height=32", "patches.width=32", "patches.batch=2",
    "training.precision=float32", "training.validate_every=2", "training.checkpoint_every=1",
)  # fmt: skip
FOLDS, STEPS = 3, 4


class Listener(Progress):
    """Records messages."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, *sentences: str) -> None:
        self.messages += sentences


def draw(folder: Path, count: int, first: int = 0) -> None:
    """Bright discs on noise; the mask is where they are."""
    rows, columns = np.mgrid[:48, :56]
    for index in range(first, first + count):
        rng = np.random.default_rng(index)
        row, column = rng.integers(14, 34, 2)
        disc = ((rows - row) ** 2 + (columns - column) ** 2 < 120).astype(np.uint8)
        pixels = rng.integers(0, 90, (1, 48, 56)) + 120 * disc[None]
        write_image(folder / f"images/d{index}.png", pixels.astype(np.uint8))
        write_mask(folder / f"masks/d{index}.png", disc * 255, [(0, 0, 0)] * 256)


@pytest.fixture(scope="module")
def discs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("discs")
    draw(folder / "train", 5)
    draw(folder / "val", 2, first=5)
    draw(folder / "test", 2, first=7)
    return folder


def learn(data: Path, out: Path, progress: Progress | None = None, **more: Any) -> Run:
    limits: dict[str, Any] = {"steps": STEPS, "folds": FOLDS, "overrides": SMALL, **more}
    return train(data, out=out, progress=progress or Progress(), **limits)


def without(rows: list[dict[str, Any]], names: tuple[str, ...]) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key not in names} for row in rows]


def counts_of(case: dict[str, Any]) -> list[tuple[float, float]]:
    """Predicted and true numbers and sizes of each class, without their intervals."""
    return [(row[kind]["predicted"], row[kind]["true"]) for row in case["quantities"] for kind in ("objects", "size")]


def plain(run: Run) -> SegmentationModel | ClassificationModel:
    """The model of a run, not calibrated."""
    model = load(run.folder)
    model.model_card = replace(model.model_card, temperature=1.0, doubt_temperature=None)
    return model


@pytest.fixture(scope="module")
def whole(discs: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Listener]:
    listener = Listener()
    return learn(discs, tmp_path_factory.mktemp("whole") / "run", listener), listener


def test_each_fold_is_a_run_that_never_saw_what_it_leaves_out(whole: tuple[Run, Listener]) -> None:
    run, _ = whole
    left_out = [set(names) for names in run.folds]
    assert sorted(name for names in left_out for name in names) == sorted(run.splits["cases"]["train"])
    for number, names in enumerate(left_out, 1):
        parts = run.fold(number).splits["cases"]
        assert set(parts["val"]) == names
        assert set(parts["train"]) == set(run.splits["cases"]["train"]) - names
        assert parts["test"] == ["test/d7", "test/d8"]
        config = run.fold(number).config
        assert (config.training.keep, config.training.patience) == ("last", 0)
        assert config.training.seed == number - 1
        assert read_model_card(run.fold(number).model_path).trained["step"] == str(STEPS)


def test_what_is_done_is_told(whole: tuple[Run, Listener]) -> None:
    messages = whole[1].messages
    assert "Assigned 7 labelled images to 3 folds of 3, 2, 2 with seed 0." in messages
    assert any(text.startswith("Plan for each of 3 folds: unet of depth 2") for text in messages)
    assert any("prediction takes 3 times as long as with one of them" in text for text in messages)
    assert any(text.startswith("Test-time augmentation on the validation") for text in messages)
    assert any("To score the ensemble on the test split: pixelwise evaluate" in text for text in messages)


def test_scores_out_of_fold_are_those_of_the_network_that_left_the_image_out(
    whole: tuple[Run, Listener], discs: Path
) -> None:
    run, _ = whole
    scores = json.loads((run.folder / "out_of_fold.json").read_text("utf-8"))
    assert scores["split"] == "out_of_fold"
    assert len(scores["cases"]) == 7
    assert scores["headline"]["low"] <= scores["headline"]["value"] <= scores["headline"]["high"]
    matrix = np.zeros((2, 2), np.int64)
    for number in range(1, FOLDS + 1):
        alone = evaluate(run.fold(number).folder, discs, split="val", progress=Progress())
        # the confidence is judged with the temperatures and margins of the other folds, and so are counts and sizes
        others = ("fold", "predicted_dice", "dice_lower_bound", "quantities")
        mine = [case for case in scores["cases"] if case["fold"] == number]
        assert sorted(without(mine, others), key=str) == sorted(without(alone["cases"], others), key=str)
        counted = [{case["name"]: counts_of(case) for case in cases} for cases in (mine, alone["cases"])]
        assert counted[0] == counted[1]
        assert scores["folds"][number - 1]["value"] == alone["headline"]["value"]
        matrix += np.array(alone["confusion"])
    assert scores["confusion"] == matrix.tolist()


def test_probabilities_are_kept_for_calibration(whole: tuple[Run, Listener], discs: Path) -> None:
    run, _ = whole
    kept = np.load(run.out_of_fold_path)
    names, folds = [str(name) for name in kept["names"]], kept["folds"].tolist()
    assert names == [name for left_out in run.folds for name in left_out]
    assert len(kept["truth"]) == len(kept["case"]) == len(kept["probabilities"]) == 7 * 48 * 56
    np.testing.assert_allclose(kept["probabilities"].astype(np.float32).sum(1), 1, atol=2e-3)
    case = 4
    model = load(run.fold(folds[case]).folder)
    (image,) = [c.image for c in detect_dataset(discs).cases if c.name == names[case]]
    pixels = read_image(image).pixels
    others = [number for number in range(1, FOLDS + 1) if number != folds[case]]
    model_cards = [load(run.fold(number).folder).model_card for number in others]
    sure = min(model_card.temperature for model_card in model_cards)  # the lower of two
    doubt = min(model_card.doubt_temperature or model_card.temperature for model_card in model_cards)
    model.model_card = replace(model.model_card, temperature=sure, doubt_temperature=doubt)
    probabilities = model.probabilities(pixels)
    mask = np.equal(model.predict(pixels), 1)
    truth = kept["truth"][kept["case"] == case]
    assert np.count_nonzero(truth) == np.count_nonzero(read_mask(image.parent.parent / "masks" / image.name).values)
    expected = 2 * probabilities[1][mask].sum() / (probabilities[1].sum() + mask.sum())
    assert kept["expected_dice"][case][1] == pytest.approx(expected, abs=1e-3)
    scores = json.loads((run.folder / "out_of_fold.json").read_text("utf-8"))
    np.testing.assert_allclose(kept["dice"][:, 1], [row["mean_dice"] for row in scores["cases"]], atol=1e-6)


def test_the_ensemble_is_one_file_that_says_the_mean_of_the_folds(
    whole: tuple[Run, Listener], rng: np.random.Generator
) -> None:
    run, _ = whole
    network, model_card = load_model(run.model_path)
    assert isinstance(network, Ensemble)
    assert model_card.members == FOLDS
    image = rng.integers(0, 256, (70, 90)).astype(np.uint8)
    each = [plain(run.fold(number)).probabilities(image) for number in range(1, FOLDS + 1)]
    together = plain(run).probabilities(image)
    np.testing.assert_allclose(together, np.mean(each, 0), atol=2e-3)  # half precision
    assert max(np.abs(one - together).max() for one in each) > 5e-3, "a control: the members differ"


def test_every_verb_takes_an_ensemble(whole: tuple[Run, Listener], discs: Path, tmp_path: Path) -> None:
    run, listener = whole[0], Listener()
    found = predict(run.folder, [discs / "test/images"], tmp_path / "out", progress=listener)
    assert not found.failed
    assert "Ensemble of 3 networks: prediction takes 3 times as long as with one." in listener.messages
    assert evaluate(run.folder, discs, progress=Progress())["split"] == "test"
    assert "The folds" in report(run.folder, progress=Progress()).read_text("utf-8")
    out = tmp_path / "model.onnx"
    export(run.folder, out=out, progress=Progress())  # proven against the ensemble, or it fails
    image = read_image(discs / "test/images/d7.png").pixels
    np.testing.assert_allclose(load(out).probabilities(image), load(run.folder).probabilities(image), atol=2e-3)
    with pytest.raises(BadModel, match="expected a model of one network; got an ensemble of 3"):
        load_network(run.model_path)


def test_images_of_the_folds_are_no_validation_of_the_ensemble(whole: tuple[Run, Listener], discs: Path) -> None:
    run, _ = whole
    with pytest.raises(BadDataset, match=r"labelled images in the val split; got none \(test 2, val 0, train 7\)"):
        evaluate(run.folder, discs, split="val", progress=Progress())
    again = evaluate(run.folder, discs, split="out_of_fold", progress=Progress())
    assert again == json.loads((run.folder / "out_of_fold.json").read_text("utf-8"))
    with pytest.raises(BadOption, match="expected a run with folds for out_of_fold; got one without"):
        evaluate(run.fold(1).folder, discs, split="out_of_fold", progress=Progress())


def bits(run: Run) -> dict[str, bytes]:
    models = [run.model_path, *(run.fold(number).model_path for number in range(1, FOLDS + 1))]
    return {str(path.relative_to(run.folder)): path.read_bytes() for path in [*models, run.scores_path]}


@pytest.mark.parametrize("fold", [pytest.param(1, marks=pytest.mark.slow), 2, pytest.param(3, marks=pytest.mark.slow)])
def test_a_stopped_run_goes_on_in_the_fold_where_it_was_stopped(
    whole: tuple[Run, Listener], discs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fold: int
) -> None:
    step, taken = Learner.step, 0

    def stopping(self: Learner, index: int, *batch: Any, **more: Any) -> StepResult:
        nonlocal taken
        taken += self.options.keep == "last"
        if taken == (fold - 1) * STEPS + 3:
            raise KeyboardInterrupt
        return step(self, index, *batch, **more)

    with monkeypatch.context() as patched:
        patched.setattr(Learner, "step", stopping)
        with pytest.raises(Interrupted) as caught:
            learn(discs, tmp_path / "run")
    assert f"fold {fold} of 3" in str(caught.value)
    assert f"Continue with: pixelwise train {discs} --out {tmp_path / 'run'} --resume" in str(caught.value)
    run, listener = Run(tmp_path / "run"), Listener()
    done = {number: run.fold(number).model_path.stat().st_mtime_ns for number in range(1, fold)}
    learn(discs, run.folder, listener, resume=True)
    assert {number: run.fold(number).model_path.stat().st_mtime_ns for number in done} == done
    assert [text for text in listener.messages if text.startswith("Continuing from the checkpoint")] == [
        "Continuing from the checkpoint of step 2."
    ]
    evaluate(whole[0].folder, discs, split="out_of_fold", progress=Progress())
    assert bits(run) == bits(whole[0])


def test_a_finished_run_and_a_single_fold_are_not_gone_on_with(whole: tuple[Run, Listener], discs: Path) -> None:
    run, listener = whole[0], Listener()
    before = bits(run)
    learn(discs, run.folder, listener, resume=True)
    assert f"All 3 folds are complete; the ensemble is {run.model_path}." in listener.messages
    assert bits(run) == before
    with pytest.raises(BadRun, match=r"expected a complete run; got fold 2 of .* Continue with: pixelwise train"):
        train(discs, out=run.fold(2).folder, resume=True, progress=Progress())
    with pytest.raises(BadOption, match="got --folds 5"):
        learn(discs, run.folder, folds=5, resume=True)


def test_a_budget_is_shared_out(discs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """How well it is kept is a matter of the clock; here the plan is looked at, and no step is taken."""

    def halt(self: Learner) -> StepResult:
        raise KeyboardInterrupt

    step = Learner.step

    def only_probes(self: Learner, *batch: Any, **more: Any) -> StepResult:
        return halt(self) if self.options.keep == "last" else step(self, *batch, **more)

    monkeypatch.setattr(Learner, "step", only_probes)
    listener = Listener()
    with pytest.raises(Interrupted):
        train(discs, out=tmp_path / "run", folds=2, budget="60s", overrides=SMALL, progress=listener)
    run = Run(tmp_path / "run")
    share = run.config.training.budget
    assert share is not None
    assert 15 < share < 30
    assert run.read_json("folds.json")["seconds"] == 60.0
    assert any("for each of 2 folds" in text for text in listener.messages)
    with pytest.raises(BadOption, match=r"a budget of at least 10 s per fold; got .* of 7 folds, 30 s in total"):
        train(discs, out=tmp_path / "short", folds=7, budget="30s", overrides=SMALL, progress=Progress())


def test_photos_are_cross_validated_too(tmp_path: Path) -> None:
    for index in range(12):
        rng = np.random.default_rng(index)
        pixels = rng.integers(0, 120, (3, 16, 16)) + 100 * (index % 2)
        write_image(tmp_path / "photos" / ("dark", "light")[index % 2] / f"p{index}.png", pixels.astype(np.uint8))
    run = train(
        tmp_path / "photos", out=tmp_path / "run", folds=2, steps=3, progress=Progress(),
        overrides=("network.base=4", "classification.batch=4", "training.precision=float32"),
    )  # fmt: skip
    scores = run.read_json("scores.json")
    assert len(scores["cases"]) == 12
    assert scores["task"] == "classification"
    kept = np.load(run.out_of_fold_path)
    assert kept["probabilities"].shape == (12, 2)
    pixels = np.random.default_rng(99).integers(0, 220, (3, 16, 16)).astype(np.uint8)
    each = [plain(run.fold(number)).probabilities(pixels) for number in (1, 2)]
    np.testing.assert_allclose(plain(run).probabilities(pixels), np.mean(each, 0), atol=1e-5)
    assert 0 <= scores["confidence"]["ece_after"] <= 1


def test_thresholds_of_several_folds_become_one() -> None:
    targets = [TargetOptions(kind="boundary", seed_threshold=t, min_area=a) for t, a in ((0.3, 9), (0.5, 4), (0.8, 0))]
    assert common_target(targets) == TargetOptions(kind="boundary", seed_threshold=0.5, min_area=4)
    assert common_target(targets[:2]).seed_threshold == 0.3, "a value that was chosen, not one in between"
    depths = [TargetOptions(split_depth=depth, split_threshold=0.9) for depth in (0, 5, 9)]
    assert common_target(depths) == TargetOptions(split_depth=5, split_threshold=0.9)
