"""Rows, bars and facts of `benchmarks/street.py`, from records made by hand."""

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
from accuracy_parts.contenders import Place
from accuracy_parts.running import Children
from street import cell_of, cells_of
from street_parts.cells import Street, StreetCell, environment, facts_of_demo, facts_of_run
from street_parts.table import bar_row, bars, difference, overrun, row_of, table_of


def record(kind: str = "budget", **changes: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {"kind": kind, "set": "", "seconds": 0, "load": 0, "wall_s": 100.0, "processor_s": 90.0}
    plain |= {"exit": 0, "runnable": 1.0, "steps": 50, "score": 0.9, "measuring_s": None, "outcome": None}
    if kind in ("budget", "reference"):
        plain |= {"set": "isbi2012_em", "seconds": 100}
    return plain | changes


def verdict(name: str, records: list[dict[str, Any]], wanted: int = 1) -> str:
    """The verdict of the bar whose name has `name` in it."""
    (bar,) = [bar for bar in bars(records) if name in bar.name]
    return bar_row(bar, [r for r in records if bar.concerns(r)], wanted)[-1]


@pytest.mark.parametrize(
    ("seconds", "expected"), [(110.0, "held"), (90.0, "held"), (111.0, "missed"), (89.0, "missed")]
)
def test_wall_time_is_within_a_tenth_of_the_budget_on_both_sides(seconds: float, expected: str) -> None:
    assert verdict("wall time within", [record(wall_s=seconds)]) == expected


@pytest.mark.parametrize(("seconds", "expected"), [(5.0, "held"), (5.1, "missed"), (None, "open")])
def test_measuring_is_at_most_a_twentieth(seconds: float | None, expected: str) -> None:
    assert verdict("measuring", [record(measuring_s=seconds)]) == expected


@pytest.mark.parametrize(("score", "expected"), [(0.89, "held"), (0.87, "missed"), (0.95, "held"), (None, "open")])
def test_a_budget_costs_no_score(score: float | None, expected: str) -> None:
    assert verdict("below as many steps", [record(score=score), record("reference", score=0.9)]) == expected


def test_a_reference_belongs_to_the_training_of_the_same_load() -> None:
    records = [record(load=0, score=0.5), record(load=6, score=0.8), record("reference", load=6, score=0.9)]
    assert difference(records[2], records) == pytest.approx(-0.1)


@pytest.mark.parametrize(
    ("load", "seconds", "code", "expected"),
    [(0, 120, 0, "held"), (0, 121, 0, "missed"), (6, 360, 0, "held"), (6, 361, 0, "missed"), (0, 3, 2, "missed")],
)
def test_the_demo_ends_in_time_and_without_an_error(load: int, seconds: int, code: int, expected: str) -> None:
    assert verdict(f"demo at load {load}", [record("demo", load=load, wall_s=seconds, exit=code)]) == expected


@pytest.mark.parametrize(("score", "expected"), [(0.8, "held"), (0.79, "missed"), (None, "missed")])
def test_the_demo_is_good(score: float | None, expected: str) -> None:
    assert verdict("mean AP", [record("demo", score=score)]) == expected


def test_a_bar_is_open_while_cells_are_missing_and_missed_with_the_first_that_misses() -> None:
    assert verdict("wall time within", [record()], wanted=2) == "open"
    assert verdict("wall time within", [record(wall_s=200.0)], wanted=2) == "missed"


def test_the_worst_value_is_named_with_its_cell() -> None:
    records = [record(wall_s=104.0), record(wall_s=93.0, load=6)]
    (bar,) = [bar for bar in bars(records) if "wall time within" in bar.name]
    assert bar_row(bar, records, 2)[1:4] == ["2 of 2", "2", "-7.0% (isbi2012_em 100 s, load 6)"]


@pytest.mark.parametrize("kind", ["demo", "clone", "budget", "reference"])
def test_every_row_fits_its_table_even_where_little_is_known(kind: str) -> None:
    little = record(kind, score=None, steps=None, runnable=None, exit=None)
    for found in (record(kind, validation=0.5), little):
        assert len(row_of(found, [found])) == len(table_of(kind).columns)


def test_overrun_is_a_share_of_the_budget() -> None:
    assert overrun(record(wall_s=125.0)) == pytest.approx(0.25)


def test_facts_of_a_run_are_those_that_it_tells(tmp_path: Path) -> None:
    summary = {"steps": 7, "measuring_seconds": 2.5, "best": 0.4, "cpu_share": 0.3, "outcome": {"kind": "short"}}
    (tmp_path / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    expected = {"steps": 7, "measuring_s": 2.5, "validation": 0.4, "cpu_share": 0.3, "outcome": "short"}
    assert facts_of_run(tmp_path) == expected


def test_a_run_without_a_summary_has_the_steps_and_the_best_score_of_its_rows(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("step,val_score\n10,0.5\n20,0.4\n30,\n", encoding="utf-8")
    facts = facts_of_run(tmp_path)
    assert (facts["steps"], facts["validation"], facts["measuring_s"]) == (30, 0.5, None)


def test_facts_of_a_run_that_left_nothing_are_unknown(tmp_path: Path) -> None:
    assert set(facts_of_run(tmp_path).values()) == {None}
    assert facts_of_demo(tmp_path)["score"] is None


def test_the_demo_is_scored_by_the_mean_ap_of_its_last_run(tmp_path: Path) -> None:
    run = tmp_path / "run-1"
    run.mkdir()
    (run / "scores.json").write_text(json.dumps({"scores": {"objects": {"mean_ap": 0.81}}}), encoding="utf-8")
    assert facts_of_demo(tmp_path)["score"] == 0.81


def test_references_follow_all_trainings_and_can_be_left_out() -> None:
    asked = Namespace(command="budgets", sets=["a", "b"], budgets=[60, 120], loads=[0, 6], no_reference=False)
    cells = cells_of(asked)
    assert [cell.kind for cell in cells] == ["budget"] * 8 + ["reference"] * 8
    assert len(set(cells)) == 16
    asked.no_reference = True
    assert cells_of(asked) == cells[:8]


def test_a_record_is_that_of_its_cell() -> None:
    cell = StreetCell(kind="budget", set="a", seconds=60, load=2)
    assert cell_of({"kind": "budget", "set": "a", "seconds": 60, "load": 2, "score": 1.0}) == cell


@pytest.mark.parametrize("warm", [False, True])
def test_each_cell_has_a_cache_of_its_own_unless_a_warm_one_is_asked_for(tmp_path: Path, warm: bool) -> None:
    street = Street(place=Place(data=tmp_path, out=tmp_path, warm_cache=warm))
    caches = {environment(StreetCell(kind="demo", load=load), street).get("PIXELWISE_CACHE") for load in (0, 2)}
    assert caches == {None} if warm else len(caches) == 2


def test_exit_codes_and_the_limit_of_time_are_told_apart(tmp_path: Path) -> None:
    children, log = Children(), tmp_path / "log.txt"
    assert children.run(["python3", "-c", "raise SystemExit(5)"], log, 60, {}).code == 5
    assert children.run(["python3", "-c", "import time; time.sleep(600)"], log, 0.2, {}).code is None


def test_a_failed_command_counts_where_it_made_its_file(tmp_path: Path) -> None:
    children, log, made = Children(), tmp_path / "log.txt", tmp_path / "model"
    fails = ["python3", "-c", "raise SystemExit(5)"]
    with pytest.raises(RuntimeError, match="5"):
        children.call(fails, log, 60, {}, made)
    made.touch()
    assert children.call(fails, log, 60, {}, made) > 0
