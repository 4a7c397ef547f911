"""A small forecast: trainings on subsets of synthetic discs, a learning curve, and the images to label next."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pixelwise.active_learning import measured_speed, subset_trainings
from pixelwise.active_learning.forecast import forecast
from pixelwise.active_learning.plan import read_plan
from pixelwise.active_learning.results import Forecast
from pixelwise.active_learning.schedule import SubsetTraining
from pixelwise.datasets.dataset import DataOptions, detect_dataset
from pixelwise.errors import BadDataset, BadOption, BadRun, Interrupted, OutputFailed
from pixelwise.io.read import write_image, write_mask
from pixelwise.progress import Progress
from pixelwise.training.learner import Learner, StepResult
from pixelwise.workflow.config import with_settings
from pixelwise.workflow.evaluate import evaluate
from pixelwise.workflow.run import Run

SMALL = (
    "network.base=4", "network.depth=2", "patches.height=32", "patches.width=32", "patches.batch=2",
    "training.precision=float32",
)  # fmt: skip
STEPS = 3
TRAININGS = ["2-1", "4-1", "7-1", "2-2", "4-2", "7-2"]


class Listener(Progress):
    """Records messages."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, *sentences: str) -> None:
        self.messages += sentences


def draw(folder: Path, count: int, first: int = 0, *, masks: bool = True) -> None:
    """Write images of a bright disc on noise, with its mask."""
    rows, columns = np.mgrid[:48, :56]
    for index in range(first, first + count):
        rng = np.random.default_rng(index)
        row, column = rng.integers(14, 34, 2)
        disc = ((rows - row) ** 2 + (columns - column) ** 2 < 120).astype(np.uint8)
        pixels = rng.integers(0, 90, (1, 48, 56)) + 120 * disc[None]
        write_image(folder / f"images/d{index}.png", pixels.astype(np.uint8))
        if masks:
            write_mask(folder / f"masks/d{index}.png", disc * 255, [(0, 0, 0)] * 256)


