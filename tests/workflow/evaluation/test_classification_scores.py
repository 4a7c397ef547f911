"""Classification scores against values computed by hand, and their figures."""

import json

import numpy as np
import pytest

from pixelwise.progress import Progress
from pixelwise.workflow.evaluation.classification_scores import summarise_classification
from pixelwise.workflow.reporting.classification import classification_scores, draw_matrix, misclassified_images
from pixelwise.workflow.tasks.choose import describe_scores

CLASSES = tuple("abcdefg")


def probabilities(*orders: str) -> np.ndarray:
    """Probabilities whose order from the most probable on is that of the letters."""
    table = np.zeros((len(orders), len(CLASSES)), np.float32)
    for row, order in zip(table, orders, strict=True):
        for place, letter in enumerate(order):
            row[CLASSES.index(letter)] = (len(order) - place) / 28
    return table


def scores() -> dict[str, object]:
    truth = np.array([0, 0, 1, 2, 2])
    messages = probabilities("abcdefg", "bacdefg", "bcadefg", "abdefgc", "cabdefg")
    return summarise_classification(["1", "2", "3", "4", "5"], truth, messages, CLASSES)


def test_scores_by_hand() -> None:
    found = json.loads(json.dumps(scores(), allow_nan=False))
    images = found["scores"]["images"]
    assert images["top_1"] == pytest.approx(3 / 5)
    assert images["top_5"] == pytest.approx(4 / 5)
    assert images["mean_class_accuracy"] == pytest.approx((1 / 2 + 1 + 1 / 2) / 3, abs=1e-6)
    assert images["classes_in_mean"] == 3
    assert found["headline"]["value"] == images["top_1"]
    assert found["scores"]["intervals"]["top_1"] == [found["headline"]["low"], found["headline"]["high"]]
    first = {row["name"]: row for row in found["classes"]}
    assert (first["a"]["accuracy"], first["a"]["precision"], first["a"]["images"], first["a"]["predicted"]) == (
        0.5,
        0.5,
        2,
        2,
    )
    assert (first["b"]["accuracy"], first["b"]["precision"]) == (1, 0.5)
    assert (first["g"]["accuracy"], first["g"]["precision"]) == (None, None)
    assert found["empty"]["classes_nowhere"] == ["d", "e", "f", "g"]
    assert found["confusion"][2][:3] == [1, 0, 1]
    worst = found["cases"][3]
    assert (worst["truth"], worst["predicted"], worst["rank"]) == ("c", "a", 6)
    assert (worst["probability"], worst["probability_of_truth"]) == pytest.approx((7 / 28, 1 / 28), abs=1e-6)


def test_an_interval_covers_what_it_should() -> None:
    """Of samples from images that are right in 70 of 100 cases about 95 % of the intervals hold 0.7."""
    rng = np.random.default_rng(0)
    held = 0
    for draw in range(60):
        right = rng.random(150) < 0.7
        messages = np.where(right[:, None], [0.9, 0.1], [0.1, 0.9]).astype(np.float32)
        found = summarise_classification([""] * 150, np.zeros(150, np.int64), messages, ("a", "b"), seed=draw)
        low, high = found["scores"]["intervals"]["top_1"]
        held += low <= 0.7 <= high
    assert 51 <= held <= 60


def test_words_for_the_terminal() -> None:
    messages = describe_scores({"split": "test", "data": "letters", "task": "classification", **scores()})
    assert messages.startswith("letters, test split, 5 images: top-1 accuracy 0.6000 (95 % interval ")
    assert "top-5 accuracy 0.8000 (95 % interval" in messages
    assert "mean over 3 classes 0.6667" in messages
    assert "  g          none       none       0" in messages


def test_the_page_names_the_largest_confusions() -> None:
    page = "".join(classification_scores(scores()))
    assert "Confusion matrix of 7 classes" in page
    assert page.count("data:image/svg+xml;base64,") == 1
    assert "Most frequent confusions" in page
    assert "in neither ground truth nor prediction): d, e, f, g." in page
    assert misclassified_images(
        summarise_classification(["1"], np.array([0]), probabilities("ab"), CLASSES), Progress()
    ) == ["<p>No image is misclassified.</p>"]


@pytest.mark.parametrize("count", [2, 15, 45, 120])
def test_a_matrix_of_any_size_is_drawn_the_same_twice(count: int) -> None:
    names = [f"cost $ {index} $ <b>" for index in range(count)]
    matrix = np.random.default_rng(0).integers(0, 9, (count, count))
    matrix[0] = 0  # a class without images
    drawn = draw_matrix(matrix, names)
    assert drawn.lstrip().startswith(b"<?xml")
    assert b"<b>" not in drawn
    assert drawn == draw_matrix(matrix, names)
