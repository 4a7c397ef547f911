"""One self-contained page; missing results are mentioned, and text from the data is escaped."""

import re
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pixelwise.atomic_write import atomic_write_json
from pixelwise.datasets.records import Labelling
from pixelwise.errors import BadRun
from pixelwise.io.read import read_mask, write_image, write_labels, write_mask
from pixelwise.progress import Progress
from pixelwise.workflow.evaluation.mask_scores import score_case, summarise
from pixelwise.workflow.report import report
from pixelwise.workflow.reporting.pictures import (
    draw_curves,
    read_metrics,
)
from pixelwise.workflow.run import Run
from pixelwise.workflow.tasks.choose import describe_scores
from tiny import make_recipe, write_model, write_run


def add_scores(run: Run, folder: Path, task: str) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    truth = np.zeros((40, 50), np.int32)
    truth[5:20, 5:20], truth[25:35, 30:45] = 1, 2 if task == "instance" else 1
    names = ("background", "object")
    results, files = [], []
    for name in ("a<script>", "b", "c"):
        image, mask = folder / f"{len(files)}.png", folder / f"{len(files)}_mask.png"
        write_image(image, rng.integers(0, 256, (1, 40, 50)).astype(np.uint8))
        write_labels(mask, truth)
        results.append(score_case(f"test/{name}", truth, np.roll(truth, 3, 1), task, 2))
        files.append([str(image), str(mask)])
    scores: dict[str, Any] = {"split": "test", "data": "drawn & more", "task": task, **summarise(results, names, 1)}
    for row, pair in zip(scores["cases"], files, strict=True):
        row["files"] = pair
    values = () if task == "instance" else (0, 1)
    scores["labelling"] = asdict(Labelling(task=task, classes=names, values=values, colours=((0, 0, 0),) * 2))
    atomic_write_json(run.scores_path, scores)
    return scores


def add_snapshots(run: Run) -> None:
    write_image(run.snapshots / "image.png", np.zeros((1, 32, 32), np.uint8))
    for name in ("truth", "step-0000001", "step-0000002"):
        write_mask(run.snapshots / f"{name}.png", np.zeros((32, 32), np.uint8), [(0, 0, 0), (9, 9, 9)])


@pytest.mark.parametrize("task", ["binary", "instance"])
def test_the_page_holds_everything_and_needs_nothing(tmp_path: Path, task: str) -> None:
    run = write_run(tmp_path / "run", task)
    add_scores(run, tmp_path, task)
    add_snapshots(run)
    text = report(run.folder, progress=Progress()).read_text("utf-8")
    for words in (
        "Best, median and worst cases",
        "Training curves",
        "How empty classes and images are counted",
        "Scores: test images",
        "Snapshots during training",
        "The data",
        "The plan and its reasons",
        "Small &amp; quick.",
        "Environment",
        "95&nbsp;% interval",
    ):
        assert words in text
    assert "data:image/gif;base64," in text
    assert text.count("data:image/png;base64,") == 3 * 4
    assert not re.search(r"(src|href)=\"(?!data:)", text)
    assert "<script" not in text
    assert "could not be shown" not in text
    assert "&lt;b&gt;drawn&lt;/b&gt;" in text
    assert "a&lt;script&gt;" in text


