"""Measurements have a deadline: small probes first, slow candidates are dropped, results are cached."""

import math
from pathlib import Path

import pytest

from pixelwise.workflow.config import Config, with_settings
from pixelwise.workflow.planning import step_times
from pixelwise.workflow.planning.step_times import SIZES, Step, StepTimes

SLOW = 50.0


class Machine:
    """A machine whose steps take known seconds on a clock of its own: bfloat16 is 50 times as slow as float32."""

    def __init__(self, whole: float = 4.0, times: float = SLOW, busy: float = 1.0, fixed: float = 0.0) -> None:
        self.now, self.whole, self.times, self.busy, self.fixed = 0.0, whole, times, busy, fixed
        self.made: list[tuple[str, float]] = []

    def make(self, config: Config, share: float) -> tuple[Step, float]:
        precision = config.training.precision

        def step() -> None:
            self.made.append((precision, share))
            self.now += self.fixed + self.whole * share * (self.times if precision == "bfloat16" else 1.0)

        return step, share

    def probe(self, seconds: float, keep: bool = False) -> StepTimes:
        return StepTimes(
            self.make, seconds, keep=keep, clock=lambda: self.now, processor=lambda: self.now * self.busy, threads=1
        )


def from_one_size(whole: float) -> float:
    """What is estimated of a step of which only the smallest size was measured: half of that does not grow."""
    return whole / 2 * (1 + SIZES[0])


PLAIN = Config()
HALF = with_settings(PLAIN, {"training.precision": "bfloat16"}, {})


def test_a_candidate_50_times_slower_than_its_baseline_is_dropped_on_the_smallest_probe() -> None:
    machine = Machine()
    probe = machine.probe(3.0)
    assert probe(PLAIN) == pytest.approx(4.0)
    before = machine.now
    assert probe(HALF, baseline=PLAIN) == math.inf
    assert [share for precision, share in machine.made if precision == "bfloat16"] == [SIZES[0]]
    assert machine.now - before == pytest.approx(SLOW * 4.0 * SIZES[0])


def test_measuring_ends_near_its_deadline_and_no_step_is_made_that_would_not_fit() -> None:
    machine = Machine(whole=8.0, times=1.0)
    probe = machine.probe(3.0)
    assert probe(PLAIN) == pytest.approx(8.0)
    assert machine.now <= 3.0
    assert max(share for _, share in machine.made) < 1.0


def test_control_without_the_deadline_steps_are_made_at_full_size() -> None:
    machine = Machine(whole=8.0, times=1.0)
    machine.probe(math.inf)(PLAIN)
    assert max(share for _, share in machine.made) == 1.0
    assert machine.now > 8.0


def test_control_without_a_baseline_the_slow_candidate_eats_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine()
    probe = machine.probe(60.0)
    probe(PLAIN)
    before = machine.now
    assert probe(HALF) == pytest.approx(from_one_size(SLOW * 4.0))
    assert machine.now - before > 2 * SLOW * 4.0 * SIZES[0]


def test_there_is_no_time_for_a_second_one_after_the_deadline() -> None:
    machine = Machine(whole=80.0, times=1.0)
    probe = machine.probe(2.0)
    assert probe(PLAIN) == pytest.approx(from_one_size(80.0)), "the first one is measured whatever it takes"
    made = len(machine.made)
    assert probe(with_settings(PLAIN, {"network.base": 8}, {})) is None
    assert len(machine.made) == made
    assert probe(PLAIN) == pytest.approx(from_one_size(80.0)), "what is known is not forgotten"


def test_a_faster_candidate_is_measured_to_the_end() -> None:
    machine = Machine(times=0.5)
    probe = machine.probe(60.0)
    assert probe(PLAIN) == pytest.approx(4.0)
    assert probe(HALF, baseline=PLAIN) == pytest.approx(2.0)


def test_what_a_step_takes_whatever_its_size_is_not_extrapolated() -> None:
    """Two small sizes tell the part that grows with the pixels: a thousandth of a second is not one of a large step."""
    machine = Machine(whole=8.0, times=1.0, fixed=0.5)
    assert machine.probe(13.0)(PLAIN) == pytest.approx(8.5)
    assert max(share for _, share in machine.made) == SIZES[1], "the deadline allows two sizes"
    hurried = Machine(whole=8.0, times=1.0, fixed=0.25).probe(0.1)
    assert hurried(PLAIN) == pytest.approx(8.25), "of one size half is assumed not to grow, as is true of this machine"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PIXELWISE_CACHE", str(tmp_path))
    return tmp_path / "steps"


def test_what_was_measured_on_a_quiet_machine_is_kept(cache: Path) -> None:
    Machine().probe(60.0, keep=True)(PLAIN)
    assert len(list(cache.iterdir())) == 1
    again = Machine()
    assert again.probe(60.0, keep=True)(PLAIN) == pytest.approx(4.0)
    assert {share for _, share in again.made} == {SIZES[0]}, "one small probe sees whether it still holds"


def test_a_machine_that_is_slower_now_makes_what_was_kept_slower(cache: Path) -> None:
    Machine().probe(60.0, keep=True)(PLAIN)
    assert Machine(whole=12.0).probe(60.0, keep=True)(PLAIN) == pytest.approx(12.0)


def test_what_was_measured_of_small_steps_alone_is_measured_further(cache: Path) -> None:
    """With more time: a short training before does not decide the plans of all later ones."""
    Machine(whole=8.0, fixed=0.5).probe(0.1, keep=True)(PLAIN)
    again = Machine(whole=8.0, fixed=0.5)
    assert again.probe(600.0, keep=True)(PLAIN) == pytest.approx(8.5)
    assert {share for _, share in again.made} == set(SIZES)
    third = Machine(whole=8.0, fixed=0.5)
    assert third.probe(600.0, keep=True)(PLAIN) == pytest.approx(8.5)
    assert {share for _, share in third.made} == {SIZES[0]}, "which is kept in its place"


def test_nothing_is_kept_of_a_busy_machine(cache: Path) -> None:
    Machine(busy=0.4).probe(60.0, keep=True)(PLAIN)
    assert not cache.exists()


def test_another_machine_or_version_measures_anew(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Machine().probe(60.0, keep=True)(PLAIN)
    monkeypatch.setattr(step_times, "machine_facts", lambda: {"node": "another"})
    again = Machine()
    again.probe(60.0, keep=True)(PLAIN)
    assert {share for _, share in again.made} == set(SIZES)


def test_a_damaged_file_in_the_cache_is_measured_anew(cache: Path) -> None:
    Machine().probe(60.0, keep=True)(PLAIN)
    next(cache.iterdir()).write_text("{", encoding="utf-8")
    assert Machine().probe(60.0, keep=True)(PLAIN) == pytest.approx(4.0)
