"""The page about scale shows what its script computes, and the script uses what was measured."""

from pathlib import Path

import pytest
import scale_plan

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_is_what_its_script_computes() -> None:
    assert (ROOT / "docs" / "scale.md").read_text("utf-8") == scale_plan.page(), "run python benchmarks/scale_plan.py"


@pytest.mark.parametrize("cost", scale_plan.COSTS, ids=lambda cost: cost.what)
def test_every_cost_was_measured(cost: scale_plan.Cost) -> None:
    assert cost.quoted
    assert cost.quoted in (ROOT / "benchmarks" / "RESULTS.md").read_text("utf-8")


def test_more_workers_are_faster_until_one_process_is_what_remains() -> None:
    one = scale_plan.plan(1_000_000, 512)
    assert one.seconds(1) > 100 * one.seconds(1000)
    assert one.serial(one.limit) == pytest.approx(0.1, rel=0.05)
    assert one.serial(10 * one.limit) > one.serial(one.limit)


def test_units_are_about_as_long_as_asked() -> None:
    small, large = scale_plan.plan(1000, 512), scale_plan.plan(10, 40_000)
    assert 8 < small.computing / small.units < 12
    assert 8 < large.computing / large.units < 12
    assert scale_plan.plan(10, 40_000, 100).units < large.units / 5
