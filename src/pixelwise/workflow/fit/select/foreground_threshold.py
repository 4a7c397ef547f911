"""Parting: where lines part the foreground into many areas, what is foreground is chosen by how well they are parted.

Cells that fill an image are told apart by the membranes between them, and a gap of one pixel makes one cell of two. The
most probable class says nothing of that: it is right for most pixels, and leaves gaps. So two ways to close them are
compared on validation images by V_rand (`metrics.boundaries`), as far as the Dice allows: a higher threshold, which
makes every line thicker, and a split of areas by a watershed (`labels.split_regions`), which adds lines in the gaps
alone.
"""

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Integer

from pixelwise.datasets.dataset import Dataset
from pixelwise.labels.instances import decode
from pixelwise.labels.label_image import components
from pixelwise.labels.split_regions import LEAST_AREAS, is_filled_by_regions
from pixelwise.labels.targets import IGNORE, TargetOptions, splits
from pixelwise.metrics.boundaries import rand_information
from pixelwise.model_file.model_file import load_network, save_model
from pixelwise.progress import Progress
from pixelwise.text import pluralise
from pixelwise.workflow.fit.select.validation_predictions import ValidationPrediction, predict_validation_once

CHOSEN = ("foreground_threshold", "split_threshold", "split_depth")  # of `TargetOptions`
USUAL = TargetOptions().foreground_threshold
THRESHOLDS = (USUAL, 0.6, 0.7, 0.8, 0.9, 0.95)  # lines become thicker: gaps are what is to be closed
SPLIT_FOREGROUND = 0.7  # what areas grow into; V_rand is nearly the same from 0.5 to 0.7, and fewer pixels are wrong
SPLIT_THRESHOLDS = (0.9, 0.95, 0.98)
SPLIT_DEPTHS = (7, 5, 9, 3)  # pixels; the first is what thresholds are tried with
# In this order, each with the best so far; thresholds once more, because another depth may want another one.
SPLIT_GRID = (
    ("split_threshold", SPLIT_THRESHOLDS),
    ("split_depth", SPLIT_DEPTHS),
    ("split_threshold", SPLIT_THRESHOLDS),
)
LEAST_GAIN = 0.005  # of V_rand: smaller gains are noise, and the most probable class is the better guess
LOSS = 0.01  # of the Dice of the foreground, at most: what is parted better has to stay the same areas
LOOKING_SHARE = 1 / 2  # of the time: the rest is for choosing
TRIALS = 6  # for which the time has to be enough: the thresholds of splits, and some more
SPLIT_COST = 2  # times what scoring a plain threshold takes
MOST_PIXELS = 2**23  # of validation images together: each of them is tried a dozen times


class Score(NamedTuple):
    """How masks part some images: mean V_rand (NaN without foreground), and Dice of all pixels."""

    v_rand: float
    dice: float


@dataclass(frozen=True, kw_only=True)
class ThresholdChoice:
    """What was chosen in the place of `planned`, and how both score on `images` validation images."""

    planned: TargetOptions
    target: TargetOptions
    before: Score
    after: Score
    images: int

    def to_text(self) -> str:
        """Say what was chosen, and what it is worth."""
        where = f"{pluralise(self.images, 'validation image')} whose areas are parted by lines"
        if self.target == self.planned:
            return f"No other threshold parts the areas better on {where}: V_rand {self.before.v_rand:.4f}."
        change = f"V_rand {self.after.v_rand:.4f}, before {self.before.v_rand:.4f}"
        price = f"Dice {self.after.dice:.4f}, before {self.before.dice:.4f}"
        chosen = f"Foreground from a probability of {self.target.foreground_threshold} on"
        if splits(self.target):
            markers = f"more than {pluralise(self.target.split_depth, 'pixel')} inside {self.target.split_threshold}"
            chosen += f", split by a watershed from markers {markers}"
        return f"{chosen}, chosen on {where}: {change}; {price}."


def score_threshold(looks: Sequence[ValidationPrediction], target: TargetOptions) -> Score:
    """Return how well the masks that `target` makes part the looks.

    Pixels whose truth is 255 part nothing, and count nowhere.
    """
    scores: list[float] = []
    both = pixels = 0
    for look in looks:
        known, truth = look.truth != IGNORE, look.truth == 1
        found = (decode(look.probabilities, target) == 1) & known
        parted = rand_information(truth, found).v_rand
        scores += [] if parted is None else [parted]
        both += int((found & truth).sum())
        pixels += int(found.sum()) + int(truth.sum())
    return Score(float(np.mean(scores)) if scores else np.nan, 2 * both / max(1, pixels))


