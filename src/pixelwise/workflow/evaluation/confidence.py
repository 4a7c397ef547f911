"""Evaluation of calibration: expected calibration error, temperature scaling, and coverage of the Dice bounds."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Integer

from pixelwise.inference.segmentation_model import Prediction
from pixelwise.labels.regions import class_probabilities
from pixelwise.labels.targets import IGNORE, encode
from pixelwise.labels.temperature_scaling import Temperatures
from pixelwise.metrics.calibration import (
    LEVEL,
    conformal_margin,
    coverage,
    dice_lower_bound,
    expected_calibration_error,
    reliability,
    scale_image_probabilities,
    scale_probabilities,
)
from pixelwise.model_file.model_card import ModelCard
from pixelwise.workflow.confidence import expected_dice_of, true_dice
from pixelwise.workflow.evaluation.mask_scores import rounded

MAX_PIXELS = 2**18  # of an image that are compared with the ground truth


@dataclass
class ConfidenceEvaluation:
    """Reliability tables before and after temperature scaling, and expected and true mean Dice per image.

    Probabilities are added before scaling. `expected` and `actual` are None for an image where undefined.
    """

    temperatures: list[Temperatures] = field(default_factory=list[Temperatures])
    before: list[np.ndarray] = field(default_factory=list[np.ndarray])
    after: list[np.ndarray] = field(default_factory=list[np.ndarray])
    expected: list[float | None] = field(default_factory=list[float | None])
    actual: list[float | None] = field(default_factory=list[float | None])

    def add_image(
        self, truth: Integer[np.ndarray, "*size"], prediction: Prediction, model_card: ModelCard
    ) -> Prediction:
        """Add an image with unscaled probabilities; return the prediction with scaled ones.

        In large images `MAX_PIXELS` random pixels are compared with the ground truth.
        """
        if prediction.probabilities is None:
            raise ValueError("no probabilities to evaluate")
        each = class_probabilities(prediction.probabilities, model_card.target)
        target = encode(truth, model_card.target).ravel()
        known = np.flatnonzero(target != IGNORE)
        if len(known) > MAX_PIXELS:
            known = np.random.default_rng(len(self.expected)).choice(known, MAX_PIXELS, replace=False)
        probabilities = each.reshape(len(each), -1)[:, known].T
        self.add(probabilities, target[known], model_card.temperatures)
        scaled = scale_image_probabilities(each, model_card.temperatures)
        self.expected.append(expected_dice_of(prediction.labels, scaled, model_card))
        self.actual.append(true_dice(truth, prediction.labels, model_card))
        return replace(prediction, probabilities=scaled)

    def add(
        self,
        probabilities: Float[np.ndarray, "pixels classes"],
        truth: Integer[np.ndarray, " pixels"],
        temperatures: Temperatures,
    ) -> None:
        """Add pixels (or whole images) to the reliability tables before and after scaling."""
        self.temperatures.append(temperatures)
        self.before.append(reliability(probabilities, truth))
        self.after.append(reliability(scale_probabilities(probabilities, temperatures), truth))

    def margin(self, images: Sequence[int]) -> float | None:
        """Return the conformal margin of the Dice over a subset of images, given by index."""
        pairs = [(self.expected[index], self.actual[index]) for index in images]
        expected, actual = np.array([pair for pair in pairs if None not in pair], np.float64).reshape(-1, 2).T
        return conformal_margin(expected, actual)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON-ready calibration record."""
        low_confidence = [one.doubt for one in self.temperatures if one.doubt is not None]
        before, after = (np.sum(tables, axis=0) for tables in (self.before, self.after))
        return rounded(
            {
                "temperature": float(np.median([one.sure for one in self.temperatures])),
                "doubt_temperature": float(np.median(low_confidence)) if low_confidence else None,
                "ece_before": expected_calibration_error(before),
                "ece_after": expected_calibration_error(after),
                "reliability": {"before": before.tolist(), "after": after.tolist()},
            }
        )


def unscaled(model_card: ModelCard) -> ModelCard:
    """Return the model card without temperature scaling."""
    return replace(model_card, temperature=1.0, doubt_temperature=None)


def add_confidence(
    scores: dict[str, Any], confidence: ConfidenceEvaluation, margins: Sequence[float | None]
) -> dict[str, Any]:
    """Return segmentation scores with calibration, and the predicted Dice and its lower bound for each case.

    Parameters
    ----------
    scores : dict
        Of `summarise_masks`.
    margins : sequence of (float or None)
        Conformal margin of each case, in the order of `scores`.
    """
    bounds: list[float] = []
    actual: list[float] = []
    rows = zip(scores["cases"], confidence.expected, confidence.actual, margins, strict=True)
    for row, expected, true, margin in rows:
        bound = None if expected is None or margin is None else dice_lower_bound(expected, margin)
        row["predicted_dice"], row["dice_lower_bound"] = rounded(expected), rounded(bound)
        if bound is not None and true is not None:
            bounds.append(bound)
            actual.append(true)
    held = int(coverage(np.array(bounds), np.array(actual)).sum()) if bounds else 0
    record = {"level": LEVEL, "images": len(bounds), "held": held, "share": held / len(bounds) if bounds else None}
    return scores | {"confidence": {**confidence.to_json(), "bound": rounded(record)}}


def add_image_confidence(
    scores: dict[str, Any],
    probabilities: Float[np.ndarray, "images classes"],
    truth: Integer[np.ndarray, " images"],
    temperatures: Temperatures,
) -> dict[str, Any]:
    """Return classification scores with calibration; `probabilities` are those before temperature scaling."""
    confidence = ConfidenceEvaluation()
    confidence.add(probabilities, truth, temperatures)
    return scores | {"confidence": confidence.to_json()}
