"""Learning-rate schedules: warm-up, then cosine, linear or constant."""

from itertools import pairwise

import pytest

from pixelwise.training.schedule import Schedule, middle_of_step


def rates(schedule: Schedule, steps: int) -> list[float]:
    return [schedule.rate(middle_of_step(step, steps)) for step in range(steps)]


def test_the_rate_rises_then_falls_to_zero() -> None:
    schedule = Schedule(peak=1.0, warmup_share=0.1)
    result = rates(schedule, 1000)
    assert max(result) == pytest.approx(1.0, abs=1e-3)
    assert 0 < result[0] < 0.01
    assert result.index(max(result)) == pytest.approx(100, abs=1)
    assert 0 <= result[-1] < 1e-5
    # half of the peak in the middle of the cosine: 1/2 (1 + cos(pi / 2)) = 1/2
    assert schedule.rate(0.55) == pytest.approx(0.5)


def test_a_linear_schedule_falls_to_zero() -> None:
    result = rates(Schedule(peak=1.0, warmup_share=0.1, shape="linear"), 1000)
    assert result[99] == pytest.approx(1.0, abs=0.01)
    falls = [before - after for before, after in pairwise(result[101:999])]
    assert falls == pytest.approx([1 / 900] * 897)
    assert 0 <= result[999] < 1e-3


def test_a_constant_rate_does_not_change_after_warm_up() -> None:
    schedule = Schedule(peak=0.5, warmup_share=0.1, shape="constant")
    assert schedule.rate(0.005) < 0.05
    assert rates(schedule, 100)[10:] == [0.5] * 90
    assert Schedule(peak=0.5, warmup_share=0.0, shape="constant").rate(0.0) == 0.5


def test_progress_is_limited_to_one() -> None:
    assert Schedule(peak=1.0, warmup_share=0.1).rate(1.3) == 0.0
    assert middle_of_step(12, 10) == 1.0
    assert middle_of_step(0, 10) == pytest.approx(0.05)
