"""Calibrating: after training, validation images say how sure the probabilities may be, and what they promise.

Into the model file go the temperature that logits are divided by, or two where images that were left out say so, and
how far the Dice of an image may lie below the promised one (`metrics.calibration`). None of it changes a mask.
Validation images have chosen the weights and thresholds before, so that they look a little better than new ones;
`evaluate` on a test part tells by how much.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float16, Integer

from pixelwise.datasets.dataset import Dataset
from pixelwise.labels.instances import decode
from pixelwise.labels.targets import IGNORE, class_channels, encode
from pixelwise.labels.temperature_scaling import UNSCALED, Temperatures
from pixelwise.metrics.calibration import (
    conformal_margin,
    expected_calibration_error,
    find_temperature,
    find_temperatures,
    logits_of,
    negative_log_likelihood,
    reliability,
    tempered,
)
from pixelwise.model_file.model_file import ModelCard, load_network, save_model
from pixelwise.progress import Progress
from pixelwise.text import pluralise
from pixelwise.workflow.confidence import expected_dice_of, true_dice
from pixelwise.workflow.fit.select.validation_predictions import ValidationPrediction, predict_validation_once

MOST_KEPT = 2**24  # probabilities of all images together
MOST_FITTED = 2**22  # probabilities that the temperature is found with
LEAST_FITTED, FITTED_PER_SECOND = 2**16, 2**18  # of them where seconds are few
MOST_COMPARED = 2**20  # probabilities that one temperature is compared with two on
BLOCKS = 5  # of images, of which each is left out once
LEAST_WRONG = 50  # pixels (or photos: ten): with fewer mistakes any temperature near 0 fits, and says nothing
LEAST_WRONG_PHOTOS = 10


@dataclass(frozen=True, kw_only=True)
class CalibrationSample:
    """Some pixels of a predicted validation image: `probabilities` before scaling, and the classes they are assigned.

    `wanted` is their true class of the target, 255 where it is not known; `actual` the true mean Dice of the image.
    Neighbours in the order of the names may be much alike: frames of a film, slices of a stack.
    """

    name: str
    probabilities: Float16[np.ndarray, "classes pixels"]
    said: Integer[np.ndarray, " pixels"]
    wanted: Integer[np.ndarray, " pixels"]
    actual: float | None


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What was found: `before` and `after` are the ECE on the pixels that the temperatures were found with.

    `images` entered the margin, which is None where they are too few; `mistakes` tells whether there were enough wrong
    pixels to find a temperature.
    """

    temperatures: Temperatures
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
        if self.temperatures == UNSCALED:
            return f"Probabilities stay: calibration error (ECE) {self.before:.4f} on {of}, not less when scaled."
        change = f"calibration error (ECE) {self.before:.4f} before, {self.after:.4f} after"
        return f"{str(self.temperatures).capitalize()}, found on {of}: {change}."

    def into(self, model_card: ModelCard) -> ModelCard:
        """Return the recipe with these temperatures."""
        return replace(model_card, temperature=self.temperatures.sure, doubt_temperature=self.temperatures.doubt)

    def margin_text(self) -> str:
        """Say what is known of the Dice of new images."""
        if self.margin is None:
            return f"No lower bound of the predicted Dice: it takes 9 validation images, and there are {self.images}."
        word = "below" if self.margin >= 0 else "above"
        known = f"at most {abs(self.margin):.4f} {word} the predicted one"
        return f"The Dice of 90 % of images lies {known}, by {pluralise(self.images, 'image')}."


def fit_temperatures(
    probabilities: Float[np.ndarray, "pixels classes"],
    truth: Integer[np.ndarray, " pixels"],
    image: Integer[np.ndarray, " pixels"],
    least_wrong: int = LEAST_WRONG,
) -> Calibration:
    """Find the temperature that probabilities before scaling want, one or two, and what it is worth on them.

    `image` is the number of the image that each pixel belongs to, in the order of their names: `two_are_better`.
    """
    table = reliability(probabilities, truth)
    before = expected_calibration_error(table)
    mistakes = float(table[:, 0].sum() - table[:, 2].sum()) >= least_wrong
    if not mistakes:
        return Calibration(temperatures=UNSCALED, before=before, after=before, mistakes=False)
    logits = logits_of(probabilities)
    found = find_temperatures(logits, truth) if two_are_better(probabilities, truth, image) else _one(logits, truth)
    after = expected_calibration_error(reliability(tempered(probabilities, found), truth))
    # likelier truths do not always make truer chances; where they do not, nothing is changed
    if before is None or after is None or after >= before:
        return Calibration(temperatures=UNSCALED, before=before, after=before, mistakes=True)
    return Calibration(temperatures=found, before=before, after=after, mistakes=True)


