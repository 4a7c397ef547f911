"""How fast to learn at each moment of a training: the learning rate as a function of progress."""

import math
from dataclasses import dataclass
from typing import Literal

Shape = Literal["cosine", "linear", "constant"]


@dataclass(frozen=True)
class Schedule:
    """Linear warm-up, then a cosine or a straight line that reaches zero at the end, or a constant rate.

    Progress runs from 0 to 1, whatever drives it: the number of steps, or the clock.

    Attributes
    ----------
    peak : float
        The highest learning rate.
    warmup_share : float
        Share of the training in which the rate rises to `peak`.
    shape : {"cosine", "linear", "constant"}

    Examples
    --------
    >>> schedule = Schedule(peak=1.0, warmup_share=0.1, shape="linear")
    >>> [schedule.rate(progress) for progress in (0.05, 0.1, 0.55, 1.0)]
    [0.5, 1.0, 0.5, 0.0]
    """

    peak: float
    warmup_share: float
    shape: Shape = "cosine"

    def rate(self, progress: float) -> float:
        """Return the learning rate of a step in whose middle `progress` of the training is done."""
        done = min(1.0, progress)
        if done < self.warmup_share:
            return self.peak * done / self.warmup_share
        if self.shape == "constant":
            return self.peak
        left = (1 - done) / (1 - self.warmup_share)
        return self.peak * (left if self.shape == "linear" else 0.5 * (1 - math.cos(math.pi * left)))


def middle_of_step(index: int, steps: int) -> float:
    """Return the progress in the middle of step `index` (0-based) of `steps`.

    The half step keeps the first rate above zero and the last one close to it.
    """
    return min(1.0, min(1.0, index / max(1, steps)) + 0.5 / max(1, steps))
