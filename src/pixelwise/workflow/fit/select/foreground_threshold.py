"""Choice of the foreground threshold of membrane-like images, by V_rand on the validation images.

Cells that fill an image are separated only by the membranes between them, and a gap of one pixel merges two cells. The
most probable class leaves such gaps. Two methods to close them are compared by V_rand (`metrics.boundaries`), within a
tolerance of the Dice: a higher threshold, which makes all membranes thicker, and splitting of regions by a watershed
(`labels.split_regions`), which adds lines only in the gaps.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Integer

from pixelwise.labels.instances import decode
from pixelwise.labels.label_image import components
from pixelwise.labels.split_regions import MIN_REGIONS, is_filled_by_regions
from pixelwise.labels.targets import IGNORE, TargetOptions, splits_regions
from pixelwise.metrics.boundaries import rand_information
from pixelwise.model_file.model_card import ModelCard
from pixelwise.text import pluralise
from pixelwise.workflow.fit.select.validation_predictions import ValidationPrediction, count_affordable

CHOSEN = ("foreground_threshold", "split_threshold", "split_depth")  # of `TargetOptions`
DEFAULT_THRESHOLD = TargetOptions().foreground_threshold
THRESHOLDS = (DEFAULT_THRESHOLD, 0.6, 0.7, 0.8, 0.9, 0.95)  # higher ones close gaps in membranes
SPLIT_FOREGROUND = (
    0.7  # foreground of the watershed; V_rand is nearly the same from 0.5 to 0.7, with fewer wrong pixels
)
SPLIT_THRESHOLDS = (0.9, 0.95, 0.98)
SPLIT_DEPTHS = (7, 5, 9, 3)  # pixels; the first is used in the search for thresholds
# In this order, each with the best so far; thresholds again, because they depend on the depth.
SPLIT_GRID = (
    ("split_threshold", SPLIT_THRESHOLDS),
    ("split_depth", SPLIT_DEPTHS),
    ("split_threshold", SPLIT_THRESHOLDS),
)
MIN_GAIN = 0.005  # of V_rand: smaller gains are noise
LOSS = 0.01  # maximum decrease of the foreground Dice
TRIALS = 6  # minimum number of trials that must fit into the time
SPLIT_COST = 2  # time of a split relative to a plain threshold
MAX_PIXELS = 2**23  # of all validation images, each of which is scored a dozen times


class Score(NamedTuple):
    """Mean V_rand over images (NaN without foreground), and Dice over all pixels."""

    v_rand: float
    dice: float


@dataclass(frozen=True, kw_only=True)
class ThresholdChoice:
    """The chosen target options instead of `planned`, with the scores of both on `images` validation images."""

    planned: TargetOptions
    target: TargetOptions
    before: Score
    after: Score
    images: int

    def to_text(self) -> str:
        """Describe the choice and its scores."""
        where = f"{pluralise(self.images, 'validation image')} with membrane-like borders"
        if self.target == self.planned:
            return f"No other foreground threshold is better on {where}: V_rand {self.before.v_rand:.4f}."
        change = f"V_rand {self.after.v_rand:.4f}, before {self.before.v_rand:.4f}"
        dice = f"Dice {self.after.dice:.4f}, before {self.before.dice:.4f}"
        chosen = f"Foreground threshold {self.target.foreground_threshold}"
        if splits_regions(self.target):
            markers = f"more than {pluralise(self.target.split_depth, 'pixel')} inside {self.target.split_threshold}"
            chosen += f", split by a watershed from markers {markers}"
        return f"{chosen}, chosen on {where}: {change}; {dice}."


def score_threshold(predictions: Sequence[ValidationPrediction], target: TargetOptions) -> Score:
    """Return the scores of the masks with the target options; pixels with ground truth 255 are ignored."""
    scores: list[float] = []
    both = pixels = 0
    for prediction in predictions:
        known, truth = prediction.truth != IGNORE, prediction.truth == 1
        mask = (decode(prediction.probabilities, target) == 1) & known
        v_rand = rand_information(truth, mask).v_rand
        scores += [] if v_rand is None else [v_rand]
        both += int((mask & truth).sum())
        pixels += int(mask.sum()) + int(truth.sum())
    return Score(float(np.mean(scores)) if scores else np.nan, 2 * both / max(1, pixels))


def choose_foreground_threshold(
    predictions: Sequence[ValidationPrediction],
    planned: TargetOptions,
    user_set: Sequence[str] = (),
    over: Callable[[], bool] = lambda: False,
) -> ThresholdChoice | None:
    """Choose the target options with the highest mean V_rand among those that lose at most `LOSS` of the Dice.

    Splits are tried first (`SPLIT_GRID`), then plain thresholds: 12 to 14 trials. A split is chosen if it is better by
    `MIN_GAIN` than the best plain threshold, which in turn must be better by `MIN_GAIN` than the plan. On a CPU a trial
    takes about 0.08 s per image of 512 x 512 pixels with a split, and 0.05 s with a plain threshold.

    Parameters
    ----------
    user_set : sequence of str
        Options that do not change.
    over : callable
        Returns whether the time is up; called before each trial.

    Returns
    -------
    ThresholdChoice or None
        None if no image has foreground.
    """
    known = {planned: score_threshold(predictions, planned)}
    if np.isnan(known[planned].v_rand):
        return None

    def attempt(base: TargetOptions, **values: Any) -> None:
        trial = replace(base, **{name: value for name, value in values.items() if name not in user_set})
        if trial not in known and not over():
            known[trial] = score_threshold(predictions, trial)

    def best(among: Sequence[TargetOptions], baseline: TargetOptions) -> TargetOptions:
        allowed = [one for one in among if known[one].dice >= known[planned].dice - LOSS]
        winner = max(allowed, key=lambda one: known[one].v_rand, default=baseline)
        return winner if known[winner].v_rand >= known[baseline].v_rand + MIN_GAIN else baseline

    depth = {} if "split_depth" in user_set else {"split_depth": SPLIT_DEPTHS[0]}
    first = replace(planned, **depth)
    for name, values in SPLIT_GRID if splits_regions(first) else ():
        base = max((one for one in known if splits_regions(one)), key=lambda one: known[one].v_rand, default=first)
        for value in values:
            attempt(base, **{"foreground_threshold": SPLIT_FOREGROUND, name: value})
    for threshold in THRESHOLDS:
        attempt(planned, foreground_threshold=threshold)
    plain = best([one for one in known if not splits_regions(one)], planned)
    chosen = best([one for one in known if splits_regions(one)], plain)
    images = sum(bool((prediction.truth == 1).any()) for prediction in predictions)
    return ThresholdChoice(planned=planned, target=chosen, before=known[planned], after=known[chosen], images=images)


def select_foreground_threshold(
    predictions: Sequence[ValidationPrediction],
    model_card: ModelCard,
    seconds: float | None,
    *,
    user_set: Sequence[str] = (),
) -> tuple[ModelCard, str]:
    """Return the model card with the chosen foreground threshold, and a note; see `choose_foreground_threshold`.

    With `seconds`, as many images are used as leave time for enough trials, and trials start while there is time.
    """
    began, planned = time.monotonic(), model_card.target
    count = count_affordable(
        predictions, MAX_PIXELS, seconds, lambda one: score_threshold([one], planned), TRIALS * SPLIT_COST
    )
    chosen = choose_foreground_threshold(
        predictions[:count], planned, user_set, lambda: seconds is not None and time.monotonic() - began >= seconds
    )
    if chosen is None:
        return model_card, "The foreground threshold stays as planned: the validation images have no foreground."
    note = chosen.to_text()
    return replace(model_card, target=chosen.target, trained=model_card.trained | {"threshold": note}), note


def is_membrane_like(targets: Sequence[Integer[np.ndarray, "*size"]], target: TargetOptions, classes: int) -> bool:
    """Return whether the foreground of two-class maps fills most of the images, in many regions."""
    if target.kind != "classes" or classes != 2:
        return False
    known = sum(int(np.count_nonzero(one != IGNORE)) for one in targets)
    share = sum(int(np.count_nonzero(one == 1)) for one in targets) / max(1, known)
    if not is_filled_by_regions(share, MIN_REGIONS):
        return False
    areas = sum(int(components(one == 1, corners=False).max(initial=0)) for one in targets)
    return is_filled_by_regions(share, areas)
