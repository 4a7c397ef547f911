"""Pacing: the clock drives a budget, else steps; a slow machine gets rarer validations, then smaller steps."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelwise.training.learner import TrainingOptions
from pixelwise.workflow.fit import pacing
from pixelwise.workflow.fit.pacing import ClockPacing, StepPacing, Timeline, make_pacing


class Clock:
    """A clock that is set by hand."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def train(pace: ClockPacing, clock: Clock, seconds: float, look: float = 0.0, until: int | None = None) -> list[float]:
    """Train with steps whose planned size takes `seconds`; return the progress before each step."""
    seen: list[float] = []
    step = 0
    while not pace.over(step) and step != until:
        seen.append(pace.progress(step))
        took = seconds * pace.share
        clock.now += took
        step += 1
        pace.note_step(step, took)
        if pace.validation_due(step):
            clock.now += look
            pace.note_validation(step, look, reserve=look + 5.0)
    return seen


def test_progress_is_the_share_of_the_time_that_is_used() -> None:
    clock = Clock(10.0)
    pace = ClockPacing(TrainingOptions(budget=115.0, steps=7), clock, reserve=5.0)
    assert pace.progress(0) == 0.0
    clock.now = 60.0
    assert pace.progress(3) == pytest.approx(0.5)
    assert not pace.over(3)
    clock.now = 110.0
    assert pace.progress(4) == 1.0
    assert pace.over(4), "the time is up, whatever the number of steps"


@pytest.mark.parametrize("seconds", [0.02, 0.3, 2.0])
@pytest.mark.parametrize("look", [0.0, 1.0, 6.0])
def test_a_budget_is_kept_at_any_speed(seconds: float, look: float) -> None:
    clock = Clock(8.0)
    pace = ClockPacing(TrainingOptions(budget=120.0, steps=300), clock, reserve=5.0)
    seen = train(pace, clock, seconds, look)
    assert clock.now == pytest.approx(115.0 - look, abs=max(2.0, 1.1 * look))
    assert seen == sorted(seen)
    assert seen[-1] > 0.9


def test_a_machine_that_becomes_slow_on_the_way_ends_in_time_with_smaller_steps() -> None:
    clock = Clock()
    pace = ClockPacing(TrainingOptions(budget=120.0, steps=1000), clock, reserve=5.0)
    train(pace, clock, 0.1, until=200)
    assert pace.share == 1.0
    # ten times as slow from here on: 95 whole steps would be all
    seen = train(pace, clock, 1.0)
    assert len(seen) > 3 * 95
    assert clock.now <= 116.0


def test_control_steps_of_one_size_would_be_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "SHARES", (1.0,))
    clock = Clock()
    pace = ClockPacing(TrainingOptions(budget=120.0, steps=1000), clock, reserve=5.0)
    train(pace, clock, 0.1, until=200)
    assert len(train(pace, clock, 1.0)) < 100


def test_steps_become_large_again_when_the_machine_is_free() -> None:
    clock = Clock()
    pace = ClockPacing(TrainingOptions(budget=300.0, steps=1000), clock, reserve=5.0)
    train(pace, clock, 2.0, until=20)
    assert pace.share < 1.0
    train(pace, clock, 0.05)
    assert pace.share == 1.0


def test_a_slow_first_step_alone_does_not_shrink_the_others() -> None:
    clock = Clock()
    pace = ClockPacing(TrainingOptions(budget=120.0, steps=1000), clock, reserve=5.0)
    clock.now += 3.0
    pace.note_step(1, 3.0)
    assert pace.share == 1.0
    clock.now += 0.1
    pace.note_step(2, 0.1)
    assert pace.share == 1.0
    assert pace.expected_steps(2) == pytest.approx(2 + (115 - 3.1) / 0.1, abs=2)


def test_a_first_step_that_takes_much_of_the_time_does() -> None:
    clock = Clock()
    pace = ClockPacing(TrainingOptions(budget=120.0, steps=1000), clock, reserve=5.0)
    clock.now += 30.0
    pace.note_step(1, 30.0)
    assert pace.share == pacing.SHARES[-1]


def looks(look: float) -> int:
    clock, count = Clock(), 0
    pace = ClockPacing(TrainingOptions(budget=120.0, steps=1000), clock, reserve=5.0)
    for step in range(1, 10_000):
        if pace.over(step - 1):
            break
        clock.now += 0.1
        pace.note_step(step, 0.1)
        if pace.validation_due(step):
            count += 1
            clock.now += look
            pace.note_validation(step, look, reserve=5.0)
    return count


