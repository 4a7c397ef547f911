"""Calibration on the validation images after training: temperature scaling and the conformal margin of the Dice.

The model file gets one temperature, or two if cross-validation over images favours them, and the conformal margin
(`metrics.calibration`). Masks do not change. Weights and thresholds were chosen on the same images, so that the
calibration is slightly optimistic; `evaluate` on a test split measures by how much.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Float16, Integer

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
    scale_probabilities,
)
from pixelwise.model_file.model_card import ModelCard
from pixelwise.text import pluralise
from pixelwise.workflow.confidence import expected_dice_of, true_dice
from pixelwise.workflow.fit.select.validation_predictions import ValidationPrediction, within_time

MAX_KEPT = 2**24  # probabilities of all images in memory
MAX_FITTED = 2**22  # probabilities for fitting the temperature
MIN_FITTED, FITTED_PER_SECOND = 2**16, 2**19  # with a time limit
MAX_COMPARED = 2**20  # probabilities for the comparison of one temperature with two
BLOCKS = 5  # cross-validation blocks of images
MIN_ERRORS = 50  # wrong pixels: with fewer the temperature is not determined
MIN_ERRORS_IMAGES = 10  # wrong images, for classification


@dataclass(frozen=True, kw_only=True)
class CalibrationSample:
    """Pixels sampled from a predicted validation image: uncalibrated `probabilities` and `predicted` classes.

    `truth` is their true class of the target, 255 if unknown; `actual` the true mean Dice of the image. Images with
    consecutive names may be similar: frames of a video, slices of a stack.
    """

    name: str
    probabilities: Float16[np.ndarray, "classes pixels"]
    predicted: Integer[np.ndarray, " pixels"]
    truth: Integer[np.ndarray, " pixels"]
    actual: float | None


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """The result of a calibration: `before` and `after` are the ECE on the pixels used for fitting.

    `images` is the number of images for the conformal margin, which is None if they are too few; `mistakes` whether
    there were enough wrong pixels to fit a temperature.
    """

    temperatures: Temperatures
    before: float | None
    after: float | None
    mistakes: bool
    margin: float | None = None
    images: int = 0

    def to_text(self, of: str = "pixels of validation images") -> str:
        """Describe the result."""
        if self.before is None or self.after is None:
            return f"Probabilities are not calibrated: there are no {of}."
        if not self.mistakes:
            return f"Probabilities are not scaled: too few {of} are wrong to fit a temperature."
        if self.temperatures == UNSCALED:
            error = f"calibration error (ECE) {self.before:.4f} on {of}"
            return f"Probabilities are not scaled: {error}, temperature scaling does not reduce it."
        change = f"calibration error (ECE) {self.before:.4f} before, {self.after:.4f} after"
        return f"{str(self.temperatures).capitalize()}, fitted on {of}: {change}."

    def into(self, model_card: ModelCard, note: str) -> ModelCard:
        """Return the model card with these temperatures and a note about them."""
        return replace(
            model_card,
            temperature=self.temperatures.sure,
            doubt_temperature=self.temperatures.doubt,
            trained=model_card.trained | {"calibration": note},
        )

    def margin_text(self) -> str:
        """Describe the conformal margin."""
        if self.margin is None:
            return f"No lower bound of the expected Dice: it needs 9 validation images, there are {self.images}."
        word = "minus" if self.margin >= 0 else "plus"
        bound = f"the expected Dice {word} {abs(self.margin):.4f}"
        return f"Lower bound of the Dice for 90 % of images: {bound}, from {pluralise(self.images, 'image')}."


def fit_temperatures(
    probabilities: Float[np.ndarray, "pixels classes"],
    truth: Integer[np.ndarray, " pixels"],
    image: Integer[np.ndarray, " pixels"],
    min_errors: int = MIN_ERRORS,
) -> Calibration:
    """Fit one or two temperatures to uncalibrated probabilities, and measure the ECE before and after.

    `image` is the index of the image of each pixel, in the order of their names: see `two_are_better`.
    """
    table = reliability(probabilities, truth)
    before = expected_calibration_error(table)
    mistakes = float(table[:, 0].sum() - table[:, 2].sum()) >= min_errors
    if not mistakes:
        return Calibration(temperatures=UNSCALED, before=before, after=before, mistakes=False)
    logits = logits_of(probabilities)
    found = find_temperatures(logits, truth) if two_are_better(probabilities, truth, image) else _one(logits, truth)
    after = expected_calibration_error(reliability(scale_probabilities(probabilities, found), truth))
    # a higher likelihood does not always reduce the calibration error; if not, nothing is changed
    if before is None or after is None or after >= before:
        return Calibration(temperatures=UNSCALED, before=before, after=before, mistakes=True)
    return Calibration(temperatures=found, before=before, after=after, mistakes=True)


def two_are_better(
    probabilities: Float[np.ndarray, "pixels classes"],
    truth: Integer[np.ndarray, " pixels"],
    image: Integer[np.ndarray, " pixels"],
) -> bool:
    """Return whether two temperatures are better than one in a cross-validation over images.

    Images are held out in `BLOCKS` blocks of neighbours. Two temperatures must improve both the likelihood and the
    calibration error; always false for one image.
    """
    numbers = np.unique(image)
    blocks = np.array_split(numbers, min(BLOCKS, len(numbers)))
    if len(blocks) < 2:
        return False
    limit = max(1, MAX_COMPARED // probabilities.shape[1])
    subset = _draw(np.arange(len(truth)), limit, np.random.default_rng(0))
    probabilities, truth, image = probabilities[subset], truth[subset], image[subset]
    logits, methods = logits_of(probabilities), (_one, find_temperatures)
    results = [np.empty(probabilities.shape) for _ in methods]
    for block in blocks:
        out = np.isin(image, block)
        for find, calibrated in zip(methods, results, strict=True):
            calibrated[out] = scale_probabilities(probabilities[out], find(logits[~out], truth[~out]))
    one, two = (
        (negative_log_likelihood(calibrated, truth), expected_calibration_error(reliability(calibrated, truth)))
        for calibrated in results
    )
    return two[0] < one[0] and (two[1] or 0.0) < (one[1] or 0.0)


def _one(logits: Float[np.ndarray, "pixels classes"], truth: Integer[np.ndarray, " pixels"]) -> Temperatures:
    return Temperatures(find_temperature(logits, truth))


def max_fitted(seconds: float | None) -> int:
    """Return the number of probabilities for fitting within `seconds`; None is no limit."""
    return MAX_FITTED if seconds is None else max(MIN_FITTED, min(MAX_FITTED, int(FITTED_PER_SECOND * seconds)))


def calibrate(images: Sequence[CalibrationSample], model_card: ModelCard, limit: int = MAX_FITTED) -> Calibration:
    """Fit the temperatures on at most `limit` probabilities with known truth, then the conformal margin of the Dice."""
    if not images:
        return Calibration(temperatures=UNSCALED, before=None, after=None, mistakes=False)
    images = sorted(images, key=lambda image: image.name)
    rng = np.random.default_rng(0)
    limit = max(1, limit // (len(images[0].probabilities) * len(images)))
    picks = [_draw(np.flatnonzero(image.truth != IGNORE), limit, rng) for image in images]
    probabilities = np.concatenate([image.probabilities[:, pick].T for image, pick in zip(images, picks, strict=True)])
    truth = np.concatenate([image.truth[pick] for image, pick in zip(images, picks, strict=True)])
    result = fit_temperatures(probabilities, truth, np.repeat(np.arange(len(images)), [len(pick) for pick in picks]))
    pairs = [
        (expected, image.actual)
        for image in images
        if image.actual is not None
        and (
            expected := expected_dice_of(
                image.predicted, scale_probabilities(image.probabilities.T, result.temperatures).T, model_card
            )
        )
        is not None
    ]
    expected, actual = np.array(pairs, np.float64).reshape(-1, 2).T
    return replace(result, margin=conformal_margin(expected, actual), images=len(pairs))


def select_calibration(
    predictions: Sequence[ValidationPrediction], model_card: ModelCard, seconds: float | None
) -> tuple[ModelCard, str]:
    """Return the model card of a segmentation model with its calibration, and a note; see `calibrate`."""
    classes = model_card.softmax_channels
    limit = max(1, MAX_KEPT // (classes * max(8, len(predictions))))
    images = [_sample(one, model_card, limit, seed) for seed, one in enumerate(within_time(predictions, seconds))]
    result = calibrate(images, model_card, limit=max_fitted(seconds))
    note = f"{result.to_text()} {result.margin_text()}"
    return result.into(replace(model_card, conformal_margin=result.margin), note), note


def select_image_calibration(
    probabilities: Float[np.ndarray, "images classes"], truth: Integer[np.ndarray, " images"], model_card: ModelCard
) -> tuple[ModelCard, str]:
    """Return the model card of a classification model with its calibration, and a note."""
    result = fit_temperatures(probabilities, truth, np.arange(len(truth)), MIN_ERRORS_IMAGES)
    note = result.to_text("validation images")
    return result.into(model_card, note), note


def _sample(prediction: ValidationPrediction, model_card: ModelCard, limit: int, seed: int) -> CalibrationSample:
    """Sample pixels of an image at random; their expected Dice estimates that of the image."""
    labels = decode(prediction.probabilities, model_card.target)
    classes = class_channels(model_card.target, len(prediction.probabilities))
    drawn = _draw(np.arange(labels.size), limit, np.random.default_rng(seed))
    return CalibrationSample(
        name=prediction.name,
        probabilities=prediction.probabilities[:classes].reshape(classes, -1)[:, drawn].astype(np.float16),
        predicted=labels.ravel()[drawn],
        truth=encode(prediction.truth, model_card.target).ravel()[drawn],
        actual=true_dice(prediction.truth, labels, model_card),
    )


def _draw(indices: np.ndarray, limit: int, rng: np.random.Generator) -> np.ndarray:
    return indices if len(indices) <= limit else rng.choice(indices, limit, replace=False)
