"""The bricks of every network: each is a module that tells the steps it takes (`layer_graph`).

Maps are (batch, channels, height, width), or (batch, channels, depth, height, width) where `dimensions` is 3.
"""

import math
from collections.abc import Callable, Iterable
from typing import Literal

from torch import Tensor, nn

from pixelwise.geometry.layer_graph import Branch, LayerGraph, LayerSpec, Merge, Save
from pixelwise.networks.convolutions import CONVOLUTIONS
from pixelwise.networks.options import NormalisationName

Upsampling = Literal["transposed", "bilinear", "nearest"]

GROUP_CHANNELS = 8  # channels per group: many small groups come close to instance normalisation (Zhou & Yang)
TRANSPOSED = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
MAXIMA = {2: nn.MaxPool2d, 3: nn.MaxPool3d}
BATCH_NORMS = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
INSTANCE_NORMS = {2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}


class ConvLayer(nn.Sequential):
    """A convolution, its normalisation and its activation.

    Parameters
    ----------
    name : str
        Of the layer in tables.
    in_channels, channels : int
    kernel, stride : int
    padding : int, optional
        By default half of the kernel, which keeps the size; 0 loses pixels at each border (valid, as in 2015).
    normalisation : {"batch", "group", "instance", "none"}
    activation : callable, optional
        Channels -> module; ReLU by default. None leaves it out.
    bias : bool, optional
        By default only without normalisation: a shift before it is taken out again by it.
    dimensions : {2, 3}
    """

    def __init__(
        self,
        name: str,
        in_channels: int,
        channels: int,
        *,
        kernel: int = 3,
        stride: int = 1,
        padding: int | None = None,
        normalisation: NormalisationName = "batch",
        activation: Callable[[int], nn.Module] | None = lambda channels: nn.ReLU(inplace=True),
        bias: bool | None = None,
        dimensions: int = 2,
    ) -> None:
        padding = kernel // 2 if padding is None else padding
        bias = normalisation == "none" if bias is None else bias
        conv = CONVOLUTIONS[dimensions](in_channels, channels, kernel, stride, padding, bias=bias)
        layers = [conv, *make_normalisation(normalisation, channels, dimensions)]
        if activation is not None:
            layers.append(activation(channels))
        super().__init__(*layers)
        self._step = LayerSpec(
            name=name,
            kind="convolution",
            kernel=kernel,
            stride=stride,
            padding=padding,
            in_channels=in_channels,
            channels=channels,
            parameters=count_parameters(layers),
        )

    def layer_graph(self) -> LayerGraph:
        """Return the one step."""
        return [self._step]


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
    dimensions : {2, 3}
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
        dimensions: int = 2,
    ) -> None:
        super().__init__()
        middle = middle or channels
        how = {"padding": padding, "normalisation": normalisation, "dimensions": dimensions}
        first = ConvLayer(f"{name} conv a", in_channels, middle, **how)  # type: ignore[arg-type]
        second = ConvLayer(f"{name} conv b", middle, channels, **how)  # type: ignore[arg-type]
        self._steps = [*first.layer_graph(), *second.layer_graph()]
        rest: list[nn.Module] = [nn.Dropout(dropout)] if dropout else []
        self.layers = nn.Sequential(*first, *second, *rest)

    def forward(self, features: Tensor) -> Tensor:
        """(batch, in_channels, h, w) -> (batch, channels, h', w')."""
        return self.layers(features)

    def layer_graph(self) -> LayerGraph:
        """Return the steps of the convolutions."""
        return self._steps


class Chain(nn.Sequential):
    """Parts that tell their steps, one behind the other."""

    def layer_graph(self) -> LayerGraph:
        """Return the steps of all parts."""
        return [step for part in self for step in part.layer_graph()]  # type: ignore[operator]


class Pool(nn.Module):
    """Maximum over 2 x 2, which halves all sides."""

    def __init__(self, name: str, channels: int, dimensions: int = 2) -> None:
        super().__init__()
        self.layer = MAXIMA[dimensions](2)
        self._step = LayerSpec(name=name, kind="pooling", kernel=2, stride=2, in_channels=channels, channels=channels)

    def forward(self, features: Tensor) -> Tensor:
        """(batch, channels, h, w) -> (batch, channels, h / 2, w / 2)."""
        return self.layer(features)

    def layer_graph(self) -> LayerGraph:
        """Return the one step."""
        return [self._step]


