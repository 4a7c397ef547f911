"""Loss functions on logits: cross-entropy, soft Dice, distance and distillation loss. Target 255 is ignored."""

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
        Weights of the two losses.
    batch_dice : bool
        Compute Dice over the whole batch instead of averaging it over images.
    dice_background : bool
        Include class 0 in the mean Dice, for masks whose first class is not background.
    class_weights : tuple of float
        Class weights of the cross-entropy, one per class, or none.
    balanced : bool
        Compute the class weights from the training targets (`inverse_frequencies`).
    border_weight, border_sigma : float
        w0 and sigma (pixels) of the weight map of Ronneberger et al. 2015, equation 2, which raises the cross-entropy
        of pixels between close objects. 0 disables the map.
    label_smoothing : float
        For classification only (`classification_loss`).
    distance : float
        Weight of the distance loss; for targets of kind "distance" only.
    pairwise : float
        Weight of the pairwise loss (`training.pairwise_loss`), which also counts pixels that are ignored: for sparse
        annotations. 0 disables it. Not for regions.
    regions : tuple of tuple of int
        The classes of each region, those of the target: the loss is then `region_loss`.
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
    pairwise: float = 0.0
    regions: tuple[tuple[int, ...], ...] = ()

    def __post_init__(self) -> None:
        """Check that weights are not negative or all zero, and that weight maps have a cross-entropy to apply to."""
        if min(self.cross_entropy, self.dice, *self.class_weights, 0.0) < 0 or self.cross_entropy + self.dice <= 0:
            got = f"cross_entropy {self.cross_entropy}, dice {self.dice}, class_weights {self.class_weights}"
            raise BadOption("weights of 0 or more, not all 0, in loss", got, "Change them.")
        if self.border_weight < 0 or self.border_sigma <= 0:
            got = f"border_weight {self.border_weight}, border_sigma {self.border_sigma}"
            raise BadOption("loss.border_weight of 0 or more, loss.border_sigma above 0", got, "Try 10 and 5.")
        if self.distance < 0:
            raise BadOption("loss.distance of 0 or more", f"{self.distance}", "Try 1.")
        if self.pairwise < 0:
            raise BadOption("loss.pairwise of 0 or more", f"{self.pairwise}", "Try 2.")
        if self.regions and self.pairwise:
            raise BadOption("no pairwise loss of regions, which overlap", f"{self.pairwise}", "Set it to 0.")
        if not 0 <= self.label_smoothing < 1:
            raise BadOption("loss.label_smoothing in [0, 1)", f"{self.label_smoothing}", "Try 0.1.")
        if self.border_weight and not self.cross_entropy:
            hint = "Set loss.cross_entropy=1, or loss.border_weight=0."
            raise BadOption("a cross-entropy that loss.border_weight can weight", "loss.cross_entropy 0", hint)
        if self.regions and (self.balanced or self.class_weights):
            got = f"balanced {self.balanced}, class_weights {list(self.class_weights)}"
            raise BadOption("no class weights in the loss of regions", got, "Omit them.")
        if self.balanced and self.class_weights:
            got = f"both balanced and class_weights {self.class_weights}"
            raise BadOption("loss.balanced or loss.class_weights", got, "Leave one of them out.")


def balance(options: LossOptions, counts: Sequence[int]) -> LossOptions:
    """Return `options` with inverse-frequency class weights in place of `balanced`.

    Parameters
    ----------
    counts : sequence of int
        Training pixels of each class.
    """
    return replace(options, balanced=False, class_weights=inverse_frequencies(counts))


def inverse_frequencies(counts: Sequence[int]) -> tuple[float, ...]:
    """Return class weights inversely proportional to class frequency; their mean over all pixels is 1.

    The w_c of Ronneberger et al. 2015, equation 2, "to balance the class frequencies". Classes without pixels get 1.
    """
    present = sum(count > 0 for count in counts)
    return tuple(sum(counts) / (present * count) if count else 1.0 for count in counts)


