"""Confusion matrix and ranks, compared with hand-computed values and definitions; the loss with its formula."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from pixelwise.metrics.classification import count_classes, most_probable, rank_of_truth
from pixelwise.training.losses import classification_loss


def test_the_confusion_matrix_by_hand() -> None:
    truth, predicted = np.array([0, 0, 1, 2, 2, 2]), np.array([0, 1, 1, 2, 0, 2])
    assert count_classes(truth, predicted, 3).tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 2]]
    assert count_classes(truth, predicted, 4).shape == (4, 4)
    assert count_classes(truth.astype(np.uint8), predicted.astype(np.uint8), 3).sum() == 6


def test_ranks_by_hand_with_ties() -> None:
    probabilities = np.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8], [0.4, 0.4, 0.2], [0.4, 0.4, 0.2]], np.float32)
    truth = np.array([1, 0, 0, 1])
    assert rank_of_truth(truth, probabilities).tolist() == [1, 1, 0, 1]
    assert most_probable(probabilities, 2).tolist() == [[0, 1], [2, 0], [0, 1], [0, 1]]
    assert most_probable(probabilities).shape == (4, 3)


@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(2, 12), st.booleans())
def test_a_rank_is_the_place_in_the_sorted_row(seed: int, images: int, classes: int, coarse: bool) -> None:
    rng = np.random.default_rng(seed)
    probabilities = rng.random((images, classes)).astype(np.float32)
    probabilities = np.round(probabilities, 1) if coarse else probabilities
    truth = rng.integers(0, classes, images)
    ranks = rank_of_truth(truth, probabilities)
    order = most_probable(probabilities, classes)
    assert all(order[i, ranks[i]] == truth[i] for i in range(images))
    predicted = probabilities.argmax(1)
    assert ((ranks == 0) == (predicted == truth)).all()
    assert np.trace(count_classes(truth, predicted, classes)) == (ranks == 0).sum()


def test_the_loss_is_its_formula() -> None:
    logits = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 3.0]])
    target = torch.tensor([0, 1])
    logs = logits - logits.exp().sum(1, keepdim=True).log()
    plain = -(logs[0, 0] + logs[1, 1]) / 2
    assert torch.allclose(classification_loss(logits, target), plain)
    smoothed = 0.9 * plain + 0.1 * (-logs.mean())
    assert torch.allclose(classification_loss(logits, target, 0.1), smoothed)
    sure = torch.tensor([[40.0, 0.0, 0.0]])
    assert float(classification_loss(sure, target[:1], 0.1)) > 1, "too much certainty costs"
    assert float(classification_loss(sure, target[:1])) < 1e-6
