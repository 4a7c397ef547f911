"""Fine-tuning of a pretrained encoder: freezing and layer-wise learning-rate decay.

`encoder.parts()` lists the stages of an encoder, fine to coarse; the coarsest one is next to the decoder. The
parameters of a frozen encoder get no gradient, so neither optimiser nor weight decay changes them, and its batch
normalisation uses and keeps its running statistics; dropout stays active. Whether it is frozen depends on the step
alone, so no state has to be saved.
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
class FineTuningOptions:
    """Pretrained weights of the encoder, and how they are fine-tuned.

    Attributes
    ----------
    encoder_weights : str
        "imagenet", "imagenet-v2", a .safetensors file, or a run; empty: random initialisation.
    initial_model : str
        A run or a model file with the same network: training starts from all its weights. Empty: none.
    keep_predictions : float
        Weight of a loss that keeps what the initial model predicts where nothing is labelled, except near labels that
        contradict it: for corrections of a few places (`kept_predictions`). 0: none.
    first_convolution : {"auto", "sum", "repeat", "rgb+zero"}
        How the first convolution is adapted to another number of channels; "auto" is "sum" for gray images, "rgb+zero"
        for four channels and "repeat" for any other number. See `networks.first_convolution`.
    freeze : str
        How long the encoder stays frozen: "5ep" epochs, "200st" steps, "20%" of the planned steps; empty: never. "100%"
        keeps it frozen.
    layer_decay : float
        Layer-wise learning-rate decay: the factor per encoder stage, counted from the decoder. With 0.5 the coarsest
        stage learns at half the rate, the next one at a quarter. 1: no decay. Howard & Ruder 2018 (arXiv 1801.06146),
        section 3.2.
    """

    encoder_weights: str = ""
    initial_model: str = ""
    keep_predictions: float = 0.0
    first_convolution: FirstConvolution = "auto"
    freeze: str = ""
    layer_decay: float = 1.0

    def __post_init__(self) -> None:
        """Check the freeze duration and the range of the decay."""
        if self.freeze and not _FREEZE.fullmatch(self.freeze.strip()):
            hint = "Use for example 5ep (epochs), 200st (steps) or 20% (of all steps)."
            raise BadOption("transfer.freeze as a number with ep, st or %", f"`{self.freeze}`", hint)
        if not 0 <= self.keep_predictions < math.inf:
            hint = "Use 1, or 0 to keep nothing."
            raise BadOption("transfer.keep_predictions of at least 0", f"{self.keep_predictions}", hint)
        if self.keep_predictions and not self.initial_model:
            hint = "Add transfer.initial_model=RUN."
            raise BadOption("an initial model for transfer.keep_predictions", "none", hint)
        if not 0 < self.layer_decay <= 1:
            raise BadOption("transfer.layer_decay above 0 and at most 1", f"{self.layer_decay}", "Try 0.5.")


def unfreeze_step(options: FineTuningOptions, steps: int, epoch: float) -> int:
    """Return the first step in which the encoder is trained.

    Parameters
    ----------
    steps : int
        Total number of planned steps.
    epoch : float
        Number of steps per epoch.
    """
    match = _FREEZE.fullmatch(options.freeze.strip())
    if match is None:
        return 0
    unit = {"ep": epoch, "st": 1.0, "%": steps / 100}[match[2]]
    return math.ceil(float(match[1]) * unit - 1e-9)


def learning_rate_factors(network: nn.Module, layer_decay: float) -> dict[nn.Parameter, float]:
    """Return the learning-rate factor of each encoder parameter; all other parameters have the factor 1."""
    encoder: Any = getattr(network, "encoder", None)
    if encoder is None or layer_decay == 1.0:
        return {}
    stages: list[list[nn.Module]] = encoder.parts()
    # parameters outside all stages are treated like the finest stage
    factors = dict.fromkeys(encoder.parameters(), layer_decay ** len(stages))
    for distance, modules in enumerate(reversed(stages), start=1):
        for module in modules:
            factors |= dict.fromkeys(module.parameters(), layer_decay**distance)
    return factors


def freeze_encoder(network: nn.Module, *, frozen: bool) -> None:
    """Freeze or unfreeze the encoder of a network in training mode.

    Raises
    ------
    BadOption
        The network has no encoder.
    """
    encoder: Any = getattr(network, "encoder", None)
    if encoder is None:
        raise BadOption("a network with an encoder for transfer.freeze", type(network).__name__, "Leave it out.")
    encoder.requires_grad_(not frozen)
    for module in encoder.modules():
        if isinstance(module, _BatchNorm):
            module.train(not frozen)