@pytest.fixture(scope="module")
def discs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven labelled training images, three for validation, three unlabelled ones, and a folder of candidates."""
    folder = tmp_path_factory.mktemp("discs")
    draw(folder / "data/train", 7)
    draw(folder / "data/train", 3, first=7, masks=False)
    draw(folder / "data/val", 3, first=10)
    draw(folder / "others", 2, first=13, masks=False)
    (folder / "others/images/broken.png").write_bytes(b"no picture")
    return folder


def run_forecast(data: Path, out: Path, progress: Progress | None = None, **more: Any) -> Forecast:
    given: dict[str, Any] = {"steps": STEPS, "overrides": SMALL, "progress": progress or Progress(), **more}
    return forecast(data / "data", out=out, **given)


@pytest.fixture(scope="module")
def whole(discs: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Forecast, Listener]:
    listener = Listener()
    out = tmp_path_factory.mktemp("whole") / "ahead"
    return run_forecast(discs, out, listener, unlabelled=discs / "others/images"), listener


def run_of(result: Forecast, name: str) -> Run:
    return Run(result.folder / "trainings" / name)


def test_subsets_are_nested_and_trainings_select_nothing(whole: tuple[Forecast, Listener]) -> None:
    result, _ = whole
    assert sorted(path.name for path in (result.folder / "trainings").iterdir()) == sorted(TRAININGS)
    parts = {name: set(run_of(result, name).splits["cases"]["train"]) for name in TRAININGS}
    for repeat in (1, 2):
        assert parts[f"2-{repeat}"] < parts[f"4-{repeat}"] < parts[f"7-{repeat}"]
    assert parts["4-1"] != parts["4-2"]
    configs = [run_of(result, name).config.training for name in TRAININGS]
    assert len({config.seed for config in configs}) == len(TRAININGS)
    for name, config in zip(TRAININGS, configs, strict=True):
        assert (config.steps, config.budget, config.keep, config.tune, config.patience) == (
            STEPS,
            None,
            "last",
            False,
            0,
        )
        assert run_of(result, name).read_json("summary.json")["steps"] == STEPS
        assert len(run_of(result, name).splits["cases"]["val"]) == 3


def test_scores_agree_with_evaluate(whole: tuple[Forecast, Listener], discs: Path) -> None:
    result, _ = whole
    with (result.folder / "forecast.csv").open(newline="") as file:
        rows = {f"{row['masks']}-{row['repeat']}": float(row["score"]) for row in csv.DictReader(file)}
    assert sorted(rows) == sorted(TRAININGS)
    for name in ("2-1", "7-2"):
        scores = evaluate(run_of(result, name).folder, discs / "data", split="val", progress=Progress())
        assert rows[name] == pytest.approx(scores["headline"]["value"], abs=1e-6)


def test_the_plan_is_reported_first_and_the_forecast_last(whole: tuple[Forecast, Listener]) -> None:
    result, listener = whole
    messages = listener.messages
    assert any("6 unlabelled images" in text for text in messages)
    plan = next(text for text in messages if text.startswith("Forecast: "))
    assert plan.startswith("Forecast: 6 trainings of 3 steps, on 2, 4 and all 7 labelled images, each twice")
    assert plan.endswith("scored on the same 3 validation images.")
    assert messages.index(plan) < next(
        i for i, text in enumerate(messages) if text.startswith("Training 1 of 6, on 2 images:")
    )
    assert any("broken.png" in text for text in messages)
    lines = result.to_text().splitlines()
    assert lines[0].startswith("With 10 more masks: mean Dice ")
    assert lines[1].startswith("With 50 more masks: mean Dice ")
    assert lines[2].startswith("The forecast is unreliable: ")
    assert "3 validation images cannot determine the score" in lines[2]
    assert lines[-1].startswith("Label next: ")


def test_the_record_is_json_without_nan_and_agrees_with_the_curve(whole: tuple[Forecast, Listener]) -> None:
    result, _ = whole
    record = json.loads((result.folder / "forecast.json").read_text("utf-8"))
    assert record == json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert (record["score"], record["masks"], record["validation_images"], record["level"]) == ("mean_dice", 7, 3, 0.8)
    curve, ten = record["curve"], record["more"][0]
    assert ten["value"] == pytest.approx(curve["limit"] - curve["drop"] * 17 ** -curve["bend"], abs=1e-4)
    assert ten["low"] <= ten["value"] <= ten["high"]
    assert ten["gain"]["value"] == pytest.approx(ten["value"] - record["now"]["value"], abs=1e-4)
    assert [row["image"] for row in record["label_next"]] == [str(c.image) for c in result.ranking.candidates]


def test_unlabelled_images_are_ranked_and_unreadable_ones_reported(
    whole: tuple[Forecast, Listener], discs: Path
) -> None:
    result, _ = whole
    with (result.folder / "label_next.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["rank"] for row in rows] == ["1", "2", "3", "4", "5"]
    assert sorted(Path(row["image"]).name for row in rows) == ["d13.png", "d14.png", "d7.png", "d8.png", "d9.png"]
    assert all(row["why"] for row in rows)
    assert all(0 <= float(row["mutual_information"]) <= 1 and 0 <= float(row["uncertainty"]) <= 0.5 for row in rows)
    assert [path.name for path, _ in result.ranking.failed] == ["broken.png"]
    assert result.ranking.found == 6


def test_pictures_and_page_are_written_and_nothing_beside_the_images(
    whole: tuple[Forecast, Listener], discs: Path
) -> None:
    result, _ = whole
    for name in ("learning_curve.png", "label_next.png"):
        assert (result.folder / name).read_bytes().startswith(b"\x89PNG")
    page = (result.folder / "report.html").read_text("utf-8")
    assert "learning curve" in page
    assert page.count("data:image/") == 2
    assert sorted(path.name for path in (discs / "data").iterdir()) == ["train", "val"]


def test_a_finished_forecast_answers_other_questions_without_training(
    whole: tuple[Forecast, Listener], discs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result, _ = whole

    def refuse(*_: Any, **__: Any) -> StepResult:
        raise AssertionError("nothing is left to train")

    monkeypatch.setattr(Learner, "step", refuse)
    again = run_forecast(discs, result.folder, more=(5,))
    assert again.projection.curve == result.projection.curve
    assert [row["more"] for row in again.to_json()["more"]] == [5]
    assert again.ranking.found == 3, "those of the data alone"


def stopping(at: int) -> Any:
    """Replace a training step to interrupt the given step of the forecast; measurements before it do not count."""
    step, taken = Learner.step, 0

    def stop(self: Learner, index: int, *batch: Any, **more: Any) -> StepResult:
        nonlocal taken
        taken += self.options.keep == "last"
        if taken == at:
            raise KeyboardInterrupt
        return step(self, index, *batch, **more)

    return stop


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four training images and two for validation: the minimum."""
    folder = tmp_path_factory.mktemp("few")
    draw(folder / "data/train", 4)
    draw(folder / "data/val", 2, first=10)
    return folder


