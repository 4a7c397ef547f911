"""Predictions of validation images by a trained model, for threshold selection and calibration after training."""

import time
from collections.abc import Generator, Sequence
from typing import NamedTuple

import numpy as np
from torch import nn

from pixelwise.datasets.dataset import Dataset
from pixelwise.datasets.subsets import spread_order
from pixelwise.geometry.symmetries import tta_symmetries
from pixelwise.inference.predictor import Predictor
from pixelwise.labels.targets import probabilities_of
from pixelwise.model_file.model_card import ModelCard
from pixelwise.progress import Progress
from pixelwise.runtimes.torch import TorchRuntime
from pixelwise.sampling.normalise import Scale, intensity_scale

SECONDS = 60.0  # at most, of a budget
BUDGET_SHARE = 0.02  # of a budget
SIDE = 2048  # pixels: larger images are cropped to their centre
MAX_PIXELS = 2**25  # of all validation images
PROBE = 128  # side in pixels of the window for measuring the speed


class ValidationPrediction(NamedTuple):
    """A validation image: ground truth (height, width), and uncalibrated probabilities (channels, height, width)."""

    name: str
    truth: np.ndarray
    probabilities: np.ndarray


def seconds_to_predict(budget: float | None) -> float | None:
    """Return the time limit for predictions with a time budget; None without one."""
    return None if budget is None else min(SECONDS, BUDGET_SHARE * budget)


def predict_validation_once(
    network: nn.Module,
    model_card: ModelCard,
    dataset: Dataset,
    *,
    device: str,
    seconds: float | None,
    progress: Progress,
    why: str,
) -> Generator[ValidationPrediction, None, None]:
    """Predict the validation split with one network, see `predict_validation`; `why` labels the progress bar."""
    cases = sum(case.annotation is not None for case in dataset.part("val"))
    predictions = predict_validation([network], model_card, dataset, device=device, seconds=seconds)
    for name, truth, (probabilities,) in progress.track(predictions, why, cases):
        yield ValidationPrediction(name, truth, probabilities)


def predict_validation(
    networks: Sequence[nn.Module],
    model_card: ModelCard,
    dataset: Dataset,
    *,
    device: str,
    seconds: float | None,
    side: int | None = None,
    max_pixels: int | None = None,
) -> Generator[tuple[str, np.ndarray, list[np.ndarray]], None, None]:
    """Predict the validation split with several networks within limits of pixels and time, in a spread-out order.

    Parameters
    ----------
    networks : sequence of Network
        Of the same architecture.
    model_card : ModelCard
        Of a segmentation model.
    dataset : Dataset
    device : str
    seconds : float or None
        See `seconds_to_predict`. The time of a small window determines the crop of the first image; later images are
        predicted only if they are done in time.
    side : int, optional
        Larger images are cropped to their centre with this side in pixels; by default `SIDE`.
    max_pixels : int, optional
        Of all images; by default `MAX_PIXELS`.

    Yields
    ------
    name : str
    truth : integer array (height, width)
    probabilities : list of float arrays (channels, height, width)
        One per network, uncalibrated.
    """
    side, max_pixels = side or SIDE, max_pixels or MAX_PIXELS
    symmetries, channels = tta_symmetries(model_card.tta), model_card.network.classes
    runtimes = [TorchRuntime(network, device) for network in networks]
    predictors = [
        Predictor(runtime, model_card.geometry, channels, model_card.tile, symmetries) for runtime in runtimes
    ]
    began, done, pace = time.monotonic(), 0, 0.0  # pixels; seconds per pixel
    for case in spread_order(dataset.part("val")):
        if case.annotation is None:
            continue
        pixels, labels = dataset.read_labelled(case)
        scale = intensity_scale(pixels, model_card.normalisation)
        crop = side
        if seconds is not None:
            if not pace:
                rows, columns = middle_window(labels.shape, PROBE)
                pace = _seconds_per_pixel(predictors, pixels[:, rows, columns], scale)
            left = seconds - (time.monotonic() - began)
            if done and pace * min(labels.size, side * side) > left:
                return
            crop = min(side, max(PROBE, int((max(0.0, left) / pace) ** 0.5)))
        rows, columns = middle_window(labels.shape, crop)
        start = time.monotonic()
        outputs = [predictor.logits(pixels[:, rows, columns], scale) for predictor in predictors]
        truth = labels[rows, columns]
        yield case.name, truth, [probabilities_of(logits, model_card.target) for logits in outputs]
        pace = max(pace, (time.monotonic() - start) / truth.size)  # including the work of the caller
        done += truth.size
        if done >= max_pixels:
            return


def middle_window(shape: tuple[int, ...], side: int) -> tuple[slice, slice]:
    """Return the rows and columns of the centre of an image, at most `side` x `side` pixels.

    >>> middle_window((100, 300), 200)
    (slice(0, 200, None), slice(50, 250, None))
    """
    starts = [max(0, (whole - side) // 2) for whole in shape]
    return slice(starts[0], starts[0] + side), slice(starts[1], starts[1] + side)


def _seconds_per_pixel(predictors: Sequence[Predictor], pixels: np.ndarray, scale: Scale) -> float:
    """Return the seconds per pixel on a small window, after a warm-up."""
    elapsed = 0.0
    for _ in range(2):
        start = time.monotonic()
        for predictor in predictors:
            predictor.logits(pixels, scale)
        elapsed = time.monotonic() - start
    return elapsed / pixels[0].size