def classification_loss(
    logits: Float[Tensor, "batch classes"], target: Int64[Tensor, " batch"], smoothing: float = 0.0
) -> Float[Tensor, ""]:
    """Return the mean cross-entropy of image classification.

    With label smoothing e the target is 1 - e + e / classes for the true class and e / classes for all others (Szegedy
    et al. 2016, "Rethinking the Inception Architecture", section 7).
    """
    return functional.cross_entropy(logits, target, label_smoothing=smoothing)


def segmentation_loss(
    logits: Float[Tensor, "batch classes *size"],
    target: UInt8[Tensor, "batch *size"] | Int64[Tensor, "batch *size"],
    options: LossOptions,
    weights: Float[Tensor, "batch *size"] | None = None,
) -> Float[Tensor, ""]:
    """Return the weighted sum of cross-entropy and soft Dice loss.

    The cross-entropy is the weighted mean over the valid pixels, sum w(x) l(x) / sum w(x), where w(x) is the class
    weight plus `weights` (the border term of the weight map). Dice is not weighted. Without valid pixels the loss and
    its gradient are 0.

    Raises
    ------
    BadOption
        The number of class weights differs from the number of classes.
    """
    if options.regions:
        return region_loss(logits, target, options, weights)
    classes = logits.shape[1]
    if options.class_weights and len(options.class_weights) != classes:
        got = f"{len(options.class_weights)} for {classes} classes"
        raise BadOption("one weight per class in loss.class_weights", got, "Give one per class, or none.")
    valid = target != IGNORE
    if not bool(valid.any()):
        return logits.sum() * 0.0
    index = target.long()
    log_probabilities = functional.log_softmax(logits, dim=1)
    total = logits.new_zeros(())
    if options.cross_entropy:
        cross_entropy = _cross_entropy(log_probabilities, index, valid, options.class_weights, weights)
        total = total + options.cross_entropy * cross_entropy
    if options.dice:
        first = 0 if options.dice_background or classes == 1 else 1
        total = total + options.dice * _dice_loss(log_probabilities.exp(), index, valid, options.batch_dice, first)
    return total


def region_loss(
    logits: Float[Tensor, "batch regions *size"],
    target: UInt8[Tensor, "batch *size"] | Int64[Tensor, "batch *size"],
    options: LossOptions,
    weights: Float[Tensor, "batch *size"] | None = None,
) -> Float[Tensor, ""]:
    """Return the weighted sum of binary cross-entropy and soft Dice loss of regions, which may overlap.

    Both are means over the regions; ignored pixels count for none, and without other pixels the loss and its gradient
    are 0. `weights` are those of `segmentation_loss`. The loss of nnU-Net's region-based training.

    Parameters
    ----------
    logits : (batch, regions, *size) float
    target : (batch, *size) integer
        Class map.
    options : LossOptions
        `regions` are the classes of each region.
    weights : (batch, *size) float, optional

    Examples
    --------
    >>> options = LossOptions(regions=((1, 2), (2,)))
    >>> target = torch.tensor([[[0, 1, 2, 255]]], dtype=torch.uint8)
    >>> logits = torch.tensor([[[[-9.0, 9, 9, 9]], [[-9, -9, 9, 9]]]])
    >>> bool(region_loss(logits, target, options) < 0.001), bool(region_loss(-logits, target, options) > 9)
    (True, True)
    """
    valid = target != IGNORE
    if not bool(valid.any()):
        return logits.sum() * 0.0
    table = torch.zeros((IGNORE + 1, len(options.regions)), dtype=logits.dtype, device=logits.device)
    for number, region in enumerate(options.regions):
        table[list(region), number] = 1
    truth = table[target.long()].movedim(-1, 1)  # rows of ignored pixels are 0
    mask = valid.unsqueeze(1).to(logits.dtype)
    total = logits.new_zeros(())
    if options.cross_entropy:
        each = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none").mean(1)
        scale = mask[:, 0] if weights is None else mask[:, 0] * (1 + weights)
        total = total + options.cross_entropy * (each * scale).sum() / scale.sum()
    if options.dice:
        total = total + options.dice * _mean_dice_loss(logits.sigmoid() * mask, truth, options.batch_dice)
    return total


