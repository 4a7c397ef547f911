"""What averaging over turned inputs would bring and cost, measured on the validation images when a training ends."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from pixelwise.geometry.symmetries import FLIPS, SYMMETRIES
from pixelwise.metrics.intervals import bootstrap
from pixelwise.model_file.model_file import load_network
from pixelwise.progress import Progress

# All symmetries, those of the smaller averages first: the sum after one, four and eight of them serves each average.
ORDER = (*FLIPS, *(symmetry for symmetry in SYMMETRIES if symmetry not in FLIPS))
COUNTS = (1, 4, 8)
SHARE = 0.05  # of a budget that the measuring may take


@dataclass(frozen=True, kw_only=True)
class TtaGain:
    """The score of predictions that are averaged over some turned inputs.

    Attributes
    ----------
    inputs : int
        How many are averaged; 1 is the image as it is.
    flag : str
        What `predict` is told to do so.
    score : float
        On the validation images that are looked at.
    times : float
        How long it takes, measured, where the image as it is takes 1.
    gain : float
        Over the score of the image as it is.
    interval : (float, float) or None
        95 % bootstrap interval of the gain over the same images, each compared with itself; None for one image.
    images : int
        That were looked at.
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
    """What was counted for one average: a row of numbers per image, and the seconds it took for all of them."""

    flag: str
    rows: list[np.ndarray]
    seconds: float = 0.0

    def add(self, row: np.ndarray, seconds: float) -> None:
        """Take up an image."""
        self.rows.append(row)
        self.seconds += seconds


def affordable(needed: float, budget: float | None) -> bool:
    """Tell whether measuring may take so many seconds of a budget."""
    return budget is None or needed <= SHARE * budget


def measure(
    averages: Callable[[nn.Module], list[TtaGain]],
    model: Path,
    needed: float,
    left: float | None,
    progress: Progress,
) -> list[TtaGain]:
    """Let the network of a model file predict turned inputs, unless there is no time for it, which is told.

    Parameters
    ----------
    averages : callable
        Of the course.
    model : Path
    needed : float
        Seconds that it takes.
    left : float or None
        Seconds that are left of the time given; None without a clock.
    progress : Progress
    """
    if left is not None and needed > left:
        text = f"it would take {needed:.0f} s"
        progress.message(
            f"What averaging over turned inputs brings was not measured: {text}, which the budget has not left."
        )
        return []
    return averages(load_network(model)[0])


def compare(tallies: Mapping[int, TtaResult], score: Callable[[np.ndarray], float]) -> list[TtaGain]:
    """Return each average beside the image as it is.

    Parameters
    ----------
    tallies : mapping
        By the number of inputs; 1 must be among them.
    score : callable
        Sum of the rows over images -> score.
    """
    plain = np.array(tallies[1].rows, np.float64)
    found: list[TtaGain] = []
    for inputs, tally in tallies.items():
        rows = np.array(tally.rows, np.float64)
        before, after = score(plain.sum(0)), score(rows.sum(0))
        numbers = plain.shape[1]
        interval = bootstrap(np.hstack([plain, rows]), lambda total, n=numbers: score(total[n:]) - score(total[:n]))
        times = tally.seconds / max(tallies[1].seconds, 1e-9)
        found.append(
            TtaGain(
                inputs=inputs,
                flag=tally.flag,
                score=after,
                times=times,
                gain=after - before,
                interval=interval,
                images=len(rows),
            )
        )
    return found


def describe_tta(averages: list[TtaGain], name: str) -> list[str]:
    """Say in words what each average brings and costs; `name` is that of the score."""
    if len(averages) < 2:
        return []
    plain, *others = averages
    listed = ", ".join(f"{one.score:.4f} with {one.flag} ({one.times:.1f} times as long)" for one in others)
    messages = f"Averaging over turned inputs, on the validation images: {name} {plain.score:.4f} without, {listed}."
    best = max(others, key=lambda one: one.gain)
    if best.gain <= 0:
        return [f"{messages} It does not help here."]
    if best.interval is None:
        return [messages if best.images > 1 else f"{messages} That is one image; what others gain is not known."]
    low, high = best.interval
    sure = "" if low > 0 else ": not more than chance could make"
    return [f"{messages} The gain of {best.flag} is {best.gain:.4f} (95 % interval {low:.4f} to {high:.4f}){sure}."]
