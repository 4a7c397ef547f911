"""One page that needs nothing else; what is missing is told, and nothing from the data becomes HTML."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pixelwise.commit import commit_json
from pixelwise.errors import BadRun
from pixelwise.images.files import write_image, write_labels, write_mask
from pixelwise.progress import Progress
from pixelwise.workflow.report import report
from pixelwise.workflow.report_pictures import CONFUSED, FALSE, MISSED, RIGHT, errors
from pixelwise.workflow.run import Run
from pixelwise.workflow.scores import score_case, summarise
from pixelwise.workflow.summary import describe_scores
from tiny import write_run


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
    scores: dict[str, Any] = {"part": "test", "data": "drawn & told", "task": task, **summarise(results, names)}
    for row, pair in zip(scores["cases"], files, strict=True):
        row["files"] = pair
    commit_json(run.scores_path, scores)
    return scores


def add_film(run: Run) -> None:
    write_image(run.film / "image.png", np.zeros((1, 32, 32), np.uint8))
    for name in ("truth", "step-0000001", "step-0000002"):
        write_mask(run.film / f"{name}.png", np.zeros((32, 32), np.uint8), [(0, 0, 0), (9, 9, 9)])


@pytest.mark.parametrize("task", ["binary", "instance"])
def test_the_page_holds_everything_and_needs_nothing(tmp_path: Path, task: str) -> None:
    run = write_run(tmp_path / "run", task)
    add_scores(run, tmp_path, task)
    add_film(run)
    text = report(run.folder, progress=Progress()).read_text("utf-8")
    for words in (
        "What was understood of the data",
        "The plan, and why",
        "Small &amp; quick.",
        "The learning",
        "Scores on test",
        "Best, middle and worst cases",
        "Made with",
        "95 % interval",
    ):
        assert words in text
    assert "data:image/gif;base64," in text
    assert text.count("data:image/png;base64,") == 3 * 4
    assert not re.search(r"(src|href)=\"(?!data:)", text)
    assert "<script" not in text
    assert "&lt;b&gt;drawn&lt;/b&gt;" in text
    assert "a&lt;script&gt;" in text


def test_without_scores_the_page_says_how_to_get_them(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    text = report(run.folder, progress=Progress()).read_text("utf-8")
    assert "No scores yet: run `pixelwise evaluate RUN DATA`" in text


def test_images_that_are_gone_are_told(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    add_scores(run, tmp_path, "binary")
    for path in tmp_path.glob("*.png"):
        path.unlink()
    assert "The files are not where they were" in report(run.folder, progress=Progress()).read_text("utf-8")


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRun, match="expected a run folder"):
        report(tmp_path, progress=Progress())


def test_errors_are_painted_by_kind() -> None:
    truth = np.array([[0, 1, 1, 0, 1, 255]])
    predicted = np.array([[0, 1, 0, 1, 2, 1]])
    painted = errors(np.zeros((1, 6, 3), np.uint8), truth, predicted, objects=False)
    expected = [(0, 0, 0), RIGHT, MISSED, FALSE, CONFUSED, (0, 0, 0)]
    assert np.abs(painted[0] - 0.65 * np.array(expected)).max() <= 1


@pytest.mark.parametrize("task", ["binary", "instance"])
def test_scores_in_words(tmp_path: Path, task: str) -> None:
    told = describe_scores(add_scores(write_run(tmp_path / "run", task), tmp_path, task))
    assert "drawn & told, part test, 3 images: mean" in told
    assert "background" in told
    assert ("boundaries: v_rand" in told) == (task == "binary")
    assert ("objects: mean_ap" in told) == (task == "instance")
