"""The commands `worker` and `jobs`, and `predict --on`."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from pixelwise.cli.main import app
from pixelwise.errors import BadOption, BadRun
from pixelwise.io.read import write_image
from tiny import write_model


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    write_model(tmp_path / "model.safetensors")
    for name in "ab":
        write_image(tmp_path / "images" / f"{name}.png", np.zeros((1, 20, 20), np.uint8))
    return ["predict", str(tmp_path / "model.safetensors"), str(tmp_path / "images"), "--out", str(tmp_path / "out")]


def test_a_job_is_made_shown_and_computed(words: list[str], tmp_path: Path) -> None:
    run, out = CliRunner(), str(tmp_path / "out")
    made = run.invoke(app, [*words, "--on", "none"])
    assert made.exit_code == 0
    assert all(name in made.stdout for name in ("sbatch", "qsub", "bsub", "kubectl", "pixelwise worker"))
    state = run.invoke(app, ["jobs", out, "--json"])
    assert state.exit_code == 75
    shown = json.loads(state.stdout)
    assert (shown["pieces"], shown["pieces_done"], shown["sealed"], shown["workers"]) == (2, 0, False, [])
    assert "not complete, 0 of 2 done" in run.invoke(app, ["jobs", out]).stdout
    assert run.invoke(app, ["worker", out]).exit_code == 0
    state = run.invoke(app, ["jobs", out])
    assert state.exit_code == 0
    assert "complete, 2 of 2 done" in state.stdout
    again = run.invoke(app, [*words, "--on", "none", "--json"])
    assert {Path(path).name for path in json.loads(again.stdout)["outputs"]} == {"a.png", "b.png", "classes.json"}


def test_failures_are_listed_with_their_exit_code(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "images" / "bad.png").write_text("hello", encoding="utf-8")
    run, out = CliRunner(), str(tmp_path / "out")
    run.invoke(app, [*words, "--on", "none"])
    run.invoke(app, ["worker", out])
    state = run.invoke(app, ["jobs", out])
    assert state.exit_code == 3
    assert "bad.png: expected" in state.stdout
    assert run.invoke(app, [*words, "--on", "none"]).exit_code == 3


def test_mistakes(words: list[str], tmp_path: Path) -> None:
    run = CliRunner()
    assert isinstance(run.invoke(app, [*words, "--on", "ray"]).exception, BadOption)
    assert isinstance(run.invoke(app, [*words, "--on", "none", "--unit-seconds", "0"]).exception, BadOption)
    assert isinstance(run.invoke(app, ["worker", str(tmp_path)]).exception, BadRun)
    assert isinstance(run.invoke(app, ["jobs", str(tmp_path)]).exception, BadRun)
    run.invoke(app, [*words, "--on", "none"])
    bad = run.invoke(app, ["worker", str(tmp_path / "out"), "--index", "2", "--of", "2"])
    assert isinstance(bad.exception, BadOption)
