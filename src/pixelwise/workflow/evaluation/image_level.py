"""Image-level detection scores of segmentation models: AUROC, average precision, false alarms and misses."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Integer

from pixelwise.inference.segmentation_model import Prediction
from pixelwise.labels.targets import IGNORE
from pixelwise.metrics.detection import area_under_roc, average_precision
from pixelwise.model_file.model_card import ModelCard
from pixelwise.workflow.confidence import image_scores
from pixelwise.workflow.evaluation.mask_scores import rounded


@dataclass
class ImageLevelEvaluation:
    """Image-level scores and labels: an entry per image, with a value for any foreground (index 0) and per class.

    `scores` are those of `confidence.image_scores`; `true` and `predicted` are whether the ground truth and the mask
    contain it. Scores are None for images without a labelled pixel, and for models without a background.
    """

    scores: list[np.ndarray | None] = field(default_factory=list[np.ndarray | None])
    true: list[np.ndarray] = field(default_factory=list[np.ndarray])
    predicted: list[np.ndarray] = field(default_factory=list[np.ndarray])

    def add(self, truth: Integer[np.ndarray, "*size"], prediction: Prediction, model_card: ModelCard) -> None:
        """Add an image with calibrated probabilities."""
        if prediction.probabilities is None:
            raise ValueError("no probabilities to evaluate")
        scores = image_scores(prediction.probabilities, model_card)
        known = truth != IGNORE
        if model_card.task == "instance" or not scores or not known.any():
            self.scores.append(None)
            return
        self.scores.append(np.array(list(scores.values())))
        self.true.append(_contained(truth[known], len(scores)))
        self.predicted.append(_contained(prediction.labels[known], len(scores)))

    def to_json(self, model_card: ModelCard) -> dict[str, Any] | None:
        """Return the JSON-ready record; None if no image is empty, or all are."""
        scores = np.array([row for row in self.scores if row is not None], np.float64)
        true, predicted = np.array(self.true), np.array(self.predicted)
        if not len(scores) or true[:, 0].all() or not true[:, 0].any():
            return None
        rows = [_detection_scores(*columns) for columns in zip(scores.T, true.T, predicted.T, strict=True)]
        names = model_card.classes[1:] if len(rows) > 1 else ()
        return rounded(
            {"any": rows[0], "classes": [{"name": n, **row} for n, row in zip(names, rows[1:], strict=True)]}
        )

    def add_to(self, scores: dict[str, Any], model_card: ModelCard) -> dict[str, Any]:
        """Return segmentation scores with the record, and the image score of each case."""
        record = self.to_json(model_card)
        if record is None:
            return scores
        for row, values in zip(scores["cases"], self.scores, strict=True):
            row["image_score"] = None if values is None else rounded(float(values[0]))
        return scores | {"images": record}


def _contained(labels: Integer[np.ndarray, " pixels"], count: int) -> np.ndarray:
    """Return whether labels contain any foreground, and each class from 1 to `count` - 1."""
    return np.array([(labels != 0).any(), *((labels == index).any() for index in range(1, count))])


def _detection_scores(scores: np.ndarray, true: np.ndarray, predicted: np.ndarray) -> dict[str, Any]:
    positive, empty = int(true.sum()), int((~true).sum())
    false_alarms, missed = int((predicted & ~true).sum()), int((true & ~predicted).sum())
    return {
        "positive": positive,
        "empty": empty,
        "auroc": area_under_roc(scores, true),
        "average_precision": average_precision(scores, true),
        "false_alarms": false_alarms,
        "false_alarm_rate": false_alarms / empty if empty else None,
        "missed": missed,
        "miss_rate": missed / positive if positive else None,
    }
