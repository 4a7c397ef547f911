"""Rates: warm-up, cosine, line or constant, and another end on the way."""

import pytest

from pixelwise.engine.schedule import Schedule


def test_the_rate_rises_then_falls_to_zero() -> None:
    schedule = Schedule(steps=1000, peak=1.0, warmup_share=0.1)
    rates = [schedule.rate(step) for step in range(1000)]
    assert max(rates) == pytest.approx(1.0, abs=1e-3)
    assert 0 < rates[0] < 0.01
    assert rates.index(max(rates)) == pytest.approx(100, abs=1)
    assert 0 <= rates[-1] < 1e-5
    # the cosine stands at half its height in the middle: 1/2 (1 + cos(pi / 2)) = 1/2
    assert schedule.rate(549) == pytest.approx(0.5, abs=1e-3)


def test_a_stretched_schedule_goes_on_where_it_was_and_still_ends_at_zero() -> None:
    schedule = Schedule(steps=1000, peak=1.0, warmup_share=0.1)
    longer = schedule.stretched(400, 1600)
    assert longer.rate(400) == pytest.approx(schedule.rate(400), abs=1e-3)
    assert longer.progress(1000) == pytest.approx(0.7)
    assert longer.rate(1599) < 1e-5


def test_a_line_falls_evenly_to_zero() -> None:
    schedule = Schedule(steps=1000, peak=1.0, warmup_share=0.1, shape="linear")
    assert schedule.rate(99) == pytest.approx(1.0, abs=0.01)
    steps = [schedule.rate(step) - schedule.rate(step + 1) for step in range(101, 998)]
    assert steps == pytest.approx([1 / 900] * len(steps))
    assert 0 <= schedule.rate(999) < 1e-3
    longer = schedule.stretched(400, 1600)
    assert longer.rate(400) == pytest.approx(schedule.rate(400), abs=1e-3)
    assert longer.rate(1599) < 1e-3


def test_a_constant_rate_stays_after_its_warm_up() -> None:
    schedule = Schedule(steps=100, peak=0.5, warmup_share=0.1, shape="constant")
    assert schedule.rate(0) < 0.05
    assert [schedule.rate(step) for step in range(10, 100)] == [0.5] * 90
    assert Schedule(steps=100, peak=0.5, warmup_share=0.0, shape="constant").rate(0) == 0.5
    assert schedule.stretched(50, 200).rate(199) == 0.5


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 0.999, 1.0])
def test_the_step_at_a_share_is_the_first_that_has_it_behind(share: float) -> None:
    plain = Schedule(steps=1000, peak=1.0, warmup_share=0.1)
    for schedule in (plain, plain.stretched(400, 1617), plain.stretched(400, 450).stretched(430, 977)):
        step = schedule.step_at(share)
        if share > schedule.anchor_progress:
            assert schedule.progress(step) >= share - 1e-9
            assert schedule.progress(step - 1) < share
        else:
            assert step == schedule.anchor  # it lies behind: every step to come is beyond it
