"""Looking: a trained model predicts validation images, for what is chosen or found when a training ends."""

import time
from collections.abc import Generator
from typing import NamedTuple

import numpy as np
from torch import nn

from pixelwise.engine.predictor import Predictor
from pixelwise.engine.recipe import Recipe
from pixelwise.engine.runtime_torch import TorchRuntime
from pixelwise.geometry.symmetries import turned
from pixelwise.images.cases import Dataset, read_labels, read_pixels
from pixelwise.images.preprocess import intensity_scale
from pixelwise.labels.targets import probabilities_of
from pixelwise.progress import Progress
from pixelwise.workflow.training.tuning import spread

SECONDS = 60.0  # at most, of a budget
BUDGET_SHARE = 0.02  # of a budget
SIDE = 2048  # pixels: of larger images the middle is looked at
MOST_PIXELS = 2**25  # of validation images together


class Looked(NamedTuple):
    """A validation image: its truth (height, width), and probabilities (channels, height, width) before scaling."""

    name: str
    truth: np.ndarray
    chances: np.ndarray


def seconds_to_look(budget: float | None) -> float | None:
    """Return how long looking may take with a budget of so many seconds; None: the clock decides nothing."""
    return None if budget is None else min(SECONDS, BUDGET_SHARE * budget)


def look_at_validation(
    network: nn.Module,
    recipe: Recipe,
    dataset: Dataset,
    pages: int | None,
    *,
    device: str,
    seconds: float | None,
    progress: Progress,
    why: str,
) -> Generator[Looked, None, None]:
    """Predict the part "val", as far as pixels and time allow, cases from all over it first.

    Parameters
    ----------
    network, recipe
        Of a model of masks.
    dataset : Dataset
    pages : int or None
        How pages of images are read.
    device : str
    seconds : float or None
        See `seconds_to_look`; more only by the image that was begun.
    progress : Progress
    why : str
        What the bar says.
    """
    channels = recipe.network.classes
    predictor = Predictor(TorchRuntime(network, device), recipe.geometry, channels, recipe.tile, turned(recipe.turns))
    cases = [(case, case.mask) for case in spread(dataset.part("val")) if case.mask is not None]
    began, seen = time.monotonic(), 0
    for case, mask in progress.track(cases, why, len(cases)):
        truth = read_labels(mask, dataset.labelling)
        pixels = read_pixels(case.image, recipe.channels, pages).pixels
        scale = intensity_scale(pixels, recipe.normalisation)
        rows, columns = (slice(max(0, (side - SIDE) // 2), max(0, (side - SIDE) // 2) + SIDE) for side in truth.shape)
        chances = probabilities_of(predictor.logits(pixels[:, rows, columns], scale), recipe.target)
        yield Looked(case.name, truth[rows, columns], chances)
        seen += chances[0].size
        if seen >= MOST_PIXELS or (seconds is not None and time.monotonic() - began > seconds):
            return
