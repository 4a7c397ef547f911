"""Tuning of the object thresholds after training, by mean AP on the validation images.

Training minimises a loss per pixel, and its validations score pixel classes. The thresholds of `TargetOptions` decide
whether neighbouring objects are separated and small regions count as objects. They are tuned by coordinate search over
a few values each.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, Integer
from torch import nn

from pixelwise.datasets.dataset import Dataset
from pixelwise.labels.instances import decode
from pixelwise.labels.targets import TargetOptions, uses_watershed
from pixelwise.metrics.instance import match, mean_average_precision
from pixelwise.model_file.model_file import ModelCard, load_network, save_model
from pixelwise.progress import Advance, Progress
from pixelwise.text import pluralise
from pixelwise.workflow.fit.select.validation_predictions import predict_validation

THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
AREAS = (0, 1, 2, 4, 8, 16)  # times the planned minimum area
ROUNDS = 2  # a second one, because the best thresholds depend on each other
MIN_OBJECTS = 50  # with fewer, one object changes the score by more than 2 %
MIN_GAIN = 0.001  # of mean AP: smaller gains are noise
MAX_PIXELS = 8 * 2**20  # of all validation images
SIDE = 1024  # pixels: larger images are cropped to their centre
SECONDS = 60.0  # maximum with a budget; usual time without one
BUDGET_SHARE = 0.05  # of a budget
PREDICTION_SHARE = 1 / 3
MIN_TRIALS = 10  # must fit into the time
PERCENT = 100
Candidate = tuple[nn.Module, ModelCard]


@dataclass(frozen=True)
class ObjectPrediction:
    """A validation image: its true label image and predicted probabilities."""

    truth: Integer[np.ndarray, "height width"]
    probabilities: Float[np.ndarray, "channels height width"]


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
    predictions: Sequence[ObjectPrediction],
    target: TargetOptions,
    user_set: Sequence[str] = (),
    over: Callable[[], bool] = lambda: False,
) -> Tuning | None:
    """Choose the thresholds with the highest mean AP.

    Parameters
    ----------
    predictions : sequence of ObjectPrediction
    target : TargetOptions
        The planned options, which are the start of the search.
    user_set : sequence of str
        Options that do not change.
    over : callable
        Returns whether the time is up; called before each trial.

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


def tune_model(
    path: Path,
    candidate: Candidate | None,
    dataset: Dataset,
    user_set: Sequence[str],
    *,
    device: str,
    seconds: float | None,
    progress: Progress,
) -> tuple[str, bool]:
    """Choose weights and object thresholds, and store them in the model file at `path`.

    Parameters
    ----------
    path : Path
        A model file with one network.
    candidate : (network, ModelCard), optional
        Replaces the weights in the file if its objects are better with the planned thresholds: the file contains the
        best weights by pixel classes, which are not always the best by objects.
    dataset : Dataset
        Its validation split is used, within limits of pixels and time.
    user_set : sequence of str
        Options that do not change.
    device : str
    seconds : float or None
        See `seconds_to_tune`. A third is for predictions, the rest for the search; exceeded by at most one image or
        trial.
    progress : Progress

    Returns
    -------
    str, bool
        The message, and whether the candidate was better.
    """
    candidates: list[Candidate] = [load_network(path)] + ([candidate] if candidate is not None else [])
    model_card = candidates[0][1]
    each: list[list[ObjectPrediction]] = [[] for _ in candidates]
    with progress.bar("choosing thresholds", PERCENT) as advance:
        clock = _Clock(seconds or SECONDS, advance)
        limit = None if seconds is None else PREDICTION_SHARE * seconds
        networks = [network for network, _ in candidates]
        predictions = predict_validation(
            networks, model_card, dataset, device=device, seconds=limit, side=SIDE, max_pixels=MAX_PIXELS
        )
        values: list[list[float | None]] = [[] for _ in candidates]
        decoding = 0.0
        for _, truth, outputs in predictions:
            began = time.monotonic()
            for images, scored, probabilities in zip(each, values, outputs, strict=True):
                images.append(ObjectPrediction(truth, probabilities))
                scored.append(_value(images[-1], model_card.target))
            decoding += (time.monotonic() - began) / len(candidates)
            if seconds is not None and (
                clock.share() > PREDICTION_SHARE or MIN_TRIALS * decoding > (1 - PREDICTION_SHARE) * seconds
            ):
                break  # more images would leave too few trials
        scores = [_mean(scored) for scored in values]
        won = scores[-1] > scores[0] and _objects(each[0]) >= MIN_OBJECTS
        network, model_card = candidates[-1 if won else 0]
        tuning = tune(
            each[-1 if won else 0], model_card.target, user_set, lambda: clock.share() >= 1 and seconds is not None
        )
    if tuning is None:
        few = f"the validation images contain fewer than {MIN_OBJECTS} objects"
        return f"The object thresholds stay as planned: {few}.", False
    message = tuning.to_text(model_card.target)
    if won:
        change = f"mean AP {scores[1]:.4f} instead of {scores[0]:.4f}"
        message = f"The last weights are better for objects than the best ones ({change}). {message}"
    trained = model_card.trained | {"validation_mean_ap": f"{tuning.after:.4f}", "thresholds": message}
    save_model(path, network, replace(model_card, target=tuning.target, trained=trained))
    return message, won


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


def _objects(predictions: Sequence[ObjectPrediction]) -> int:
    return sum(len(np.unique(one.truth[one.truth > 0])) for one in predictions)


def _score(predictions: Sequence[ObjectPrediction], target: TargetOptions) -> float:
    """Return the mean AP, averaged over the images with objects in ground truth or prediction."""
    return _mean([_value(prediction, target) for prediction in predictions])


def _value(prediction: ObjectPrediction, target: TargetOptions) -> float | None:
    return mean_average_precision(match(prediction.truth, decode(prediction.probabilities, target)))


def _mean(values: Sequence[float | None]) -> float:
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else 0.0
