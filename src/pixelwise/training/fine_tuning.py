"""Transfer: an encoder that has learned elsewhere is held still at first, and then learns more slowly.

An encoder tells its parts, fine to coarse, and the coarsest one stands next to the decoder. While the encoder
is frozen its parameters get no gradient, so that neither optimiser nor weight decay touches them, and its batch
normalisation uses and keeps the statistics it came with; dropout goes on. Whether it is frozen is a function of the
step alone: nothing of it needs to be saved.
"""

import math
import re
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm  # pyright: ignore[reportPrivateUsage]

from pixelwise.errors import BadOption
from pixelwise.networks.first_convolution import FirstConvolution

_FREEZE = re.compile(r"(\d+(?:\.\d+)?)\s*(ep|st|%)")


@dataclass(frozen=True, kw_only=True)
class TransferOptions:
    """Where the encoder's first weights come from, and how they learn on.

    Attributes
    ----------
    encoder_weights : str
        "imagenet", "imagenet-v2", a .safetensors file, or a run; empty: the encoder starts from random weights.
    first_convolution : {"auto", "sum", "repeat", "rgb+zero"}
        How the first convolution of the weights is fitted to another number of channels; "auto" is the sum for gray
        images, exact red, green and blue and a zero for four channels, and repeating for any other number. See
        `networks.first_convolution`.
    freeze : str
        How long the encoder stays frozen: "5ep" passes over the training pixels, "200st" steps, "20%" of the planned
        steps; empty: never. "100%" keeps it frozen.
    layer_decay : float
        Factor of the learning rate per encoder stage on the way from the decoder: with 0.5 the coarsest stage learns
        at half the rate, the next one at a quarter. 1: all alike. Howard & Ruder 2018 (arXiv 1801.06146), section 3.2.
    """

    encoder_weights: str = ""
    first_convolution: FirstConvolution = "auto"
    freeze: str = ""
    layer_decay: float = 1.0

    def __post_init__(self) -> None:
        """Refuse times that cannot be read, and rates that grow or stand still."""
        if self.freeze and not _FREEZE.fullmatch(self.freeze.strip()):
            hint = "Write for example 5ep (passes over the data), 200st (steps) or 20% (of all steps)."
            raise BadOption("transfer.freeze as a number with ep, st or %", f"`{self.freeze}`", hint)
        if not 0 < self.layer_decay <= 1:
            raise BadOption("transfer.layer_decay above 0 and at most 1", f"{self.layer_decay}", "Try 0.5.")


def frozen_steps(options: TransferOptions, steps: int, epoch: float) -> int:
    """Return the first step in which the encoder learns.

    Parameters
    ----------
    options : TransferOptions
    steps : int
        Planned in all.
    epoch : float
        Steps of one pass over the training pixels.
    """
    match = _FREEZE.fullmatch(options.freeze.strip())
    if match is None:
        return 0
    unit = {"ep": epoch, "st": 1.0, "%": steps / 100}[match[2]]
    return math.ceil(float(match[1]) * unit - 1e-9)


def rate_factors(network: nn.Module, layer_decay: float) -> dict[nn.Parameter, float]:
    """Return the factor of the learning rate of each parameter of the encoder; the others learn at 1."""
    encoder: Any = getattr(network, "encoder", None)
    if encoder is None or layer_decay == 1.0:
        return {}
    parts: list[list[nn.Module]] = encoder.parts()
    # what belongs to no part counts as the finest one
    factors = dict.fromkeys(encoder.parameters(), layer_decay ** len(parts))
    for distance, modules in enumerate(reversed(parts), start=1):
        for module in modules:
            factors |= dict.fromkeys(module.parameters(), layer_decay**distance)
    return factors


def freeze_encoder(network: nn.Module, *, frozen: bool) -> None:
    """Freeze the encoder of a network in training mode, or let it learn.

    Raises
    ------
    BadOption
        There is no encoder to freeze.
    """
    encoder: Any = getattr(network, "encoder", None)
    if encoder is None:
        raise BadOption("a network with an encoder for transfer.freeze", type(network).__name__, "Leave it out.")
    encoder.requires_grad_(not frozen)
    for module in encoder.modules():
        if isinstance(module, _BatchNorm):
            module.train(not frozen)
