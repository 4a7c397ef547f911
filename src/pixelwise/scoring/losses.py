"""Losses on logits; pixels whose target is 255 count nowhere."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor
from torch.nn import functional

from pixelwise.errors import BadOption
from pixelwise.labels.targets import IGNORE

SMOOTHING = 1e-5


@dataclass(frozen=True, kw_only=True)
class LossOptions:
    """A weighted sum of cross-entropy and soft Dice.

    `class_weights` (one per class, or none) weight the cross-entropy; `batch_dice` pools the Dice counts over the
    batch instead of averaging over its images.
    """

    cross_entropy: float = 1.0
    dice: float = 1.0
    batch_dice: bool = True
    class_weights: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Refuse negative weights, and a loss of nothing."""
        if min(self.cross_entropy, self.dice, *self.class_weights, 0.0) < 0 or self.cross_entropy + self.dice <= 0:
            came = f"cross_entropy {self.cross_entropy}, dice {self.dice}, class_weights {self.class_weights}"
            raise BadOption("weights of 0 or more, not all 0, in loss", came, "Change them.")


def segmentation_loss(
    logits: Float[Tensor, "batch classes height width"],
    target: UInt8[Tensor, "batch height width"] | Int64[Tensor, "batch height width"],
    options: LossOptions,
) -> Float[Tensor, ""]:
    """Return the loss of logits against a class map.

    Cross-entropy is the (weighted) mean over the valid pixels. Without a single valid pixel the loss is 0, with a
    gradient of 0.

    Raises
    ------
    BadOption
        There are class weights, but not one per class.
    """
    classes = logits.shape[1]
    if options.class_weights and len(options.class_weights) != classes:
        came = f"{len(options.class_weights)} for {classes} classes"
        raise BadOption("one weight per class in loss.class_weights", came, "Give as many, or none.")
    valid = target != IGNORE
    if not bool(valid.any()):
        return logits.sum() * 0.0
    index = target.long()
    logarithms = functional.log_softmax(logits, dim=1)
    total = logits.new_zeros(())
    if options.cross_entropy:
        total = total + options.cross_entropy * _cross_entropy(logarithms, index, valid, options.class_weights)
    if options.dice:
        total = total + options.dice * _dice_loss(logarithms.exp(), index, valid, options.batch_dice)
    return total


def _cross_entropy(logarithms: Tensor, index: Tensor, valid: Tensor, class_weights: tuple[float, ...]) -> Tensor:
    if not class_weights:
        return functional.nll_loss(logarithms, index, ignore_index=IGNORE)
    weights = logarithms.new_tensor(class_weights)
    total = functional.nll_loss(logarithms, index, weight=weights, ignore_index=IGNORE, reduction="sum")
    # a batch that shows only classes of weight 0 has nothing to say, and must not become 0 / 0
    return total / weights[index[valid]].sum().clamp_min(1e-12)


def _dice_loss(probabilities: Tensor, index: Tensor, valid: Tensor, pooled: bool) -> Tensor:
    """1 - mean soft Dice over the classes but the first that occur in the batch (each class when there is one)."""
    classes = probabilities.shape[1]
    mask = valid.unsqueeze(1).to(probabilities.dtype)
    # zeros_like keeps the memory order (channels last), and scattering the mask leaves ignored pixels 0
    truth = torch.zeros_like(probabilities).scatter_(1, index.clamp(max=classes - 1).unsqueeze(1), mask)
    first = 1 if classes > 1 else 0
    predicted = probabilities if bool(valid.all()) else probabilities * mask
    predicted, truth = predicted[:, first:], truth[:, first:]
    axes = (0, 2, 3) if pooled else (2, 3)
    shared = (predicted * truth).sum(axes)
    present = truth.sum(axes)
    dice = (2 * shared + SMOOTHING) / (predicted.sum(axes) + present + SMOOTHING)
    # a class that is not in the batch says nothing about overlap; cross-entropy punishes its false alarms
    there = present > 0
    return (1 - dice[there]).mean() if bool(there.any()) else probabilities.sum() * 0.0
