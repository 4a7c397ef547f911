"""Predictions of the validation images after training: made once, and the input of every selection."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from torch import nn

from pixelwise.datasets.dataset import Dataset
from pixelwise.datasets.splitting.subsets import spread_order
from pixelwise.geometry.symmetries import tta_symmetries
from pixelwise.inference.predictor import Predictor
from pixelwise.labels.targets import probabilities_of
from pixelwise.model_file.model_card import ModelCard
from pixelwise.progress import Progress
from pixelwise.runtimes.base import Runtime
from pixelwise.runtimes.torch import TorchRuntime
from pixelwise.sampling.normalise import Scale, intensity_scale
from pixelwise.workflow.fit.training_data import read_resampled

SECONDS = 60.0  # at most, of a budget
BUDGET_SHARE = 0.02  # of a budget
SIDES = {2: (2048, 128), 3: (256, 32)}  # pixels: images or volumes that are larger are cropped, and a small window
MAX_PIXELS = 2**25  # of all validation images
MAX_VALUES = 2**27  # probabilities of all images in memory: 512 MB


class ValidationPrediction(NamedTuple):
    """A validation image or volume: ground truth (*size), and uncalibrated probabilities (channels, *size).

    `whole` is False for a part of a larger image.
    """

    name: str
    truth: np.ndarray
    probabilities: np.ndarray
    whole: bool = True


def seconds_to_predict(budget: float | None) -> float | None:
    """Return the time limit for predictions with a time budget; None without one."""
    return None if budget is None else min(SECONDS, BUDGET_SHARE * budget)


def predict_validation(
    networks: Sequence[nn.Module],
    model_card: ModelCard,
    dataset: Dataset,
    *,
    device: str,
    seconds: float | None,
    progress: Progress,
) -> list[list[ValidationPrediction]]:
    """Predict the validation split with several networks within limits of size and time, in a spread-out order.

    Parameters
    ----------
    networks : sequence of Network
        Of the same architecture.
    model_card : ModelCard
        Of a segmentation model.
    seconds : float or None
        See `seconds_to_predict`; exceeded by at most one image. The time of a small window determines the crop of the
        first image; later images are predicted only if they are done in time.

    Returns
    -------
    list of list of ValidationPrediction
        For each network the predicted images, the same for all networks.
    """
    each: list[list[ValidationPrediction]] = [[] for _ in networks]
    cases = sum(case.annotation is not None for case in dataset.splits["val"])
    limits = seconds, min(MAX_PIXELS, MAX_VALUES // (len(networks) * model_card.network.classes))
    runtimes = [TorchRuntime(network, device) for network in networks]
    images = _predict(runtimes, model_card, dataset, *limits)
    for name, truth, whole, outputs in progress.track(images, "predicting validation images", cases):
        for predictions, probabilities in zip(each, outputs, strict=True):
            predictions.append(ValidationPrediction(name, truth, probabilities, whole))
    return each


def crop_centre(prediction: ValidationPrediction, side: int) -> ValidationPrediction:
    """Return the centre of a prediction, at most `side` pixels along each axis."""
    box = middle_window(prediction.truth.shape, side)
    truth, probabilities = prediction.truth[box], prediction.probabilities[(slice(None), *box)]
    return ValidationPrediction(prediction.name, truth, probabilities, truth.size == prediction.truth.size)


def within_time(predictions: Sequence[ValidationPrediction], seconds: float | None) -> Iterator[ValidationPrediction]:
    """Yield predictions until the time is up; at least one. None is no limit."""
    began = time.monotonic()
    for prediction in predictions:
        yield prediction
        if seconds is not None and time.monotonic() - began > seconds:
            return


def count_affordable(
    predictions: Sequence[ValidationPrediction],
    max_pixels: int,
    seconds: float | None,
    score: Callable[[ValidationPrediction], object],
    trials: int,
) -> int:
    """Return how many of the first predictions a search can use; at least one, if there are any.

    Parameters
    ----------
    max_pixels : int
        No prediction is added once this number of pixels is reached.
    seconds : float or None
        Of the search; no prediction is added once `trials` trials would not fit. None is no limit.
    score : callable
        Scores one prediction; its time is that of one trial.
    """
    pixels, elapsed = 0, 0.0
    for count, prediction in enumerate(predictions, 1):
        pixels += prediction.truth.size
        if pixels >= max_pixels:
            return count
        if seconds is not None:
            began = time.monotonic()
            score(prediction)
            elapsed += time.monotonic() - began
            if trials * elapsed > seconds:
                return count
    return len(predictions)


def _predict(
    runtimes: Sequence[Runtime], model_card: ModelCard, dataset: Dataset, seconds: float | None, max_pixels: int
) -> Iterator[tuple[str, np.ndarray, bool, list[np.ndarray]]]:
    """Yield name, truth (*size), whether it is whole, and the probabilities (channels, *size) of each network.

    Volumes are at the spacing of the model.
    """
    axes = model_card.network.dimensions
    symmetries, channels = tta_symmetries(model_card.tta, axes), model_card.network.classes
    spacing = (model_card.spacing or ()) if axes == 3 else ()
    largest, probe = SIDES[axes]
    predictors = [
        Predictor(runtime, model_card.geometry, channels, model_card.tile, symmetries) for runtime in runtimes
    ]
    began, done, pace = time.monotonic(), 0, 0.0  # pixels; seconds per pixel
    for case in spread_order(dataset.splits["val"]):
        if case.annotation is None:
            continue
        pixels, labels = read_resampled(dataset, case, spacing)
        scale = intensity_scale(pixels, model_card.normalisation)
        crop = largest
        if seconds is not None:
            if not pace:
                box = middle_window(labels.shape, probe)
                pace = _seconds_per_pixel(predictors, pixels[(slice(None), *box)], scale)
            left = seconds - (time.monotonic() - began)
            if done and pace * min(labels.size, largest**axes) > left:
                return
            crop = min(largest, max(probe, int((max(0.0, left) / pace) ** (1 / axes))))
        box = middle_window(labels.shape, crop)
        start = time.monotonic()
        outputs = [predictor.logits(pixels[(slice(None), *box)], scale) for predictor in predictors]
        truth = labels[box]
        whole = truth.size == labels.size
        yield case.name, truth, whole, [probabilities_of(logits, model_card.target) for logits in outputs]
        pace = max(pace, (time.monotonic() - start) / truth.size)
        done += truth.size
        if done >= max_pixels:
            return


def middle_window(shape: tuple[int, ...], side: int) -> tuple[slice, ...]:
    """Return the centre of an image or a volume, at most `side` pixels along each axis.

    >>> middle_window((100, 300), 200)
    (slice(0, 200, None), slice(50, 250, None))
    """
    starts = [max(0, (whole - side) // 2) for whole in shape]
    return tuple(slice(start, start + side) for start in starts)


def _seconds_per_pixel(predictors: Sequence[Predictor], pixels: np.ndarray, scale: Scale) -> float:
    """Return the seconds per pixel on a small window, after a warm-up."""
    elapsed = 0.0
    for _ in range(2):
        start = time.monotonic()
        for predictor in predictors:
            predictor.logits(pixels, scale)
        elapsed = time.monotonic() - start
    return elapsed / pixels[0].size
