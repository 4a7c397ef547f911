"""What all planning shares: the precision is measured so that other work on the machine does not choose it."""

import pytest

from pixelwise.workflow.config import Config
from pixelwise.workflow.planning import choices
from pixelwise.workflow.planning.choices import Limit, Remembered, choose_precision

ONCE = 1  # rounds, as before there were several


class Machine:
    """Steps of known length on a clock of its own; one measurement is slowed by other work."""

    def __init__(self, bfloat16: float, outlier: int | None = None, times: float = 1.0) -> None:
        self.asked: list[str] = []
        self.now = 0.0
        self._bfloat16, self._outlier, self._times = bfloat16, outlier, times

    def probe(self, config: Config) -> float:
        seconds = self._bfloat16 if config.training.precision == "bfloat16" else 1.0
        slow = self._times if len(self.asked) == self._outlier else 1.0
        self.asked.append(config.training.precision)
        self.now += seconds * slow
        return seconds * slow


def chosen(machine: Machine, limit: Limit | None = None) -> str:
    found = choose_precision(Config(), "cpu", {}, Remembered(machine.probe), limit or Limit())
    return found["training.precision"][0]


@pytest.mark.parametrize(("bfloat16", "expected"), [(0.5, "bfloat16"), (1.0, "float32"), (3.0, "float32")])
@pytest.mark.parametrize("outlier", [None, 0, 1, 2, 3, 4, 5])
def test_one_slow_measurement_does_not_choose_the_precision(
    bfloat16: float, expected: str, outlier: int | None
) -> None:
    machine = Machine(bfloat16, outlier, times=8.0)
    assert chosen(machine) == expected
    assert machine.asked == ["float32", "bfloat16", "bfloat16", "float32", "float32", "bfloat16"]


@pytest.mark.parametrize(("bfloat16", "outlier", "wrong"), [(0.5, 1, "float32"), (1.0, 0, "bfloat16")])
def test_control_one_look_alone_is_led_astray(
    monkeypatch: pytest.MonkeyPatch, bfloat16: float, outlier: int, wrong: str
) -> None:
    monkeypatch.setattr(choices, "PRECISION_ROUNDS", ONCE)
    assert chosen(Machine(bfloat16, outlier, times=8.0)) == wrong


@pytest.mark.parametrize(("seconds", "asked"), [(600.0, 6), (100.0, 6), (60.0, 4), (30.0, 2)])
def test_looking_again_takes_a_small_part_of_the_time(
    monkeypatch: pytest.MonkeyPatch, seconds: float, asked: int
) -> None:
    machine = Machine(0.5)  # a round takes 1.5 s
    monkeypatch.setattr("time.perf_counter", lambda: machine.now)
    assert chosen(machine, Limit(seconds=seconds)) == "bfloat16"
    assert len(machine.asked) == asked
    assert machine.now - 1.5 <= choices.PRECISION_SHARE * seconds


def test_what_is_measured_again_keeps_its_least() -> None:
    answers = iter([3.0, 2.0, 4.0])
    probe = Remembered(lambda _: next(answers))
    config = Config()
    assert [probe(config), probe(config), probe.again(config), probe.again(config), probe(config)] == [3, 3, 2, 2, 2]
