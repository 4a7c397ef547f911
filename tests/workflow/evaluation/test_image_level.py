"""Image-level detection scores of synthetic images."""

import json
from dataclasses import replace

import numpy as np
import pytest

from pixelwise.inference.segmentation_model import Prediction
from pixelwise.model_file.model_card import ModelCard
from pixelwise.workflow.evaluation.image_level import ImageLevelEvaluation
from pixelwise.workflow.reporting.masks import mask_scores
from pixelwise.workflow.summary import describe_images
from tiny import make_recipe

CRACKS = replace(make_recipe("multiclass"), classes=("background", "hole", "crack"))
SIZE = (20, 30)


def add(level: ImageLevelEvaluation, truth: np.ndarray, probabilities: np.ndarray, model_card: ModelCard) -> None:
    level.add(
        truth, Prediction(probabilities.argmax(0).astype(np.uint8), probabilities.astype(np.float16), ()), model_card
    )


def image(shown: int, probability: float, of: int, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Return a mask with 150 pixels of class `shown`, and 120 pixels of class `of` predicted with `probability`."""
    truth = np.zeros(SIZE, np.uint8)
    truth[:5] = shown
    probabilities = np.zeros((classes, *SIZE))
    probabilities[of, :4] = probability
    probabilities[0] = 1 - probabilities.sum(0)
    return truth, probabilities


def drawn(model_card: ModelCard = CRACKS) -> ImageLevelEvaluation:
    level = ImageLevelEvaluation()
    for shown, probability, of in ((1, 0.9, 1), (2, 0.3, 2), (0, 0.6, 2), (0, 0.1, 1)):
        add(level, *image(shown, probability, of), model_card)
    return level


def test_what_is_shown_and_found_is_counted() -> None:
    record = drawn().to_json(CRACKS)
    assert record is not None
    assert record["any"] == {
        "positive": 2,
        "empty": 2,
        "auroc": 0.75,
        "average_precision": pytest.approx((1 + 2 / 3) / 2, abs=1e-6),
        "false_alarms": 1,
        "false_alarm_rate": 0.5,
        "missed": 1,
        "miss_rate": 0.5,
    }
    hole, crack = record["classes"]
    assert (hole["name"], hole["positive"], hole["false_alarms"], hole["missed"], hole["auroc"]) == ("hole", 1, 0, 0, 1)
    assert (crack["name"], crack["positive"], crack["false_alarms"], crack["missed"]) == ("crack", 1, 1, 1)
    assert crack["auroc"] == pytest.approx(2 / 3, abs=1e-6)


def test_the_record_is_reported_and_each_case_has_its_score() -> None:
    cases = [{"name": str(number)} for number in range(4)]
    scores = drawn().add_to({"cases": cases, "task": "multiclass"}, CRACKS)
    json.dumps(scores, allow_nan=False)
    assert [row["image_score"] for row in scores["cases"]] == pytest.approx([0.9, 0.3, 0.6, 0.1], abs=1e-3)
    assert describe_images(scores) == [
        "whole images: false alarms in 1 of 2 empty images (50.0 %), nothing found in 1 of 2 others "
        "(50.0 % missed); AUROC 0.7500, average precision 0.8333"
    ]
    page = "".join(mask_scores({**scores, "classes": [], "scores": {}, "confusion": []}))
    assert "Detection per image" in page
    assert "images with it" in page


@pytest.mark.parametrize("shown", [0, 1])
def test_without_empty_and_non_empty_images_there_is_no_record(shown: int) -> None:
    level = ImageLevelEvaluation()
    for _ in range(3):
        add(level, *image(shown, 0.9, 1), CRACKS)
    assert level.to_json(CRACKS) is None
    untouched = {"cases": [{"name": "a"}] * 3}
    assert level.add_to(untouched, CRACKS) == untouched
    assert describe_images(untouched) == []


def test_what_is_not_known_counts_nowhere() -> None:
    level = drawn()
    truth, probabilities = image(1, 0.9, 1)
    add(level, np.full_like(truth, 255), probabilities, CRACKS)  # nothing is known of it
    truth[:5] = 255  # nor of where something is found
    add(level, truth, probabilities, CRACKS)
    record = level.to_json(CRACKS)
    assert record is not None
    assert (record["any"]["empty"], record["any"]["false_alarms"]) == (3, 1)
    rows = level.add_to({"cases": [{"name": str(number)} for number in range(6)]}, CRACKS)["cases"]
    assert rows[4]["image_score"] is None


def test_without_a_background_and_for_objects_there_is_no_record() -> None:
    level = drawn(make_recipe("multiclass"))  # sky, road and tree
    assert level.to_json(make_recipe("multiclass")) is None
    objects = make_recipe("instance")
    level.add(np.zeros(SIZE, np.int32), Prediction(np.zeros(SIZE, np.uint16), image(0, 0.5, 1)[1], ()), objects)
    assert level.to_json(objects) is None


def test_of_two_classes_anything_says_it_all() -> None:
    model_card, level = make_recipe(), ImageLevelEvaluation()
    for shown, probability in ((1, 0.9), (0, 0.2)):
        add(level, *image(shown, probability, 1, classes=2), model_card)
    record = level.to_json(model_card)
    assert record is not None
    assert (record["any"]["auroc"], record["classes"]) == (1.0, [])
