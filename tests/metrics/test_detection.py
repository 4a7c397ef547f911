"""Image-level metrics, compared with counts over all pairs and thresholds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelwise.metrics.detection import TOP, area_under_roc, average_precision, image_score


def test_image_score_is_the_mean_of_the_most_probable_pixels() -> None:
    probabilities = np.zeros((30, 40))
    probabilities[:5, :10] = 0.8
    assert image_score(probabilities) == pytest.approx(0.8 * 50 / TOP)
    probabilities[10:12] = 0.6
    assert image_score(probabilities.astype(np.float16)) == pytest.approx((50 * 0.8 + 50 * 0.6) / TOP, abs=1e-3)
    assert image_score(np.array([[0.2, 0.4]])) == pytest.approx(0.3)  # smaller than that: the mean
    assert image_score(np.full((100, 100), 0.25)) == pytest.approx(0.25)


def test_the_areas_by_hand() -> None:
    scores, positive = np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, False, True, False])
    assert area_under_roc(scores, positive) == pytest.approx(3 / 4)
    assert average_precision(scores, positive) == pytest.approx((1 / 1 + 2 / 3) / 2)
    assert area_under_roc(scores, np.ones(4, bool)) is None
    assert average_precision(scores, np.zeros(4, bool)) is None
    assert area_under_roc(np.ones(4), positive) == pytest.approx(0.5)  # equal scores carry no information
    assert average_precision(np.ones(4), positive) == pytest.approx(0.5)


@settings(max_examples=100)
@given(images=st.integers(2, 30), values=st.integers(1, 12), seed=st.integers(0, 10_000))
def test_the_areas_beside_all_pairs_and_all_thresholds(images: int, values: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, values, images) / values  # with equals among them
    positive = rng.random(images) < 0.5
    positive[:2] = [True, False]
    pairs = [(a > b) + 0.5 * (a == b) for a in scores[positive] for b in scores[~positive]]
    assert area_under_roc(scores, positive) == pytest.approx(np.mean(pairs))
    total, before = 0.0, 0.0
    for threshold in sorted(set(scores.tolist()), reverse=True):
        messages = scores >= threshold
        recall = (messages & positive).sum() / positive.sum()
        total += (recall - before) * (messages & positive).sum() / messages.sum()
        before = recall
    assert average_precision(scores, positive) == pytest.approx(total)
