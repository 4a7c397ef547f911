"""A training that did not become useful is told of; others, and older ones, are not."""

from pathlib import Path

import pytest

from pixelwise.commit import commit_json
from pixelwise.errors import BadRun
from pixelwise.workflow.outcome import outcome_warnings
from pixelwise.workflow.run import Run
from tiny import write_run


def outcome(run: Run, kind: str, sentence: str) -> None:
    commit_json(run.summary_path, {"outcome": {"kind": kind, "steps": 3, "planned_steps": 90, "sentence": sentence}})


@pytest.mark.parametrize(("kind", "warned"), [("useful", False), ("few_steps", True), ("nothing_learned", True)])
def test_a_run_warns_unless_it_is_useful(tmp_path: Path, kind: str, warned: bool) -> None:
    run = write_run(tmp_path / "run")
    outcome(run, kind, "Only 3 of 90 steps.")
    assert outcome_warnings(run) == (["Only 3 of 90 steps."] if warned else [])


def test_older_runs_have_nothing_to_tell(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    assert outcome_warnings(run) == []
    commit_json(run.summary_path, {"steps": 3})
    assert outcome_warnings(run) == []


def test_each_fold_is_asked(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    commit_json(run.folder / "folds.json", {"left_out": [["a"], ["b"]]})
    outcome(write_run(run.folder / "folds" / "2"), "few_steps", "Only 3 of 90 steps.")
    assert outcome_warnings(run) == ["Fold 2: Only 3 of 90 steps."]


def test_a_damaged_summary_is_refused(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    run.summary_path.write_text("[")
    with pytest.raises(BadRun, match="summary"):
        outcome_warnings(run)
