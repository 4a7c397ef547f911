"""A forecast in small: trainings on parts of drawn discs, a curve through their scores, and what to label next."""

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
from pixelwise.active_learning.plan import reopen
from pixelwise.active_learning.results import Forecast
from pixelwise.active_learning.schedule import SubsetTraining
from pixelwise.datasets.dataset import DataOptions, understand
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
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, *sentences: str) -> None:
        self.messages += sentences


def draw(folder: Path, count: int, first: int = 0, *, masks: bool = True) -> None:
    """Bright discs on noise; the mask is where they are."""
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
    """Seven images to learn from, three that score, three in training without a mask, and a folder of others."""
    folder = tmp_path_factory.mktemp("discs")
    draw(folder / "data/train", 7)
    draw(folder / "data/train", 3, first=7, masks=False)
    draw(folder / "data/val", 3, first=10)
    draw(folder / "others", 2, first=13, masks=False)
    (folder / "others/images/broken.png").write_bytes(b"no picture")
    return folder


def ahead(data: Path, out: Path, progress: Progress | None = None, **more: Any) -> Forecast:
    given: dict[str, Any] = {"steps": STEPS, "overrides": SMALL, "progress": progress or Progress(), **more}
    return forecast(data / "data", out=out, **given)


@pytest.fixture(scope="module")
def whole(discs: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Forecast, Listener]:
    listener = Listener()
    out = tmp_path_factory.mktemp("whole") / "ahead"
    return ahead(discs, out, listener, unlabelled=discs / "others/images"), listener


def run_of(found: Forecast, name: str) -> Run:
    return Run(found.folder / "trainings" / name)


def test_trainings_are_nested_equal_and_choose_nothing(whole: tuple[Forecast, Listener]) -> None:
    found, _ = whole
    assert sorted(path.name for path in (found.folder / "trainings").iterdir()) == sorted(TRAININGS)
    parts = {name: set(run_of(found, name).splits["parts"]["train"]) for name in TRAININGS}
    for repeat in (1, 2):
        assert parts[f"2-{repeat}"] < parts[f"4-{repeat}"] < parts[f"7-{repeat}"]
    assert parts["4-1"] != parts["4-2"]
    configs = [run_of(found, name).config.training for name in TRAININGS]
    assert len({config.seed for config in configs}) == len(TRAININGS)
    for name, config in zip(TRAININGS, configs, strict=True):
        assert (config.steps, config.budget, config.keep, config.tune, config.patience) == (
            STEPS,
            None,
            "last",
            False,
            0,
        )
        assert run_of(found, name).read_json("summary.json")["steps"] == STEPS
        assert len(run_of(found, name).splits["parts"]["val"]) == 3


def test_scores_are_those_that_evaluate_tells(whole: tuple[Forecast, Listener], discs: Path) -> None:
    found, _ = whole
    with (found.folder / "forecast.csv").open(newline="") as file:
        rows = {f"{row['masks']}-{row['repeat']}": float(row["score"]) for row in csv.DictReader(file)}
    assert sorted(rows) == sorted(TRAININGS)
    for name in ("2-1", "7-2"):
        scores = evaluate(run_of(found, name).folder, discs / "data", part="val", progress=Progress())
        assert rows[name] == pytest.approx(scores["headline"]["value"], abs=1e-6)


def test_what_is_understood_is_told_before_and_the_forecast_after(whole: tuple[Forecast, Listener]) -> None:
    found, listener = whole
    messages = listener.messages
    assert "6 images have no mask, to choose from for labelling." in messages
    plan = next(text for text in messages if text.startswith("Forecast: "))
    expected = "6 trainings of 3 steps, on 2, 4 and all 7 labelled images, each twice with other images"
    assert plan.startswith(f"Forecast: {expected}")
    assert plan.endswith("scored on the same 3 validation images.")
    assert messages.index(plan) < next(
        i for i, text in enumerate(messages) if text.startswith("Training 1 of 6, on 2 images:")
    )
    assert any("broken.png" in text for text in messages)
    lines = found.to_text().splitlines()
    assert lines[0].startswith("With 10 more masks: mean Dice ")
    assert lines[1].startswith("With 50 more masks: mean Dice ")
    assert lines[2].startswith("That says little: ")
    assert "3 validation images can hardly tell the score itself" in lines[2]
    assert lines[-1].startswith("Label next: ")


def test_the_record_is_json_without_nan_and_agrees_with_the_curve(whole: tuple[Forecast, Listener]) -> None:
    found, _ = whole
    record = json.loads((found.folder / "forecast.json").read_text("utf-8"))
    assert record == json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert (record["score"], record["masks"], record["validation_images"], record["level"]) == ("mean_dice", 7, 3, 0.8)
    curve, ten = record["curve"], record["more"][0]
    assert ten["value"] == pytest.approx(curve["limit"] - curve["drop"] * 17 ** -curve["bend"], abs=1e-4)
    assert ten["low"] <= ten["value"] <= ten["high"]
    assert ten["gain"]["value"] == pytest.approx(ten["value"] - record["now"]["value"], abs=1e-4)
    assert [row["image"] for row in record["label_next"]] == [str(c.image) for c in found.ranking.candidates]


