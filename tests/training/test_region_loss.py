"""The loss of regions: an independent computation, and what is ignored has no gradient."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelwise.errors import BadOption
from pixelwise.training.losses import SMOOTHING, LossOptions, region_loss, segmentation_loss

REGIONS = ((1, 2, 3), (2, 3), (3,))
OPTIONS = LossOptions(regions=REGIONS)


def draw(seed: int, ignored: float = 0.3) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    target = rng.integers(0, 4, (2, 5, 6))
    target[rng.random(target.shape) < ignored] = 255
    logits = torch.tensor(rng.normal(size=(2, 3, 5, 6)), requires_grad=True)
    return logits, torch.tensor(target.astype(np.uint8))


def loss_of(*inputs: Any) -> float:
    return float(region_loss(*inputs).detach())


def reference(logits: np.ndarray, target: np.ndarray) -> float:
    """Means over regions of cross-entropy and Dice, pixel by pixel."""
    known, entropy, dice = target != 255, [], []
    for channel, region in enumerate(REGIONS):
        truth = np.isin(target, region)[known].astype(float)
        p = 1 / (1 + np.exp(-logits[:, channel][known]))
        entropy.append(-(truth * np.log(p) + (1 - truth) * np.log(1 - p)).mean())
        if truth.any():
            dice.append(1 - (2 * (p * truth).sum() + SMOOTHING) / (p.sum() + truth.sum() + SMOOTHING))
    return float(np.mean(entropy) + np.mean(dice))


@settings(deadline=None)
@given(st.integers(0, 10_000))
def test_the_loss_is_that_of_the_formula(seed: int) -> None:
    logits, target = draw(seed)
    assert loss_of(logits, target, OPTIONS) == pytest.approx(
        reference(logits.detach().numpy(), target.numpy()), abs=1e-9
    )


@settings(deadline=None)
@given(st.integers(0, 10_000))
def test_ignored_pixels_have_no_gradient(seed: int) -> None:
    """The control is the same batch with background in their place."""
    for fill, none in ((255, True), (0, False)):
        logits, target = draw(seed)
        unknown = target == 255
        segmentation_loss(logits, torch.where(unknown, fill, target), OPTIONS).backward()
        assert logits.grad is not None
        assert bool((logits.grad.movedim(1, -1)[unknown] == 0).all()) == none


def test_nothing_known_gives_no_loss() -> None:
    logits, target = draw(0, ignored=1.1)
    loss = region_loss(logits, target, OPTIONS)
    loss.backward()
    assert logits.grad is not None
    assert (float(loss.detach()), float(logits.grad.abs().max())) == (0, 0)


def test_border_weights_raise_the_cross_entropy_where_they_are() -> None:
    logits, target = draw(1, ignored=0)
    options = LossOptions(regions=REGIONS, dice=0.0)
    weights = torch.zeros(2, 5, 6, dtype=logits.dtype)
    plain = loss_of(logits, target, options)
    assert loss_of(logits, target, options, weights) == pytest.approx(plain)
    wrong = int(torch.where(target == 0, logits.detach().amax(1), -torch.inf).argmax())
    weights.view(-1)[wrong] = 50
    assert loss_of(logits, target, options, weights) > plain


def test_class_weights_are_refused() -> None:
    with pytest.raises(BadOption, match="regions"):
        LossOptions(regions=REGIONS, balanced=True)
