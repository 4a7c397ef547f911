"""Residual blocks of U-Nets: pre-activation (ResUNet), nnU-Net (ResEnc) and V-Net."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from pixelwise.geometry.layer_graph import LayerGraph, LayerSpec
from pixelwise.networks.blocks import Block, ConvLayer, convolution_spec, residual_graph
from pixelwise.networks.layers import AVERAGES, CONVOLUTIONS, Extent, half, make_convolution, make_normalisation
from pixelwise.networks.options import NormalisationName
from pixelwise.networks.residual import average_spec


class PreActivationUnit(Block):
    """norm-ReLU-conv, norm-ReLU-conv, plus a shortcut, with a 1 x 1 projection if the size changes.

    He et al. 2016 (arXiv 1603.05027), figure 4e, as in the Deep ResUNet (Zhang et al. 2018, figure 1b).

    Parameters
    ----------
    name, in_channels, channels, stride, kernel, dimensions
        As for `ConvLayer`; `stride` is that of the first convolution.
    normalisation : {"batch", "group", "instance", "none"}
        Before each ReLU; see `make_normalisation`.
    first : bool
        Omit the first normalisation and ReLU, as in the first unit of that network.

    Examples
    --------
    >>> PreActivationUnit("enc2", 4, 8, stride=2)(torch.zeros(1, 4, 16, 16)).shape
    torch.Size([1, 8, 8, 8])
    """

    def __init__(
        self,
        name: str,
        in_channels: int,
        channels: int,
        *,
        stride: Extent = 1,
        kernel: Extent = 3,
        normalisation: NormalisationName = "batch",
        first: bool = False,
        dimensions: int = 2,
    ) -> None:
        super().__init__()
        conv = CONVOLUTIONS[dimensions]
        before = [] if first else [*make_normalisation(normalisation, in_channels, dimensions), nn.ReLU()]
        one = conv(in_channels, channels, kernel, stride, half(kernel))
        between = [*make_normalisation(normalisation, channels, dimensions), nn.ReLU()]
        two = conv(channels, channels, kernel, 1, half(kernel))
        self.layers = nn.Sequential(*before, one, *between, two)
        main = [convolution_spec(f"{name} conv a", one, *before), convolution_spec(f"{name} conv b", two, *between)]
        shortcut_graph: LayerGraph = []
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != channels:
            projection = make_convolution(in_channels, channels, 1, stride, dimensions=dimensions)
            self.shortcut, shortcut_graph = projection, [convolution_spec(f"{name} shortcut", projection)]
        self._layer_graph = residual_graph(name, main, shortcut_graph)

    def forward(self, features: Tensor) -> Tensor:
        """(batch, in_channels, h, w) -> (batch, channels, h / stride, w / stride)."""
        return self.layers(features) + self.shortcut(features)


class ResEncBlock(Block):
    """conv-norm-act, conv-norm, add, act; the shortcut has average pooling, and a projection if channels change.

    The residual encoder of nnU-Net (Isensee et al. 2024, arXiv 2404.09556): the basic block of ResNet-D. Its last
    normalisation is initialised to 0, so that each block is initially its shortcut.

    Parameters
    ----------
    name, in_channels, channels, stride, kernel, dimensions
        As for `ConvLayer`; `stride` is that of the first convolution.
    normalisation : {"batch", "group", "instance", "none"}
        After each convolution; see `make_normalisation`.
    activation : callable
        Channels -> module, after the first normalisation and after the sum.

    Examples
    --------
    >>> block = ResEncBlock("enc2.0", 4, 8, stride=2, activation=lambda channels: nn.ReLU())
    >>> block(torch.zeros(1, 4, 16, 16)).shape
    torch.Size([1, 8, 8, 8])
    """

    def __init__(
        self,
        name: str,
        in_channels: int,
        channels: int,
        *,
        stride: Extent = 1,
        kernel: Extent = 3,
        normalisation: NormalisationName = "batch",
        activation: Callable[[int], nn.Module],
        dimensions: int = 2,
    ) -> None:
        super().__init__()
        kwargs = {"normalisation": normalisation, "dimensions": dimensions, "bias": True}
        shared = {**kwargs, "kernel": kernel}
        first = ConvLayer(f"{name} conv a", in_channels, channels, stride=stride, activation=activation, **shared)  # type: ignore[arg-type]
        second = ConvLayer(f"{name} conv b", channels, channels, activation=None, **shared)  # type: ignore[arg-type]
        self.layers = nn.Sequential(first, second)
        self.activation = activation(channels)
        shortcut_graph: list[LayerSpec] = []
        shortcut: list[nn.Module] = []
        if stride != 1:
            shortcut.append(AVERAGES[dimensions](stride, stride))
            shortcut_graph.append(average_spec(name, in_channels, stride))
        if in_channels != channels:
            projection = ConvLayer(
                f"{name} shortcut",
                in_channels,
                channels,
                kernel=1,
                activation=None,
                **{**kwargs, "bias": False},  # type: ignore[arg-type]
            )
            shortcut.append(projection)
            shortcut_graph += projection.layer_graph()  # type: ignore[arg-type]
        self.shortcut = nn.Sequential(*shortcut)
        self._layer_graph = residual_graph(name, [*first.layer_graph(), *second.layer_graph()], shortcut_graph)

    @property
    def last_norm(self) -> nn.Module:
        """The normalisation that is initialised to 0."""
        return self.layers[1][-1]  # type: ignore[index,return-value]

    def forward(self, features: Tensor) -> Tensor:
        """(batch, in_channels, h, w) -> (batch, channels, h / stride, w / stride)."""
        return self.activation(self.layers(features) + self.shortcut(features))


class VNetStage(Block):
    """`count` convolutions of 5 x 5 with PReLU; the input of the stage is added before the last PReLU.

    Milletari et al. 2016 (arXiv 1606.04797), section 2 and figure 2. An input with fewer channels is repeated to the
    width of the stage.

    Parameters
    ----------
    name, in_channels, channels, dimensions
        As for `ConvLayer`.
    count : int
        Number of convolutions, 1 to 3.
    kernel : int or tuple of int
        Side of all kernels; of each axis if they differ.
    normalisation : {"batch", "group", "instance", "none"}
        After each convolution; the paper has none.

    Examples
    --------
    >>> VNetStage("enc1", 1, 4, count=2, dimensions=3)(torch.zeros(1, 1, 8, 8, 8)).shape
    torch.Size([1, 4, 8, 8, 8])
    """

    def __init__(
        self,
        name: str,
        in_channels: int,
        channels: int,
        *,
        count: int,
        kernel: Extent = 5,
        normalisation: NormalisationName = "none",
        dimensions: int = 2,
    ) -> None:
        super().__init__()
        self._in, self._channels = in_channels, channels
        layers: list[nn.Module] = []
        specs: list[LayerSpec] = []
        for index in range(count):
            source = in_channels if index == 0 else channels
            last = index == count - 1
            layer = ConvLayer(
                f"{name} conv {'abc'[index]}",
                source,
                channels,
                kernel=kernel,
                normalisation=normalisation,
                activation=None if last else nn.PReLU,
                bias=True,
                dimensions=dimensions,
            )
            layers.append(layer)
            specs += layer.layer_graph()  # type: ignore[arg-type]
        self.layers, self.activation = nn.Sequential(*layers), nn.PReLU(channels)
        specs[-1] = replace(specs[-1], parameters=specs[-1].parameters + channels)
        self._layer_graph = residual_graph(name, specs, [])

    def forward(self, features: Tensor) -> Tensor:
        """(batch, in_channels, h, w) -> (batch, channels, h, w)."""
        shortcut = features
        if self._in != self._channels:
            times = -(-self._channels // self._in)
            shortcut = torch.cat([features] * times, dim=1)[:, : self._channels]
        return self.activation(self.layers(features) + shortcut)
