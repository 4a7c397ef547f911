"""Display names of scores."""

import pytest

from pixelwise.workflow.summary import words
from pixelwise.workflow.tasks.choose import describe_scores, task_of


@pytest.mark.parametrize(
    ("task", "kind", "name"),
    [
        ("binary", "classes", "mean Dice"),
        ("instance", "boundary", "mean Dice of interior and boundary"),
        ("instance", "components", "Dice of object pixels"),
        ("classification", "classes", "accuracy"),
    ],
)
def test_a_validation_says_what_it_measured(task: str, kind: str, name: str) -> None:
    assert task_of(task).validation_score(kind) == name


def test_keys_become_words() -> None:
    assert words("count_error_mean_absolute") == "mean absolute count error"
    assert words("mean_ap_pooled") == "mean AP, all objects"
    assert words("rand_merge") == "rand merge"


def test_scores_of_objects_stand_below_each_other() -> None:
    pixels = {"mean_dice": 0.5, "classes_in_mean_dice": 1, "mean_iou": 0.25, "classes_in_mean_iou": 2, "accuracy": None}
    scores = {
        "data": "cells",
        "split": "test",
        "task": "instance",
        "cases": [{}],
        "headline": {"name": "mean_ap", "value": 0.4, "low": None},
        "scores": {"pixels": pixels, "objects": {"mean_ap": 0.4, "ap": {"0.50": 1}, "objects_true": 12}},
        "classes": [{"name": "object", "dice": 0.5, "iou": 0.25, "precision": 1.0, "recall": None}],
    }
    assert describe_scores(scores).splitlines() == [
        "cells, test split, 1 image: mean AP 0.4000",
        "  class     Dice     IoU  precision  recall",
        "  object  0.5000  0.2500     1.0000    none",
        "  pixels: mean Dice 0.5000 over 1 class, mean IoU 0.2500 over 2, accuracy none",
        "  objects",
        "    mean AP                        0.4000",
        "    objects in the ground truth        12",
    ]