def choose_foreground_threshold(
    looks: Sequence[ValidationPrediction],
    planned: TargetOptions,
    fixed: Sequence[str] = (),
    over: Callable[[], bool] = lambda: False,
) -> ThresholdChoice | None:
    """Choose the target with the highest mean V_rand among those that cost no more than `LOSS` of the Dice.

    Splits are tried first (`SPLIT_GRID`), then plain thresholds: 12 to 14 trials. A split is taken where it is clearly
    better than the best plain threshold, and that one where it is clearly better than the plan. On a processor a trial
    of a split takes about 0.08 s for each image of 512 x 512 pixels, that of a plain threshold 0.05 s.

    Parameters
    ----------
    looks : sequence of Looked
    planned : TargetOptions
    fixed : sequence of str
        Options that stay as they are.
    over : callable
        Is asked before each trial whether the time is up.

    Returns
    -------
    Parted or None
        None where no image shows any foreground.
    """
    known = {planned: score_threshold(looks, planned)}
    if np.isnan(known[planned].v_rand):
        return None

    def attempt(base: TargetOptions, **values: Any) -> None:
        trial = replace(base, **{name: value for name, value in values.items() if name not in fixed})
        if trial not in known and not over():
            known[trial] = score_threshold(looks, trial)

    def best(among: Sequence[TargetOptions], rival: TargetOptions) -> TargetOptions:
        allowed = [one for one in among if known[one].dice >= known[planned].dice - LOSS]
        winner = max(allowed, key=lambda one: known[one].v_rand, default=rival)
        return winner if known[winner].v_rand >= known[rival].v_rand + LEAST_GAIN else rival

    own = {} if "split_depth" in fixed else {"split_depth": SPLIT_DEPTHS[0]}
    first = replace(planned, **own)
    for name, values in SPLIT_GRID if splits(first) else ():
        base = max((one for one in known if splits(one)), key=lambda one: known[one].v_rand, default=first)
        for value in values:
            attempt(base, **{"foreground_threshold": SPLIT_FOREGROUND, name: value})
    for chance in THRESHOLDS:
        attempt(planned, foreground_threshold=chance)
    plain = best([one for one in known if not splits(one)], planned)
    chosen = best([one for one in known if splits(one)], plain)
    showing = sum(bool((look.truth == 1).any()) for look in looks)
    return ThresholdChoice(planned=planned, target=chosen, before=known[planned], after=known[chosen], images=showing)


def choose_foreground_threshold_of_model(
    path: Path,
    dataset: Dataset,
    pages: int | None,
    fixed: Sequence[str] = (),
    *,
    device: str,
    seconds: float | None,
    progress: Progress,
) -> str:
    """Choose how the areas of a model of masks are parted, and write it into its file; return what is told.

    Parameters are those of `calibration.calibrate_model`, and options of the target that stay as they are. With
    `seconds`, images are looked at as long as enough trials will fit, and trials begun as long as there is time.
    """
    network, model_card = load_network(path)
    began = time.monotonic()
    looks = _looks(
        predict_validation_once(
            network,
            model_card,
            dataset,
            pages,
            device=device,
            seconds=None if seconds is None else LOOKING_SHARE * seconds,
            progress=progress,
            why="choosing threshold",
        ),
        model_card.target,
        seconds,
    )
    chosen = choose_foreground_threshold(
        looks, model_card.target, fixed, lambda: seconds is not None and time.monotonic() - began >= seconds
    )
    if chosen is None:
        return "The threshold stays as planned: the validation images that were looked at show no foreground."
    messages = chosen.to_text()
    save_model(
        path, network, replace(model_card, target=chosen.target, trained=model_card.trained | {"threshold": messages})
    )
    return messages


def _looks(
    predicted: Generator[ValidationPrediction, None, None], target: TargetOptions, seconds: float | None
) -> list[ValidationPrediction]:
    """Take as many looks as leave time for `TRIALS`, but one at least."""
    looks: list[ValidationPrediction] = []
    pixels, scoring = 0, 0.0
    with closing(predicted):
        for look in predicted:
            looks.append(look)
            pixels += look.truth.size
            if pixels >= MOST_PIXELS:
                break
            if seconds is not None:
                began = time.monotonic()
                score_threshold([look], target)
                scoring += time.monotonic() - began
                if TRIALS * SPLIT_COST * scoring > (1 - LOOKING_SHARE) * seconds:
                    break
    return looks


def is_membrane_like(
    targets: Sequence[Integer[np.ndarray, "height width"]], target: TargetOptions, classes: int
) -> bool:
    """Tell whether class maps of two classes show a foreground that fills most of them, in many areas."""
    if target.kind != "classes" or classes != 2:
        return False
    known = sum(int(np.count_nonzero(one != IGNORE)) for one in targets)
    share = sum(int(np.count_nonzero(one == 1)) for one in targets) / max(1, known)
    if not is_filled_by_regions(share, LEAST_AREAS):
        return False
    areas = sum(int(components(one == 1, corners=False).max(initial=0)) for one in targets)
    return is_filled_by_regions(share, areas)
