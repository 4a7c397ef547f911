"""Gain and cost of test-time augmentation (TTA), measured on the validation images after training."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from torch import nn

from pixelwise.geometry.symmetries import FLIPS, SYMMETRIES, VOLUME_FLIPS, Symmetry
from pixelwise.metrics.intervals import percentile_interval, resample_sums
from pixelwise.progress import Progress

# All symmetries, ordered so that the partial sums of 1, 4 and 8 of them are the supported averages.
ORDER = (*FLIPS, *(symmetry for symmetry in SYMMETRIES if symmetry not in FLIPS))
COUNTS = (1, 4, 8)


def ordered_symmetries(dimensions: int) -> tuple[Symmetry, ...]:
    """Return the symmetries of images or volumes, ordered so that the first 1, 4 and 8 are the supported averages.

    >>> [len(ordered_symmetries(dimensions)) for dimensions in (2, 3)]
    [8, 8]
    """
    return ORDER if dimensions == 2 else VOLUME_FLIPS


SHARE = 0.05  # maximum fraction of a budget for the measurement


@dataclass(frozen=True, kw_only=True)
class TtaGain:
    """Score, time and gain of test-time augmentation with a number of inputs.

    Attributes
    ----------
    inputs : int
        Number of averaged inputs; 1 is no augmentation.
    flag : str
        The option of `predict`.
    score : float
        On the validation images.
    times : float
        Measured time relative to no augmentation.
    gain : float
        Score minus the score without augmentation.
    interval : (float, float) or None
        95 % paired bootstrap interval of the gain; None for one image.
    images : int
        Number of validation images.
    """

    inputs: int
    flag: str
    score: float
    times: float
    gain: float
    interval: tuple[float, float] | None
    images: int


@dataclass
class TtaResult:
    """Counts for one average: a row of numbers per image, and the seconds for all of them."""

    flag: str
    rows: list[np.ndarray]
    seconds: float = 0.0


def affordable(needed: float, budget: float | None) -> bool:
    """Return whether a measurement of `needed` seconds is within its share of a budget."""
    return budget is None or needed <= SHARE * budget


def measure(
    measure_tta: Callable[[nn.Module], list[TtaGain]],
    network: nn.Module,
    needed: float,
    left: float | None,
    progress: Progress,
) -> list[TtaGain]:
    """Measure the gain of test-time augmentation for a network, unless the remaining time is too short.

    Parameters
    ----------
    measure_tta : callable
        `TrainingTask.measure_tta`.
    needed : float
        Expected seconds.
    left : float or None
        Remaining seconds; None without a time limit.
    """
    if left is not None and needed > left:
        progress.message(
            "Test-time augmentation was not measured: "
            f"it would take about {max(1, round(needed))} s, more than the remaining time."
        )
        return []
    return measure_tta(network)


def compare(results: Mapping[int, TtaResult], score: Callable[[np.ndarray], np.ndarray]) -> list[TtaGain]:
    """Return the gain of each average.

    Parameters
    ----------
    results : mapping
        By number of inputs; must contain 1.
    score : callable
        Sums of the rows over images, (sums, numbers) -> a score each, (sums,).
    """
    plain = np.array(results[1].rows, np.float64)
    gains: list[TtaGain] = []
    for inputs, result in results.items():
        rows = np.array(result.rows, np.float64)
        before, after = score(np.stack([plain.sum(0), rows.sum(0)])).tolist()
        numbers = plain.shape[1]
        totals = resample_sums(np.hstack([plain, rows]))
        interval = percentile_interval(score(totals[:, numbers:]) - score(totals[:, :numbers]))
        times = result.seconds / max(results[1].seconds, 1e-9)
        gains.append(
            TtaGain(
                inputs=inputs,
                flag=result.flag,
                score=after,
                times=times,
                gain=after - before,
                interval=interval,
                images=len(rows),
            )
        )
    return gains


def describe_tta(gains: list[TtaGain], name: str) -> list[str]:
    """Describe gain and cost of each average; `name` is that of the score."""
    if len(gains) < 2:
        return []
    plain, *others = gains
    scores = ", ".join(f"{one.score:.4f} with {one.flag} ({one.times:.1f} times as long)" for one in others)
    message = f"Test-time augmentation on the validation images: {name} {plain.score:.4f} without, {scores}."
    best = max(others, key=lambda one: one.gain)
    if best.gain <= 0:
        return [f"{message} It does not help here."]
    if best.interval is None:
        return [message if best.images > 1 else f"{message} With one image the uncertainty of the gain is unknown."]
    low, high = best.interval
    note = "" if low > 0 else ": not significant"
    return [f"{message} The gain of {best.flag} is {best.gain:.4f} (95 % interval {low:.4f} to {high:.4f}){note}."]
