"""Losses on logits; pixels whose target is 255 count nowhere."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

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

    Attributes
    ----------
    cross_entropy, dice : float
        Shares of the two.
    batch_dice : bool
        Dice counts are pooled over the batch instead of averaged over its images.
    dice_background : bool
        Class 0 counts in the mean Dice too: for masks whose first class is no background.
    class_weights : tuple of float
        Weights of the classes in the cross-entropy, one per class, or none.
    balanced : bool
        The class weights are found from the training targets (`inverse_shares`).
    border_weight, border_sigma : float
        w0 and sigma (pixels) of the weight map of Ronneberger et al. 2015, equation 2, which raises the cross-entropy
        of pixels between near objects. A weight of 0 leaves the map out.
    label_smoothing : float
        For classes of whole images alone (`classification_loss`).
    distance : float
        Weight of the distance's loss beside those of the classes; for targets of kind "distance" alone.
    """

    cross_entropy: float = 1.0
    dice: float = 1.0
    batch_dice: bool = True
    dice_background: bool = False
    class_weights: tuple[float, ...] = ()
    balanced: bool = False
    border_weight: float = 0.0
    border_sigma: float = 5.0
    label_smoothing: float = 0.0
    distance: float = 1.0

    def __post_init__(self) -> None:
        """Refuse negative weights, a loss of nothing, and weights of a cross-entropy that is not there."""
        if min(self.cross_entropy, self.dice, *self.class_weights, 0.0) < 0 or self.cross_entropy + self.dice <= 0:
            got = f"cross_entropy {self.cross_entropy}, dice {self.dice}, class_weights {self.class_weights}"
            raise BadOption("weights of 0 or more, not all 0, in loss", got, "Change them.")
        if self.border_weight < 0 or self.border_sigma <= 0:
            got = f"border_weight {self.border_weight}, border_sigma {self.border_sigma}"
            raise BadOption("loss.border_weight of 0 or more, loss.border_sigma above 0", got, "Try 10 and 5.")
        if self.distance < 0:
            raise BadOption("loss.distance of 0 or more", f"{self.distance}", "Try 1.")
        if not 0 <= self.label_smoothing < 1:
            raise BadOption("loss.label_smoothing in [0, 1)", f"{self.label_smoothing}", "Try 0.1.")
        if self.border_weight and not self.cross_entropy:
            hint = "Set loss.cross_entropy=1, or loss.border_weight=0."
            raise BadOption("a cross-entropy that loss.border_weight can weight", "loss.cross_entropy 0", hint)
        if self.balanced and self.class_weights:
            got = f"both balanced and class_weights {self.class_weights}"
            raise BadOption("loss.balanced or loss.class_weights", got, "Leave one of them out.")


def balance(options: LossOptions, counts: Sequence[int]) -> LossOptions:
    """Return `options` with the class weights that `balanced` asks for.

    Parameters
    ----------
    options : LossOptions
    counts : sequence of int
        Training pixels of each class.
    """
    return replace(options, balanced=False, class_weights=inverse_shares(counts))


def inverse_shares(counts: Sequence[int]) -> tuple[float, ...]:
    """Return weights that give each class the same sum over all pixels; their mean over the pixels is 1.

    The w_c of Ronneberger et al. 2015, equation 2, "to balance the class frequencies". Classes without a pixel get 1.
    """
    there = sum(count > 0 for count in counts)
    return tuple(sum(counts) / (there * count) if count else 1.0 for count in counts)


def classification_loss(
    logits: Float[Tensor, "batch classes"], target: Int64[Tensor, " batch"], smoothing: float = 0.0
) -> Float[Tensor, ""]:
    """Return the mean cross-entropy of logits against a class per image.

    With `smoothing` e the truth is taken as 1 - e plus e / classes for the class and e / classes for each other one
    (Szegedy et al. 2016, "Rethinking the Inception Architecture", section 7).
    """
    return functional.cross_entropy(logits, target, label_smoothing=smoothing)


def segmentation_loss(
    logits: Float[Tensor, "batch classes height width"],
    target: UInt8[Tensor, "batch height width"] | Int64[Tensor, "batch height width"],
    options: LossOptions,
    weights: Float[Tensor, "batch height width"] | None = None,
) -> Float[Tensor, ""]:
    """Return the loss of logits against a class map.

    Cross-entropy is the weighted mean over the valid pixels: sum w(x) l(x) / sum w(x), where w(x) is the weight of the
    pixel's class plus `weights` at the pixel (the border term of the weight map). Dice is not weighted. Without a
    single valid pixel the loss is 0, with a gradient of 0.

    Raises
    ------
    BadOption
        There are class weights, but not one per class.
    """
    classes = logits.shape[1]
    if options.class_weights and len(options.class_weights) != classes:
        got = f"{len(options.class_weights)} for {classes} classes"
        raise BadOption("one weight per class in loss.class_weights", got, "Give as many, or none.")
    valid = target != IGNORE
    if not bool(valid.any()):
        return logits.sum() * 0.0
    index = target.long()
    logarithms = functional.log_softmax(logits, dim=1)
    total = logits.new_zeros(())
    if options.cross_entropy:
        total = total + options.cross_entropy * _cross_entropy(logarithms, index, valid, options.class_weights, weights)
    if options.dice:
        first = 0 if options.dice_background or classes == 1 else 1
        total = total + options.dice * _dice_loss(logarithms.exp(), index, valid, options.batch_dice, first)
    return total


