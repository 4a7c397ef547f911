"""The bricks of every network: each is a module that tells the steps it takes (`trail`)."""

import math
from collections.abc import Iterable
from typing import Literal

from torch import Tensor, nn

from pixelwise.geometry.sizes import Step, Trail

NormalisationName = Literal["batch", "group", "instance", "none"]
Upsampling = Literal["transposed", "bilinear", "nearest"]

GROUP_CHANNELS = 8  # channels per group: many small groups come close to instance normalisation (Zhou & Yang)


class ConvBlock(nn.Module):
    """Two convolutions of 3 x 3, each followed by normalisation and ReLU.

    Parameters
    ----------
    name : str
        Of the layers in tables.
    in_channels, channels : int
    middle : int, optional
        Channels after the first of the two convolutions; by default `channels`.
    padding : int
        1 keeps the size, 0 loses a pixel per side and convolution (valid, as in 2015).
    normalisation : {"batch", "group", "instance", "none"}
    dropout : float
        Applied after the last ReLU; 0 leaves it out.
    """

    def __init__(
        self,
        name: str,
        in_channels: int,
        channels: int,
        *,
        middle: int | None = None,
        padding: int = 1,
        normalisation: NormalisationName = "batch",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        self._steps: list[Step] = []
        middle = middle or channels
        for letter, source, width in (("a", in_channels, middle), ("b", middle, channels)):
            # a shift before a normalisation is taken out again by it, so the bias is left out there
            conv = nn.Conv2d(source, width, 3, padding=padding, bias=normalisation == "none")
            norm = make_normalisation(normalisation, width)
            layers += [conv, *norm, nn.ReLU(inplace=True)]
            self._steps.append(
                Step(
                    name=f"{name} conv {letter}",
                    kind="convolution",
                    kernel=3,
                    padding=padding,
                    in_channels=source,
                    channels=width,
                    parameters=count_parameters([conv, *norm]),
                )
            )
        if dropout:
            layers.append(nn.Dropout(dropout))
        self.layers = nn.Sequential(*layers)

    def forward(self, features: Tensor) -> Tensor:
        """(batch, in_channels, h, w) -> (batch, channels, h', w')."""
        return self.layers(features)

    def trail(self) -> Trail:
        """Return the steps of the convolutions."""
        return self._steps


class Pool(nn.MaxPool2d):
    """Maximum over 2 x 2, which halves both sides."""

    def __init__(self, name: str, channels: int) -> None:
        super().__init__(2)
        self._step = Step(name=name, kind="pooling", kernel=2, stride=2, in_channels=channels, channels=channels)

    def trail(self) -> Trail:
        """Return the one step."""
        return [self._step]


class Up(nn.Module):
    """Doubles both sides: a transposed convolution of 2 x 2 to `channels`, or interpolation that keeps them."""

    def __init__(self, name: str, in_channels: int, channels: int, upsampling: Upsampling) -> None:
        super().__init__()
        if upsampling == "transposed":
            self.layer: nn.Module = nn.ConvTranspose2d(in_channels, channels, 2, stride=2)
            self.channels = channels
        else:
            corners = {"align_corners": False} if upsampling == "bilinear" else {}
            self.layer = nn.Upsample(scale_factor=2, mode=upsampling, **corners)
            self.channels = in_channels
        self._step = Step(
            name=name,
            kind=upsampling,
            kernel=2 if upsampling == "transposed" else 1,
            stride=2,
            in_channels=in_channels,
            channels=self.channels,
            parameters=count_parameters([self.layer]),
        )

    def forward(self, features: Tensor) -> Tensor:
        """(batch, in_channels, h, w) -> (batch, channels, 2 h, 2 w)."""
        return self.layer(features)

    def trail(self) -> Trail:
        """Return the one step."""
        return [self._step]


class Head(nn.Conv2d):
    """A convolution of 1 x 1 from features to logits."""

    def __init__(self, in_channels: int, classes: int) -> None:
        super().__init__(in_channels, classes, 1)
        self._step = Step(
            name="head",
            kind="convolution",
            in_channels=in_channels,
            channels=classes,
            parameters=in_channels * classes + classes,
        )

    def trail(self) -> Trail:
        """Return the one step."""
        return [self._step]


def make_normalisation(name: NormalisationName, channels: int) -> list[nn.Module]:
    """Return the normalisation layer as a list: empty for "none"."""
    if name == "batch":
        return [nn.BatchNorm2d(channels)]
    if name == "group":
        return [nn.GroupNorm(math.gcd(channels, max(1, channels // GROUP_CHANNELS)), channels)]
    if name == "instance":
        return [nn.InstanceNorm2d(channels, affine=True)]
    return []


def count_parameters(modules: Iterable[nn.Module]) -> int:
    """Count the learned numbers in `modules`."""
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


def initialise(network: nn.Module) -> None:
    """Draw kernels from a normal distribution of deviation sqrt(2 / N), N inputs of one neuron; biases are 0.

    He et al. 2015 (arXiv 1502.01852), as the U-Net paper asks for in section 3: N = 9 x 64 for a 3 x 3 convolution on
    64 channels. One output pixel of a 2 x 2 transposed convolution of stride 2 sees one input pixel, so there N is
    the number of input channels.
    """
    for module in network.modules():
        if isinstance(module, nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, math.sqrt(2 / module.in_channels))
        elif isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, 0.0, math.sqrt(2 / module.weight[0].numel()))
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)
