"""Evaluate, of confidence: whether the probabilities mean what they say, and the bounds of the Dice hold."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Integer

from pixelwise.inference.segmentation_model import Prediction
from pixelwise.labels.targets import IGNORE, class_channels, encode
from pixelwise.labels.temperature_scaling import Temperatures
from pixelwise.metrics.calibration import (
    LEVEL,
    conformal_margin,
    coverage,
    dice_lower_bound,
    expected_calibration_error,
    reliability,
    tempered,
    tempered_image,
)
from pixelwise.model_file.model_card import ModelCard
from pixelwise.workflow.confidence import expected_dice_of, true_dice
from pixelwise.workflow.evaluation.mask_scores import rounded

MOST = 2**18  # pixels of an image whose probabilities are compared with the truth


@dataclass
class ConfidenceEvaluation:
    """What was seen of the confidence: a reliability table of all pixels before and after scaling, promises of Dice.

    Probabilities come to it before scaling. `expected` and `actual`, the promised and the true mean Dice, have an entry
    per image, None where there is none.
    """

    temperatures: list[Temperatures] = field(default_factory=list[Temperatures])
    before: list[np.ndarray] = field(default_factory=list[np.ndarray])
    after: list[np.ndarray] = field(default_factory=list[np.ndarray])
    expected: list[float | None] = field(default_factory=list[float | None])
    actual: list[float | None] = field(default_factory=list[float | None])

    def look(
        self, truth: Integer[np.ndarray, "height width"], prediction: Prediction, model_card: ModelCard
    ) -> Prediction:
        """Take up an image and its probabilities before scaling, and return the prediction with those after.

        Of large images `MOST` pixels are compared with the truth, drawn at random.
        """
        if prediction.probabilities is None:
            raise ValueError("no probabilities to look at")
        classes = class_channels(model_card.target, len(prediction.probabilities))
        wanted = encode(truth, model_card.target).ravel()
        known = np.flatnonzero(wanted != IGNORE)
        if len(known) > MOST:
            known = np.random.default_rng(len(self.expected)).choice(known, MOST, replace=False)
        probabilities = prediction.probabilities[:classes].reshape(classes, -1)[:, known].T
        self.add(probabilities, wanted[known], model_card.temperatures)
        scaled = tempered_image(prediction.probabilities[:classes], model_card.temperatures)
        self.expected.append(expected_dice_of(prediction.labels, scaled, model_card))
        self.actual.append(true_dice(truth, prediction.labels, model_card))
        return replace(prediction, probabilities=scaled)

    def add(
        self,
        probabilities: Float[np.ndarray, "pixels classes"],
        truth: Integer[np.ndarray, " pixels"],
        temperatures: Temperatures,
    ) -> None:
        """Count pixels (or photos) before and after scaling."""
        self.temperatures.append(temperatures)
        self.before.append(reliability(probabilities, truth))
        self.after.append(reliability(tempered(probabilities, temperatures), truth))

    def margin(self, images: Sequence[int]) -> float | None:
        """Return the margin of the Dice by some of the images, given by their places."""
        pairs = [(self.expected[place], self.actual[place]) for place in images]
        expected, actual = np.array([pair for pair in pairs if None not in pair], np.float64).reshape(-1, 2).T
        return conformal_margin(expected, actual)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON-ready record of the calibration error."""
        doubts = [one.doubt for one in self.temperatures if one.doubt is not None]
        before, after = (np.sum(tables, axis=0) for tables in (self.before, self.after))
        return rounded(
            {
                "temperature": float(np.median([one.sure for one in self.temperatures])),
                "doubt_temperature": float(np.median(doubts)) if doubts else None,
                "ece_before": expected_calibration_error(before),
                "ece_after": expected_calibration_error(after),
                "reliability": {"before": before.tolist(), "after": after.tolist()},
            }
        )


def unscaled(model_card: ModelCard) -> ModelCard:
    """Return the recipe with which probabilities come as they are before scaling."""
    return replace(model_card, temperature=1.0, doubt_temperature=None)


def judge_confidence(
    scores: dict[str, Any], observed: ConfidenceEvaluation, margins: Sequence[float | None]
) -> dict[str, Any]:
    """Add to the scores of masks what came of the confidence, and to each case its predicted Dice and lower bound.

    Parameters
    ----------
    scores : dict
        Of `join_masks`; is returned with the additions.
    observed : Observed
    margins : sequence of (float or None)
        For each case, as the cases stand in `scores`.
    """
    bounds: list[float] = []
    actual: list[float] = []
    for row, expected, true, margin in zip(scores["cases"], observed.expected, observed.actual, margins, strict=True):
        bound = None if expected is None or margin is None else dice_lower_bound(expected, margin)
        row["predicted_dice"], row["dice_lower_bound"] = rounded(expected), rounded(bound)
        if bound is not None and true is not None:
            bounds.append(bound)
            actual.append(true)
    held = int(coverage(np.array(bounds), np.array(actual)).sum()) if bounds else 0
    found = {"level": LEVEL, "images": len(bounds), "held": held, "share": held / len(bounds) if bounds else None}
    return scores | {"confidence": {**observed.to_json(), "bound": rounded(found)}}


def judge_photos(
    scores: dict[str, Any],
    probabilities: Float[np.ndarray, "images classes"],
    truth: Integer[np.ndarray, " images"],
    temperatures: Temperatures,
) -> dict[str, Any]:
    """Add to the scores of photos what came of the confidence; `probabilities` are those before scaling."""
    observed = ConfidenceEvaluation()
    observed.add(probabilities, truth, temperatures)
    return scores | {"confidence": observed.to_json()}
