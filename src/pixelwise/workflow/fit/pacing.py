"""Pacing of a training: its progress, when it validates and saves, and the size of its steps.

With `--steps` progress is the fraction of the steps, so that results are reproducible bit by bit. With a time budget
progress is the used fraction of the training time, so that learning rate, progressive resizing and validations follow
the clock. On a slow machine validations become rarer first, then steps become smaller; the end does not move.

Both pacings have the same methods, in which `step` is the number of completed steps.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from pixelwise.training.learner import TrainingOptions
from pixelwise.training.schedule import middle_of_step

VALIDATIONS = 20
VALIDATION_SHARE = 0.06  # planned fraction of the training time
MAX_VALIDATION_SHARE = 0.1  # of the time used so far: further validations are postponed
CHECKPOINT_SECONDS = 60.0
CHECKPOINT_SHARE = 0.02  # maximum fraction of the time for saving
TARGET_STEPS = 400  # below, more small steps are better than fewer large ones (benchmarks/RECIPE.md)
GROW = 1.5  # factor on the target steps that must fit before steps become larger again
SLOW_START = 0.1  # of the remaining time: after a slower first step the next ones are smaller at once
RECENT = 5  # number of steps whose median is the step time
SLACK = 0.25  # of a time limit, in which progress is by steps only
SHARES = (1.0, 0.5, 0.25, 0.125, 0.0625)  # fractions of the planned step size


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """Progress by the clock: linear from `done` at second `began` to 1 at second `ends`.

    Examples
    --------
    >>> line = Timeline(began=10.0, ends=110.0)
    >>> line.progress(60.0)
    0.5
    >>> later = line.moved(60.0, ends=160.0)  # continuous at second 60
    >>> later.progress(60.0), later.progress(110.0)
    (0.5, 0.75)
    """

    began: float
    ends: float
    done: float = 0.0

    def progress(self, seconds: float) -> float:
        """Return the progress at a second of the command, in [0, 1]."""
        if seconds >= self.ends:
            return 1.0
        share = max(0.0, seconds - self.began) / max(1e-9, self.ends - self.began)
        return min(1.0, self.done + (1 - self.done) * share)

    def moved(self, seconds: float, ends: float) -> "Timeline":
        """Return the timeline that continues from now and ends at another second."""
        began = max(self.began, seconds)
        return Timeline(began=began, ends=max(ends, began), done=self.progress(began))


class StepPacing:
    """Pacing by the number of steps, independent of the clock."""

    share = 1.0

    def __init__(self, options: TrainingOptions) -> None:
        self._options = options

    def progress(self, step: int) -> float:
        """Return the completed fraction of the steps."""
        return min(1.0, step / self._options.steps)

    def middle(self, step: int) -> float:
        """Return the progress in the middle of a step."""
        return middle_of_step(step, self._options.steps)

    def expected_steps(self, step: int) -> int:
        """Return the planned number of steps."""
        return self._options.steps

    def over(self, step: int) -> bool:
        """Return whether all steps are done."""
        return step >= self._options.steps

    def validation_due(self, step: int) -> bool:
        """Return whether the step is a multiple of `validate_every`."""
        return step % self._options.validate_every == 0

    def save_due(self, step: int) -> bool:
        """Return whether the step is a multiple of `checkpoint_every`."""
        return step % self._options.checkpoint_every == 0

    def note_step(self, step: int, seconds: float) -> None:
        """Do nothing."""

    def note_validation(self, step: int, seconds: float, reserve: float) -> None:
        """Do nothing."""

    def note_save(self, seconds: float) -> None:
        """Do nothing."""

    def state(self) -> dict[str, Any]:
        """Return no values: the options suffice."""
        return {}


class ClockPacing:
    """Pacing by the clock, for a time budget or a time limit.

    Parameters
    ----------
    options : TrainingOptions
        With a budget or a time limit. With a time limit progress is by steps while they can be done in time.
    clock : callable
        Used seconds of the command, including those before a continuation.
    reserve : float
        Seconds to reserve at the end.
    state : mapping
        The result of `state`, for a continuation.
    smallest_share : float
        Smaller steps than this fraction of the planned size are not worth their fixed cost.
    """

    def __init__(
        self,
        options: TrainingOptions,
        clock: Callable[[], float],
        reserve: float,
        state: Mapping[str, Any] | None = None,
        smallest_share: float = 0.0,
    ) -> None:
        limit = options.available_time
        if limit is None:
            raise ValueError("expected options with a budget or a time limit")
        self._options, self._clock, self._limit = options, clock, limit
        self._steps = options.steps if options.budget is None else None
        self._recent: deque[float] = deque(maxlen=RECENT)  # seconds of a step with the planned step size
        self._cold, self._provisional = True, False
        self.share = SHARES[0]
        self._shares = tuple(share for share in SHARES if share == SHARES[0] or share >= smallest_share)
        self._saved, self._save_seconds = clock(), 0.0
        now = clock()
        if state:
            self._timeline = Timeline(**state["timeline"])
            self._first, self._validation_seconds, self._next_validation = (
                state["first"],
                state["validation_seconds"],
                state["next_validation"],
            )
            return
        ends = max(now, limit - reserve)
        began = now if self._steps is None else now + SLACK * (ends - now)
        self._timeline = Timeline(began=began, ends=ends)
        self._first, self._validation_seconds, self._next_validation = now, 0.0, 1 / VALIDATIONS

    def progress(self, step: int) -> float:
        """Return the used fraction of the time, or the completed fraction of the steps if larger."""
        by_steps = step / self._steps if self._steps else 0.0
        return min(1.0, max(by_steps, self._timeline.progress(self._clock())))

    def middle(self, step: int) -> float:
        """Return the progress in the middle of a step, if it takes as long as the last ones."""
        by_steps = middle_of_step(step, self._steps) if self._steps else 0.0
        return max(by_steps, self._timeline.progress(self._clock() + self._step_seconds(self.share) / 2))

    def expected_steps(self, step: int) -> int:
        """Return the completed steps plus those that fit into the remaining time."""
        fitting = step + self._fitting(self.share)
        return max(1, step, min(self._steps or fitting, fitting))

    def over(self, step: int) -> bool:
        """Return whether the time or the steps are used up, after at least one step."""
        if step == 0:
            return False
        if self._steps and step >= self._steps:
            return True
        return self._clock() + self._step_seconds(self.share) / 2 >= self._timeline.ends

    def validation_due(self, step: int) -> bool:
        """Return whether a twentieth of the training has passed, unless validations have taken too much time."""
        if self.progress(step) < self._next_validation:
            return False
        used = max(1e-9, self._clock() - self._first)
        return self._validation_seconds <= MAX_VALIDATION_SHARE * used

    def save_due(self, step: int) -> bool:
        """Return whether the last checkpoint is a minute old, or older if saving is slow."""
        return self._clock() - self._saved >= max(CHECKPOINT_SECONDS, self._save_seconds / CHECKPOINT_SHARE)

    def note_step(self, step: int, seconds: float) -> None:
        """Record a step; the time of the first step of a size is replaced by that of the second."""
        if not self._cold:
            if self._provisional:
                self._recent.clear()
            self._provisional = False
            self._recent.append(seconds / self.share)
        elif not self._recent:
            self._recent.append(seconds / self.share)
            self._provisional = True
        self._cold = False
        if not self._provisional or seconds > SLOW_START * (self._timeline.ends - self._clock()):
            self._choose_share(step)

    def note_validation(self, step: int, seconds: float, reserve: float) -> None:
        """Record a validation; the end moves with `reserve`, the seconds to keep for the work after training."""
        self._validation_seconds += seconds
        self._next_validation = self.progress(step) + 1 / VALIDATIONS
        self._timeline = self._timeline.moved(self._clock(), self._limit - reserve)

    def note_save(self, seconds: float) -> None:
        """Record a checkpoint."""
        self._saved, self._save_seconds = self._clock(), seconds

    def state(self) -> dict[str, Any]:
        """Return plain values for an exact continuation."""
        return {
            "timeline": asdict(self._timeline),
            "first": self._first,
            "validation_seconds": self._validation_seconds,
            "next_validation": self._next_validation,
        }

    def _step_seconds(self, share: float) -> float:
        """Return the seconds of a step with a fraction of the planned step size."""
        return share * median(self._recent) if self._recent else 0.0

    def _fitting(self, share: float) -> int:
        """Return the number of steps that fit into the remaining time."""
        seconds = self._step_seconds(share)
        return int(max(0.0, self._timeline.ends - self._clock()) / seconds) if seconds else self._options.steps

    def _choose_share(self, step: int) -> None:
        """Choose the largest batch size with enough steps in the remaining time; growing requires `GROW` times more."""
        target = min(TARGET_STEPS, self._steps or TARGET_STEPS)
        needed = {share: target * (GROW if share > self.share else 1.0) for share in self._shares}
        enough = (share for share in self._shares if step + self._fitting(share) >= needed[share])
        share = next(enough, self._shares[-1])
        if share != self.share:
            self.share, self._cold = share, True


Pacing = StepPacing | ClockPacing


def make_pacing(
    options: TrainingOptions,
    clock: Callable[[], float],
    reserve: float,
    state: Mapping[str, Any] | None = None,
    smallest_share: float = 0.0,
) -> Pacing:
    """Return the pacing for the options."""
    if options.available_time is None:
        return StepPacing(options)
    return ClockPacing(options, clock, reserve, state, smallest_share)
