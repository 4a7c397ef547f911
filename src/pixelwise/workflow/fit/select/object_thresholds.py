"""Tuning of the object thresholds after training, by mean AP on the validation images.

Training minimises a loss per pixel, and its validations score pixel classes. The thresholds of `TargetOptions` decide
whether neighbouring objects are separated and small regions count as objects. They are tuned by coordinate search over
a few values each.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pixelwise.labels.instances import decode
from pixelwise.labels.targets import TargetOptions, uses_watershed
from pixelwise.metrics.instance import match, mean_average_precision
from pixelwise.metrics.semantic import mean_of
from pixelwise.model_file.model_card import ModelCard
from pixelwise.progress import Advance, Progress
from pixelwise.text import pluralise
from pixelwise.workflow.fit.select.validation_predictions import ValidationPrediction, count_affordable, crop_centre

THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
AREAS = (0, 1, 2, 4, 8, 16)  # times the planned minimum area
ROUNDS = 2  # a second one, because the best thresholds depend on each other
MIN_OBJECTS = 50  # with fewer, one object changes the score by more than 2 %
MIN_GAIN = 0.001  # of mean AP: smaller gains are noise
MAX_PIXELS = 8 * 2**20  # of all validation images
SIDE = 1024  # pixels: larger images are cropped to their centre
SECONDS = 60.0  # maximum with a budget; usual time without one
BUDGET_SHARE = 0.05  # of a budget
MIN_TRIALS = 10  # must fit into the time
PERCENT = 100


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """The chosen options: `before` and `after` are mean APs over `images` validation images with `objects` objects."""

    target: TargetOptions
    before: float
    after: float
    images: int
    objects: int

    def to_text(self, planned: TargetOptions) -> str:
        """Describe the choice instead of `planned` and its scores."""
        where = f"{pluralise(self.images, 'validation image')} with {pluralise(self.objects, 'object')}"
        names = [name for name in _grid(planned) if getattr(self.target, name) != getattr(planned, name)]
        if not names:
            return f"No other thresholds are better on {where}: mean AP {self.before:.4f}."
        chosen = ", ".join(f"{name} {getattr(self.target, name)} (was {getattr(planned, name)})" for name in names)
        return f"Chosen on {where}: {chosen}. Mean AP {self.after:.4f}, before {self.before:.4f}."


def seconds_to_tune(budget: float | None) -> float | None:
    """Return the time limit of tuning with a time budget.

    None without a budget, so that results are reproducible; the number of pixels and trials is limited anyway.
    """
    return None if budget is None else min(SECONDS, BUDGET_SHARE * budget)


def tune(
    predictions: Sequence[ValidationPrediction],
    target: TargetOptions,
    user_set: Sequence[str] = (),
    over: Callable[[], bool] = lambda: False,
) -> Tuning | None:
    """Choose the thresholds with the highest mean AP.

    The search starts with the planned `target`; options in `user_set` do not change. `over` returns whether the time is
    up and is called before each trial.

    Returns
    -------
    Tuning or None
        None with fewer than `MIN_OBJECTS` objects.
    """
    objects = _objects(predictions)
    if objects < MIN_OBJECTS:
        return None
    known = {target: _score(predictions, target)}
    best = target
    for _ in range(ROUNDS):
        previous = best
        for name, values in _grid(target).items():
            for trial in (replace(best, **{name: value}) for value in values if name not in user_set):
                if trial not in known and not over():
                    known[trial] = _score(predictions, trial)
            best = _best(known, best, name)
        if best == previous:
            break
    return Tuning(target=best, before=known[target], after=known[best], images=len(predictions), objects=objects)


def choose_weights(
    candidates: Sequence[Sequence[ValidationPrediction]], target: TargetOptions, seconds: float | None
) -> tuple[int, str]:
    """Choose the weights with the best objects at the planned thresholds.

    The best weights by pixel classes are not always the best by objects.

    Parameters
    ----------
    candidates : sequence of sequence of ValidationPrediction
        Of the best weights by pixel classes and, if they differ, of the last ones, for the same images.

    Returns
    -------
    int, str
        The index of the chosen weights, and a note; empty if the first ones are kept.
    """
    if len(candidates) < 2:
        return 0, ""
    count = len(_usable(candidates[0], target, seconds))
    used = [[crop_centre(one, SIDE) for one in predictions[:count]] for predictions in candidates]
    if _objects(used[0]) < MIN_OBJECTS:
        return 0, ""
    best, last = (_score(predictions, target) for predictions in used)
    if last <= best:
        return 0, ""
    change = f"mean AP {last:.4f} instead of {best:.4f}"
    return 1, f"The last weights are better for objects than the best ones ({change})."


def select_object_thresholds(
    predictions: Sequence[ValidationPrediction],
    model_card: ModelCard,
    seconds: float | None,
    *,
    user_set: Sequence[str] = (),
    progress: Progress | None = None,
) -> tuple[ModelCard, str]:
    """Return the model card with the chosen object thresholds, and a note; see `tune`.

    With `seconds`, as many images are used as leave time for enough trials, and trials start while there is time.
    """
    planned = model_card.target
    with (progress or Progress()).bar("choosing thresholds", PERCENT) as advance:
        clock = _Clock(seconds or SECONDS, advance)
        used = _usable(predictions, planned, seconds)
        tuning = tune(used, planned, user_set, lambda: clock.share() >= 1 and seconds is not None)
    if tuning is None:
        few = f"the validation images contain fewer than {MIN_OBJECTS} objects"
        return model_card, f"The object thresholds stay as planned: {few}."
    note = tuning.to_text(planned)
    trained = model_card.trained | {"validation_mean_ap": f"{tuning.after:.4f}", "thresholds": note}
    return replace(model_card, target=tuning.target, trained=trained), note


def _usable(
    predictions: Sequence[ValidationPrediction], target: TargetOptions, seconds: float | None
) -> list[ValidationPrediction]:
    """Return the centres of as many images as the limits of pixels and time allow."""
    cropped = [crop_centre(prediction, SIDE) for prediction in predictions]
    return cropped[: count_affordable(cropped, MAX_PIXELS, seconds, lambda one: _value(one, target), MIN_TRIALS)]


class _Clock:
    """Timer that advances a progress bar."""

    def __init__(self, seconds: float, advance: Advance) -> None:
        self._began, self._seconds, self._advance, self._shown = time.monotonic(), seconds, advance, 0

    def share(self) -> float:
        used = (time.monotonic() - self._began) / self._seconds
        now = min(PERCENT, int(PERCENT * used))
        self._advance(now - self._shown, "")
        self._shown = now
        return used


def _grid(target: TargetOptions) -> dict[str, tuple[float, ...]]:
    """Return the candidate values of each option."""
    areas = tuple(factor * max(1, target.min_area) for factor in AREAS)
    grid: dict[str, tuple[float, ...]] = {"seed_threshold": THRESHOLDS} if uses_watershed(target) else {}
    return grid | {"foreground_threshold": THRESHOLDS, "min_area": areas}


def _best(known: dict[TargetOptions, float], best: TargetOptions, name: str) -> TargetOptions:
    """Return the best of the options that differ from `best` only in `name`, if better by `MIN_GAIN`."""
    candidates = [trial for trial in known if replace(trial, **{name: getattr(best, name)}) == best]
    winner = max(candidates, key=lambda trial: known[trial])
    return winner if known[winner] >= known[best] + MIN_GAIN else best


def _objects(predictions: Sequence[ValidationPrediction]) -> int:
    return sum(len(np.unique(one.truth[one.truth > 0])) for one in predictions)


def _score(predictions: Sequence[ValidationPrediction], target: TargetOptions) -> float:
    """Return the mean AP, averaged over the images with objects in ground truth or prediction."""
    return mean_of(tuple(_value(prediction, target) for prediction in predictions)) or 0.0


def _value(prediction: ValidationPrediction, target: TargetOptions) -> float | None:
    return mean_average_precision(match(prediction.truth, decode(prediction.probabilities, target)))