class Up(nn.Module):
    """Doubles all sides: a transposed convolution of 2 x 2 to `channels`, or interpolation that keeps them.

    `activation` (channels -> module) follows the transposed convolution where a network has one there.
    """

    def __init__(
        self,
        name: str,
        in_channels: int,
        channels: int,
        upsampling: Upsampling,
        dimensions: int = 2,
        activation: Callable[[int], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        if upsampling == "transposed":
            self.layer: nn.Module = TRANSPOSED[dimensions](in_channels, channels, 2, stride=2)
            self.channels = channels
        else:
            self.layer = make_interpolation(upsampling, dimensions)
            self.channels = in_channels
        self.activation = activation(self.channels) if activation is not None else nn.Identity()
        self._step = LayerSpec(
            name=name,
            kind=upsampling,
            kernel=2 if upsampling == "transposed" else 1,
            stride=2,
            in_channels=in_channels,
            channels=self.channels,
            parameters=count_parameters([self.layer, self.activation]),
        )

    def forward(self, features: Tensor) -> Tensor:
        """(batch, in_channels, h, w) -> (batch, channels, 2 h, 2 w)."""
        return self.activation(self.layer(features))

    def layer_graph(self) -> LayerGraph:
        """Return the one step."""
        return [self._step]


class Head(nn.Module):
    """A convolution from features to logits: of 1 x 1, or of `kernel`, padded."""

    def __init__(
        self, in_channels: int, classes: int, *, kernel: int = 1, dimensions: int = 2, name: str = "head"
    ) -> None:
        super().__init__()
        self.layer = CONVOLUTIONS[dimensions](in_channels, classes, kernel, padding=kernel // 2)
        self._step = LayerSpec(
            name=name,
            kind="convolution",
            kernel=kernel,
            padding=kernel // 2,
            in_channels=in_channels,
            channels=classes,
            parameters=count_parameters([self.layer]),
        )

    def forward(self, features: Tensor) -> Tensor:
        """(batch, in_channels, h, w) -> (batch, classes, h, w)."""
        return self.layer(features)

    def layer_graph(self) -> LayerGraph:
        """Return the one step."""
        return [self._step]


def side_by_side(name: str, main: LayerGraph, shortcut: LayerGraph) -> LayerGraph:
    """Return the trail of a residual block: a main path, and beside it a shortcut (empty: the identity), added."""
    start, end = f"{name} in", f"{name} out"
    if not shortcut:
        return [Save(start), *main, Merge(start, "added")]
    return [Save(start), *main, Save(end), Branch(start), *shortcut, Merge(end, "added")]


def make_normalisation(name: NormalisationName, channels: int, dimensions: int = 2) -> list[nn.Module]:
    """Return the normalisation layer as a list: empty for "none"."""
    if name == "batch":
        return [BATCH_NORMS[dimensions](channels)]
    if name == "group":
        return [nn.GroupNorm(math.gcd(channels, max(1, channels // GROUP_CHANNELS)), channels)]
    if name == "instance":
        return [INSTANCE_NORMS[dimensions](channels, affine=True)]
    return []


def make_interpolation(kind: Upsampling, dimensions: int = 2) -> nn.Module:
    """Return the layer that doubles all sides without weights; "bilinear" is trilinear in three dimensions."""
    if kind == "nearest":
        return nn.Upsample(scale_factor=2, mode="nearest")
    return nn.Upsample(scale_factor=2, mode="bilinear" if dimensions == 2 else "trilinear", align_corners=False)


def count_parameters(modules: Iterable[nn.Module]) -> int:
    """Count the learned numbers in `modules`."""
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


def has_memory(network: nn.Module) -> bool:
    """Tell whether weights can be drawn: those of the "meta" device have sizes and no values.

    Nothing would be drawn into them, but PyTorch loads its whole compiler to find out: half a second at every start.
    """
    return not next(network.parameters()).is_meta


def initialise(network: nn.Module) -> None:
    """Draw kernels from a normal distribution of deviation sqrt(2 / N), N inputs of one neuron; biases are 0.

    He et al. 2015 (arXiv 1502.01852), as the U-Net paper asks for in section 3: N = 9 x 64 for a 3 x 3 convolution on
    64 channels. One output pixel of a 2 x 2 transposed convolution of stride 2 sees one input pixel, so there N is
    the number of input channels.
    """
    if not has_memory(network):
        return
    for module in network.modules():
        if isinstance(module, nn.ConvTranspose2d | nn.ConvTranspose3d):
            nn.init.normal_(module.weight, 0.0, math.sqrt(2 / module.in_channels))
        elif isinstance(module, nn.Conv2d | nn.Conv3d):
            nn.init.normal_(module.weight, 0.0, math.sqrt(2 / module.weight[0].numel()))
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)