def two_are_better(
    probabilities: Float[np.ndarray, "pixels classes"],
    truth: Integer[np.ndarray, " pixels"],
    image: Integer[np.ndarray, " pixels"],
) -> bool:
    """Tell whether two temperatures are better than one on images that they were not found on.

    Images are left out in `BLOCKS` blocks of neighbours. Two must make both the truth likelier and the calibration
    error smaller; of one image alone nobody knows.
    """
    numbers = np.unique(image)
    blocks = np.array_split(numbers, min(BLOCKS, len(numbers)))
    if len(blocks) < 2:
        return False
    most = max(1, MOST_COMPARED // probabilities.shape[1])
    some = _draw(np.arange(len(truth)), most, np.random.default_rng(0))
    probabilities, truth, image = probabilities[some], truth[some], image[some]
    logits, rivals = logits_of(probabilities), (_one, find_temperatures)
    messages = [np.empty(probabilities.shape) for _ in rivals]
    for block in blocks:
        out = np.isin(image, block)
        for find, said in zip(rivals, messages, strict=True):
            said[out] = tempered(probabilities[out], find(logits[~out], truth[~out]))
    one, two = (
        (negative_log_likelihood(said, truth), expected_calibration_error(reliability(said, truth)))
        for said in messages
    )
    return two[0] < one[0] and (two[1] or 0.0) < (one[1] or 0.0)


def _one(logits: Float[np.ndarray, "pixels classes"], truth: Integer[np.ndarray, " pixels"]) -> Temperatures:
    return Temperatures(find_temperature(logits, truth))


def most_fitted(seconds: float | None) -> int:
    """Return how many probabilities temperatures are found with in so many seconds; None: all that are useful."""
    return MOST_FITTED if seconds is None else max(LEAST_FITTED, min(MOST_FITTED, int(FITTED_PER_SECOND * seconds)))


def calibrate(
    images: Sequence[CalibrationSample], model_card: ModelCard, seed: int = 0, most: int = MOST_FITTED
) -> Calibration:
    """Find the temperatures on at most so many known probabilities of images, and the margin of the Dice with them."""
    if not images:
        return Calibration(temperatures=UNSCALED, before=None, after=None, mistakes=False)
    images = sorted(images, key=lambda image: image.name)
    rng = np.random.default_rng(seed)
    most = max(1, most // (len(images[0].probabilities) * len(images)))
    picks = [_draw(np.flatnonzero(image.wanted != IGNORE), most, rng) for image in images]
    probabilities = np.concatenate([image.probabilities[:, pick].T for image, pick in zip(images, picks, strict=True)])
    truth = np.concatenate([image.wanted[pick] for image, pick in zip(images, picks, strict=True)])
    found = fit_temperatures(probabilities, truth, np.repeat(np.arange(len(images)), [len(pick) for pick in picks]))
    pairs = [
        (expected, image.actual)
        for image in images
        if image.actual is not None
        and (
            expected := expected_dice_of(image.said, tempered(image.probabilities.T, found.temperatures).T, model_card)
        )
        is not None
    ]
    expected, actual = np.array(pairs, np.float64).reshape(-1, 2).T
    return replace(found, margin=conformal_margin(expected, actual), images=len(pairs))


def calibrate_model(
    path: Path, dataset: Dataset, pages: int | None, *, device: str, seconds: float | None, progress: Progress
) -> str:
    """Find temperatures and margin of a model of masks, and write them into its file; return what is told.

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
        See `validation_predictions.seconds_to_look`; more only by the image that was begun.
    progress : Progress
    """
    network, model_card = load_network(path)
    looks = predict_validation_once(
        network, model_card, dataset, pages, device=device, seconds=seconds, progress=progress, why="calibrating"
    )
    cases = sum(case.mask is not None for case in dataset.part("val"))
    most = max(1, MOST_KEPT // (class_channels(model_card.target, model_card.network.classes) * max(8, cases)))
    images = [_seen(look, model_card, most, number) for number, look in enumerate(looks)]
    found = calibrate(images, model_card, most=most_fitted(seconds))
    messages = f"{found.to_text()} {found.margin_text()}"
    trained = model_card.trained | {"calibration": messages}
    save_model(path, network, found.into(replace(model_card, conformal_margin=found.margin, trained=trained)))
    return messages


def _seen(look: ValidationPrediction, model_card: ModelCard, most: int, seed: int) -> CalibrationSample:
    """Keep some pixels of an image, drawn at random among all: what is promised of them is promised of the image."""
    labels = decode(look.probabilities, model_card.target)
    classes = class_channels(model_card.target, len(look.probabilities))
    drawn = _draw(np.arange(labels.size), most, np.random.default_rng(seed))
    return CalibrationSample(
        name=look.name,
        probabilities=look.probabilities[:classes].reshape(classes, -1)[:, drawn].astype(np.float16),
        said=labels.ravel()[drawn],
        wanted=encode(look.truth, model_card.target).ravel()[drawn],
        actual=true_dice(look.truth, labels, model_card),
    )


def _draw(places: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    return places if len(places) <= most else rng.choice(places, most, replace=False)
