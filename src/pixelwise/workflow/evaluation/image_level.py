"""Evaluate, of whole images: whether a model of masks tells images that show something from empty ones."""

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
class ImageLevel:
    """What was seen of images as a whole: an entry per image, each with a value per class and for anything in place 0.

    `scores` are those of `confidence.image_scores`; `shown` and `found` say what truth and mask hold. Images without a
    known pixel, and models without a background, have None.
    """

    scores: list[np.ndarray | None] = field(default_factory=list[np.ndarray | None])
    shown: list[np.ndarray] = field(default_factory=list[np.ndarray])
    found: list[np.ndarray] = field(default_factory=list[np.ndarray])

    def look(self, truth: Integer[np.ndarray, "height width"], prediction: Prediction, model_card: ModelCard) -> None:
        """Take up an image whose calibrated probabilities are known."""
        if prediction.probabilities is None:
            raise ValueError("no probabilities to look at")
        scores = image_scores(prediction.probabilities, model_card)
        known = truth != IGNORE
        if model_card.task == "instance" or not scores or not known.any():
            self.scores.append(None)
            return
        self.scores.append(np.array(list(scores.values())))
        self.shown.append(_holds(truth[known], len(scores)))
        self.found.append(_holds(prediction.labels[known], len(scores)))

    def to_json(self, model_card: ModelCard) -> dict[str, Any] | None:
        """Return the JSON-ready record; None where no image is empty, or all are."""
        scores = np.array([row for row in self.scores if row is not None], np.float64)
        shown, found = np.array(self.shown), np.array(self.found)
        if not len(scores) or shown[:, 0].all() or not shown[:, 0].any():
            return None
        each = [_judge(scores[:, place], shown[:, place], found[:, place]) for place in range(scores.shape[1])]
        names = model_card.classes[1:] if len(each) > 1 else ()
        return rounded(
            {"any": each[0], "classes": [{"name": n, **row} for n, row in zip(names, each[1:], strict=True)]}
        )

    def judge(self, scores: dict[str, Any], model_card: ModelCard) -> dict[str, Any]:
        """Add the record to the scores of masks, and to each case its score."""
        found = self.to_json(model_card)
        if found is None:
            return scores
        for row, values in zip(scores["cases"], self.scores, strict=True):
            row["image_score"] = None if values is None else rounded(float(values[0]))
        return scores | {"images": found}


def _holds(labels: Integer[np.ndarray, " pixels"], values: int) -> np.ndarray:
    """Return whether labels hold anything but 0, and each class from 1 on where there is a value for it."""
    return np.array([(labels != 0).any(), *((labels == index).any() for index in range(1, values))])


def _judge(scores: np.ndarray, shown: np.ndarray, found: np.ndarray) -> dict[str, Any]:
    showing, empty = int(shown.sum()), int((~shown).sum())
    alarms, missed = int((found & ~shown).sum()), int((shown & ~found).sum())
    return {
        "showing": showing,
        "empty": empty,
        "auroc": area_under_roc(scores, shown),
        "average_precision": average_precision(scores, shown),
        "false_alarms": alarms,
        "false_alarm_rate": alarms / empty if empty else None,
        "missed": missed,
        "miss_rate": missed / showing if showing else None,
    }
