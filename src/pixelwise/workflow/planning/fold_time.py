"""The time of a cross-validation, shared out to its folds."""

import time
from typing import Any

import numpy as np

from pixelwise.datasets.dataset import Case, Dataset, read_labels, read_pixels
from pixelwise.errors import BadOption
from pixelwise.inference.predictor import Predictor
from pixelwise.networks.architectures import build
from pixelwise.runtimes.torch import TorchRuntime
from pixelwise.sampling.normalise import intensity_scale
from pixelwise.text import pluralise
from pixelwise.workflow.config import Config, with_settings
from pixelwise.workflow.evaluation.mask_scores import score_case
from pixelwise.workflow.presets import Choices

LEAST_SECONDS = 10.0  # of a fold
SLACK = 1.3  # times what one image took: others are larger, files are written
TILE = 512  # pixels a side that prediction keeps of a tile
TOGETHER = 16  # photos that are measured


def share_time(
    config: Config, folds: int, left: float, total: float, scoring: float, *, distil: bool = False
) -> Config:
    """Fit a plan that was made for an equal share of the time to its folds.

    Parameters
    ----------
    config : Config
        `training.steps` fills `training.budget`, an equal share of the time.
    folds : int
    left : float
        Seconds that are left for folds and scores.
    total : float
        Seconds of the whole command.
    scoring : float
        Seconds kept free for the scores.
    distil : bool
        A student gets as much time as a fold.

    Raises
    ------
    BadOption
        There is no time for so many folds.
    """
    share = (left - scoring) / (folds + distil)
    learners = f"{pluralise(folds, 'fold')}{' and the student' if distil else ''}"
    if share < LEAST_SECONDS:
        got = f"{max(0.0, share):.0f} s for each of {learners}, of {total:.0f} s in all"
        hint = "Give more time, or fewer folds."
        raise BadOption(f"a budget that leaves {LEAST_SECONDS:.0f} s to each fold", got, hint)
    steps = max(1, int(config.training.steps * share / (config.training.budget or share)))
    kept = f"{scoring:.0f} s are kept to score every image by the network that did not see it"
    choices: Choices = {
        "training.budget": (round(share, 1), f"An equal share for each of {learners} of {left:.0f} s; {kept}."),
        "training.steps": (steps, f"{share:.0f} s for each of {learners}, at the measured speed."),
    }
    return _put(config, choices)


def go_to_the_end(config: Config) -> Config:
    """Return the plan with folds that choose nothing on the images they leave out, unless the user wants it so."""
    fair = "so that the images left out choose nothing, and their scores hold for others"
    choices: Choices = {
        "training.keep": ("last", f"A fold keeps the weights it ends with, {fair}."),
        "training.patience": (0, f"A fold goes to its end, {fair}."),
    }
    return _put(config, choices)


def seconds_to_score(config: Config, dataset: Dataset, fingerprint: Any, device: str) -> float:
    """Measure how long it takes to predict and score one image, and return the seconds for all of them."""
    if dataset.labelling.task == "classification":
        seconds, share = _time_photos(config, device), TOGETHER / fingerprint.cases
    else:
        cases = [case for case in dataset.part("train") if case.mask is not None]
        seconds, pixels = _time_masks(config, cases[len(cases) // 2], dataset, device)
        share = pixels / fingerprint.pixels
    return SLACK * seconds / share


def _time_masks(config: Config, case: Case, dataset: Dataset, device: str) -> tuple[float, int]:
    """Return the seconds that reading, predicting and scoring a case take, and its pixels.

    The truth is scored against itself: what a network says before it has learned takes other ways.
    """
    network = build(config.network)
    predictor = Predictor(TorchRuntime(network, device), network.geometry(), config.network.classes, TILE)
    began = time.monotonic()
    pixels = read_pixels(case.image, dataset.channels, config.data.pages).pixels
    truth = read_labels(case.mask, dataset.labelling) if case.mask is not None else np.zeros(pixels.shape[1:], np.int32)
    for _ in predictor.stream(pixels, intensity_scale(pixels, config.normalisation)):
        pass
    score_case(case.name, truth, np.maximum(truth, 0), dataset.labelling.task, len(dataset.labelling.classes))
    return time.monotonic() - began, truth.size


def _time_photos(config: Config, device: str) -> float:
    """Return the seconds that predicting some photos takes; reading them is done in threads beside it."""
    side = config.photos.side
    runtime = TorchRuntime(build(config.network), device)
    began = time.monotonic()
    runtime(np.zeros((TOGETHER, config.network.in_channels, side, side), np.float32))
    return time.monotonic() - began


def _put(config: Config, choices: Choices) -> Config:
    """Note choices, where the user has not chosen."""
    kept = {key: pair for key, pair in choices.items() if key not in config.user_set}
    values, reasons = ({key: pair[at] for key, pair in kept.items()} for at in (0, 1))
    return with_settings(config, values, reasons)
