"""What to look at first: scores against the ground truth, and the least sure place without a mark."""

import numpy as np
import pytest

from pixelwise.server.marks.records import Stroke
from pixelwise.server.workers.ranking import PLACE, most_useful_place, score_against_truth


def test_scores() -> None:
    truth = np.zeros((20, 20), int)
    truth[2:8, 2:8], truth[12:18, 12:18] = 1, 2
    assert score_against_truth(truth, truth, classes=3, objects=False) == 1
    assert score_against_truth(truth, truth, classes=2, objects=True) == 1
    half = np.where(truth == 2, 0, truth)
    assert score_against_truth(truth, half, classes=3, objects=False) == pytest.approx(0.5)
    assert score_against_truth(truth, half, classes=2, objects=True) == pytest.approx(0.5)
    ignored = np.where(truth == 2, -1, truth)
    assert score_against_truth(ignored, truth, classes=2, objects=True) == 1, "ignored pixels count for nothing"
    assert score_against_truth(np.zeros((4, 4), int), np.zeros((4, 4), int), classes=2, objects=True) is None


def test_marked_places_are_no_longer_useful() -> None:
    unsure = np.zeros((300, 500), np.uint8)
    unsure[100:120, 400:420], unsure[200:215, 50:65] = 250, 200
    first = most_useful_place(unsure, ())
    assert first is not None
    assert first[0] <= 100 <= 120 <= first[2]
    assert first[1] <= 400 <= 420 <= first[3]
    stroke = Stroke(kind="stroke", class_index=1, radius=PLACE, points=[(410, 110)])
    second = most_useful_place(unsure, [stroke])
    assert second is not None
    assert second[0] <= 200 <= 215 <= second[2]
    assert second[1] <= 50 <= 65 <= second[3]
    assert most_useful_place(np.zeros((10, 10), np.uint8), ()) is None
    everything = Stroke(kind="stroke", class_index=0, radius=600, points=[(250, 150)])
    assert most_useful_place(unsure, [everything]) is None
