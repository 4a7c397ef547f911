"""Confidence in a mask: how sure each pixel is, and the Dice that the probabilities of an image promise.

Shared by what finds the temperature and the margin after a training, by `evaluate`, which looks whether they hold, and
by `predict`, which writes them. Probabilities are those of `inference.segmentation_model.Prediction`: of the classes of
the target.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Integer, UInt8

from pixelwise.datasets.records import has_background
from pixelwise.labels.targets import IGNORE, class_channels
from pixelwise.metrics.calibration import dice_lower_bound, expected_dice
from pixelwise.metrics.detection import image_score
from pixelwise.metrics.semantic import class_scores, confusion, mean_of
from pixelwise.model_file.model_card import ModelCard

TOP = 255  # of the uncertainty map
ANYTHING = "anything"  # in the place of the name of a class


@dataclass(frozen=True, kw_only=True)
class Confidence:
    """How sure a model is of one image.

    Attributes
    ----------
    image : str
    dice : float or None
        The mean Dice that the probabilities promise, of the classes that the mask shows but the background (of objects:
        of their pixels); None where the mask shows none.
    bound : float or None
        No higher than the true mean Dice, for 90 % of images; None where the model knows no margin.
    uncertainty : float
        Mean over the pixels of the probability that the class they are decided for is wrong.
    scores : dict
        How sure it is that the image shows anything, and each class: see `image_scores`.
    """

    image: str
    dice: float | None
    bound: float | None
    uncertainty: float
    scores: dict[str, float]


def uncertainty_map(
    probabilities: Float[np.ndarray, "channels height width"], model_card: ModelCard
) -> UInt8[np.ndarray, "height width"]:
    """Return 255 (1 - p) of each pixel, p the probability of its most probable class: how likely that one is wrong.

    Of objects the classes are those of the target: background, object and, where the target has it, boundary.
    """
    surest = probabilities[: class_channels(model_card.target, len(probabilities))].max(axis=0)
    return np.rint(TOP * (1 - surest.astype(np.float32))).clip(0, TOP).astype(np.uint8)


def expected_dice_of(
    labels: Integer[np.ndarray, "..."], probabilities: Float[np.ndarray, "channels ..."], model_card: ModelCard
) -> float | None:
    """Return the mean Dice that calibrated probabilities promise for a mask; see `Confidence.dice`."""
    if model_card.target.kind == "classes":
        return expected_dice(probabilities.reshape(len(probabilities), -1), labels.ravel(), _first(model_card))
    background = probabilities[0].ravel().astype(np.float32)
    return expected_dice(np.stack([background, 1 - background]), (labels.ravel() > 0).astype(np.uint8), 1)


def true_dice(
    truth: Integer[np.ndarray, "height width"], labels: Integer[np.ndarray, "height width"], model_card: ModelCard
) -> float | None:
    """Return the mean Dice that came, as `evaluate` has it for one image; of objects that of their pixels."""
    if model_card.target.kind == "classes":
        return mean_of(class_scores(confusion(truth, labels, len(model_card.classes))).dice[_first(model_card) :])
    unknown = truth < 0 if model_card.task == "instance" else truth == IGNORE
    mask = np.where(unknown, IGNORE, truth > 0)
    return mean_of(class_scores(confusion(mask, (labels > 0).astype(np.uint8), 2)).dice[1:])


def confidence_of(
    image: str,
    labels: Integer[np.ndarray, "height width"],
    probabilities: Float[np.ndarray, "channels height width"],
    model_card: ModelCard,
) -> Confidence:
    """Return how sure the model is of one image."""
    dice = expected_dice_of(labels, probabilities, model_card)
    margin = model_card.conformal_margin
    surest = probabilities[: class_channels(model_card.target, len(probabilities))].max(axis=0)
    return Confidence(
        image=image,
        dice=dice,
        bound=None if dice is None or margin is None else dice_lower_bound(dice, margin),
        uncertainty=1 - float(surest.mean(dtype=np.float64)),
        scores=image_scores(probabilities, model_card),
    )


def image_scores(probabilities: Float[np.ndarray, "channels height width"], model_card: ModelCard) -> dict[str, float]:
    """Return how sure it is that an image shows anything but the background (`ANYTHING`), and each class by its name.

    Of two classes, and of objects, the first says it all. Without a background there is nothing to be sure of, and the
    dict is empty. See `metrics.detection.image_score`.
    """
    if not has_background(model_card.task, model_card.classes):
        return {}
    found = {ANYTHING: image_score(1 - probabilities[0].astype(np.float32))}
    if model_card.target.kind == "classes" and len(model_card.classes) > 2:
        found |= {name: image_score(probabilities[i]) for i, name in enumerate(model_card.classes) if i}
    return found


def _first(model_card: ModelCard) -> int:
    """Return the first class whose Dice enters the mean: 1 where class 0 is a background."""
    return int(has_background(model_card.task, model_card.classes))
