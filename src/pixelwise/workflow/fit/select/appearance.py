"""What the training and validation images look like, so that `predict` recognises images that look otherwise.

The features are statistics of the images, not of the network, so that training images are as good a reference as
validation images.
"""

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pixelwise.metrics.outliers import FALSE_ALARMS, can_rank
from pixelwise.model_file.appearance_record import MAX_IMAGES, record_appearance
from pixelwise.model_file.model_card import ModelCard
from pixelwise.sampling.appearance import appearance_features
from pixelwise.text import pluralise
from pixelwise.workflow.fit.select.validation_predictions import ValidationPrediction
from pixelwise.workflow.fit.training_data import TrainingImage


def select_appearance(
    _: Sequence[ValidationPrediction], model_card: ModelCard, seconds: float | None, *, images: Sequence[TrainingImage]
) -> tuple[ModelCard, str]:
    """Return the model card with the statistics of `images`, as many as fit into the time, and a note."""
    began, features = time.monotonic(), dict[int, dict[str, np.ndarray]]()
    named = sorted(images, key=lambda image: image.name)
    order = np.random.default_rng(0).permutation(len(named))[:MAX_IMAGES].tolist()
    for index in order:
        features[index] = appearance_features(named[index].pixels, named[index].scale)
        if seconds is not None and time.monotonic() - began > seconds:
            break
    record = record_appearance([features[index] for index in sorted(features)])  # neighbours by name
    note = _describe(len(features))
    return replace(model_card, appearance=record, trained=model_card.trained | {"appearance": note}), note


def _describe(images: int) -> str:
    known = f"recognised by {pluralise(images, 'training and validation image')}"
    if not can_rank(images):
        return f"Images that look otherwise are only {known} if they are far away: a p-value needs 19."
    rate = f"{100 * FALSE_ALARMS:.0f} % of images like these are reported, too"
    return f"Images that look otherwise are {known}; {rate}."
