"""The outcome of a training: useful, undertrained, or no better than a constant prediction."""

from pathlib import Path
from typing import Any

import pytest

from pixelwise.atomic_write import atomic_write_json
from pixelwise.errors import BadRun
from pixelwise.workflow.outcome import CLEAR_AP, FEW_STEPS, Outcome, judge, outcome_of
from pixelwise.workflow.run import Run
from tiny import write_run

GOOD: dict[str, Any] = {
    "steps": 500, "planned_steps": 500, "score": 0.8, "trivial": 0.3, "mean_ap": 0.6, "cpu_share": 0.95,
    "fine_tuned": False, "limited": True,
}  # fmt: skip


def test_a_training_that_learned_is_useful_and_says_nothing() -> None:
    found = judge(**GOOD)
    assert (found.kind, found.sentence) == ("useful", "")


def test_few_steps_on_a_busy_machine_name_steps_share_and_remedy() -> None:
    found = judge(**GOOD | {"steps": 51, "planned_steps": 165, "cpu_share": 0.21})
    assert found.kind == "few_steps"
    for part in ("51 training steps", "busy", "21%", "--budget"):
        assert part in found.sentence


def test_few_steps_on_a_quiet_machine_are_those_of_a_slow_processor() -> None:
    sentence = judge(**GOOD | {"steps": 51}).sentence
    assert "slow" in sentence
    assert "busy" not in sentence


def test_few_steps_that_were_asked_for_name_steps_as_the_remedy() -> None:
    assert "--steps" in judge(**GOOD | {"steps": 20, "planned_steps": 20, "limited": False}).sentence


@pytest.mark.parametrize(
    "worse", [{"score": 0.31, "mean_ap": None}, {"score": 0.31, "mean_ap": 0.05}, {"mean_ap": 0.0004}], ids=str
)
def test_what_is_no_better_than_a_constant_has_learned_nothing(worse: dict[str, float]) -> None:
    found = judge(**GOOD | worse)
    assert found.kind == "nothing_learned"
    assert "constant prediction" in found.sentence


def test_objects_that_are_found_have_been_learned_whatever_the_score_of_other_weights_is() -> None:
    assert judge(**GOOD | {"score": 0.0, "mean_ap": 0.59}).kind == "useful"
    assert judge(**GOOD | {"score": 0.0, "mean_ap": CLEAR_AP - 0.01}).kind == "nothing_learned", "control"


def test_a_foreground_that_fills_the_image_leaves_little_to_gain() -> None:
    """All foreground has a Dice of 0.889 where it fills 80 %: 0.9 is better than that, 0.89 is not."""
    assert judge(**GOOD | {"trivial": 0.889, "score": 0.9, "mean_ap": None}).kind == "useful"
    assert judge(**GOOD | {"trivial": 0.889, "score": 0.89, "mean_ap": None}).kind == "nothing_learned"


def test_few_steps_are_enough_for_learned_weights() -> None:
    assert judge(**GOOD | {"steps": FEW_STEPS - 1}).kind == "few_steps"
    assert judge(**GOOD | {"steps": FEW_STEPS - 1, "fine_tuned": True}).kind == "useful"
    assert judge(**GOOD | {"steps": FEW_STEPS}).kind == "useful"


def test_an_outcome_survives_the_summary() -> None:
    found = judge(**GOOD | {"steps": 3})
    assert outcome_of({"outcome": found.to_json()}) == found
    assert isinstance(found, Outcome)
    assert outcome_of({}) is None


def outcome(run: Run, kind: str, sentence: str) -> None:
    found = {"kind": kind, "steps": 3, "planned_steps": 90, "cpu_share": None, "sentence": sentence}
    atomic_write_json(run.summary_path, {"outcome": found})


@pytest.mark.parametrize(("kind", "warned"), [("useful", False), ("few_steps", True), ("nothing_learned", True)])
def test_a_run_warns_unless_it_is_useful(tmp_path: Path, kind: str, warned: bool) -> None:
    run = write_run(tmp_path / "run")
    outcome(run, kind, "Only 3 of 90 steps." if warned else "")
    assert run.warnings == (["Only 3 of 90 steps."] if warned else [])


def test_older_runs_have_nothing_to_tell(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    assert run.warnings == []
    atomic_write_json(run.summary_path, {"steps": 3})
    assert run.warnings == []


def test_each_fold_is_asked(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    atomic_write_json(run.folder / "folds.json", {"left_out": [["a"], ["b"]]})
    outcome(write_run(run.folder / "folds" / "2"), "few_steps", "Only 3 of 90 steps.")
    assert run.warnings == ["Fold 2: Only 3 of 90 steps."]


def test_a_damaged_summary_is_refused(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    run.summary_path.write_text("[", encoding="utf-8")
    with pytest.raises(BadRun, match="summary"):
        assert run.warnings
