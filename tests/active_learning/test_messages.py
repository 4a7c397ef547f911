"""What a curve says in words, and when it says little."""

import math

import numpy as np
import pytest

from pixelwise.active_learning.messages import describe_doubts, describe_forecast, judge
from pixelwise.metrics.learning_curve import Between, Curve, Projection


def outlook(limit: float = 0.9, drop: float = 0.5, spread: float = 0.02, rise: Between = (0.2, 0.1, 0.3)) -> Projection:
    """A curve on 16 images whose draws differ in their limit and their drop."""
    rng = np.random.default_rng(0)
    draws = np.stack([limit + rng.normal(0, spread, 500), drop * rng.uniform(0.5, 1.5, 500), np.full(500, 0.5)], axis=1)
    curve = Curve(limit=limit, drop=drop, bend=0.5)
    return Projection(curve=curve, now=16, rise=rise, draws=draws, tail=0.1)


def test_a_forecast_names_score_interval_and_gain() -> None:
    found = outlook()
    value, low, high = found.score(26)
    messages = describe_forecast(found, 10, "mean_dice")
    start = f"With 10 more masks: mean Dice {0.9 - 0.5 / 4:.3f} -> {value:.3f} (80 % interval {low:.3f} to {high:.3f})"
    assert messages.startswith(f"{start}, a gain of {0.5 / 4 - 0.5 * 26**-0.5:.3f} (")
    assert messages.endswith(": it helps.")
    assert describe_forecast(found, 1, "mean_ap").startswith("With 1 more mask: mean AP ")


@pytest.mark.parametrize(
    ("gain", "says"),
    [
        ((0.02, 0.006, 0.05), "it helps"),
        ((0.001, 0.0, 0.004), "hardly anything, less than 0.005"),
        ((0.01, 0.0, 0.03), "open, from next to nothing to 0.030"),
        ((0.01, math.nan, math.nan), "not known"),
    ],
)
def test_the_interval_of_the_gain_decides(gain: Between, says: str) -> None:
    assert judge(gain) == says


def test_one_image_gives_no_interval_and_says_so() -> None:
    found = outlook()
    empty = Projection(curve=found.curve, now=16, rise=(0.1, math.nan, math.nan), draws=found.draws[:0], tail=0.1)
    assert "no interval: one validation image" in describe_forecast(empty, 10, "mean_dice")
    assert any("flat as far as can be told" in doubt for doubt in describe_doubts(empty, (4, 8, 16), 1, (10,), 500))


def test_without_a_reason_there_is_no_doubt() -> None:
    assert describe_doubts(outlook(), (4, 8, 16), 12, (10, 48), 50) == []


@pytest.mark.parametrize(
    ("found", "sizes", "images", "more", "reason"),
    [
        (outlook(rise=(0.01, -0.02, 0.04)), (4, 8, 16), 12, (10,), "from 4 to 16 images the score rose by 0.010 (80"),
        (outlook(limit=0.06, drop=0.1), (4, 8, 16), 12, (10,), "too short for these data: with all masks"),
        (outlook(), (4, 8, 16), 4, (10,), "4 validation images can hardly tell the score itself"),
        (outlook(), (4, 16), 12, (10,), "with two sizes how the curve bends is assumed"),
        (outlook(), (4, 8, 16), 12, (10, 49, 90), "49 and 90 more is beyond 4 times the 16 images there are"),
    ],
)  # fmt: skip
def test_each_doubt_has_its_reason(
    found: Projection, sizes: tuple[int, ...], images: int, more: tuple[int, ...], reason: str
) -> None:
    (doubt,) = describe_doubts(found, sizes, images, more, 500)
    assert reason in doubt


def test_trainings_of_a_few_steps_say_so() -> None:
    (doubt,) = describe_doubts(outlook(), (4, 8, 16), 12, (10,), 49)
    assert doubt == "trainings of 49 steps have hardly begun to learn"
