"""Choice of the training-subset sizes of a learning curve, and its time budget."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pixelwise.datasets.splitting.subsets import subset_sizes
from pixelwise.errors import BadDataset, BadOption
from pixelwise.text import pluralise

MIN_CASES = 4  # labelled training images
MIN_SECONDS = 10.0  # of a training
PREFERRED_SECONDS, ACCEPTABLE_SECONDS = 60.0, 20.0  # of a training
SCHEDULES = ((4, 3), (4, 2), (3, 2), (2, 2))  # (sizes, repeats); with two sizes the exponent is assumed, not fitted
TRAINING_SHARE = 0.8  # of the time, before the cost of scoring and ranking is measured
SCORING_SHARE, MAX_SCORING_SHARE = 0.12, 0.3  # of the time; the second applies if the first covers too few images
RANKING_SHARE = 0.12  # of the time, at most, for unlabelled images
SETUP_SECONDS, WRITE_SECONDS = 2.0, 5.0  # of a training outside its steps; of the output files


@dataclass(frozen=True, kw_only=True)
class SubsetTraining:
    """One training: the number of labelled images, and the repeat (from 1)."""

    masks: int
    repeat: int

    @property
    def name(self) -> str:
        """The name of its folder."""
        return f"{self.masks}-{self.repeat}"


@dataclass(frozen=True, kw_only=True)
class ForecastSchedule:
    """Trainings on subsets of these sizes, `repeats` on each."""

    sizes: tuple[int, ...]
    repeats: int

    @property
    def trainings(self) -> tuple[SubsetTraining, ...]:
        """All trainings: each size once, then each again."""
        repeats = range(1, self.repeats + 1)
        return tuple(SubsetTraining(masks=n, repeat=repeat) for repeat in repeats for n in self.sizes)

    def committee(self, finished: Sequence[SubsetTraining]) -> list[SubsetTraining]:
        """Return the trainings of the query-by-committee ensemble: those on the two largest subsets."""
        return [training for training in finished if training.masks in self.sizes[-2:]]


def choose_schedule(cases: int, seconds: float | None, root: Path) -> ForecastSchedule:
    """Return the largest schedule whose trainings are long enough.

    Parameters
    ----------
    cases : int
        Labelled training images.
    seconds : float or None
        For all trainings; None if their steps are given.
    root : Path
        Data folder, for errors.

    Raises
    ------
    BadDataset
        There are fewer than four images.
    BadOption
        The time is too short for the smallest schedule.
    """
    if cases < MIN_CASES:
        hint = "Label more images: a learning curve needs trainings on subsets."
        raise BadDataset(f"at least {MIN_CASES} labelled training images", pluralise(cases, "image"), hint, root)
    sizes = subset_sizes(cases)
    schedules = [ForecastSchedule(sizes=_select_sizes(sizes, count), repeats=repeats) for count, repeats in SCHEDULES]
    if seconds is None:
        return schedules[1]
    for minimum in (PREFERRED_SECONDS, ACCEPTABLE_SECONDS):
        for schedule in schedules:
            if seconds >= minimum * len(schedule.trainings):
                return schedule
    smallest = schedules[-1]
    check_share(seconds / len(smallest.trainings), smallest)
    return smallest


def check_share(seconds: float, schedule: ForecastSchedule) -> None:
    """Check that each training has enough time.

    Raises
    ------
    BadOption
        It has less than `MIN_SECONDS`.
    """
    if seconds < MIN_SECONDS:
        got = f"{max(0.0, seconds):.0f} s for each of {pluralise(len(schedule.trainings), 'training')}"
        raise BadOption(f"a budget of at least {MIN_SECONDS:.0f} s per training", got, "Increase the budget.")


def _select_sizes(sizes: tuple[int, ...], count: int) -> tuple[int, ...]:
    """Return the `count` largest sizes; for two, a quarter and all, for a wider range."""
    return (sizes[max(0, len(sizes) - 3)], sizes[-1]) if count == 2 else sizes[-count:]
