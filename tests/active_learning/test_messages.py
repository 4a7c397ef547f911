"""Text of a forecast, and the reasons why it may be unreliable."""

import math

import numpy as np
import pytest

from pixelwise.active_learning.messages import describe_doubts, describe_forecast, judge
from pixelwise.metrics.learning_curve import Curve, Estimate, Projection


def projection(
    limit: float = 0.9, drop: float = 0.5, spread: float = 0.02, rise: Estimate = (0.2, 0.1, 0.3)
) -> Projection:
    """Return a power law on 16 images whose bootstrap replicates differ in limit and drop."""
    rng = np.random.default_rng(0)
    draws = np.stack([limit + rng.normal(0, spread, 500), drop * rng.uniform(0.5, 1.5, 500), np.full(500, 0.5)], axis=1)
    curve = Curve(limit=limit, drop=drop, bend=0.5)
    return Projection(curve=curve, now=16, rise=rise, draws=draws, tail=0.1)


def test_a_forecast_names_score_interval_and_gain() -> None:
    found = projection()
    value, low, high = found.score(26)
    text = describe_forecast(found, 10, "mean_dice")
    start = f"With 10 more masks: mean Dice {0.9 - 0.5 / 4:.3f} -> {value:.3f} (80 % interval {low:.3f} to {high:.3f})"
    assert text.startswith(f"{start}, a gain of {0.5 / 4 - 0.5 * 26**-0.5:.3f} (")
    assert text.endswith(": more masks help.")
    assert describe_forecast(found, 1, "mean_ap").startswith("With 1 more mask: mean AP ")


@pytest.mark.parametrize(
    ("gain", "meaning"),
    [
        ((0.02, 0.006, 0.05), "more masks help"),
        ((0.001, 0.0, 0.004), "negligible, below 0.005"),
        ((0.01, 0.0, 0.03), "uncertain, between almost none and 0.030"),
        ((0.01, math.nan, math.nan), "unknown"),
    ],
)
def test_the_interval_of_the_gain_decides(gain: Estimate, meaning: str) -> None:
    assert judge(gain) == meaning


def test_one_image_gives_no_interval() -> None:
    found = projection()
    empty = Projection(curve=found.curve, now=16, rise=(0.1, math.nan, math.nan), draws=found.draws[:0], tail=0.1)
    assert "no interval" in describe_forecast(empty, 10, "mean_dice")
    assert any("may be flat" in doubt for doubt in describe_doubts(empty, (4, 8, 16), 1, (10,), 500))


def test_without_a_reason_there_is_no_doubt() -> None:
    assert describe_doubts(projection(), (4, 8, 16), 12, (10, 48), 50) == []


@pytest.mark.parametrize(
    ("found", "sizes", "images", "more", "reason"),
    [
        (projection(rise=(0.01, -0.02, 0.04)), (4, 8, 16), 12, (10,), "4 to 16 images the score increased by 0.010"),
        (projection(limit=0.06, drop=0.1), (4, 8, 16), 12, (10,), "too short for these data: with all masks"),
        (projection(), (4, 8, 16), 4, (10,), "4 validation images cannot determine the score"),
        (projection(), (4, 16), 12, (10,), "the exponent of the power law is assumed"),
        (projection(), (4, 8, 16), 12, (10, 49, 90), "49 and 90 more is beyond 4 times the 16 labelled images"),
    ],
)  # fmt: skip
def test_each_doubt_has_its_reason(
    found: Projection, sizes: tuple[int, ...], images: int, more: tuple[int, ...], reason: str
) -> None:
    (doubt,) = describe_doubts(found, sizes, images, more, 500)
    assert reason in doubt


def test_few_steps_are_a_reason_for_doubt() -> None:
    (doubt,) = describe_doubts(projection(), (4, 8, 16), 12, (10,), 49)
    assert "49 steps" in doubt
