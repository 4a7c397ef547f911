"""Scores become sentences: the right numbers, in percent, with their intervals."""

from typing import Any

import numpy as np
import pytest

from pixelwise.workflow.evaluation.classification_scores import summarise_classification
from pixelwise.workflow.evaluation.mask_scores import score_case, summarise
from pixelwise.workflow.headline import by_name, headline, percent
from pixelwise.workflow.tasks.choose import describe_scores


def messages(scores: dict[str, Any]) -> list[str]:
    return [str(claim) for claim in headline(scores).claims]


def whole(task: str, found: dict[str, Any], part: str = "test") -> dict[str, Any]:
    return {"split": part, "data": "cells", "task": task, **found}


def objects() -> list[Any]:
    """Two images: of three objects two are found, and of four predicted ones two are right."""
    first, second = np.zeros((8, 20), np.int32), np.zeros((8, 20), np.int32)
    first[0, :10], first[2, :10], second[0, :10] = 1, 2, 1
    found, more = np.zeros_like(first), np.zeros_like(second)
    found[0, :10], found[2, :3], found[6, :4], more[0, :8] = 5, 6, 7, 1
    return [score_case("a", first, found, "instance", 2), score_case("b", second, more, "instance", 2)]


def test_objects_are_found_and_right() -> None:
    scores = whole("instance", summarise(objects(), ("background", "object"), 1))
    assert scores["scores"]["objects"]["recall_50"] == pytest.approx(2 / 3, abs=1e-6)
    assert scores["scores"]["objects"]["precision_50"] == pytest.approx(2 / 4, abs=1e-6)
    assert [case["objects_matched"] for case in scores["cases"]] == [1, 1]
    # both images drawn twice: recall 1/2 or 1, precision 1/3 or 1
    assert messages(scores) == [
        "Finds 67 % of the objects (95 % interval: 50 to 100 %).",
        "50 % of what it finds is correct (95 % interval: 33 to 100 %).",
    ]
    notes = " ".join(headline(scores).notes)
    assert "2 test images of cells" in notes
    assert "3 objects; 4 were predicted" in notes


def test_without_any_object_nothing_is_claimed() -> None:
    nothing = np.zeros((8, 8), np.int32)
    scores = whole("instance", summarise([score_case("a", nothing, nothing, "instance", 2)] * 2, ("b", "object"), 1))
    assert messages(scores) == []
    assert str(by_name(scores)).startswith("There is no mean AP: ")


@pytest.mark.parametrize(("name", "shown"), [("vessel", "vessel"), ("255", "foreground"), ("object", "foreground")])
def test_a_mask_is_found_and_right(name: str, shown: str) -> None:
    truth, predicted = np.zeros((1, 20), np.int32), np.zeros((1, 20), np.int32)
    truth[0, :8], predicted[0, 2:12] = 1, 1  # 6 shared, of 8 true and 10 marked
    results = [score_case("a", truth, predicted, "binary", 2)] * 3
    scores = whole("binary", summarise(results, ("background", name), 1))
    assert messages(scores) == [
        f"Finds 75 % of the {shown} pixels (95 % interval: 75 to 75 %).",
        "60 % of the predicted pixels are correct (95 % interval: 60 to 60 %).",
    ]
    dice = headline(scores).numbers[0]
    assert (dice.name, dice.value) == ("Dice", pytest.approx(2 * 6 / 18, abs=1e-6))
    assert scores["scores"]["intervals"]["recall"] == [0.75, 0.75]


def test_several_classes_have_a_mean_and_extremes() -> None:
    truth, predicted = np.array([[0, 0, 1, 1, 2, 2]]), np.array([[0, 0, 1, 0, 2, 2]])
    found = summarise([score_case("a", truth, predicted, "multiclass", 3)], ("background", "road", "tree"), 1)
    scores = whole("multiclass", found)
    ious = [row["iou"] for row in scores["classes"]]
    assert messages(scores) == [
        f"Over 3 classes the mean IoU is {np.mean(ious):.2f}.",
        "Best class: tree (IoU 1.00); worst: road (IoU 0.50).",
    ]
    assert "Intervals need at least two images." in headline(scores).notes


def test_whole_images_are_named() -> None:
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]], np.float32)
    found = summarise_classification(list("wxyz"), np.array([0, 0, 0, 1]), probabilities, ("cat", "dog"))
    sentences = messages(whole("classification", found))
    assert sentences[0].startswith("Predicts the correct class for 75 % of the images (95 % interval: ")
    assert sentences[1] == "Best class: cat (100 %); worst: dog (0 %)."


@pytest.mark.parametrize(("part", "warned"), [("val", True), ("train", True), ("test", False), ("out_of_fold", False)])
def test_images_that_were_learned_from_are_no_proof(part: str, warned: bool) -> None:
    scores = whole("instance", summarise(objects(), ("background", "object"), 1), part)
    assert (len(headline(scores).notes) == 4) == warned


def test_scores_of_an_earlier_version_are_named_only() -> None:
    scores = whole("instance", summarise(objects(), ("background", "object"), 1))
    for key in ("recall_50", "precision_50"):
        del scores["scores"]["objects"][key]
    assert messages(scores) == []
    assert str(by_name(scores)).startswith("The mean AP is 0.")


def test_percents_near_the_ends_keep_a_decimal() -> None:
    assert [percent(value) for value in (0.0, 0.004, 0.125, 0.99, 0.9949, 1.0)] == [
        "0 %",
        "0.4 %",
        "12 %",
        "99 %",
        "99.5 %",
        "100 %",
    ]


def test_the_text_repeats_the_warnings_first() -> None:
    scores = whole("instance", summarise(objects(), ("background", "object"), 1))
    assert "Warning" not in describe_scores(scores)
    assert describe_scores(scores | {"warnings": ["Too few steps."]}).startswith("Warning: Too few steps.\n")