def test_an_interrupted_forecast_resumes_and_keeps_finished_trainings(
    few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "ahead"
    with monkeypatch.context() as patched:
        patched.setattr(Learner, "step", stopping(at=STEPS + 2))
        messages = r"training 2 of 4\. The state is saved\. Continue with: the same command"
        with pytest.raises(Interrupted, match=messages):
            run_forecast(few, out)
    first = (out / "trainings/2-1/model.safetensors").stat().st_mtime_ns
    listener = Listener()
    result = run_forecast(few, out, listener)
    assert f"Resuming the forecast in {out}." in listener.messages
    assert "Training 1 of 4, on 2 images (already finished):" in " ".join(listener.messages)
    assert (out / "trainings/2-1/model.safetensors").stat().st_mtime_ns == first
    assert [row[:2] for row in result.rows()] == [(2, 1), (2, 2), (4, 1), (4, 2)]


def test_trainings_beyond_the_deadline_are_skipped_and_run_later(
    few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(
            subset_trainings.SubsetTrainings, "_exceeds_deadline", lambda self, finished, seconds: len(finished) > 2
        )
        listener = Listener()
        result = run_forecast(few, tmp_path / "ahead", listener, steps=1)
    assert [row[:2] for row in result.rows()] == [(2, 1), (2, 2), (4, 1)]
    assert any(text.startswith("1 training is skipped: a step takes longer") for text in listener.messages)
    assert len(run_forecast(few, tmp_path / "ahead", steps=1).rows()) == 4


def test_only_dispensable_trainings_are_skipped(whole: tuple[Forecast, Listener], discs: Path) -> None:
    dataset = detect_dataset(discs / "data", DataOptions(allow_missing=True))
    requested = json.loads((whole[0].folder / "begun.json").read_text("utf-8"))["requested"]
    plan = read_plan(whole[0].folder, dataset, requested, Progress())
    given = whole[0].folder, plan, dataset, "cpu", Progress()
    late, never = (
        subset_trainings.SubsetTrainings(*given, deadline=0.0),
        subset_trainings.SubsetTrainings(*given, deadline=None),
    )
    trainings = plan.schedule.trainings
    assert [late._exceeds_deadline(trainings[:count], [1.0]) for count in range(6)] == [False] * 4 + [True] * 2
    assert not late._exceeds_deadline(trainings[:5], []), "the first of a call is always run"
    assert not never._exceeds_deadline(trainings[:5], [1e9])


@pytest.mark.parametrize(
    ("took", "planned", "steps", "after"),
    [
        (10.0, 10.0, 100, 100),  # as planned
        (14.0, 10.0, 100, 100),  # near enough
        (2.0, 10.0, 100, 483),  # 60 s less 2 are left for six trainings: 100 * 58 / 6 / 2
        (14.9, 10.0, 100, 100),  # the four that the curve needs still end in time
        (18.0, 10.0, 200, 116),  # they would not: 200 * 42 / 4 / 18
        (18.0, 10.0, 80, 80),  # 46 steps would be too few
    ],
)
def test_the_first_training_sets_the_number_of_steps(
    whole: tuple[Forecast, Listener],
    discs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    took: float,
    planned: float,
    steps: int,
    after: int,
) -> None:
    clock = 0.0

    class Clocked(subset_trainings.SubsetTrainings):
        def train(self, training: SubsetTraining) -> None:
            nonlocal clock
            clock += took
            self.run_of(training).folder.mkdir(parents=True)

    monkeypatch.setattr(measured_speed.time, "monotonic", lambda: clock)
    dataset = detect_dataset(discs / "data", DataOptions(allow_missing=True))
    requested = json.loads((whole[0].folder / "begun.json").read_text("utf-8"))["requested"]
    plan = read_plan(whole[0].folder, dataset, requested, Progress())
    plan = replace(plan, config=with_settings(plan.config, {"training.steps": steps}, {}))
    given = tmp_path, plan, dataset, "cpu", Progress()
    result = measured_speed.find_speed(Clocked(*given, deadline=6 * planned))
    assert result.plan.config.training.steps == after
    assert (tmp_path / "trainings/2-1").exists() == (after == steps), "repeated with other steps"
    again = read_plan(tmp_path, dataset, requested, Progress())
    assert (again.config.training.steps, again.speed_measured) == (after, True)
    assert measured_speed.find_speed(Clocked(tmp_path, again, *given[2:], deadline=1e9)).plan is again, "once"
    fixed = replace(plan, config=replace(plan.config, origins={"training.steps": "user"}))
    assert measured_speed.find_speed(Clocked(tmp_path / "fixed", fixed, *given[2:], deadline=1e9)).plan is fixed
    assert measured_speed.find_speed(Clocked(tmp_path / "free", plan, *given[2:], deadline=None)).plan is plan


def test_other_options_for_the_trainings_are_rejected(whole: tuple[Forecast, Listener], discs: Path) -> None:
    folder = whole[0].folder
    with pytest.raises(BadOption, match=r"expected --seed as in the existing forecast \(0\); got 1\."):
        run_forecast(discs, folder, seed=1)
    with pytest.raises(BadOption, match=r"expected --steps as in the existing forecast \(3\); got 4"):
        run_forecast(discs, folder, steps=4)


def test_changed_data_are_rejected(few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(few / "data", tmp_path / "data")
    monkeypatch.setattr(Learner, "step", stopping(at=1))
    with pytest.raises(Interrupted, match="training 1 of 4"):
        run_forecast(tmp_path, tmp_path / "ahead")
    (tmp_path / "data/train/masks/d3.png").unlink()
    with pytest.raises(BadRun, match=r"images of the existing forecast; got 1 different case, such as train/d3"):
        run_forecast(tmp_path, tmp_path / "ahead")


def test_invalid_folders_and_options_are_rejected_before_any_work(discs: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputFailed, match="nothing is ever written next to your images"):
        run_forecast(discs, discs / "data/ahead")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken/letter.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(OutputFailed, match="expected a new or empty folder, or that of a forecast"):
        run_forecast(discs, tmp_path / "taken")
    with pytest.raises(BadOption, match=r"expected positive numbers of masks for --more; got 10, 0"):
        run_forecast(discs, tmp_path / "new", more=(10, 0))
    with pytest.raises(BadOption, match=r"one of --budget, --steps, --epochs; got seconds and steps"):
        run_forecast(discs, tmp_path / "new", budget="10m")
    with pytest.raises(BadDataset, match="an image or a folder of images; got a path that does not exist"):
        run_forecast(discs, tmp_path / "new", unlabelled=tmp_path / "nowhere")
    assert not (tmp_path / "new").exists()


def test_class_folders_are_rejected(tmp_path: Path) -> None:
    for index in range(12):
        pixels = np.random.default_rng(index).integers(0, 120, (3, 16, 16)) + 100 * (index % 2)
        write_image(tmp_path / "data" / ("dark", "light")[index % 2] / f"p{index}.png", pixels.astype(np.uint8))
    with pytest.raises(BadDataset, match="expected images with semantic or instance masks; got a folder per class"):
        run_forecast(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_objects_are_forecast_by_their_mean_ap(tmp_path: Path) -> None:
    rows, columns = np.mgrid[:48, :56]
    for index in range(5):
        rng = np.random.default_rng(index)
        labels = np.zeros((48, 56), np.uint16)
        for number, (row, column) in enumerate(((12, 14), (12, 40), (34, 14), (34, 40)), 1):
            labels[(rows - row) ** 2 + (columns - column) ** 2 < rng.integers(40, 80)] = number
        pixels = rng.integers(0, 60, (1, 48, 56)) + 150 * (labels > 0)[None]
        write_image(tmp_path / f"data/images/o{index}.png", pixels.astype(np.uint8))
        write_image(tmp_path / f"data/masks/o{index}.png", labels[None])
    result = run_forecast(tmp_path, tmp_path / "ahead", steps=1, options=DataOptions(task="instance"))
    assert result.score == "mean_ap"
    assert result.to_text().startswith("With 10 more masks: mean AP ")
    assert result.describe_next().startswith("No unlabelled images to rank")
    assert not (result.folder / "label_next.csv").exists()


@pytest.mark.slow
def test_a_budget_is_shared_out_in_equal_trainings(few: Path, tmp_path: Path) -> None:
    """Check the trainings; how well the budget is kept depends on the clock."""
    result = run_forecast(few, tmp_path / "ahead", steps=None, budget="75s")
    plan = json.loads((tmp_path / "ahead/begun.json").read_text("utf-8"))
    assert (plan["requested"]["--budget"], plan["speed_measured"]) == (75, True)
    configs = [run_of(result, f"{masks}-{repeat}").config.training for masks, repeat, _ in result.rows()]
    assert len({config.steps for config in configs}) == 1
    assert result.steps == configs[0].steps > STEPS
