"""Learning-rate schedule: warm-up, then cosine, linear or constant, as a function of progress."""

import math
from dataclasses import dataclass
from typing import Literal

Shape = Literal["cosine", "linear", "constant"]


@dataclass(frozen=True)
class Schedule:
    """Linear warm-up, then cosine or linear decay to zero, or a constant learning rate.

    Progress runs from 0 to 1, measured in steps or in time.

    Attributes
    ----------
    peak : float
        The highest learning rate.
    warmup_share : float
        Fraction of the training in which the rate rises to `peak`.
    shape : {"cosine", "linear", "constant"}

    Examples
    --------
    >>> schedule = Schedule(peak=1.0, warmup_share=0.1, shape="linear")
    >>> [round(schedule.rate(progress), 6) for progress in (0.05, 0.1, 0.55, 1.0)]
    [0.5, 1.0, 0.5, 0.0]
    """

    peak: float
    warmup_share: float
    shape: Shape = "cosine"

    def rate(self, progress: float) -> float:
        """Return the learning rate of the step whose middle is at `progress`."""
        done = min(1.0, progress)
        if done < self.warmup_share:
            return self.peak * done / self.warmup_share
        if self.shape == "constant":
            return self.peak
        remaining = (1 - done) / (1 - self.warmup_share)
        return self.peak * (remaining if self.shape == "linear" else 0.5 * (1 - math.cos(math.pi * remaining)))


def middle_of_step(index: int, steps: int) -> float:
    """Return the progress in the middle of step `index` (0-based) of `steps`.

    The half step makes the first learning rate positive and the last one close to zero.
    """
    return min(1.0, min(1.0, index / max(1, steps)) + 0.5 / max(1, steps))
