"""Planning for all tasks: limits, and the choice of precision."""

import math

import pytest

from pixelwise.errors import BadOption
from pixelwise.workflow.config import Config
from pixelwise.workflow.planning import choices
from pixelwise.workflow.planning.choices import TrainingBudget, choose_precision
from pixelwise.workflow.settings import Settings


class Probe:
    """Answers with known seconds, and remembers what it was asked."""

    def __init__(self, bfloat16: float | None) -> None:
        self.asked: list[tuple[str, bool]] = []
        self._bfloat16 = bfloat16

    def __call__(self, config: Config, baseline: Config | None = None) -> float | None:
        self.asked.append((config.training.precision, baseline is not None))
        return self._bfloat16 if config.training.precision == "bfloat16" else 1.0


@pytest.fixture
def units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choices, "has_bfloat16_units", lambda device: True)


@pytest.mark.usefixtures("units")
@pytest.mark.parametrize(
    ("bfloat16", "expected"),
    [(0.5, "bfloat16"), (0.9, "float32"), (1.0, "float32"), (math.inf, "float32"), (None, "float32")],
)
def test_bfloat16_is_taken_where_it_is_clearly_faster(bfloat16: float | None, expected: str) -> None:
    probe = Probe(bfloat16)
    name, reason = choose_precision(Config(), "cpu", Settings(), probe)["training.precision"]
    assert name == expected
    assert reason
    assert probe.asked == [("float32", False), ("bfloat16", True)]


def test_bfloat16_is_not_tried_without_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choices, "has_bfloat16_units", lambda device: False)
    probe = Probe(0.1)
    assert choose_precision(Config(), "cpu", Settings(), probe)["training.precision"][0] == "float32"
    assert probe.asked == []


@pytest.mark.usefixtures("units")
def test_a_precision_of_ones_own_is_not_measured() -> None:
    probe = Probe(0.1)
    choose_precision(Config(), "cpu", Settings.parse(["training.precision=float32"]), probe)
    assert probe.asked == []


def test_a_time_limit_goes_with_steps_alone() -> None:
    assert TrainingBudget(steps=10, time_limit=60.0).time_limit == 60.0
    with pytest.raises(BadOption, match="--time-limit with --steps or --epochs"):
        TrainingBudget(seconds=60.0, time_limit=60.0)
    with pytest.raises(BadOption, match="time_limit above 0"):
        TrainingBudget(steps=10, time_limit=0.0)
