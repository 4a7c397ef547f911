"""Pacing: how far a training has come, when it looks and saves, and how large its steps are.

With `--steps` the number of the step decides, so that the same command makes the same bits. With a time budget the
clock decides: progress is the share of the training time that is used, so that learning rate, progressive resizing and
validations keep to the time whatever else the machine does. Where a machine is slow, validations become rarer first,
then steps become smaller; the end stays where it is.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Protocol, runtime_checkable

from pixelwise.training.learner import TrainingOptions
from pixelwise.training.schedule import middle_of_step

VALIDATIONS = 20
VALIDATION_SHARE = 0.06  # of the training time, as planned
MOST_VALIDATION_SHARE = 0.1  # of the time used so far: more is put off
CHECKPOINT_SECONDS = 60.0
CHECKPOINT_SHARE = 0.02  # of the time: what saving may take
WANTED_STEPS = 400  # of a training: below, more small steps teach more than fewer large ones (benchmarks/RECIPE.md)
GROW = 1.5  # times the wanted steps must fit before steps become larger again
SLOW_START = 0.1  # of the time that is left: a first step that takes more makes the next ones smaller at once
RECENT = 5  # steps whose median is the pace
SLACK = 0.25  # of a time limit in which the number of steps alone decides
SHARES = (1.0, 0.5, 0.25, 0.125, 0.0625)  # of the planned patches of a step


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """Progress by the clock: a straight line from `done` at second `began` to 1 at second `ends`.

    Examples
    --------
    >>> line = Timeline(began=10.0, ends=110.0)
    >>> line.progress(60.0)
    0.5
    >>> later = line.moved(60.0, ends=160.0)  # continuous: it goes on from where it is
    >>> later.progress(60.0), later.progress(110.0)
    (0.5, 0.75)
    """

    began: float
    ends: float
    done: float = 0.0

    def progress(self, seconds: float) -> float:
        """Return the share that is done at a second of the command, in [0, 1]."""
        if seconds >= self.ends:
            return 1.0
        share = max(0.0, seconds - self.began) / max(1e-9, self.ends - self.began)
        return min(1.0, self.done + (1 - self.done) * share)

    def moved(self, seconds: float, ends: float) -> "Timeline":
        """Return the line that goes on from now and ends at another second."""
        began = max(self.began, seconds)
        return Timeline(began=began, ends=max(ends, began), done=self.progress(began))


@runtime_checkable
class Pacing(Protocol):
    """Answers what the training loop asks about its length; `step` is the number of steps that are done."""

    @property
    def share(self) -> float:
        """Share of the planned patches that a step has."""
        ...

    def progress(self, step: int) -> float:
        """Return the share of the training that is done before a step, in [0, 1]."""
        ...

    def middle(self, step: int) -> float:
        """Return the share that is done in the middle of a step."""
        ...

    def expected_steps(self, step: int) -> int:
        """Return the steps of the whole training, as far as is known."""
        ...

    def over(self, step: int) -> bool:
        """Tell whether the training has come to its end."""
        ...

    def look_due(self, step: int) -> bool:
        """Tell whether it is time for a validation."""
        ...

    def save_due(self, step: int) -> bool:
        """Tell whether it is time for a checkpoint."""
        ...

    def note_step(self, step: int, seconds: float) -> None:
        """Take note of a step and its seconds."""
        ...

    def note_look(self, step: int, seconds: float, reserve: float) -> None:
        """Take note of a validation, its seconds, and the seconds to keep free for what comes after training."""
        ...

    def note_save(self, seconds: float) -> None:
        """Take note of a checkpoint and its seconds."""
        ...

    def state(self) -> dict[str, Any]:
        """Return plain values from which an exact continuation restores the pacing."""
        ...


class StepPacing:
    """The number of steps decides everything: the same steps whatever the clock says."""

    share = 1.0

    def __init__(self, options: TrainingOptions) -> None:
        self._options = options

    def progress(self, step: int) -> float:
        """Return the share of the steps that are done."""
        return min(1.0, step / self._options.steps)

    def middle(self, step: int) -> float:
        """Return the progress in the middle of a step."""
        return middle_of_step(step, self._options.steps)

    def expected_steps(self, step: int) -> int:
        """Return the planned steps."""
        return self._options.steps

    def over(self, step: int) -> bool:
        """Tell whether all steps are done."""
        return step >= self._options.steps

    def look_due(self, step: int) -> bool:
        """Tell whether a multiple of `validate_every` is done."""
        return step % self._options.validate_every == 0

    def save_due(self, step: int) -> bool:
        """Tell whether a multiple of `checkpoint_every` is done."""
        return step % self._options.checkpoint_every == 0

    def note_step(self, step: int, seconds: float) -> None:
        """Do nothing: time decides nothing."""

    def note_look(self, step: int, seconds: float, reserve: float) -> None:
        """Do nothing: time decides nothing."""

    def note_save(self, seconds: float) -> None:
        """Do nothing: time decides nothing."""

    def state(self) -> dict[str, Any]:
        """Return nothing: the options say it all."""
        return {}


class ClockPacing:
    """The clock decides: a budget is filled, a time limit is kept.

    Parameters
    ----------
    options : TrainingOptions
        With a budget or a time limit. Below a time limit the steps decide, until they would not be done in time.
    clock : callable
        Seconds of the command that are used, with those of its earlier parts where it is a continuation.
    reserve : float
        Seconds to keep free at the end.
    state : mapping
        What `state` returned, for a continuation.
    """

    def __init__(
        self,
        options: TrainingOptions,
        clock: Callable[[], float],
        reserve: float,
        state: Mapping[str, Any] | None = None,
    ) -> None:
        limit = options.time_given
        if limit is None:
            raise ValueError("expected options with a budget or a time limit")
        self._options, self._clock, self._limit = options, clock, limit
        self._steps = options.steps if options.budget is None else None
        self._recent: deque[float] = deque(maxlen=RECENT)  # seconds of a step of the planned size
        self._cold, self._provisional = True, False
        self.share = SHARES[0]
        self._saved, self._save_seconds = clock(), 0.0
        now = clock()
        if state:
            self._timeline = Timeline(**state["timeline"])
            self._first, self._look_seconds, self._next_look = state["first"], state["look_seconds"], state["next_look"]
            return
        ends = max(now, limit - reserve)
        began = now if self._steps is None else now + SLACK * (ends - now)
        self._timeline = Timeline(began=began, ends=ends)
        self._first, self._look_seconds, self._next_look = now, 0.0, 1 / VALIDATIONS

    def progress(self, step: int) -> float:
        """Return the share of the time that is used, or of the steps where they are further."""
        by_steps = step / self._steps if self._steps else 0.0
        return min(1.0, max(by_steps, self._timeline.progress(self._clock())))

    def middle(self, step: int) -> float:
        """Return the progress in the middle of a step that takes as long as the last ones."""
        by_steps = middle_of_step(step, self._steps) if self._steps else 0.0
        return max(by_steps, self._timeline.progress(self._clock() + self._pace(self.share) / 2))

    def expected_steps(self, step: int) -> int:
        """Return the steps that are done and those for which the time is enough."""
        fitting = step + self._fitting(self.share)
        return max(1, step, min(self._steps or fitting, fitting))

    def over(self, step: int) -> bool:
        """Tell whether the time or the steps are used up; at least one step is made."""
        if step == 0:
            return False
        if self._steps and step >= self._steps:
            return True
        return self._clock() + self._pace(self.share) / 2 >= self._timeline.ends

    def look_due(self, step: int) -> bool:
        """Tell whether a twentieth of the training has passed, and validations have not taken too much of it."""
        if self.progress(step) < self._next_look:
            return False
        used = max(1e-9, self._clock() - self._first)
        return self._look_seconds <= MOST_VALIDATION_SHARE * used

    def save_due(self, step: int) -> bool:
        """Tell whether the last checkpoint is a minute old, or older where saving takes long."""
        return self._clock() - self._saved >= max(CHECKPOINT_SECONDS, self._save_seconds / CHECKPOINT_SHARE)

    def note_step(self, step: int, seconds: float) -> None:
        """Take note of a step; the first one of its size is slower than the others, and counts only while alone."""
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

    def note_look(self, step: int, seconds: float, reserve: float) -> None:
        """Take note of a validation; the end moves with what has to be kept free."""
        self._look_seconds += seconds
        self._next_look = self.progress(step) + 1 / VALIDATIONS
        self._timeline = self._timeline.moved(self._clock(), self._limit - reserve)

    def note_save(self, seconds: float) -> None:
        """Take note of a checkpoint."""
        self._saved, self._save_seconds = self._clock(), seconds

    def state(self) -> dict[str, Any]:
        """Return plain values from which a continuation goes on."""
        return {
            "timeline": asdict(self._timeline),
            "first": self._first,
            "look_seconds": self._look_seconds,
            "next_look": self._next_look,
        }

    def _pace(self, share: float) -> float:
        """Return the seconds that a step of a size takes."""
        return share * median(self._recent) if self._recent else 0.0

    def _fitting(self, share: float) -> int:
        """Return how many steps of a size fit into the time that is left."""
        pace = self._pace(share)
        return int(max(0.0, self._timeline.ends - self._clock()) / pace) if pace else self._options.steps

    def _choose_share(self, step: int) -> None:
        """Choose the largest steps of which enough fit into the time; growing again asks for more than enough."""
        wanted = min(WANTED_STEPS, self._steps or WANTED_STEPS)
        needed = {share: wanted * (GROW if share > self.share else 1.0) for share in SHARES}
        share = next((share for share in SHARES if step + self._fitting(share) >= needed[share]), SHARES[-1])
        if share != self.share:
            self.share, self._cold = share, True


def make_pacing(
    options: TrainingOptions, clock: Callable[[], float], reserve: float, state: Mapping[str, Any] | None = None
) -> Pacing:
    """Return the pacing that the options ask for."""
    if options.time_given is None:
        return StepPacing(options)
    return ClockPacing(options, clock, reserve, state)