def test_slow_validations_become_rarer() -> None:
    assert looks(0.1) == pytest.approx(pacing.VALIDATIONS, abs=1)
    assert looks(4.0) <= 1 + pacing.MAX_VALIDATION_SHARE * 120 / 4
    assert looks(40.0) == 1


def test_a_checkpoint_is_due_every_minute_and_less_often_where_saving_is_slow() -> None:
    clock = Clock()
    pace = ClockPacing(TrainingOptions(budget=1e4, steps=1000), clock, reserve=5.0)
    clock.now = pacing.CHECKPOINT_SECONDS - 1
    assert not pace.save_due(5)
    clock.now += 1
    assert pace.save_due(6)
    pace.note_save(10.0)
    clock.now += 10.0 / pacing.CHECKPOINT_SHARE - 1
    assert not pace.save_due(7)
    clock.now += 1
    assert pace.save_due(8)


def test_a_continuation_goes_on_where_the_clock_stood() -> None:
    clock = Clock()
    options = TrainingOptions(budget=120.0, steps=1000)
    before = ClockPacing(options, clock, reserve=5.0)
    train(before, clock, 0.1, until=500)
    before.note_validation(500, 3.0, reserve=20.0)  # the end has moved
    state, progress = before.state(), before.progress(500)
    # the process that goes on has used five seconds more until it has read the data
    clock.now += 5.0
    after = ClockPacing(options, clock, reserve=5.0, state=state)
    assert after.progress(500) == pytest.approx(progress + (1 - progress) * 5.0 / (100.0 - 50.0))
    # control: one that starts anew would begin its schedule again
    assert ClockPacing(options, clock, reserve=5.0).progress(500) == 0.0


def test_steps_below_a_time_limit_make_the_same_progress_as_without_one() -> None:
    clock = Clock()
    limited = make_pacing(TrainingOptions(time_limit=100.0, steps=200), clock, 5.0)
    free = make_pacing(TrainingOptions(steps=200), clock, 5.0)
    for step in range(200):
        assert not limited.over(step)
        assert (limited.progress(step), limited.middle(step)) == (free.progress(step), free.middle(step))
        clock.now += 0.3
        limited.note_step(step + 1, 0.3)
    assert limited.over(200)


def test_a_time_limit_ends_steps_that_would_take_longer_with_a_rate_of_zero() -> None:
    clock = Clock()
    pace = ClockPacing(TrainingOptions(time_limit=100.0, steps=200), clock, reserve=5.0)
    seen = train(pace, clock, 20.0)
    assert len(seen) < 200
    assert clock.now == pytest.approx(95.0, abs=2.0)
    assert seen == sorted(seen)
    assert seen[-1] > 0.95


def test_the_number_of_steps_alone_decides_without_a_clock() -> None:
    pace = make_pacing(TrainingOptions(steps=100, validate_every=10, checkpoint_every=25), Clock(1e9), 5.0)
    assert isinstance(pace, StepPacing)
    assert [step for step in range(1, 101) if pace.validation_due(step)] == list(range(10, 101, 10))
    assert [step for step in range(1, 101) if pace.save_due(step)] == [25, 50, 75, 100]
    assert (pace.progress(50), pace.over(99), pace.over(100), pace.share) == (0.5, False, True, 1.0)


@given(
    moves=st.lists(st.tuples(st.floats(0.0, 50.0), st.floats(0.0, 300.0)), max_size=6),
    began=st.floats(0.0, 20.0),
)
def test_a_line_that_moves_never_goes_back(moves: list[tuple[float, float]], began: float) -> None:
    line, now, last = Timeline(began=began, ends=began + 100.0), began, 0.0
    for seconds, ends in moves:
        now += seconds
        assert line.progress(now) >= last - 1e-9
        moved = line.moved(now, ends)
        assert moved.progress(now) >= line.progress(now) - 1e-9
        line, last = moved, line.progress(now)
    assert line.progress(line.ends) == 1.0


def test_steps_are_not_made_smaller_than_pays() -> None:
    def shrunk(smallest_share: float) -> float:
        clock = Clock()
        pace = ClockPacing(TrainingOptions(budget=120.0, steps=1000), clock, reserve=5.0, smallest_share=smallest_share)
        train(pace, clock, 2.0, until=10)
        return pace.share

    assert shrunk(0.25) == 0.25
    assert shrunk(0.3) == 0.5
    assert shrunk(1.0) == 1.0
    assert shrunk(0.0) == 0.125  # control: without a limit they shrink further
