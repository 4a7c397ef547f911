"""A quick look at every side before it is measured: how long it will take, and which sides are hopeless here.

A processor without bfloat16 units may compute bfloat16 sixty times slower than float32: measured in full, such a side
takes longer than all others together, and says nothing that a small picture has not said.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from speed_parts.sides import OURS, WARM, Answer

PROBE = 128  # pixels a side of the small picture
PROBE_LIMIT = 60.0  # seconds after which a side is given up on it; more where the first side needs a quarter of it
HOPELESS = 8.0  # times as slow as plain PyTorch: such a runtime is nobody's choice
SLACK, LEAST = 4.0, 60.0  # a process may take so many times its estimate, and so many seconds in any case


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Seconds of one process of a side.

    Attributes
    ----------
    start : float
        Imports, the model, and warming up.
    prediction : float
        Of the picture; infinite where the small picture has taken too long.
    processor : float
        Processor time of the prediction, which other work on the machine makes no longer: it is what is compared.
    """

    start: float
    prediction: float
    processor: float

    @property
    def whole(self) -> float:
        """Seconds of the process."""
        return self.start + self.prediction

    @property
    def limit(self) -> float:
        """Seconds after which the process is ended, and its side left out."""
        return LEAST + SLACK * self.whole


TOO_SLOW = Estimate(start=0.0, prediction=math.inf, processor=math.inf)


def estimate(side: str, answer: Answer, length: int, roi: int, tile: int) -> Estimate:
    """Return the estimate for a picture of `length` pixels a side from the answer on one of `PROBE` pixels.

    Parameters
    ----------
    side : str
        Its name: some sides predict windows, of which the small picture takes one; time grows with their number. That
        of the others grows with the pixels.
    answer : Answer
        Of the second prediction of the small picture; the first is part of the start.
    length, roi, tile : int
        Pixels a side of the picture, of windows, and of what a tile keeps.

    Examples
    --------
    >>> answer = Answer(seconds=[0.5], processor=[0.5], start=3.0, peak=0)
    >>> estimate("whole", answer, 256, roi=512, tile=512)
    Estimate(start=5.0, prediction=2.0, processor=2.0)
    >>> estimate("loop", answer, 1024, roi=512, tile=512).prediction
    2.0
    """
    seconds, times = answer.seconds[0], work(side, length, roi, tile)
    warming = seconds * work(side, min(WARM, length), roi, tile)
    return Estimate(start=answer.start + warming, prediction=seconds * times, processor=answer.processor[0] * times)


def work(side: str, length: int, roi: int, tile: int) -> float:
    """Return how many times the work of the small picture one of `length` pixels a side is."""
    if side in ("loop", "smp"):
        return math.ceil(length / roi) ** 2
    if side == "monai-equal":
        return math.ceil(length / tile) ** 2
    if side == "monai":
        return windows(length, roi, 0.75)
    if side in ("nnunet", "nnunet-mirrored"):
        return windows(length, roi, 0.5)
    return (length / PROBE) ** 2


def windows(length: int, roi: int, step: float) -> int:
    """Return how many windows of `roi` pixels cover a picture with this step, a share of the window."""
    return (max(0, math.ceil((length - roi) / (step * roi))) + 1) ** 2


def left_out(estimates: Mapping[str, Estimate], of: str, longest: float) -> dict[str, str]:
    """Return the sides that are not worth measuring, each with the reason.

    Parameters
    ----------
    estimates : mapping
        Of each side.
    of : str
        The side that others are compared with; it stays, whatever it takes.
    longest : float
        Seconds that one process may take.
    """
    reasons: dict[str, str] = {}
    for side, found in estimates.items():
        times = found.processor / estimates[of].processor
        if side == of:
            continue
        if math.isinf(found.prediction):
            reasons[side] = f"left out: {PROBE} x {PROBE} pixels took too long"
        elif side in OURS and times > HOPELESS:
            reasons[side] = f"left out: about {found.prediction:.0f} s, {times:.0f} times the work of {of}"
        elif found.whole > longest:
            reasons[side] = f"left out: about {found.whole:.0f} s a process, of at most {longest:.0f}"
    return reasons


def probe(
    sides: Sequence[str],
    ask: Callable[[str, float | None], Answer],
    length: int,
    roi: int,
    tile: int,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, Estimate]:
    """Return the estimate of each side.

    Parameters
    ----------
    sides : sequence of str
        The first is what others are compared with: it has all the time it needs. On a machine that is busy with other
        work its time is what the others may need too, so they have `SLACK` times as much, if that is more than
        `PROBE_LIMIT`.
    ask : callable
        Lets a side predict the small picture within a limit in seconds, None for none, or raises TimeoutError.
    length, roi, tile : int
        As in `estimate`.
    clock : callable
        Returns seconds.
    """
    found: dict[str, Estimate] = {}
    limit: float | None = None
    for side in sides:
        began = clock()
        try:
            found[side] = estimate(side, ask(side, limit), length, roi, tile)
        except TimeoutError:
            found[side] = TOO_SLOW
        limit = limit or max(PROBE_LIMIT, SLACK * (clock() - began))
    return found