def test_unlabelled_images_are_ranked_and_a_bad_one_is_named(whole: tuple[Forecast, Listener], discs: Path) -> None:
    found, _ = whole
    with (found.folder / "label_next.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["rank"] for row in rows] == ["1", "2", "3", "4", "5"]
    assert sorted(Path(row["image"]).name for row in rows) == ["d13.png", "d14.png", "d7.png", "d8.png", "d9.png"]
    assert all(row["why"] for row in rows)
    assert all(0 <= float(row["disagreement"]) <= 1 and 0 <= float(row["uncertainty"]) <= 0.5 for row in rows)
    assert [path.name for path, _ in found.ranking.failed] == ["broken.png"]
    assert found.ranking.found == 6


def test_pictures_and_page_are_written_and_nothing_beside_the_images(
    whole: tuple[Forecast, Listener], discs: Path
) -> None:
    found, _ = whole
    for name in ("learning_curve.png", "label_next.png"):
        assert (found.folder / name).read_bytes().startswith(b"\x89PNG")
    page = (found.folder / "report.html").read_text("utf-8")
    assert "what more masks would bring" in page
    assert page.count("data:image/") == 2
    assert sorted(path.name for path in (discs / "data").iterdir()) == ["train", "val"]


def test_a_finished_forecast_answers_other_questions_without_training(
    whole: tuple[Forecast, Listener], discs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, _ = whole

    def refuse(*_: Any, **__: Any) -> StepResult:
        raise AssertionError("nothing is left to train")

    monkeypatch.setattr(Learner, "step", refuse)
    again = ahead(discs, found.folder, more=(5,))
    assert again.outlook.curve == found.outlook.curve
    assert [row["more"] for row in again.to_json()["more"]] == [5]
    assert again.ranking.found == 3, "those of the data alone"


def stopping(at: int) -> Any:
    """Stand in for a step of learning that stops at one of those of the forecast; probes before it do not count."""
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
    """Four images to learn from, two that score: the least that there can be."""
    folder = tmp_path_factory.mktemp("few")
    draw(folder / "data/train", 4)
    draw(folder / "data/val", 2, first=10)
    return folder


def test_a_stopped_forecast_goes_on_and_leaves_what_is_done(
    few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "ahead"
    with monkeypatch.context() as patched:
        patched.setattr(Learner, "step", stopping(at=STEPS + 2))
        messages = r"training 2 of 4\. The state is saved\. Continue with: the same command"
        with pytest.raises(Interrupted, match=messages):
            ahead(few, out)
    first = (out / "trainings/2-1/model.safetensors").stat().st_mtime_ns
    listener = Listener()
    found = ahead(few, out, listener)
    assert f"Going on with the forecast in {out}." in listener.messages
    assert "Training 1 of 4, on 2 images, is done:" in " ".join(listener.messages)
    assert (out / "trainings/2-1/model.safetensors").stat().st_mtime_ns == first
    assert [row[:2] for row in found.rows()] == [(2, 1), (2, 2), (4, 1), (4, 2)]


def test_trainings_that_would_be_late_are_left_out_and_made_later(
    few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(subset_trainings.PartTrainings, "_too_late", lambda self, made, seconds: len(made) > 2)
        listener = Listener()
        found = ahead(few, tmp_path / "ahead", listener, steps=1)
    assert [row[:2] for row in found.rows()] == [(2, 1), (2, 2), (4, 1)]
    assert any(text.startswith("1 training is left out: a step takes more time here") for text in listener.messages)
    assert len(ahead(few, tmp_path / "ahead", steps=1).rows()) == 4


def test_only_what_the_curve_can_do_without_is_ever_late(whole: tuple[Forecast, Listener], discs: Path) -> None:
    dataset = understand(discs / "data", DataOptions(allow_missing=True))
    asked = json.loads((whole[0].folder / "begun.json").read_text("utf-8"))["asked"]
    begun = reopen(whole[0].folder, dataset, asked, Progress())
    given = whole[0].folder, begun, dataset, "cpu", Progress()
    late, never = (
        subset_trainings.PartTrainings(*given, deadline=0.0),
        subset_trainings.PartTrainings(*given, deadline=None),
    )
    trials = begun.schedule.trials
    assert [late._too_late(trials[:made], [1.0]) for made in range(6)] == [False] * 4 + [True] * 2
    assert not late._too_late(trials[:5], []), "the first of a call is always made"
    assert not never._too_late(trials[:5], [1e9])


@pytest.mark.parametrize(
    ("took", "planned", "steps", "after"),
    [
        (10.0, 10.0, 100, 100),  # as planned
        (14.0, 10.0, 100, 100),  # near enough
        (2.0, 10.0, 100, 483),  # 60 s less 2 are left for six trainings: 100 * 58 / 6 / 2
        (14.9, 10.0, 100, 100),  # the four that the curve needs still end in time
        (18.0, 10.0, 200, 116),  # they would not: 200 * 42 / 4 / 18
        (18.0, 10.0, 80, 80),  # 46 steps would say nothing
    ],
)
def test_the_first_training_sets_the_pace(
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

    class Clocked(subset_trainings.PartTrainings):
        def make(self, trial: SubsetTraining) -> None:
            nonlocal clock
            clock += took
            self.run_of(trial).folder.mkdir(parents=True)

    monkeypatch.setattr(measured_speed.time, "monotonic", lambda: clock)
    dataset = understand(discs / "data", DataOptions(allow_missing=True))
    asked = json.loads((whole[0].folder / "begun.json").read_text("utf-8"))["asked"]
    begun = reopen(whole[0].folder, dataset, asked, Progress())
    begun = replace(begun, config=with_settings(begun.config, {"training.steps": steps}, {}))
    given = tmp_path, begun, dataset, "cpu", Progress()
    found = measured_speed.find_speed(Clocked(*given, deadline=6 * planned))
    assert found.beginning.config.training.steps == after
    assert (tmp_path / "trainings/2-1").exists() == (after == steps), "made again with other steps"
    again = reopen(tmp_path, dataset, asked, Progress())
    assert (again.config.training.steps, again.paced) == (after, True)
    assert measured_speed.find_speed(Clocked(tmp_path, again, *given[2:], deadline=1e9)).beginning is again, "once"
    own = replace(begun, config=replace(begun.config, origins={"training.steps": "user"}))
    assert measured_speed.find_speed(Clocked(tmp_path / "own", own, *given[2:], deadline=1e9)).beginning is own
    assert measured_speed.find_speed(Clocked(tmp_path / "free", begun, *given[2:], deadline=None)).beginning is begun


def test_another_question_about_the_trainings_is_refused(whole: tuple[Forecast, Listener], discs: Path) -> None:
    folder = whole[0].folder
    with pytest.raises(BadOption, match=r"expected --seed as this forecast began with \(0\); got 1\. Ask the same"):
        ahead(discs, folder, seed=1)
    with pytest.raises(BadOption, match=r"expected --steps as this forecast began with \(3\); got 4"):
        ahead(discs, folder, steps=4)


def test_data_that_have_changed_are_refused(few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(few / "data", tmp_path / "data")
    monkeypatch.setattr(Learner, "step", stopping(at=1))
    with pytest.raises(Interrupted, match="training 1 of 4"):
        ahead(tmp_path, tmp_path / "ahead")
    (tmp_path / "data/train/masks/d3.png").unlink()
    with pytest.raises(BadRun, match=r"images that the forecast began with; got 1 other case, such as train/d3"):
        ahead(tmp_path, tmp_path / "ahead")


def test_bad_places_and_questions_are_refused_before_any_work(discs: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputFailed, match="nothing is ever written beside your images"):
        ahead(discs, discs / "data/ahead")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken/letter.txt").write_text("mine")
    with pytest.raises(OutputFailed, match="expected a new or empty folder, or that of a forecast"):
        ahead(discs, tmp_path / "taken")
    with pytest.raises(BadOption, match=r"expected numbers of masks above 0 for --more; got 10, 0"):
        ahead(discs, tmp_path / "new", more=(10, 0))
    with pytest.raises(BadOption, match=r"one of --budget, --steps, --epochs; got seconds and steps"):
        ahead(discs, tmp_path / "new", budget="10m")
    with pytest.raises(BadDataset, match="an image or a folder of images; got a path that does not exist"):
        ahead(discs, tmp_path / "new", unlabelled=tmp_path / "nowhere")
    assert not (tmp_path / "new").exists()


def test_class_folders_are_refused(tmp_path: Path) -> None:
    for index in range(12):
        pixels = np.random.default_rng(index).integers(0, 120, (3, 16, 16)) + 100 * (index % 2)
        write_image(tmp_path / "data" / ("dark", "light")[index % 2] / f"p{index}.png", pixels.astype(np.uint8))
    with pytest.raises(
        BadDataset, match="expected images with masks, of classes or of objects; got a folder per class"
    ):
        ahead(tmp_path, tmp_path / "out")
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
    found = ahead(tmp_path, tmp_path / "ahead", steps=1, data_options=DataOptions(task="instance"))
    assert found.score == "mean_ap"
    assert found.to_text().startswith("With 10 more masks: mean AP ")
    assert found.describe_next() == "No unlabelled image to choose from: give a folder of them with --unlabelled."
    assert not (found.folder / "label_next.csv").exists()


@pytest.mark.slow
def test_a_budget_is_shared_out_in_equal_trainings(few: Path, tmp_path: Path) -> None:
    """How well it is kept is a matter of the clock; here the trainings are looked at."""
    found = ahead(few, tmp_path / "ahead", steps=None, budget="75s")
    begun = json.loads((tmp_path / "ahead/begun.json").read_text("utf-8"))
    assert (begun["asked"]["--budget"], begun["paced"]) == (75, True)
    configs = [run_of(found, f"{masks}-{repeat}").config.training for masks, repeat, _ in found.rows()]
    assert len({config.steps for config in configs}) == 1
    assert found.steps == configs[0].steps > STEPS
