"""Loss functions: definitions, ignored pixels, absent classes."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torchmetrics.functional.segmentation import dice_score

from pixelwise.errors import BadOption
from pixelwise.labels.targets import IGNORE
from pixelwise.training.losses import (
    SMOOTHING,
    LossOptions,
    balance,
    distance_loss,
    inverse_frequencies,
    segmentation_loss,
)

Batch = tuple[torch.Tensor, torch.Tensor]

ENTROPY = LossOptions(dice=0.0)
DICE = LossOptions(cross_entropy=0.0)


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 4, 6, 7, generator=generator)
    target = torch.randint(0, 4, (3, 6, 7), generator=generator, dtype=torch.uint8)
    return logits, target


def soft_dice(logits: np.ndarray, target: np.ndarray, per_image: bool = False):
    """Return the soft Dice loss by its definition, in numpy."""
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    groups = [slice(i, i + 1) for i in range(len(p))] if per_image else [slice(None)]
    losses = []
    for group in groups:
        valid = target[group] != 255
        for c in range(1, p.shape[1]):
            probability, truth = p[group][:, c][valid], (target[group] == c)[valid]
            if truth.any():
                overlap = 2 * probability[truth].sum() + SMOOTHING
                losses.append(1 - overlap / (probability.sum() + truth.sum() + SMOOTHING))
    return float(np.mean(losses))


def test_cross_entropy_is_that_of_torch(batch: Batch):
    logits, target = batch
    target[0, :2] = 255
    weights = (0.5, 1.0, 2.0, 4.0)
    reference = torch.nn.functional.cross_entropy
    expected = reference(logits, target.long(), ignore_index=255)
    torch.testing.assert_close(segmentation_loss(logits, target, ENTROPY), expected)
    weighted = LossOptions(dice=0.0, class_weights=weights)
    expected = reference(logits, target.long(), torch.tensor(weights), ignore_index=255)
    torch.testing.assert_close(segmentation_loss(logits, target, weighted), expected)


@pytest.mark.parametrize("pooled", [True, False])
@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_dice_is_its_definition(batch: Batch, pooled: bool, order: torch.memory_format):
    logits, target = batch
    target[1, 3:] = 255
    target[2][target[2] == 2] = 1  # class 2 is absent in the last image
    options = LossOptions(cross_entropy=0.0, batch_dice=pooled)
    result = segmentation_loss(logits.contiguous(memory_format=order), target, options)
    assert float(result) == pytest.approx(soft_dice(logits.numpy(), target.numpy(), not pooled), abs=1e-6)


def test_hard_dice_is_that_of_torchmetrics(batch: Batch):
    logits, target = batch
    prediction = logits.argmax(1)
    certain = 100.0 * torch.nn.functional.one_hot(prediction, 4).movedim(3, 1).float()
    expected = dice_score(
        prediction, target.long(), 4, include_background=False, average="macro", input_format="index",
        aggregation_level="global",
    )  # fmt: skip
    assert float(segmentation_loss(certain, target, DICE)) == pytest.approx(1 - float(expected.mean()), abs=1e-5)


def test_ignored_pixels_change_nothing(batch: Batch):
    logits, target = batch
    target[:, 2:4] = 255
    before = segmentation_loss(logits, target, LossOptions())
    logits[:, :, 2:4] += 50 * torch.randn(3, 4, 2, 7)
    torch.testing.assert_close(segmentation_loss(logits, target, LossOptions()), before)
    target[:, 2:4] = 1  # control: not ignored, they count
    assert float(segmentation_loss(logits, target, LossOptions())) > float(before) + 1


def test_ignored_pixels_get_no_gradient(batch: Batch):
    logits, target = batch
    target[:, 2:4] = 255
    logits.requires_grad_()
    segmentation_loss(logits, target, LossOptions()).backward()
    assert logits.grad is not None
    assert float(logits.grad[:, :, 2:4].abs().max()) == 0
    assert float(logits.grad[:, :, :2].abs().min()) > 0


def test_all_ignored_is_zero_with_a_gradient_of_zero(batch: Batch):
    logits, target = batch
    logits.requires_grad_()
    loss = segmentation_loss(logits, torch.full_like(target, 255), LossOptions())
    loss.backward()
    assert float(loss.detach()) == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_classes_absent_in_the_batch_do_not_affect_dice(batch: Batch):
    logits, target = batch
    target[target == 3] = 0
    logits.requires_grad_()
    segmentation_loss(logits, target, DICE).backward()
    without = logits.detach().clone()
    without[:, 3] = -100  # as if the class were impossible
    assert float(segmentation_loss(without, target, DICE)) < 1
    nothing = torch.zeros_like(target)
    logits.grad = None
    loss = segmentation_loss(logits, nothing, DICE)
    loss.backward()
    assert float(loss.detach()) == 0
    assert logits.grad is not None
    assert float(logits.grad.abs().max()) == 0


def test_the_loss_is_zero_for_a_perfect_prediction_and_large_for_its_opposite():
    target = torch.tensor([[[0, 1], [1, 0]]], dtype=torch.uint8)
    right = 30.0 * torch.stack([1.0 - target, target.float()], 1)
    assert float(segmentation_loss(right, target, LossOptions())) == pytest.approx(0, abs=1e-5)
    assert float(segmentation_loss(-right, target, LossOptions())) == pytest.approx(31, abs=1e-3)


def test_value_by_hand():
    logits = torch.zeros(1, 2, 1, 4)  # every probability is 1/2
    target = torch.tensor([[[0, 1, 1, 255]]], dtype=torch.uint8)
    expected = math.log(2) + 1 - 2 * 1.0 / (1.5 + 2)
    assert float(segmentation_loss(logits, target, LossOptions())) == pytest.approx(expected, abs=1e-5)


def test_classes_of_weight_zero_alone_stay_finite(batch: Batch):
    logits, target = batch
    options = LossOptions(dice=0.0, class_weights=(0.0, 1.0, 1.0, 1.0))
    assert float(segmentation_loss(logits, torch.zeros_like(target), options)) == 0


@pytest.mark.parametrize(
    "wrong", [{"cross_entropy": -1.0}, {"cross_entropy": 0.0, "dice": 0.0}, {"class_weights": (1.0, -2.0)}]
)
def test_invalid_options_are_rejected(wrong: dict[str, Any]):
    with pytest.raises(BadOption, match="weights of 0 or more"):
        LossOptions(**wrong)


def test_class_weights_must_fit_the_classes(batch: Batch):
    with pytest.raises(BadOption, match="3 for 4 classes"):
        segmentation_loss(batch[0], batch[1], LossOptions(class_weights=(1.0, 1.0, 1.0)))


def test_the_weighted_cross_entropy_is_equation_1_and_2_of_the_paper(batch: Batch):
    """Weighted mean with w(x) = wc + border, in numpy."""
    logits, target = batch
    target[1, :3] = 255
    border = torch.rand(3, 6, 7, generator=torch.Generator().manual_seed(1)) * 10
    balance_ = (0.5, 1.0, 2.0, 4.0)
    logarithms = logits.double().numpy() - np.logaddexp.reduce(logits.double().numpy(), axis=1, keepdims=True)
    energy = total = 0.0
    for b, row, column in np.argwhere(target.numpy() != 255):
        index = int(target[b, row, column])
        weight = balance_[index] + float(border[b, row, column])
        energy -= weight * logarithms[b, index, row, column]
        total += weight
    options = LossOptions(dice=0.0, class_weights=balance_)
    result = segmentation_loss(logits, target, options, border)
    assert float(result) == pytest.approx(energy / total, rel=1e-5)


def test_weights_of_zero_have_no_effect_and_a_large_weight_dominates(batch: Batch):
    logits, target = batch
    plain = segmentation_loss(logits, target, ENTROPY)
    torch.testing.assert_close(segmentation_loss(logits, target, ENTROPY, torch.zeros(3, 6, 7)), plain)
    large = torch.zeros(3, 6, 7)
    large[2, 4, 5] = 1e6
    expected = torch.nn.functional.cross_entropy(logits[2:, :, 4:5, 5:6], target[2:, 4:5, 5:6].long())
    torch.testing.assert_close(segmentation_loss(logits, target, ENTROPY, large), expected, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(segmentation_loss(logits, target, DICE, large), segmentation_loss(logits, target, DICE))


def test_ignored_pixels_have_no_weight(batch: Batch):
    logits, target = batch
    target[:, 2:4] = 255
    border = torch.ones(3, 6, 7)
    before = segmentation_loss(logits, target, ENTROPY, border)
    border[:, 2:4] = 1e6
    torch.testing.assert_close(segmentation_loss(logits, target, ENTROPY, border), before)


def test_dice_counts_the_first_class_where_it_is_no_background(batch: Batch):
    logits, target = batch
    certain = 100.0 * torch.nn.functional.one_hot(logits.argmax(1), 4).movedim(3, 1).float()
    every = LossOptions(cross_entropy=0.0, dice_background=True)
    expected = dice_score(
        logits.argmax(1), target.long(), 4, include_background=True, average="macro", input_format="index",
        aggregation_level="global",
    )  # fmt: skip
    result = float(segmentation_loss(certain, target, every))
    assert result == pytest.approx(1 - float(expected.mean()), abs=1e-5)
    assert result != pytest.approx(float(segmentation_loss(certain, target, DICE)), abs=1e-4)  # control


def test_the_distance_loss_is_a_binary_cross_entropy():
    truth = torch.tensor([[[0.0, 0.25], [1.0, 0.5]]])
    target = torch.tensor([[[0, 2], [1, IGNORE]]], dtype=torch.uint8)
    logits = torch.tensor([[[-1.0, 0.3], [2.0, 50.0]]], requires_grad=True)
    cost = distance_loss(logits, truth, target)
    p, t = torch.sigmoid(logits.detach())[0], truth[0]
    entropy = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    by_hand = -(torch.log(1 - p[0, 0]) + 0.25 * torch.log(p[0, 1]) + 0.75 * torch.log(1 - p[0, 1]) + torch.log(p[1, 0]))
    assert float(cost.detach()) == pytest.approx((float(by_hand) - entropy) / 3, rel=1e-5)
    cost.backward()
    expected = (p - t) / 3
    expected[1, 1] = 0  # ignored
    torch.testing.assert_close(logits.grad, expected[None])


def test_the_distance_loss_is_zero_for_a_perfect_prediction_or_no_pixels():
    truth = torch.rand(2, 5, 6, generator=torch.Generator().manual_seed(0)) * 0.98 + 0.01
    target = torch.ones(2, 5, 6, dtype=torch.uint8)
    assert float(distance_loss(torch.logit(truth), truth, target)) == pytest.approx(0, abs=1e-5)
    assert float(distance_loss(torch.logit(truth) + 1, truth, target)) > 0.05
    assert float(distance_loss(truth, truth, torch.full_like(target, IGNORE))) == 0


def test_inverse_frequency_weights():
    weights = inverse_frequencies((20, 60, 0, 120))
    # 200 pixels of three classes: 200 / (3 x 20), ...
    assert weights == pytest.approx((200 / 60, 200 / 180, 1.0, 200 / 360))
    assert sum(w * n for w, n in zip(weights, (20, 60, 0, 120), strict=True)) == pytest.approx(200)
    options = balance(LossOptions(balanced=True), (20, 60, 0, 120))
    assert (options.class_weights, options.balanced) == (weights, False)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"border_weight": -1.0}, r"loss\.border_weight of 0 or more"),
        ({"border_sigma": 0.0}, r"loss\.border_sigma above 0"),
        ({"pairwise": -1.0}, r"loss\.pairwise of 0 or more"),
        ({"pairwise": 1.0, "regions": ((1,),)}, "no pairwise loss of regions"),
        ({"border_weight": 10.0, "cross_entropy": 0.0}, r"a cross-entropy that loss\.border_weight can weight"),
        ({"balanced": True, "class_weights": (1.0, 2.0)}, r"loss\.balanced or loss\.class_weights; got both"),
    ],
)
def test_invalid_weights_are_rejected(wrong: dict[str, Any], message: str):
    with pytest.raises(BadOption, match=message):
        LossOptions(**wrong)


@pytest.mark.parametrize("options", [LossOptions(), LossOptions(batch_dice=False, class_weights=(1.0, 2.0, 3.0))])
def test_the_loss_of_volumes_is_that_of_their_slices_side_by_side(options: LossOptions):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, 5, 6, generator=generator)
    target = torch.randint(0, 3, (2, 4, 5, 6), generator=generator, dtype=torch.uint8)
    target[0, 1] = IGNORE
    weights = torch.rand(2, 4, 5, 6, generator=generator)
    volumes = segmentation_loss(logits, target, options, weights)
    images = segmentation_loss(logits.flatten(2, 3), target.flatten(1, 2), options, weights.flatten(1, 2))
    torch.testing.assert_close(volumes, images)
    distances = torch.rand(2, 4, 5, 6, generator=generator)
    torch.testing.assert_close(
        distance_loss(logits[:, 0], distances, target),
        distance_loss(logits[:, 0].flatten(1, 2), distances.flatten(1, 2), target.flatten(1, 2)),
    )
