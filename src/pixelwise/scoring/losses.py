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
    target: UInt8[Tensor, "batch height width"],
    options: LossOptions,
) -> Float[Tensor, ""]:
    """Return the loss of logits against a class map.

    Without a single valid pixel it is 0, with a gradient of 0.

    Raises
    ------
    BadOption
        There are class weights, but not one per class.
    """
    if options.class_weights and len(options.class_weights) != logits.shape[1]:
        came = f"{len(options.class_weights)} for {logits.shape[1]} classes"
        raise BadOption("one weight per class in loss.class_weights", came, "Give as many, or none.")
    valid = target != IGNORE
    if not bool(valid.any()):
        return logits.sum() * 0.0
    index = target.long()
    logarithms = functional.log_softmax(logits, dim=1)
    total = logits.new_zeros(())
    if options.cross_entropy:
        weights = logits.new_tensor(options.class_weights) if options.class_weights else None
        total = total + options.cross_entropy * functional.nll_loss(
            logarithms, index, weight=weights, ignore_index=IGNORE
        )
    if options.dice:
        total = total + options.dice * _dice_loss(logarithms.exp(), index, valid, options.batch_dice)
    return total


def _dice_loss(probabilities: Tensor, index: Tensor, valid: Tensor, pooled: bool) -> Tensor:
    """1 - mean soft Dice over the classes but the first that occur in the batch (each class when there is one)."""
    classes = probabilities.shape[1]
    mask = valid.unsqueeze(1)
    truth = torch.zeros_like(probabilities).scatter_(1, index.clamp(max=classes - 1).unsqueeze(1), 1.0) * mask
    first = 1 if classes > 1 else 0
    predicted, truth = (probabilities * mask)[:, first:], truth[:, first:]
    axes = (0, 2, 3) if pooled else (2, 3)
    shared = (predicted * truth).sum(axes)
    present = truth.sum(axes)
    dice = (2 * shared + SMOOTHING) / (predicted.sum(axes) + present + SMOOTHING)
    # a class that is not in the batch says nothing about overlap; cross-entropy punishes its false alarms
    there = present > 0
    return (1 - dice[there]).mean() if bool(there.any()) else probabilities.sum() * 0.0
