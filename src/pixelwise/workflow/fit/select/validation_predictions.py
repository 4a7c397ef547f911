"""Looking: a trained model predicts validation images, for what is chosen or found when a training ends."""

import time
from collections.abc import Generator, Sequence
from typing import NamedTuple

import numpy as np
from torch import nn

from pixelwise.datasets.dataset import Dataset, read_labels, read_pixels
from pixelwise.datasets.subsets import spread
from pixelwise.geometry.symmetries import tta_symmetries
from pixelwise.inference.predictor import Predictor
from pixelwise.labels.targets import probabilities_of
from pixelwise.model_file.model_card import ModelCard
from pixelwise.progress import Progress
from pixelwise.runtimes.torch import TorchRuntime
from pixelwise.sampling.normalise import Scale, intensity_scale

SECONDS = 60.0  # at most, of a budget
BUDGET_SHARE = 0.02  # of a budget
SIDE = 2048  # pixels: of larger images the middle is looked at
MOST_PIXELS = 2**25  # of validation images together
PROBE = 128  # pixels a side of the window that tells how fast predictions are here


class ValidationPrediction(NamedTuple):
    """A validation image: its truth (height, width), and probabilities (channels, height, width) before scaling."""

    name: str
    truth: np.ndarray
    probabilities: np.ndarray


def seconds_to_look(budget: float | None) -> float | None:
    """Return how long looking may take with a budget of so many seconds; None: the clock decides nothing."""
    return None if budget is None else min(SECONDS, BUDGET_SHARE * budget)


def predict_validation_once(
    network: nn.Module,
    model_card: ModelCard,
    dataset: Dataset,
    pages: int | None,
    *,
    device: str,
    seconds: float | None,
    progress: Progress,
    why: str,
) -> Generator[ValidationPrediction, None, None]:
    """Predict the part "val" with one network: see `predict_validation`; `why` is what the bar says."""
    cases = sum(case.mask is not None for case in dataset.part("val"))
    looks = predict_validation([network], model_card, dataset, pages, device=device, seconds=seconds)
    for name, truth, (probabilities,) in progress.track(looks, why, cases):
        yield ValidationPrediction(name, truth, probabilities)


def predict_validation(
    networks: Sequence[nn.Module],
    model_card: ModelCard,
    dataset: Dataset,
    pages: int | None,
    *,
    device: str,
    seconds: float | None,
    side: int | None = None,
    most_pixels: int | None = None,
) -> Generator[tuple[str, np.ndarray, list[np.ndarray]], None, None]:
    """Predict the part "val" with some networks, as far as pixels and time allow, cases from all over it first.

    Parameters
    ----------
    networks : sequence of Network
        Of one build.
    model_card : ModelCard
        Of a model of masks.
    dataset : Dataset
    pages : int or None
        How pages of images are read.
    device : str
    seconds : float or None
        See `seconds_to_look`. What a small window takes tells how much of the first image fits; later ones are begun
        only where they will be done in time.
    side : int, optional
        Pixels: of larger images the middle is looked at; by default `SIDE`.
    most_pixels : int, optional
        Of all images together; by default `MOST_PIXELS`.

    Yields
    ------
    name : str
    truth : integer array (height, width)
    probabilities : list of float arrays (channels, height, width)
        One per network, before scaling.
    """
    side, most_pixels = side or SIDE, most_pixels or MOST_PIXELS
    over, channels = tta_symmetries(model_card.tta), model_card.network.classes
    runtimes = [TorchRuntime(network, device) for network in networks]
    predictors = [Predictor(runtime, model_card.geometry, channels, model_card.tile, over) for runtime in runtimes]
    began, seen, pace = time.monotonic(), 0, 0.0  # pace: seconds per pixel
    for case in spread(dataset.part("val")):
        if case.mask is None:
            continue
        labels = read_labels(case.mask, dataset.labelling)
        pixels = read_pixels(case.image, model_card.channels, pages).pixels
        scale = intensity_scale(pixels, model_card.normalisation)
        most = side
        if seconds is not None:
            if not pace:
                rows, columns = middle_window(labels.shape, PROBE)
                pace = _seconds_per_pixel(predictors, pixels[:, rows, columns], scale)
            left = seconds - (time.monotonic() - began)
            if seen and pace * min(labels.size, side * side) > left:
                return
            most = min(side, max(PROBE, int((max(0.0, left) / pace) ** 0.5)))
        rows, columns = middle_window(labels.shape, most)
        start = time.monotonic()
        answers = [predictor.logits(pixels[:, rows, columns], scale) for predictor in predictors]
        truth = labels[rows, columns]
        yield case.name, truth, [probabilities_of(logits, model_card.target) for logits in answers]
        pace = max(pace, (time.monotonic() - start) / truth.size)  # with what the caller does between two images
        seen += truth.size
        if seen >= most_pixels:
            return


def middle_window(shape: tuple[int, ...], side: int) -> tuple[slice, slice]:
    """Return the rows and columns of the middle of an image, at most `side` pixels a side.

    >>> middle_window((100, 300), 200)
    (slice(0, 200, None), slice(50, 250, None))
    """
    starts = [max(0, (whole - side) // 2) for whole in shape]
    return slice(starts[0], starts[0] + side), slice(starts[1], starts[1] + side)


def _seconds_per_pixel(predictors: Sequence[Predictor], pixels: np.ndarray, scale: Scale) -> float:
    """Measure on a small window, the second time: the first pass is slower than the others."""
    taken = 0.0
    for _ in range(2):
        start = time.monotonic()
        for predictor in predictors:
            predictor.logits(pixels, scale)
        taken = time.monotonic() - start
    return taken / pixels[0].size
