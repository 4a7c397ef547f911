"""Mutual information by hand, and core-set selection that avoids copies."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelwise.metrics.acquisition import CommitteeVotes, select_core_set


def poll_of(*probabilities: float) -> CommitteeVotes:
    """Votes of networks with these probabilities of class 1 for one pixel."""
    poll = CommitteeVotes()
    for chance in probabilities:
        poll.add(np.array([[[1 - chance]], [[chance]]], np.float16))
    return poll


def test_disagreement_by_hand() -> None:
    assert poll_of(0.0, 1.0).mutual_information().item() == pytest.approx(1.0)  # sure, and of opposite things: one bit
    assert poll_of(0.5, 0.5).mutual_information().item() == 0  # unsure, all of them: no label would settle it
    assert poll_of(1.0, 1.0, 1.0).mutual_information().item() == 0
    p = np.array([0.25, 0.75])
    inner = -(p * np.log2(p)).sum()  # entropy of one of them
    assert poll_of(0.25, 0.75).mutual_information().item() == pytest.approx(1 - inner, abs=1e-6)
    np.testing.assert_allclose(poll_of(0.25, 0.75).mean().ravel(), [0.5, 0.5])


@given(seed=st.integers(0, 99), voices=st.integers(1, 5), classes=st.integers(2, 5))
def test_disagreement_is_between_0_and_the_entropy_of_the_mean(seed: int, voices: int, classes: int) -> None:
    rng, poll = np.random.default_rng(seed), CommitteeVotes()
    for _ in range(voices):
        poll.add(rng.dirichlet(np.full(classes, 0.5), (4, 6)).transpose(2, 0, 1).astype(np.float32))
    mean = poll.mean()
    entropy = -(mean * np.log2(np.maximum(mean, 1e-12))).sum(0)
    assert (poll.mutual_information() >= 0).all()
    assert (poll.mutual_information() <= entropy + 1e-5).all()
    np.testing.assert_allclose(mean.sum(0), 1, atol=1e-5)


def test_copies_of_the_most_uncertain_image_are_selected_last() -> None:
    rng = np.random.default_rng(0)
    others = rng.normal(size=(10, 3))
    looks = np.concatenate([np.repeat(rng.normal(size=(1, 3)), 20, axis=0), others])
    values = np.concatenate([np.full(20, 1.0), np.linspace(0.3, 0.5, 10)])
    order = [pick.index for pick in select_core_set(values, looks, np.zeros((0, 3)))]
    assert order[0] == 0
    assert set(order[1:11]) == set(range(20, 30))
    by_value = np.argsort(-values, kind="stable")[:11].tolist()
    assert len(set(by_value) & set(range(20))) == 11, "a control: by uncertainty alone all of them come first"


def test_an_image_like_a_labelled_one_comes_last() -> None:
    looks = np.array([[0.0, 0.0], [5.0, 5.0], [-5.0, 5.0]])
    picks = select_core_set(np.array([1.0, 0.5, 0.4]), looks, looks[:1])
    assert [pick.index for pick in picks] == [1, 2, 0]
    assert [pick.distance for pick in picks] == [1.0, 1.0, 0.0]
    assert picks[-1].nearest is None, "the labelled one is the nearest"


def test_the_nearest_selected_image_is_returned() -> None:
    looks = np.array([[0.0], [10.0], [0.5], [20.0]])
    picks = select_core_set(np.array([1.0, 0.9, 0.8, 0.7]), looks, np.zeros((0, 1)))
    assert [pick.index for pick in picks] == [0, 1, 3, 2]
    assert picks[-1].nearest == 0
    assert 0 < picks[-1].distance < 0.2


@given(seed=st.integers(0, 99), images=st.integers(1, 12), known=st.integers(0, 5))
def test_every_image_is_selected_once(seed: int, images: int, known: int) -> None:
    rng = np.random.default_rng(seed)
    picks = select_core_set(rng.random(images), rng.normal(size=(images, 2)), rng.normal(size=(known, 2)))
    assert sorted(pick.index for pick in picks) == list(range(images))
    assert all(0 <= pick.distance <= 1 for pick in picks)


def test_with_equal_features_the_uncertain_images_come_first() -> None:
    picks = select_core_set(np.array([0.1, 0.3, 0.2]), np.ones((3, 4)), np.ones((2, 4)))
    assert [pick.index for pick in picks] == [1, 2, 0]
