"""The share of the processor, and the time of work on a busy machine."""

import pytest

from pixelwise.workflow.fit import state as processor
from pixelwise.workflow.fit.state import MIN_SHARE, ProcessorMeter, State


class Machine:
    """Two clocks that are set by the test."""

    def __init__(self) -> None:
        self.wall = self.cpu = 0.0

    def monotonic(self) -> float:
        return self.wall

    def process_time(self) -> float:
        return self.cpu


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine()
    monkeypatch.setattr(processor, "time", made)
    return made


@pytest.mark.parametrize(
    ("cpu", "threads", "share", "wall"), [(20.0, 2, 1.0, 3.0), (5.0, 2, 0.25, 12.0), (0.1, 1, 0.01, 3 / MIN_SHARE)]
)
def test_work_takes_longer_by_the_share_that_others_take(
    machine: Machine, cpu: float, threads: int, share: float, wall: float
) -> None:
    meter = ProcessorMeter(State(), threads)
    machine.cpu, machine.wall = cpu, 10.0
    assert meter.share() == pytest.approx(share)
    assert meter.wall_seconds(3.0) == pytest.approx(wall)


def test_the_first_moments_say_nothing(machine: Machine) -> None:
    meter = ProcessorMeter(State(), 2)
    assert meter.share() is None
    assert meter.wall_seconds(3.0) == 3.0
    machine.cpu, machine.wall = 0.0, 0.5
    assert meter.wall_seconds(3.0) == 3.0


def test_earlier_parts_of_a_training_count(machine: Machine) -> None:
    meter = ProcessorMeter(State(cpu_seconds=30.0, loop_seconds=30.0), 1)
    machine.wall = 30.0
    assert meter.share() == pytest.approx(0.5)
