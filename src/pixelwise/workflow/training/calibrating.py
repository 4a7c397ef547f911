"""Calibrating: after training, validation images say how sure the probabilities may be, and what they promise.

Two numbers go into the model file: the temperature that logits are divided by, and how far the Dice of an image may lie
below the promised one (`scoring.calibration`). Neither changes a mask. Validation images have chosen the weights and
thresholds before, so that they look a little better than new ones; `evaluate` on a test part tells by how much.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float16, Integer
from torch import nn

from pixelwise.engine.modelfile import Recipe, load_network, save_model
from pixelwise.engine.predictor import Predictor
from pixelwise.engine.runtime_torch import TorchRuntime
from pixelwise.geometry.symmetries import turned
from pixelwise.images.cases import Case, Dataset, read_labels, read_pixels
from pixelwise.images.preprocess import intensity_scale
from pixelwise.labels.decoding import decode
from pixelwise.labels.targets import IGNORE, class_channels, encode, probabilities_of
from pixelwise.progress import Progress
from pixelwise.scoring.calibration import (
    dice_margin,
    expected_calibration_error,
    find_temperature,
    logits_of,
    reliability,
    tempered,
)
from pixelwise.wording import counted
from pixelwise.workflow.confidence import promise, true_dice
from pixelwise.workflow.training.tuning import spread

SECONDS = 60.0  # at most, of a budget
BUDGET_SHARE = 0.02  # of a budget
SIDE = 2048  # pixels: of larger images the middle is looked at
MOST_PIXELS = 2**25  # of validation images together
MOST_KEPT = 2**24  # probabilities of all images together
MOST_FITTED = 2**22  # probabilities that the temperature is found with
LEAST_WRONG = 50  # pixels (or photos: ten): with fewer mistakes any temperature near 0 fits, and says nothing
LEAST_WRONG_PHOTOS = 10


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A validation image that was predicted: `chances` of some pixels before scaling, and what they are decided for.

    `wanted` is their true class of the target, 255 where it is not known; `came` the true mean Dice of the image.
    """

    chances: Float16[np.ndarray, "classes pixels"]
    said: Integer[np.ndarray, " pixels"]
    wanted: Integer[np.ndarray, " pixels"]
    came: float | None


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What was found: `before` and `after` are the ECE on the pixels that the temperature was found with.

    `images` entered the margin, which is None where they are too few; `mistakes` tells whether there were enough wrong
    pixels to find a temperature.
    """

    temperature: float
    before: float | None
    after: float | None
    mistakes: bool
    margin: float | None = None
    images: int = 0

    def to_text(self, of: str = "pixels of validation images") -> str:
        """Say what was found."""
        if self.before is None or self.after is None:
            return f"Probabilities are not calibrated: there are no {of}."
        if not self.mistakes:
            return f"Probabilities stay as they are: too few {of} are wrong to find a temperature."
        if self.temperature == 1.0:
            return f"Probabilities stay: calibration error (ECE) {self.before:.4f} on {of}, not less when scaled."
        change = f"calibration error (ECE) {self.before:.4f} before, {self.after:.4f} after"
        return f"Temperature {self.temperature:.3f}, found on {of}: {change}."

    def margin_text(self) -> str:
        """Say what is known of the Dice of new images."""
        if self.margin is None:
            return f"No lower bound of the predicted Dice: it takes 9 validation images, and there are {self.images}."
        word = "below" if self.margin >= 0 else "above"
        known = f"at most {abs(self.margin):.4f} {word} the predicted one"
        return f"The Dice of 90 % of images lies {known}, by {counted(self.images, 'image')}."


def seconds_to_calibrate(budget: float | None) -> float | None:
    """Return how long calibrating may take with a budget of so many seconds; None: the clock decides nothing."""
    return None if budget is None else min(SECONDS, BUDGET_SHARE * budget)


def fit_temperature(
    probabilities: Float[np.ndarray, "pixels classes"],
    truth: Integer[np.ndarray, " pixels"],
    least_wrong: int = LEAST_WRONG,
) -> Calibration:
    """Find the temperature that probabilities before scaling want, and what it is worth on them."""
    table = reliability(probabilities, truth)
    before = expected_calibration_error(table)
    mistakes = float(table[:, 0].sum() - table[:, 2].sum()) >= least_wrong
    if not mistakes:
        return Calibration(temperature=1.0, before=before, after=before, mistakes=False)
    temperature = find_temperature(logits_of(probabilities), truth)
    after = expected_calibration_error(reliability(tempered(probabilities, temperature), truth))
    # likelier truths do not always make truer chances; where they do not, nothing is changed
    if before is None or after is None or after >= before:
        return Calibration(temperature=1.0, before=before, after=before, mistakes=True)
    return Calibration(temperature=temperature, before=before, after=after, mistakes=True)


def calibrate(images: Sequence[Seen], recipe: Recipe, seed: int = 0) -> Calibration:
    """Find the temperature on the known pixels of images, and the margin of the Dice with it."""
    if not images:
        return Calibration(temperature=1.0, before=None, after=None, mistakes=False)
    rng = np.random.default_rng(seed)
    most = max(1, MOST_FITTED // (len(images[0].chances) * len(images)))
    picks = [_draw(np.flatnonzero(image.wanted != IGNORE), most, rng) for image in images]
    chances = np.concatenate([image.chances[:, pick].T for image, pick in zip(images, picks, strict=True)])
    truth = np.concatenate([image.wanted[pick] for image, pick in zip(images, picks, strict=True)])
    found = fit_temperature(chances, truth)
    pairs = [
        (promised, image.came)
        for image in images
        if image.came is not None
        and (promised := promise(image.said, tempered(image.chances.T, found.temperature).T, recipe)) is not None
    ]
    promised, came = np.array(pairs, np.float64).reshape(-1, 2).T
    return replace(found, margin=dice_margin(promised, came), images=len(pairs))


def calibrate_model(
    path: Path, dataset: Dataset, pages: int | None, *, device: str, seconds: float | None, progress: Progress
) -> str:
    """Find temperature and margin of a model of masks, and write them into its file; return what is told.

    Parameters
    ----------
    path : Path
        Of one network.
    dataset : Dataset
        Its part "val" is looked at, as far as pixels and time allow, cases from all over it first.
    pages : int or None
        How pages of images are read.
    device : str
    seconds : float or None
        See `seconds_to_calibrate`; more only by the image that was begun.
    progress : Progress
    """
    network, recipe = load_network(path)
    cases = [case for case in spread(dataset.part("val")) if case.mask is not None]
    began, pixels = time.monotonic(), 0
    images: list[Seen] = []
    for image, size in progress.track(_look(network, recipe, dataset, cases, pages, device), "calibrating", len(cases)):
        images.append(image)
        pixels += size
        late = seconds is not None and time.monotonic() - began > seconds
        if late or pixels >= MOST_PIXELS:
            break
    found = calibrate(images, recipe)
    told = f"{found.to_text()} {found.margin_text()}"
    trained = recipe.trained | {"calibration": told}
    save_model(path, network, replace(recipe, temperature=found.temperature, dice_margin=found.margin, trained=trained))
    return told


def _look(
    network: nn.Module, recipe: Recipe, dataset: Dataset, cases: Sequence[Case], pages: int | None, device: str
) -> Iterator[tuple[Seen, int]]:
    """Predict cases with masks, and say how many pixels each had."""
    channels = recipe.network.classes
    classes = class_channels(recipe.target, channels)
    predictor = Predictor(TorchRuntime(network, device), recipe.geometry, channels, recipe.tile, turned(recipe.turns))
    most = max(1, MOST_KEPT // (classes * max(8, len(cases))))
    for number, case in enumerate(cases):
        if case.mask is None:
            continue
        truth = read_labels(case.mask, dataset.labelling)
        pixels = read_pixels(case.image, recipe.channels, pages).pixels
        scale = intensity_scale(pixels, recipe.normalisation)
        rows, columns = (slice(max(0, (side - SIDE) // 2), max(0, (side - SIDE) // 2) + SIDE) for side in truth.shape)
        truth = truth[rows, columns]
        chances = probabilities_of(predictor.logits(pixels[:, rows, columns], scale), recipe.target)
        yield _seen(chances, truth, recipe, most, number), truth.size


def _seen(
    chances: Float[np.ndarray, "channels height width"],
    truth: Integer[np.ndarray, "height width"],
    recipe: Recipe,
    most: int,
    seed: int,
) -> Seen:
    """Keep some pixels of an image, drawn at random among all: what is promised of them is promised of the image."""
    labels = decode(chances, recipe.target)
    classes = class_channels(recipe.target, len(chances))
    drawn = _draw(np.arange(labels.size), most, np.random.default_rng(seed))
    return Seen(
        chances=chances[:classes].reshape(classes, -1)[:, drawn].astype(np.float16),
        said=labels.ravel()[drawn],
        wanted=encode(truth, recipe.target).ravel()[drawn],
        came=true_dice(truth, labels, recipe),
    )


def _draw(places: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    return places if len(places) <= most else rng.choice(places, most, replace=False)
