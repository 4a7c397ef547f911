"""Distillation: a network learns from what an ensemble says of its batches, beside what the labels say.

Hinton et al. 2015 (arXiv 1503.02531); the teacher looks at the very same augmented images as the pupil, as Beyer et al.
2022 (arXiv 2106.05237) recommend.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pixelwise.training.losses import distillation_loss

SHARE = 0.5  # of the loss that is the teacher's; the labels keep the rest


@dataclass(frozen=True)
class Teacher:
    """A finished network or an ensemble that tells what it sees in the batches of another.

    Attributes
    ----------
    network : nn.Module
        In evaluation mode; images -> logits.
    classes : int
        Channels of the logits that share a soft-max; they come first.
    """

    network: nn.Module
    classes: int

    def mix(self, loss: Tensor, heads: Sequence[Tensor], answer: Tensor) -> Tensor:
        """Return the loss against the labels mixed with that of all heads against the network's answer."""
        taught = torch.stack([distillation_loss(logits.float(), answer, self.classes) for logits in heads]).mean()
        return (1 - SHARE) * loss + SHARE * taught


@dataclass(frozen=True)
class DistillationSetup:
    """What a network that is taught by others begins with: its weights, its teacher, what its model file says of it."""

    start: Mapping[str, Tensor]
    teacher: Teacher
    trained: Mapping[str, str]
