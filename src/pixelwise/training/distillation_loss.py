"""Knowledge distillation: training a student network on the labels and on the predictions of a teacher.

Hinton et al. 2015 (arXiv 1503.02531). Teacher and student receive the same augmented images, as Beyer et al. 2022
(arXiv 2106.05237) recommend.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pixelwise.training.losses import distillation_loss

TEACHER_WEIGHT = 0.5  # of the distillation loss; the loss against the labels gets the rest


@dataclass(frozen=True)
class Teacher:
    """A trained network or ensemble whose predictions a student is trained on.

    Attributes
    ----------
    network : nn.Module
        In evaluation mode; images -> logits.
    classes : int
        Number of leading channels of the logits that share a softmax.
    """

    network: nn.Module
    classes: int

    def combine_losses(self, loss: Tensor, heads: Sequence[Tensor], teacher_logits: Tensor, _targets: Tensor) -> Tensor:
        """Return the weighted mean of the loss against the labels and the distillation loss over all heads."""
        losses = [distillation_loss(logits.float(), teacher_logits, self.classes) for logits in heads]
        return (1 - TEACHER_WEIGHT) * loss + TEACHER_WEIGHT * torch.stack(losses).mean()


@dataclass(frozen=True)
class DistillationSetup:
    """Initial weights of a student, its teacher, and the metadata of its model file."""

    start: Mapping[str, Tensor]
    teacher: Teacher
    trained: Mapping[str, str]