def test_what_was_chosen_after_training_is_shown(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    messages = {"thresholds": "Seeds.", "threshold": "Lines.", "areas": "Small.", "calibration": "Hot."}
    model_card = make_recipe("binary")
    write_model(run.model_path, replace(model_card, trained=model_card.trained | messages))
    text = report(run.folder, progress=Progress()).read_text("utf-8")
    for words in (
        "Object thresholds. Seeds.",
        "Foreground threshold. Lines.",
        "Small-object removal. Small.",
        "Calibration. Hot.",
    ):
        assert words in text


def test_the_validation_score_is_that_of_the_weights_that_were_kept(tmp_path: Path) -> None:
    """The last weights can be kept, whose score is not the best one."""
    run = write_run(tmp_path / "run")
    atomic_write_json(run.summary_path, {"best": 0.5, "best_step": 4})
    text = report(run.folder, progress=Progress()).read_text("utf-8")
    assert "The validation score is <b>0.50</b> (mean Dice) at step 4." in text
    assert "the best was 0.60 at step 2" in text
    atomic_write_json(run.summary_path, {"best": 0.6, "best_step": 2})
    text = report(run.folder, progress=Progress()).read_text("utf-8")
    assert "The best validation score is <b>0.60</b> (mean Dice) at step 2." in text, "control"


def test_without_scores_the_page_says_how_to_get_them(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    text = report(run.folder, progress=Progress()).read_text("utf-8")
    assert f"No scores yet: run <code>pixelwise evaluate {run.folder} DATA</code>" in text
    assert "`" not in text
    assert "The best validation score is <b>0.60</b> (mean Dice) at step 2." in text
    run.metrics_path.unlink()
    text = report(run.folder, progress=Progress()).read_text("utf-8")
    assert "No scores yet" in text
    assert "could not be shown" not in text


def test_scores_without_files_are_told(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    scores = add_scores(run, tmp_path, "binary")
    for case in scores["cases"]:
        del case["files"]
    atomic_write_json(run.scores_path, scores)
    text = report(run, progress=Progress()).read_text("utf-8")
    assert "No pictures: no case has a score and file names." in text


def test_images_that_are_gone_are_told(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    add_scores(run, tmp_path, "binary")
    for path in tmp_path.glob("*.png"):
        path.unlink()
    text = report(run.folder, progress=Progress()).read_text("utf-8")
    assert text.count("This case could not be shown: ") == 3
    assert "Environment" in text


@pytest.mark.parametrize("task", ["binary", "instance"])
def test_cases_of_a_format_are_read_again_by_it(tmp_path: Path, task: str) -> None:
    run = write_run(tmp_path / "run", task)
    scores = add_scores(run, tmp_path, task)
    data = tmp_path / "data"
    for number, row in enumerate(scores["cases"]):
        image, mask = (read_mask(Path(file)).values for file in row["files"])
        row["files"] = [str(data / f"images/x{number}.png")]
        write_image(data / f"images/x{number}.png", image[None])
        for value in (1, 2):
            write_labels(data / f"masks/x{number}/{value}.png", (mask == value).astype(np.int32))
        write_labels(data / f"masks/x{number}/3.png", np.eye(40, 50, dtype=np.int32))
    scores |= {"format": "one mask file per object", "folder": str(data)}
    atomic_write_json(run.scores_path, scores)
    text = report(run.folder, progress=Progress()).read_text("utf-8")
    assert "could not be shown" not in text
    assert text.count("data:image/png;base64,") == 3 * 4
    (data / "images/x1.png").unlink()
    text = report(run.folder, progress=Progress()).read_text("utf-8")
    assert text.count("This case could not be shown: ") == 1


def test_the_page_opens_with_what_people_look_for(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", "instance")
    add_scores(run, tmp_path, "instance")
    text = report(run.folder, progress=Progress()).read_text("utf-8")
    plan = "<details><summary>The plan and its reasons"
    order = ("Finds <b>", "Best, median", "Training curves", "Scores: test", plan)
    places = [text.index(words) for words in order]
    assert places == sorted(places)
    assert "2 of 2 objects found, 0 false positives" in text
    assert text.index('class="more"') < text.index("<summary>The data"), "what is looked up comes last"


def test_a_legend_names_only_the_errors_that_can_occur(tmp_path: Path) -> None:
    for task, other in (("binary", False), ("instance", True)):
        run = write_run(tmp_path / task, task)
        add_scores(run, tmp_path, task)
        assert ("assigned to a different" in report(run.folder, progress=Progress()).read_text("utf-8")) == other


@pytest.mark.parametrize(("kind", "shown"), [("nothing_learned", True), ("few_steps", True), ("useful", False)])
def test_the_outcome_of_a_training_comes_first(tmp_path: Path, kind: str, shown: bool) -> None:
    run = write_run(tmp_path / "run")
    add_scores(run, tmp_path, "binary")
    atomic_write_json(
        run.summary_path, {"outcome": {"kind": kind, "steps": 7, "sentence": "Only <7> steps: set --budget."}}
    )
    text = report(run.folder, progress=Progress()).read_text("utf-8")
    assert ("Only &lt;7&gt; steps: set" in text) == shown
    if shown:
        assert '<span class="flag">--budget</span>' in text
        assert text.index("Only &lt;7&gt;") < text.index('<div class="lead">')


def empty(path: str) -> Callable[[Run], object]:
    return lambda run: (run.folder / path).write_text("", encoding="utf-8")


def gone(path: str) -> Callable[[Run], object]:
    return lambda run: (run.folder / path).unlink()


def holds(path: str, text: str) -> Callable[[Run], object]:
    return lambda run: (run.folder / path).write_text(text, encoding="utf-8")


SMALL_FRAME = np.zeros((20, 32), np.uint8)
DAMAGES: dict[str, tuple[Callable[[Run], object], str]] = {
    "no understood": (gone("understood.json"), "The data could not be shown"),
    "understood is empty": (empty("understood.json"), "The data could not be shown"),
    "understood lacks keys": (holds("understood.json", "{}"), "a record is damaged (KeyError"),
    "summary is cut": (holds("summary.json", '{"outcome":'), "The outcome of the training could not be shown"),
    "no environment": (gone("environment.json"), "Environment could not be shown"),
    "config is empty": (empty("config.yaml"), "could not be shown"),
    "scores lack keys": (holds("scores.json", "{}"), "The headline could not be shown"),
    "scores are cut": (holds("scores.json", '{"split":'), "The scores cannot be read"),
    "no model": (gone("model.safetensors"), "No pictures: the run has no model"),
    "model is empty": (empty("model.safetensors"), "Best, median and worst cases could not be shown"),
    "frame is no picture": (holds("snapshots/step-0000002.png", "x"), "1 frame could not be read."),
    "frame of another size": (
        lambda run: write_mask(run.snapshots / "step-0000002.png", SMALL_FRAME, [(0, 0, 0), (9, 9, 9)]),
        "1 frame could not be read.",
    ),
    "mask of another size": (
        lambda run: write_labels(run.folder.parent / "0_mask.png", np.zeros((7, 9), np.int32)),
        "This case could not be shown",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_piece_costs_its_own_section(tmp_path: Path, name: str) -> None:
    damage, messages = DAMAGES[name]
    run = write_run(tmp_path / "run")
    add_scores(run, tmp_path, "binary")
    add_snapshots(run)
    damage(run)
    text = report(run.folder, progress=Progress()).read_text("utf-8")
    assert messages in text
    assert text.rstrip().endswith("</html>")
    assert "validation score" in text or "data:image/svg+xml" in text


@pytest.mark.parametrize(
    "metrics",
    ["", "step,val_score\n", "step,val_score\n1,0.5\n2", "step,val_score\n1,nan\n2,abc\n", "epoch,val_score\n1,0.5\n"],
)
def test_odd_metrics_do_not_matter(tmp_path: Path, metrics: str) -> None:
    run = write_run(tmp_path / "run")
    run.metrics_path.write_text(metrics, encoding="utf-8")
    text = report(run.folder, progress=Progress()).read_text("utf-8")
    assert "could not be shown" not in text
    assert ("data:image/svg+xml" in text) == (metrics.count(".") == 1 and metrics.startswith("step"))


def test_curves_show_the_columns_there_are(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("step,train_loss,val_loss,images_per_second\n1,0.5,0.6,\n2,0.4,,31\n", encoding="utf-8")
    rows = read_metrics(path)
    assert rows == [
        {"step": 1, "train_loss": 0.5, "val_loss": 0.6},
        {"step": 2, "train_loss": 0.4, "images_per_second": 31},
    ]
    drawn = draw_curves(rows)
    assert [title for title, _ in drawn] == ["Loss", "Speed"]
    assert drawn == draw_curves(rows)
    assert draw_curves([{"step": 1.0, "skipped": 0.0}]) == []


def test_charts_name_their_axes_and_mark_the_best_score() -> None:
    rows = [{"step": 1.0, "val_score": 0.4}, {"step": 2.0, "val_score": 0.9}, {"step": 3.0, "val_score": float("nan")}]
    [(title, drawn)] = draw_curves(rows, "mean $Dice$ of interior")
    assert title == "Validation: mean $Dice$ of interior"
    for text in ("training step", "score", "0.900"):
        assert f"<!-- {text} -->" in drawn.decode("utf-8")


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRun, match="expected a run folder"):
        report(tmp_path, progress=Progress())


def test_a_mask_learned_as_objects_is_shown_as_a_mask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = write_run(tmp_path / "run")
    add_scores(run, tmp_path, "binary")
    model_card = make_recipe("binary")
    write_model(run.model_path, replace(model_card, target=replace(model_card.target, kind="components")))
    seen: list[np.ndarray] = []

    def look(view: np.ndarray, truth: np.ndarray, predicted: np.ndarray, *, background: bool) -> np.ndarray:
        seen.append(predicted)
        return view

    def many(labels: np.ndarray, area: int) -> np.ndarray:
        return np.arange(labels.size, dtype=np.int32).reshape(labels.shape)  # more objects than colours

    monkeypatch.setattr("pixelwise.workflow.reporting.pictures.class_errors", look)
    monkeypatch.setattr("pixelwise.labels.instances.remove_small_objects", many)
    text = report(run.folder, progress=Progress()).read_text("utf-8")
    assert "could not be shown" not in text
    assert [set(np.unique(predicted)) for predicted in seen] == [{0, 1}] * 3


@pytest.mark.parametrize("task", ["binary", "instance"])
def test_scores_in_words(tmp_path: Path, task: str) -> None:
    messages = describe_scores(add_scores(write_run(tmp_path / "run", task), tmp_path, task))
    assert "drawn & more, test split, 3 images: mean" in messages
    assert ("of the objects (95 % interval" in messages) == (task == "instance")
    assert ("of the foreground pixels (95 % interval" in messages) == (task == "binary")
    assert "background" in messages
    lines = [line.rsplit(maxsplit=1)[0].strip() for line in messages.splitlines()]
    assert ("V_rand" in lines) == (task == "binary")
    assert ("mean AP, all objects" in lines) == (task == "instance")
    assert ("mean absolute count error" in lines) == (task == "instance")
    assert "mean Dice 1.0000 over 1 class," in messages or "over 1 class, mean IoU" in messages
    assert "_" not in messages.replace("V_rand", "").replace("V_info", ""), "no raw keys"
