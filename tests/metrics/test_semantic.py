"""Confusion matrices and class scores, compared with scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import confusion_matrix, jaccard_score, precision_recall_fscore_support

from pixelwise.metrics.semantic import class_scores, confusion, mean_of

maps = arrays(np.uint8, (5, 6), elements=st.integers(0, 3))
truths = arrays(np.uint8, (5, 6), elements=st.sampled_from([0, 1, 2, 3, 255]))


@given(truths, maps)
def test_confusion_equals_sklearn(truth: np.ndarray, predicted: np.ndarray):
    valid = truth != 255
    if not valid.any():
        assert confusion(truth, predicted, 4).sum() == 0
        return
    expected = confusion_matrix(truth[valid], predicted[valid], labels=range(4))
    np.testing.assert_array_equal(confusion(truth, predicted, 4), expected)


@given(maps, maps)
def test_scores_equal_sklearn(truth: np.ndarray, predicted: np.ndarray):
    scores = class_scores(confusion(truth, predicted, 4))
    flat = truth.ravel(), predicted.ravel()
    both = {"labels": range(4), "average": None, "zero_division": 0.0}
    precision, recall, f1, _ = precision_recall_fscore_support(*flat, **both)
    for found, expected in (
        (scores.iou, jaccard_score(*flat, **both)),
        (scores.dice, f1),
        (scores.precision, precision),
        (scores.recall, recall),
    ):
        np.testing.assert_allclose([value or 0.0 for value in found], expected, atol=1e-12)


@given(maps, maps)
def test_dice_follows_from_iou(truth: np.ndarray, predicted: np.ndarray):
    scores = class_scores(confusion(truth, predicted, 4))
    for iou, dice in zip(scores.iou, scores.dice, strict=True):
        assert (iou is None) == (dice is None)
        if iou is not None:
            assert dice == pytest.approx(2 * iou / (1 + iou))


def test_empty_classes_have_no_score():
    truth = np.array([[0, 0, 1, 255]], np.uint8)
    predicted = np.array([[0, 2, 0, 3]], np.uint8)
    scores = class_scores(confusion(truth, predicted, 4))
    assert scores.iou == (1 / 3, 0.0, 0.0, None)  # class 3 is predicted on an ignored pixel only
    assert scores.precision == (0.5, None, 0.0, None)
    assert scores.recall == (0.5, 0.0, None, None)
    assert mean_of(scores.iou) == pytest.approx(1 / 9)
    assert mean_of((None, None)) is None
