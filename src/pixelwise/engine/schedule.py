"""How fast to learn at each step."""

import math
from dataclasses import dataclass, replace
from typing import Literal

Shape = Literal["cosine", "linear", "constant"]


@dataclass(frozen=True)
class Schedule:
    """Linear warm-up, then a cosine or a straight line that reaches zero at the last step, or a constant rate.

    A schedule can be stretched on the way: progress runs linearly from `anchor_progress` at step `anchor` to 1 at
    step `steps`, so that the rate stays continuous and (unless it is constant) still ends at zero.
    """

    steps: int
    peak: float
    warmup_share: float
    anchor: int = 0
    anchor_progress: float = 0.0
    shape: Shape = "cosine"

    def progress(self, step: int) -> float:
        """Return the share of the schedule done before `step`, in [0, 1]."""
        share = (step - self.anchor) / max(1, self.steps - self.anchor)
        return min(1.0, self.anchor_progress + (1 - self.anchor_progress) * share)

    def step_at(self, share: float) -> int:
        """Return the first step from the anchor on before which `share` of the schedule is done."""
        if share <= self.anchor_progress:
            return self.anchor
        left = (share - self.anchor_progress) / (1 - self.anchor_progress)
        return self.anchor + math.ceil(left * (self.steps - self.anchor) - 1e-9)

    def rate(self, step: int) -> float:
        """Return the learning rate of `step` (0-based)."""
        # the half step keeps the first rate above zero and the last one close to it
        done = min(1.0, self.progress(step) + 0.5 / max(1, self.steps))
        if done < self.warmup_share:
            return self.peak * done / self.warmup_share
        if self.shape == "constant":
            return self.peak
        left = (1 - done) / (1 - self.warmup_share)
        return self.peak * (left if self.shape == "linear" else 0.5 * (1 - math.cos(math.pi * left)))

    def stretched(self, step: int, steps: int) -> "Schedule":
        """Return the schedule that goes on from `step` and ends at `steps` instead."""
        return replace(self, steps=steps, anchor=step, anchor_progress=self.progress(step))
