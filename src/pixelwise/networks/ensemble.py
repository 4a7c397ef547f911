"""Ensembles: networks of the same architecture whose probabilities are averaged."""

import math
from collections.abc import Sequence
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from pixelwise.geometry.layer_graph import LayerGraph
from pixelwise.geometry.sizes import Geometry


class Ensemble(nn.Module):
    """Networks of the same architecture whose probabilities are averaged.

    The logits of an ensemble are the logarithms of the mean probabilities, log(1/K sum_k softmax(z_k)), whose softmax
    is that mean, so that tiling, export and decoding work as for a single network. Channels after the classes have a
    logistic function each; their logits are log(p / (1 - p)) of the mean p. Lakshminarayanan et al. 2017 (arXiv
    1612.01474), section 2.4.

    Parameters
    ----------
    members : sequence of nn.Module
        Networks with the same options; images -> logits (batch, classes, ...). Their weights are named `member1.`,
        `member2.` and so on.
    classes : int
        Channels of the logits that share a softmax; they come first.

    Examples
    --------
    The mean of the probabilities 0.5, 0.5 and 0.9, 0.1 is 0.7, 0.3:

    >>> sure = torch.log(torch.tensor([0.9, 0.1]))
    >>> undecided = nn.Conv2d(1, 2, 1)
    >>> decided = nn.Conv2d(1, 2, 1)
    >>> with torch.no_grad():
    ...     for layer, bias in ((undecided, torch.zeros(2)), (decided, sure)):
    ...         _ = layer.weight.zero_(), layer.bias.copy_(bias)
    ...     logits = Ensemble([undecided, decided], classes=2)(torch.zeros(1, 1, 1, 1))
    >>> [round(probability, 3) for probability in logits.softmax(1).flatten().tolist()]
    [0.7, 0.3]
    """

    def __init__(self, members: Sequence[nn.Module], classes: int) -> None:
        super().__init__()
        self._classes = classes
        for number, member in enumerate(members, 1):
            self.add_module(f"member{number}", member)

    @property
    def members(self) -> tuple[nn.Module, ...]:
        """The networks, in order."""
        return tuple(self.children())

    def forward(self, image: Float[Tensor, "batch channels *size"]) -> Float[Tensor, "batch classes *output_size"]:
        """Images -> logarithms of the mean probabilities."""
        logits = torch.stack([member(image) for member in self.members])
        logarithms = functional.log_softmax(logits[:, :, : self._classes], dim=2)
        mean = torch.logsumexp(logarithms, dim=0) - math.log(len(logits))
        if self._classes == logits.shape[2]:
            return mean
        rest = logits[:, :, self._classes :]
        yes, no = (torch.logsumexp(functional.logsigmoid(sign * rest), dim=0) for sign in (1, -1))
        return torch.cat([mean, yes - no], dim=1)

    def forward_heads(self, image: Float[Tensor, "batch channels *size"]) -> list[Tensor]:
        """Return the logits as a list; members are trained separately."""
        return [self(image)]

    def layer_graph(self) -> LayerGraph:
        """Return the layers of one member; the others are equal and parallel."""
        return self.members[0].layer_graph()  # type: ignore[operator]

    def geometry(self) -> Geometry:
        """Return the common geometry of the members."""
        return cast(Geometry, self.members[0].geometry())  # type: ignore[operator]
