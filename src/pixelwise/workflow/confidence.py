"""Confidence of predicted masks: the uncertainty map, and the expected Dice of an image.

Shared by calibration, `evaluate` and `predict`. Probabilities are those of the classes of the target, as in
`inference.segmentation_model.Prediction`.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Integer, UInt8

from pixelwise.labels.regions import class_probabilities
from pixelwise.labels.targets import IGNORE
from pixelwise.metrics.calibration import dice_lower_bound, expected_dice
from pixelwise.metrics.detection import image_score
from pixelwise.metrics.semantic import class_scores, confusion, mean_of
from pixelwise.model_file.model_card import ModelCard

TOP = 255  # of the uncertainty map
ANYTHING = "anything"  # used instead of a class name


@dataclass(frozen=True, kw_only=True)
class Confidence:
    """The confidence of a model in one image.

    Attributes
    ----------
    dice : float or None
        The expected mean Dice of the classes in the mask without the background (for objects: of their pixels); None
        for an empty mask.
    bound : float or None
        A lower bound of the true mean Dice for 90 % of images; None if the model has no conformal margin.
    uncertainty : float
        Mean over the pixels of the probability that the predicted class is wrong.
    scores : dict
        See `image_scores`.
    """

    image: str
    dice: float | None
    bound: float | None
    uncertainty: float
    scores: dict[str, float]


def uncertainty_map(
    probabilities: Float[np.ndarray, "channels *size"], model_card: ModelCard
) -> UInt8[np.ndarray, "*size"]:
    """Return 255 (1 - p) for each pixel, where p is the probability of its most probable class.

    For objects the classes are those of the target: background, object and possibly boundary.
    """
    confidence = class_probabilities(probabilities, model_card.target).max(axis=0)
    return np.rint(TOP * (1 - confidence.astype(np.float32))).clip(0, TOP).astype(np.uint8)


def expected_dice_of(
    labels: Integer[np.ndarray, "..."], probabilities: Float[np.ndarray, "channels ..."], model_card: ModelCard
) -> float | None:
    """Return the expected mean Dice of a mask from its calibrated probabilities; see `Confidence.dice`."""
    if model_card.target.kind == "classes":
        return expected_dice(probabilities.reshape(len(probabilities), -1), labels.ravel(), model_card.first_class)
    background = probabilities[0].ravel().astype(np.float32)
    return expected_dice(np.stack([background, 1 - background]), (labels.ravel() > 0).astype(np.uint8), 1)


def true_dice(
    truth: Integer[np.ndarray, "*size"], labels: Integer[np.ndarray, "*size"], model_card: ModelCard
) -> float | None:
    """Return the mean Dice of one image as in `evaluate`; for objects that of their pixels."""
    if model_card.target.kind == "classes":
        return mean_of(class_scores(confusion(truth, labels, len(model_card.classes))).dice[model_card.first_class :])
    unknown = truth < 0 if model_card.task == "instance" else truth == IGNORE
    mask = np.where(unknown, IGNORE, truth > 0)
    return mean_of(class_scores(confusion(mask, (labels > 0).astype(np.uint8), 2)).dice[1:])


def confidence_of(
    image: str,
    labels: Integer[np.ndarray, "*size"],
    probabilities: Float[np.ndarray, "channels *size"],
    model_card: ModelCard,
) -> Confidence:
    """Return the confidence of the model in one image."""
    classes = class_probabilities(probabilities, model_card.target)
    dice = expected_dice_of(labels, classes, model_card)
    margin, confidence = model_card.conformal_margin, classes.max(axis=0)
    return Confidence(
        image=image,
        dice=dice,
        bound=None if dice is None or margin is None else dice_lower_bound(dice, margin),
        uncertainty=1 - float(confidence.mean(dtype=np.float64)),
        scores=image_scores(classes, model_card),
    )


def image_scores(probabilities: Float[np.ndarray, "channels *size"], model_card: ModelCard) -> dict[str, float]:
    """Return a score for any foreground in the image (`ANYTHING`), and one per class with more than two classes.

    Empty without a background class. See `metrics.detection.image_score`.
    """
    if not model_card.first_class:
        return {}
    scores = {ANYTHING: image_score(1 - probabilities[0].astype(np.float32))}
    if model_card.target.kind == "classes" and len(model_card.classes) > 2:
        scores |= {name: image_score(probabilities[i]) for i, name in enumerate(model_card.classes) if i}
    return scores
