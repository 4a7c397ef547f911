"""Tuning: how probabilities become objects is chosen on validation images, by the score that objects are judged by.

Training minimises a loss per pixel, and its validations look at classes of pixels. Whether neighbours come apart and
crumbs count as objects is decided later, by the thresholds of `TargetOptions`. After the last step they are chosen
anew: one threshold after the other, over a few values each, keeping what raises the mean AP.
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
from pixelwise.labels.targets import TargetOptions, floods
from pixelwise.metrics.instance import match, mean_average_precision
from pixelwise.model_file.model_file import ModelCard, load_network, save_model
from pixelwise.progress import Advance, Progress
from pixelwise.text import pluralise
from pixelwise.workflow.fit.select.validation_predictions import predict_validation

THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
AREAS = (0, 1, 2, 4, 8, 16)  # times the planned smallest area
ROUNDS = 2  # a second one, because what is best of one threshold depends on the others
LEAST_OBJECTS = 50  # fewer decide by chance: one object more or less moves the score by 2 %
LEAST_GAIN = 0.001  # of mean AP: smaller gains are noise, and the usual value is the better guess
MOST_PIXELS = 8 * 2**20  # of validation images together
SIDE = 1024  # pixels: of larger images the middle is looked at
SECONDS = 60.0  # at most, of a budget; what it usually takes without one
BUDGET_SHARE = 0.05  # of a budget
LOOKING_SHARE = 1 / 3
LEAST_TRIALS = 10  # for which the time has to be enough
PERCENT = 100
Candidate = tuple[nn.Module, ModelCard]


@dataclass(frozen=True)
class ObjectPrediction:
    """A validation image: its objects, and what the network says of it."""

    truth: Integer[np.ndarray, "height width"]
    probabilities: Float[np.ndarray, "channels height width"]


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """What was chosen: `before` and `after` are mean APs over `images` validation images with `objects` objects."""

    target: TargetOptions
    before: float
    after: float
    images: int
    objects: int

    def to_text(self, planned: TargetOptions) -> str:
        """Say what was chosen instead of `planned`, and what it is worth."""
        where = f"{pluralise(self.images, 'validation image')} with {pluralise(self.objects, 'object')}"
        names = [name for name in _grid(planned) if getattr(self.target, name) != getattr(planned, name)]
        if not names:
            return f"No other thresholds are better on {where}: mean AP {self.before:.4f}."
        chosen = ", ".join(f"{name} {getattr(self.target, name)} (was {getattr(planned, name)})" for name in names)
        return f"Chosen on {where}: {chosen}. Mean AP {self.after:.4f}, before {self.before:.4f}."


def seconds_to_tune(budget: float | None) -> float | None:
    """Return how long tuning may take, with a budget of so many seconds or without one.

    Without a budget the clock decides nothing (None): the same steps make the same model, and pixels and trials are
    bounded all the same.
    """
    return None if budget is None else min(SECONDS, BUDGET_SHARE * budget)


def tune(
    looks: Sequence[ObjectPrediction],
    target: TargetOptions,
    fixed: Sequence[str] = (),
    over: Callable[[], bool] = lambda: False,
) -> Tuning | None:
    """Choose the thresholds with which the looks score best.

    Parameters
    ----------
    looks : sequence of Look
    target : TargetOptions
        As planned: where the search begins, so that what it ends with is no worse.
    fixed : sequence of str
        Options that stay as they are.
    over : callable
        Is asked before each trial whether the time is up.

    Returns
    -------
    Tuning or None
        None when the looks have fewer than `LEAST_OBJECTS` objects.
    """
    objects = _objects(looks)
    if objects < LEAST_OBJECTS:
        return None
    known = {target: _score(looks, target)}
    best = target
    for _ in range(ROUNDS):
        begun = best
        for name, values in _grid(target).items():
            for trial in (replace(best, **{name: value}) for value in values if name not in fixed):
                if trial not in known and not over():
                    known[trial] = _score(looks, trial)
            best = _best(known, best, name)
        if best == begun:
            break
    return Tuning(target=best, before=known[target], after=known[best], images=len(looks), objects=objects)


def tune_model(
    path: Path,
    rival: Candidate | None,
    dataset: Dataset,
    pages: int | None,
    fixed: Sequence[str],
    *,
    device: str,
    seconds: float | None,
    progress: Progress,
) -> tuple[str, bool]:
    """Choose weights and thresholds, and write them into the model file at `path`.

    Parameters
    ----------
    path : Path
        Of one network.
    rival : (network, ModelCard), optional
        Takes the file's place where it finds objects better with the thresholds as planned: the file holds the weights
        that were best by classes of pixels, which need not be those that are best by objects.
    dataset : Dataset
        Its part "val" is looked at, as far as pixels and time allow, cases from all over it first.
    pages : int or None
        How pages of images are read.
    fixed : sequence of str
        Options that stay as they are.
    device : str
    seconds : float or None
        See `seconds_to_tune`. A third of them for looking, the rest for choosing; more only by the image or the trial
        that was begun.
    progress : Progress

    Returns
    -------
    str, bool
        What is told, and whether the rival has won.
    """
    candidates: list[Candidate] = [load_network(path)] + ([rival] if rival is not None else [])
    model_card = candidates[0][1]
    each: list[list[ObjectPrediction]] = [[] for _ in candidates]
    with progress.bar("choosing thresholds", PERCENT) as advance:
        clock = _Clock(seconds or SECONDS, advance)
        looking = None if seconds is None else LOOKING_SHARE * seconds
        networks = [network for network, _ in candidates]
        looks = predict_validation(
            networks, model_card, dataset, pages, device=device, seconds=looking, side=SIDE, most_pixels=MOST_PIXELS
        )
        values: list[list[float | None]] = [[] for _ in candidates]
        decoding = 0.0
        for _, truth, answers in looks:
            began = time.monotonic()
            for mine, scored, probabilities in zip(each, values, answers, strict=True):
                mine.append(ObjectPrediction(truth, probabilities))
                scored.append(_value(mine[-1], model_card.target))
            decoding += (time.monotonic() - began) / len(candidates)
            if seconds is not None and (
                clock.share() > LOOKING_SHARE or LEAST_TRIALS * decoding > (1 - LOOKING_SHARE) * seconds
            ):
                break  # more images would leave too few trials
        scores = [_mean(scored) for scored in values]
        won = scores[-1] > scores[0] and _objects(each[0]) >= LEAST_OBJECTS
        network, model_card = candidates[-1 if won else 0]
        found = tune(
            each[-1 if won else 0], model_card.target, fixed, lambda: clock.share() >= 1 and seconds is not None
        )
    if found is None:
        few = f"the validation images that were looked at hold fewer than {LEAST_OBJECTS} objects, too few to choose by"
        return f"The thresholds of objects stay as planned: {few}.", False
    messages = found.to_text(model_card.target)
    if won:
        messages = (
            f"The last weights find objects better than the best ones ({scores[1]:.4f}, {scores[0]:.4f}). {messages}"
        )
    trained = model_card.trained | {"validation_mean_ap": f"{found.after:.4f}", "thresholds": messages}
    save_model(path, network, replace(model_card, target=found.target, trained=trained))
    return messages, won


class _Clock:
    """Tells how much of the time is used, and lets the bar know."""

    def __init__(self, seconds: float, advance: Advance) -> None:
        self._began, self._seconds, self._advance, self._shown = time.monotonic(), seconds, advance, 0

    def share(self) -> float:
        used = (time.monotonic() - self._began) / self._seconds
        now = min(PERCENT, int(PERCENT * used))
        self._advance(now - self._shown, "")
        self._shown = now
        return used


def _grid(target: TargetOptions) -> dict[str, tuple[float, ...]]:
    """Return the values that are tried of each option."""
    areas = tuple(factor * max(1, target.min_area) for factor in AREAS)
    grid: dict[str, tuple[float, ...]] = {"seed_threshold": THRESHOLDS} if floods(target) else {}
    return grid | {"foreground_threshold": THRESHOLDS, "min_area": areas}


def _best(known: dict[TargetOptions, float], best: TargetOptions, name: str) -> TargetOptions:
    """Return the best of what differs from `best` in one option, if it is clearly better."""
    rivals = [trial for trial in known if replace(trial, **{name: getattr(best, name)}) == best]
    winner = max(rivals, key=lambda trial: known[trial])
    return winner if known[winner] >= known[best] + LEAST_GAIN else best


def _objects(looks: Sequence[ObjectPrediction]) -> int:
    return sum(len(np.unique(look.truth[look.truth > 0])) for look in looks)


def _score(looks: Sequence[ObjectPrediction], target: TargetOptions) -> float:
    """Return the mean over the images of the mean AP; images without an object in truth and prediction have none."""
    return _mean([_value(look, target) for look in looks])


def _value(look: ObjectPrediction, target: TargetOptions) -> float | None:
    return mean_average_precision(match(look.truth, decode(look.probabilities, target)))


def _mean(values: Sequence[float | None]) -> float:
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else 0.0
