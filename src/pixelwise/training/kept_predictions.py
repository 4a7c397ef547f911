"""Going on from a model with new annotations: what it predicted well where nothing is annotated is kept.

Learning without forgetting (Li & Hoiem 2016, arXiv 1606.09282), pixel by pixel: a few strokes correct a model where it
is wrong, and say nothing about the rest of the image, which it has learned from others.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor, nn
from torch.nn import functional

from pixelwise.labels.targets import IGNORE

NEAR = 12
"""Pixels around a corrected one in which nothing is kept: the correction also says something of its surroundings."""


@dataclass(frozen=True)
class PreviousModel:
    """The network that a training starts from, whose predictions are kept.

    Attributes
    ----------
    network, classes
        As of `distillation_loss.Teacher`.
    weight : float
        Of the loss of what is kept; that against the labels has the weight 1.
    """

    network: nn.Module
    classes: int
    weight: float

    def combine_losses(self, loss: Tensor, heads: Sequence[Tensor], teacher_logits: Tensor, targets: Tensor) -> Tensor:
        """Return the loss against the labels plus that of what is kept, as a mean over the heads."""
        kept = find_kept(teacher_logits[:, : self.classes].argmax(1), targets)
        if not bool(kept.any()):
            return loss
        previous = functional.log_softmax(teacher_logits[:, : self.classes], 1)
        losses = [_divergence(logits.float()[:, : self.classes], previous)[kept].mean() for logits in heads]
        return loss + self.weight * torch.stack(losses).mean()


def find_kept(predicted: Tensor, targets: UInt8[Tensor, "batch *size"]) -> Bool[Tensor, "batch *size"]:
    """Return where predictions are kept: not where labels are, and not near one that says that they are wrong.

    Parameters
    ----------
    predicted : (batch, *size) integer
        The class that was predicted.
    targets : (batch, *size) uint8
        The class; IGNORE (255) where it is unknown.

    Examples
    --------
    >>> targets = torch.full((1, 1, 40), IGNORE, dtype=torch.uint8)
    >>> targets[..., 0], targets[..., 39] = 1, 0
    >>> find_kept(torch.zeros(1, 1, 40), targets)[0, 0].nonzero().flatten().tolist() == list(range(13, 39))
    True
    """
    known = targets != IGNORE
    wrong = (predicted != targets) & known
    grow = functional.max_pool2d if targets.ndim == 3 else functional.max_pool3d
    return ~known & (grow(wrong[:, None].float(), 2 * NEAR + 1, 1, NEAR)[:, 0] == 0)


def _divergence(
    logits: Float[Tensor, "batch classes *size"], previous: Float[Tensor, "batch classes *size"]
) -> Float[Tensor, "batch *size"]:
    """Return the Kullback-Leibler divergence to log-probabilities, pixel by pixel."""
    return functional.kl_div(functional.log_softmax(logits, 1), previous, reduction="none", log_target=True).sum(1)
