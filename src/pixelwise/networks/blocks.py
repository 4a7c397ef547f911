"""Building blocks of all networks: modules with a `layer_graph`.

Maps are (batch, channels, height, width), or (batch, channels, depth, height, width) if `dimensions` is 3.
"""

import math
from collections.abc import Callable, Iterable

from torch import Tensor, nn

from pixelwise.geometry.layer_graph import Branch, LayerGraph, LayerSpec, Merge, Save, axis_fields
from pixelwise.networks.layers import (
    CONVOLUTIONS,
    MAXIMA,
    TRANSPOSED,
    Extent,
    Upsampling,
    half,
    make_interpolation,
    make_normalisation,
    per_axis,
)
from pixelwise.networks.options import NormalisationName


class Block(nn.Module):
    """A module that lists its layers: subclasses set `_layer_graph`."""

    _layer_graph: LayerGraph

    def layer_graph(self) -> LayerGraph:
        """Return the layers."""
        return self._layer_graph


class ConvLayer(nn.Sequential):
    """Convolution, normalisation and activation.

    Parameters
    ----------
    name : str
        Name of the layer in tables.
    in_channels : int
        Channels of the input.
    channels : int
        Channels of the output.
    kernel : int or tuple of int
        Side of the kernel in pixels; of each axis if they differ.
    stride : int or tuple of int
        Stride of the kernel; 2 halves the size.
    padding : int or tuple of int, optional
        By default half of the kernel, which keeps the size; 0 for valid convolutions (as in 2015).
    normalisation : {"batch", "group", "instance", "none"}
        Between convolution and activation; see `make_normalisation`.
    activation : callable, optional
        Channels -> module; ReLU by default. None for no activation.
    bias : bool, optional
        By default only without normalisation, which would remove it.
    dimensions : {2, 3}
        Spatial axes of the maps.

    Examples
    --------
    >>> import torch
    >>> layer = ConvLayer("conv", 3, 8, stride=2)
    >>> layer(torch.zeros(1, 3, 64, 48)).shape
    torch.Size([1, 8, 32, 24])
    >>> [spec.name for spec in layer.layer_graph()]
    ['conv']
    """

    def __init__(
        self,
        name: str,
        in_channels: int,
        channels: int,
        *,
        kernel: Extent = 3,
        stride: Extent = 1,
        padding: Extent | None = None,
        normalisation: NormalisationName = "batch",
        activation: Callable[[int], nn.Module] | None = lambda channels: nn.ReLU(inplace=True),
        bias: bool | None = None,
        dimensions: int = 2,
    ) -> None:
        padding = half(kernel) if padding is None else padding
        bias = normalisation == "none" if bias is None else bias
        conv = CONVOLUTIONS[dimensions](in_channels, channels, kernel, stride, padding, bias=bias)
        layers = [conv, *make_normalisation(normalisation, channels, dimensions)]
        if activation is not None:
            layers.append(activation(channels))
        super().__init__(*layers)
        self._spec = convolution_spec(name, conv, *layers[1:])

    def layer_graph(self) -> LayerGraph:
        """Return the layer."""
        return [self._spec]


class ConvBlock(Block):
    """Two convolutions of 3 x 3, each followed by normalisation and ReLU.

    Parameters
    ----------
    name : str
        Prefix of the layer names in tables.
    in_channels, channels, dimensions, bias
        As for `ConvLayer`.
    middle : int, optional
        Channels after the first of the two convolutions; by default `channels`.
    padding : int, optional
        By default the size is kept; 0 removes a pixel per side and convolution (valid, as in 2015).
    kernel : int or tuple of int
        Side of both kernels; of each axis if they differ.
    first : (int or tuple of int, int or tuple of int), optional
        Kernel and padding of the first of the two convolutions, if they differ from those of the second.
    normalisation : {"batch", "group", "instance", "none"}
        After each convolution; see `make_normalisation`.
    dropout : float
        Dropout probability after the last ReLU; 0 for none.

    Examples
    --------
    >>> import torch
    >>> ConvBlock("enc1", 1, 4)(torch.zeros(1, 1, 16, 16)).shape
    torch.Size([1, 4, 16, 16])
    >>> ConvBlock("enc1", 1, 4, padding=0)(torch.zeros(1, 1, 16, 16)).shape
    torch.Size([1, 4, 12, 12])
    """

    def __init__(
        self,
        name: str,
        in_channels: int,
        channels: int,
        *,
        middle: int | None = None,
        padding: Extent | None = None,
        kernel: Extent = 3,
        first: tuple[Extent, Extent] | None = None,
        normalisation: NormalisationName = "batch",
        dropout: float = 0.0,
        dimensions: int = 2,
        bias: bool | None = None,
    ) -> None:
        super().__init__()
        middle = middle or channels
        kwargs = {"kernel": kernel, "padding": padding, "normalisation": normalisation, "dimensions": dimensions}
        kwargs["bias"] = bias
        own = kwargs if first is None else kwargs | dict(zip(("kernel", "padding"), first, strict=True))
        one = ConvLayer(f"{name} conv a", in_channels, middle, **own)  # type: ignore[arg-type]
        two = ConvLayer(f"{name} conv b", middle, channels, **kwargs)  # type: ignore[arg-type]
        self._layer_graph = [*one.layer_graph(), *two.layer_graph()]
        rest: list[nn.Module] = [nn.Dropout(dropout)] if dropout else []
        self.layers = nn.Sequential(*one, *two, *rest)

    def forward(self, features: Tensor) -> Tensor:
        """(batch, in_channels, h, w) -> (batch, channels, h', w')."""
        return self.layers(features)


