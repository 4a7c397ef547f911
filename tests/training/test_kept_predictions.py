"""What a model predicted stays where nothing is labelled, and changes where labels say so."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from scipy.ndimage import maximum_filter
from scipy.special import log_softmax
from torch import nn

from pixelwise.labels.targets import IGNORE
from pixelwise.networks.architectures import NetworkOptions, build
from pixelwise.training.batch import Batch
from pixelwise.training.kept_predictions import NEAR, PreviousModel, find_kept
from pixelwise.training.learner import Learner, TrainingOptions
from pixelwise.training.losses import LossOptions

OPTIONS = NetworkOptions(base=4, depth=2, classes=2)


def marked(rng: np.random.Generator, size: tuple[int, ...]) -> np.ndarray:
    share = 0.003 if len(size) == 2 else 0.0001
    return np.where(rng.random((2, *size)) < share, rng.integers(0, 2, (2, *size)), IGNORE).astype(np.uint8)


@pytest.mark.parametrize("size", [(60, 70), (30, 40, 50)], ids=["image", "volume"])
def test_labels_and_what_is_near_corrections_are_not_kept(size: tuple[int, ...], rng: np.random.Generator) -> None:
    targets, predicted = marked(rng, size), rng.integers(0, 2, (2, *size))
    known = targets != IGNORE
    wrong = known & (predicted != targets)
    near = np.stack([maximum_filter(each, 2 * NEAR + 1, mode="constant") for each in wrong]) > 0
    found = find_kept(torch.from_numpy(predicted), torch.from_numpy(targets)).numpy()
    np.testing.assert_array_equal(found, ~known & ~near)
    assert 0.01 < found.mean() < 0.99
    agreed = find_kept(torch.from_numpy(np.where(known, targets, 0)), torch.from_numpy(targets)).numpy()
    np.testing.assert_array_equal(agreed, ~known, "labels that agree change nothing around")


def test_the_loss_is_the_divergence_where_predictions_are_kept(rng: np.random.Generator) -> None:
    """Of the channels with a softmax; a further one, such as a distance, is left out."""
    targets = marked(rng, (60, 70))
    previous, *heads = rng.standard_normal((3, 2, 3, 60, 70))
    kept = find_kept(torch.from_numpy(previous[:, :2].argmax(1)), torch.from_numpy(targets)).numpy()
    q = log_softmax(previous[:, :2], 1)
    each = [(np.exp(q) * (q - log_softmax(head[:, :2], 1))).sum(1)[kept].mean() for head in heads]
    model = PreviousModel(nn.Identity(), 2, weight=0.7)
    logits = [torch.from_numpy(head).float() for head in heads]
    teacher = torch.from_numpy(previous).float()
    found = model.combine_losses(torch.tensor(0.4), logits, teacher, torch.from_numpy(targets))
    assert float(found) == pytest.approx(0.4 + 0.7 * np.mean(each), rel=1e-4)


def draw(seed: int, count: int) -> torch.Tensor:
    """Return images with a bright left half."""
    torch.manual_seed(seed)
    images = torch.randn(count, 1, 64, 64)
    images[..., :32] += 4
    return images


def learn(network: nn.Module, previous: PreviousModel | None) -> Learner:
    """Return what a copy of the network learns from strokes in bright halves that contradict all it predicts."""
    options = TrainingOptions(steps=100, learning_rate=0.1)
    learner = Learner(deepcopy(network), options, LossOptions(), "cpu", teacher=previous)
    targets = torch.full((2, 64, 64), IGNORE, dtype=torch.uint8)
    targets[:, 8:56, 8:12] = 1
    for index in range(options.steps):
        learner.step(index, Batch(draw(100 + index, 2), targets))
    return learner


def test_predictions_are_kept_where_strokes_say_nothing() -> None:
    torch.manual_seed(0)
    network = build(OPTIONS).eval()
    with torch.no_grad():
        network.state_dict()["head.layer.bias"].copy_(torch.tensor([2.0, -2.0]))
    images, changed = draw(7, 4), list[tuple[float, float]]()
    for previous in (PreviousModel(network, 2, weight=1.0), None):
        learner = learn(network, previous)
        with torch.no_grad():
            difference = (learner.network.eval()(images).softmax(1) - network(images).softmax(1)).abs()
        changed.append((float(difference[..., 8:12].mean()), float(difference[..., 40:].mean())))
    (stroked, kept), (_, control) = changed
    assert kept < 0.1 * control
    assert stroked > 0.5, "what is corrected changes"


def test_fully_labelled_images_keep_nothing() -> None:
    model = PreviousModel(nn.Identity(), 2, weight=1.0)
    logits, targets = torch.randn(1, 2, 40, 40), torch.zeros(1, 40, 40, dtype=torch.uint8)
    assert float(model.combine_losses(torch.tensor(0.4), [logits], logits + 1, targets)) == pytest.approx(0.4)
