"""Division of a time budget between the folds of a cross-validation."""

import time

import numpy as np

from pixelwise.datasets.dataset import Case, Dataset
from pixelwise.errors import BadOption
from pixelwise.inference.predictor import Predictor
from pixelwise.networks.architectures import build
from pixelwise.runtimes.torch import TorchRuntime
from pixelwise.sampling.fingerprint import Fingerprint
from pixelwise.sampling.image_fingerprint import ClassificationFingerprint
from pixelwise.sampling.normalise import intensity_scale
from pixelwise.text import pluralise
from pixelwise.workflow.config import Config, with_settings
from pixelwise.workflow.evaluation.mask_scores import score_case
from pixelwise.workflow.presets import Choices

MIN_SECONDS = 10.0  # per fold
SLACK = 1.3  # safety factor on the time of one image: others are larger, and files are written
TILE = {2: 512, 3: 128}  # side of the valid region of a tile, in pixels, of images and volumes
BATCH = 16  # classification images in the measurement


def share_time(
    config: Config, folds: int, left: float, total: float, scoring: float, *, distil: bool = False
) -> Config:
    """Adapt the plan of one fold to its share of the time.

    Parameters
    ----------
    config : Config
        `training.steps` fills `training.budget`, an equal share of the time.
    left : float
        Remaining seconds for folds and scores.
    total : float
        Seconds of the whole command.
    scoring : float
        Seconds reserved for the scores.
    distil : bool
        A student gets as much time as a fold.

    Raises
    ------
    BadOption
        The time is too short for the number of folds.
    """
    share = (left - scoring) / (folds + distil)
    trainings = f"{pluralise(folds, 'fold')}{' and the student' if distil else ''}"
    if share < MIN_SECONDS:
        got = f"{max(0.0, share):.0f} s for each of {trainings}, {total:.0f} s in total"
        hint = "Use a longer budget, or fewer folds."
        raise BadOption(f"a budget of at least {MIN_SECONDS:.0f} s per fold", got, hint)
    steps = max(1, int(config.training.steps * share / (config.training.budget or share)))
    reserved = f"{scoring:.0f} s are reserved for the out-of-fold scores"
    choices: Choices = {
        "training.budget": (round(share, 1), f"An equal share of {left:.0f} s for each of {trainings}; {reserved}."),
        "training.steps": (steps, f"{share:.0f} s for each of {trainings}, at the measured speed."),
    }
    return _apply(config, choices)


def go_to_the_end(config: Config) -> Config:
    """Return the plan with the last weights and without early stopping, unless the user sets these."""
    fair = "so that nothing is selected on the held-out images and their scores are unbiased"
    choices: Choices = {
        "training.keep": ("last", f"A fold keeps its last weights, {fair}."),
        "training.patience": (0, f"No early stopping, {fair}."),
    }
    return _apply(config, choices)


def seconds_to_score_masks(config: Config, dataset: Dataset, fingerprint: Fingerprint, device: str) -> float:
    """Estimate the seconds for predicting and scoring the masks of all images, from a measurement on one."""
    cases = [case for case in dataset.splits["train"] if case.annotation is not None]
    seconds, pixels = _time_masks(config, cases[len(cases) // 2], dataset, device)
    return SLACK * seconds * fingerprint.pixels / pixels


def seconds_to_score_images(config: Config, fingerprint: ClassificationFingerprint, device: str) -> float:
    """Estimate the seconds for predicting and scoring the classes of all images, from a measurement on a batch."""
    return SLACK * _time_images(config, device) * fingerprint.cases / BATCH


def _time_masks(config: Config, case: Case, dataset: Dataset, device: str) -> tuple[float, int]:
    """Return the seconds for reading, predicting and scoring a case, and its number of pixels.

    The ground truth is scored against itself: predictions of an untrained network take another amount of time.
    """
    network = build(config.network)
    tile = TILE[config.network.dimensions]
    predictor = Predictor(TorchRuntime(network, device), network.geometry(), config.network.classes, tile)
    began = time.monotonic()
    pixels, truth = dataset.read_image(case).pixels, dataset.read_labels(case)
    for _ in predictor.stream(pixels, intensity_scale(pixels, config.normalisation)):
        pass
    score_case(case.name, truth, np.maximum(truth, 0), dataset.labelling.task, len(dataset.labelling.classes))
    return time.monotonic() - began, truth.size


def _time_images(config: Config, device: str) -> float:
    """Return the seconds for predicting a batch of classification images; they are read in parallel threads."""
    side = config.classification.side
    runtime = TorchRuntime(build(config.network), device)
    began = time.monotonic()
    runtime(np.zeros((BATCH, config.network.in_channels, side, side), np.float32))
    return time.monotonic() - began


def _apply(config: Config, choices: Choices) -> Config:
    """Apply choices for settings that the user has not set."""
    free = {key: pair for key, pair in choices.items() if key not in config.user_set}
    values, reasons = ({key: pair[at] for key, pair in free.items()} for at in (0, 1))
    return with_settings(config, values, reasons)