class Chain(nn.Sequential):
    """A sequence of modules with a `layer_graph`.

    Examples
    --------
    >>> chain = Chain(Pool("pool", 4), ConvLayer("conv", 4, 8))
    >>> [spec.name for spec in chain.layer_graph()]
    ['pool', 'conv']
    """

    def layer_graph(self) -> LayerGraph:
        """Return the layers of all modules."""
        return [spec for module in self for spec in module.layer_graph()]  # type: ignore[operator]


class Pool(Block):
    """Max pooling over 2 x 2, which halves all sides.

    Parameters
    ----------
    channels : int
        Channels of input and output.
    name, dimensions
        As for `ConvLayer`.
    stride : int or tuple of int
        Size and stride of the window; of each axis if they differ.

    Examples
    --------
    >>> import torch
    >>> Pool("pool", 1)(torch.arange(4.0).reshape(1, 1, 2, 2)).item()
    3.0
    """

    def __init__(self, name: str, channels: int, dimensions: int = 2, stride: Extent = 2) -> None:
        super().__init__()
        self.layer = MAXIMA[dimensions](stride)
        strides = per_axis(stride, dimensions)
        fields = axis_fields(strides, strides, (0,) * dimensions)
        spec = LayerSpec(name=name, kind="pooling", in_channels=channels, channels=channels, **fields)
        self._layer_graph = [spec]

    def forward(self, features: Tensor) -> Tensor:
        """(batch, channels, h, w) -> (batch, channels, h / 2, w / 2)."""
        return self.layer(features)


class Up(Block):
    """Upsampling by 2: a transposed convolution of 2 x 2 to `channels`, or interpolation, which keeps the channels.

    Parameters
    ----------
    name, in_channels, dimensions
        As for `ConvLayer`.
    channels : int
        Channels of the output of a transposed convolution; ignored by interpolation.
    upsampling : {"transposed", "bilinear", "nearest"}
        Method of upsampling.
    activation : callable, optional
        Channels -> module applied afterwards; None for no activation.
    stride : int or tuple of int
        Factor of the upsampling; of each axis if they differ.

    Attributes
    ----------
    channels : int
        Channels of the output.

    Examples
    --------
    >>> import torch
    >>> Up("up", 8, 4, "transposed")(torch.zeros(1, 8, 5, 7)).shape
    torch.Size([1, 4, 10, 14])
    >>> Up("up", 8, 4, "nearest").channels
    8
    """

    def __init__(
        self,
        name: str,
        in_channels: int,
        channels: int,
        upsampling: Upsampling,
        dimensions: int = 2,
        activation: Callable[[int], nn.Module] | None = None,
        stride: Extent = 2,
    ) -> None:
        super().__init__()
        if upsampling == "transposed":
            self.layer: nn.Module = TRANSPOSED[dimensions](in_channels, channels, stride, stride=stride)
            self.channels = channels
        else:
            self.layer = make_interpolation(upsampling, dimensions, stride)
            self.channels = in_channels
        strides, ones = per_axis(stride, dimensions), (1,) * dimensions
        self.activation = activation(self.channels) if activation is not None else nn.Identity()
        spec = LayerSpec(
            name=name,
            kind=upsampling,
            **axis_fields(strides if upsampling == "transposed" else ones, strides, (0,) * dimensions),
            in_channels=in_channels,
            channels=self.channels,
            parameters=count_parameters([self.layer, self.activation]),
        )
        self._layer_graph = [spec]

    def forward(self, features: Tensor) -> Tensor:
        """(batch, in_channels, h, w) -> (batch, channels, 2 h, 2 w)."""
        return self.activation(self.layer(features))