def distance_loss(
    logits: Float[Tensor, "batch *size"],
    distances: Float[Tensor, "batch *size"],
    target: UInt8[Tensor, "batch *size"] | Int64[Tensor, "batch *size"],
) -> Float[Tensor, ""]:
    """Return the loss of distance logits against distances in 0...1, as a mean over the valid pixels.

    Binary cross-entropy with soft targets, whose gradient is prediction minus target and does not vanish where the
    sigmoid saturates (used for a similar target by StarDist, Schmidt et al. 2018, arXiv 1806.03535). The entropy of the
    target is subtracted, so the loss of a perfect prediction is 0.
    """
    valid = target != IGNORE
    if not bool(valid.any()):
        return logits.sum() * 0.0
    truth = distances[valid].clamp(0.0, 1.0)
    cost = functional.binary_cross_entropy_with_logits(logits[valid], truth)
    return cost + (torch.xlogy(truth, truth) + torch.xlogy(1 - truth, 1 - truth)).mean()


def distillation_loss(
    logits: Float[Tensor, "batch channels *size"], teacher_logits: Float[Tensor, "batch channels *size"], classes: int
) -> Float[Tensor, ""]:
    """Return the Kullback-Leibler divergence between student and teacher, as a mean over pixels (or images).

    The first `classes` channels share a softmax; each further channel has a sigmoid. Equal logits give 0.
    """
    loss = logits.new_zeros(())
    if classes:
        student = functional.log_softmax(logits[:, :classes], dim=1)
        teacher = functional.log_softmax(teacher_logits[:, :classes], dim=1)
        loss = functional.kl_div(student, teacher, reduction="none", log_target=True).sum(1).mean()
    if classes == logits.shape[1]:
        return loss
    rest = teacher_logits[:, classes:].sigmoid()
    cost = functional.binary_cross_entropy_with_logits(logits[:, classes:], rest, reduction="none")
    return loss + (cost + torch.xlogy(rest, rest) + torch.xlogy(1 - rest, 1 - rest)).sum(1).mean()


def _cross_entropy(
    log_probabilities: Tensor, index: Tensor, valid: Tensor, class_weights: tuple[float, ...], border: Tensor | None
) -> Tensor:
    if not class_weights and border is None:
        return functional.nll_loss(log_probabilities, index, ignore_index=IGNORE)
    each = functional.nll_loss(log_probabilities, index, ignore_index=IGNORE, reduction="none")
    weights = torch.ones_like(each)
    if class_weights:
        table = log_probabilities.new_tensor(class_weights)
        weights = table[torch.where(valid, index, 0)]
    if border is not None:
        weights = weights + border
    weights = weights * valid
    # avoids 0 / 0 if all classes in the batch have weight 0
    return (each * weights).sum() / weights.sum().clamp_min(1e-12)


def _dice_loss(probabilities: Tensor, index: Tensor, valid: Tensor, pooled: bool, first: int) -> Tensor:
    """Return 1 - mean soft Dice over the classes from `first` that occur in the batch."""
    classes = probabilities.shape[1]
    mask = valid.unsqueeze(1).to(probabilities.dtype)
    # zeros_like keeps the memory format (channels last); scattering the mask leaves ignored pixels 0
    truth = torch.zeros_like(probabilities).scatter_(1, index.clamp(max=classes - 1).unsqueeze(1), mask)
    predicted = probabilities if bool(valid.all()) else probabilities * mask
    return _mean_dice_loss(predicted[:, first:], truth[:, first:], pooled)


def _mean_dice_loss(predicted: Tensor, truth: Tensor, pooled: bool) -> Tensor:
    """Return 1 - mean soft Dice over the channels that occur in the batch; both are 0 where pixels are ignored."""
    axes = tuple(range(2, predicted.ndim))
    axes = (0, *axes) if pooled else axes
    intersection = (predicted * truth).sum(axes)
    pixels = truth.sum(axes)
    dice = (2 * intersection + SMOOTHING) / (predicted.sum(axes) + pixels + SMOOTHING)
    # absent classes have no overlap to measure; the cross-entropy penalises their false positives
    present = pixels > 0
    return (1 - dice[present]).mean() if bool(present.any()) else predicted.sum() * 0.0