def distance_loss(
    logits: Float[Tensor, "batch height width"],
    distances: Float[Tensor, "batch height width"],
    target: UInt8[Tensor, "batch height width"] | Int64[Tensor, "batch height width"],
) -> Float[Tensor, ""]:
    """Return the loss of the distance's logits against distances between 0 and 1, as a mean over the valid pixels.

    The cross-entropy of logistic regression, which takes shares as well as zeros and ones: its gradient is prediction
    minus truth, so that no pixel learns slowly because the logistic function is flat there (StarDist learns its
    distance so, Schmidt et al. 2018, arXiv 1806.03535). What can be reached is the entropy of the truth, which is
    subtracted: a perfect prediction costs 0.
    """
    valid = target != IGNORE
    if not bool(valid.any()):
        return logits.sum() * 0.0
    truth = distances[valid].clamp(0.0, 1.0)
    cost = functional.binary_cross_entropy_with_logits(logits[valid], truth)
    return cost + (torch.xlogy(truth, truth) + torch.xlogy(1 - truth, 1 - truth)).mean()


def distillation_loss(
    logits: Float[Tensor, "batch channels *size"], taught: Float[Tensor, "batch channels *size"], classes: int
) -> Float[Tensor, ""]:
    """Return how far the probabilities of logits are from those of `taught`, on average over pixels (or images).

    The Kullback-Leibler divergence over the first `classes` channels, which share a soft-max, and of the logistic
    function of each channel behind them: 0 where both say the same.
    """
    mine = functional.log_softmax(logits[:, :classes], dim=1)
    theirs = functional.log_softmax(taught[:, :classes], dim=1)
    loss = functional.kl_div(mine, theirs, reduction="none", log_target=True).sum(1).mean()
    if classes == logits.shape[1]:
        return loss
    rest = taught[:, classes:].sigmoid()
    cost = functional.binary_cross_entropy_with_logits(logits[:, classes:], rest, reduction="none")
    return loss + (cost + torch.xlogy(rest, rest) + torch.xlogy(1 - rest, 1 - rest)).sum(1).mean()


def _cross_entropy(
    logarithms: Tensor, index: Tensor, valid: Tensor, class_weights: tuple[float, ...], border: Tensor | None
) -> Tensor:
    if not class_weights and border is None:
        return functional.nll_loss(logarithms, index, ignore_index=IGNORE)
    each = functional.nll_loss(logarithms, index, ignore_index=IGNORE, reduction="none")
    weights = torch.ones_like(each)
    if class_weights:
        table = logarithms.new_tensor(class_weights)
        weights = table[torch.where(valid, index, 0)]
    if border is not None:
        weights = weights + border
    weights = weights * valid
    # a batch that shows only classes of weight 0 has nothing to say, and must not become 0 / 0
    return (each * weights).sum() / weights.sum().clamp_min(1e-12)


def _dice_loss(probabilities: Tensor, index: Tensor, valid: Tensor, pooled: bool, first: int) -> Tensor:
    """1 - mean soft Dice over the classes from `first` on that occur in the batch."""
    classes = probabilities.shape[1]
    mask = valid.unsqueeze(1).to(probabilities.dtype)
    # zeros_like keeps the memory order (channels last), and scattering the mask leaves ignored pixels 0
    truth = torch.zeros_like(probabilities).scatter_(1, index.clamp(max=classes - 1).unsqueeze(1), mask)
    predicted = probabilities if bool(valid.all()) else probabilities * mask
    predicted, truth = predicted[:, first:], truth[:, first:]
    axes = (0, 2, 3) if pooled else (2, 3)
    shared = (predicted * truth).sum(axes)
    present = truth.sum(axes)
    dice = (2 * shared + SMOOTHING) / (predicted.sum(axes) + present + SMOOTHING)
    # a class that is not in the batch says nothing about overlap; cross-entropy punishes its false alarms
    there = present > 0
    return (1 - dice[there]).mean() if bool(there.any()) else probabilities.sum() * 0.0