class Head(Block):
    """Convolution from features to logits.

    Parameters
    ----------
    classes : int
        Channels of the logits.
    kernel : int
        Side of the kernel, an odd number; padding keeps the size.
    name, in_channels, dimensions
        As for `ConvLayer`.

    Examples
    --------
    >>> import torch
    >>> Head(16, 2)(torch.zeros(1, 16, 9, 9)).shape
    torch.Size([1, 2, 9, 9])
    """

    def __init__(
        self, in_channels: int, classes: int, *, kernel: int = 1, dimensions: int = 2, name: str = "head"
    ) -> None:
        super().__init__()
        self.layer = CONVOLUTIONS[dimensions](in_channels, classes, kernel, padding=kernel // 2)
        self._layer_graph = [convolution_spec(name, self.layer)]

    def forward(self, features: Tensor) -> Tensor:
        """(batch, in_channels, h, w) -> (batch, classes, h, w)."""
        return self.layer(features)


def convolution_spec(name: str, conv: nn.Conv2d | nn.Conv3d, *following: nn.Module) -> LayerSpec:
    """Return the `LayerSpec` of a convolution, with the parameters of the modules that belong to it.

    Examples
    --------
    >>> spec = convolution_spec("conv", nn.Conv2d(3, 8, 3, stride=2, padding=1))
    >>> spec.kernel, spec.stride, spec.padding, spec.parameters
    (3, 2, 1, 224)
    """
    return LayerSpec(
        name=name,
        kind="convolution",
        **axis_fields(conv.kernel_size, conv.stride, [int(side) for side in conv.padding]),
        in_channels=conv.in_channels,
        channels=conv.out_channels,
        parameters=count_parameters([conv, *following]),
    )


def pooling_spec(name: str, channels: int, kernel: int, stride: int, padding: int = 0) -> LayerSpec:
    """Return the `LayerSpec` of a max pooling.

    Examples
    --------
    >>> pooling_spec("pool", 8, 2, 2).kind
    'pooling'
    """
    return LayerSpec(
        name=name,
        kind="pooling",
        kernel=kernel,
        stride=stride,
        padding=padding,
        in_channels=channels,
        channels=channels,
    )


def residual_graph(name: str, main: LayerGraph, shortcut: LayerGraph) -> LayerGraph:
    """Return the layer graph of a residual block: the sum of a main path and a shortcut.

    Parameters
    ----------
    name : str
        Name of the block, used for the saved maps.
    main : LayerGraph
        Layers of the main path.
    shortcut : LayerGraph
        Layers of the shortcut; empty for the identity.

    Examples
    --------
    >>> conv = ConvLayer("conv", 4, 4).layer_graph()
    >>> [type(element).__name__ for element in residual_graph("block", conv, [])]
    ['Save', 'LayerSpec', 'Merge']
    """
    start, end = f"{name} in", f"{name} out"
    if not shortcut:
        return [Save(start), *main, Merge(start, "added")]
    return [Save(start), *main, Save(end), Branch(start), *shortcut, Merge(end, "added")]


def count_parameters(modules: Iterable[nn.Module]) -> int:
    """Count the parameters of `modules`.

    Examples
    --------
    >>> count_parameters([nn.Conv2d(3, 8, 3)])  # 3 x 8 kernels of 3 x 3, and 8 biases
    224
    """
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


def has_values(network: nn.Module) -> bool:
    """Return whether the weights have values; those on the "meta" device do not.

    Initialising meta tensors has no effect, but makes PyTorch load its compiler, which takes half a second.

    Examples
    --------
    >>> has_values(nn.Linear(1, 1)), has_values(nn.Linear(1, 1, device="meta"))
    (True, False)
    """
    return not next(network.parameters()).is_meta


def initialise(network: nn.Module) -> None:
    """Initialise kernels from a normal distribution of standard deviation sqrt(2 / N), N inputs per neuron; biases 0.

    He et al. 2015 (arXiv 1502.01852), as in section 3 of the U-Net paper: N = 9 x 64 for a 3 x 3 convolution on 64
    channels. An output pixel of a 2 x 2 transposed convolution of stride 2 depends on one input pixel, so N is the
    number of input channels there.

    Examples
    --------
    >>> layer = nn.Conv2d(64, 64, 3)
    >>> initialise(layer)
    >>> round(layer.weight.std().item(), 2) == round((2 / (9 * 64)) ** 0.5, 2)
    True
    """
    if not has_values(network):
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
