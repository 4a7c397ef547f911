"""The schedule: which trainings a forecast makes, and how its time is shared out to them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pixelwise.datasets.subsets import part_sizes
from pixelwise.errors import BadDataset, BadOption
from pixelwise.text import pluralise

LEAST_CASES = 4  # labelled training images: fewer make no two parts
LEAST_SECONDS = 10.0  # of a training
LONG, SHORT = 60.0, 20.0  # seconds of a training: what is wanted, and what will do
RICH = ((4, 3), (4, 2), (3, 2), (2, 2))  # sizes, and trainings on each; a curve with fewer bends as it is assumed to
TRAINING_SHARE = 0.8  # of the time, before it is known what scoring and looking at unlabelled images cost
SCORING_SHARE, MOST_SCORING_SHARE = 0.12, 0.3  # of the time: the second one where the first means very few images
POLL_SHARE = 0.12  # of the time, at most, for looking at unlabelled images
SETTING_UP, WRITING = 2.0, 5.0  # seconds of a training before its first step and after its last; of the last files


@dataclass(frozen=True, kw_only=True)
class SubsetTraining:
    """One training: on how many labelled images, and which time it is (from 1)."""

    masks: int
    repeat: int

    @property
    def name(self) -> str:
        """The name of its folder."""
        return f"{self.masks}-{self.repeat}"


@dataclass(frozen=True, kw_only=True)
class ForecastSchedule:
    """Trainings on parts of these sizes, `repeats` on each."""

    sizes: tuple[int, ...]
    repeats: int

    @property
    def trials(self) -> tuple[SubsetTraining, ...]:
        """All trainings: each size once, then each again."""
        return tuple(SubsetTraining(masks=n, repeat=time) for time in range(1, self.repeats + 1) for n in self.sizes)

    def committee(self, made: Sequence[SubsetTraining]) -> list[SubsetTraining]:
        """Return the trainings whose networks are asked about unlabelled images: those on the two largest parts."""
        return [trial for trial in made if trial.masks in self.sizes[-2:]]


def choose_schedule(cases: int, seconds: float | None, root: Path) -> ForecastSchedule:
    """Return the richest schedule whose trainings still last long enough.

    Parameters
    ----------
    cases : int
        Labelled training images.
    seconds : float or None
        For all trainings; None where their steps are given.
    root : Path
        Of the data, for errors.

    Raises
    ------
    BadDataset
        There are fewer than four images.
    BadOption
        Not even the poorest schedule has the time.
    """
    if cases < LEAST_CASES:
        hint = "Label some more: a curve needs trainings on parts of them."
        raise BadDataset(f"at least {LEAST_CASES} labelled images to learn from", pluralise(cases, "image"), hint, root)
    known = part_sizes(cases)
    schedules = [ForecastSchedule(sizes=_some(known, sizes), repeats=repeats) for sizes, repeats in RICH]
    if seconds is None:
        return schedules[1]
    for least in (LONG, SHORT):
        for schedule in schedules:
            if seconds >= least * len(schedule.trials):
                return schedule
    poorest = schedules[-1]
    check_share(seconds / len(poorest.trials), poorest)
    return poorest


def check_share(seconds: float, schedule: ForecastSchedule) -> None:
    """Refuse trainings that would be too short to learn anything.

    Raises
    ------
    BadOption
        They are.
    """
    if seconds < LEAST_SECONDS:
        got = f"{max(0.0, seconds):.0f} s for each of {pluralise(len(schedule.trials), 'training')}"
        raise BadOption(f"a budget that leaves {LEAST_SECONDS:.0f} s to each training", got, "Give more time.")


def _some(sizes: tuple[int, ...], count: int) -> tuple[int, ...]:
    """Return the `count` largest sizes; of two, a quarter and all, which lie farther apart."""
    return (sizes[max(0, len(sizes) - 3)], sizes[-1]) if count == 2 else sizes[-count:]
