"""Residual blocks of ResNets: He et al. 2015 (arXiv 1512.03385)."""

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from pixelwise.geometry.layer_graph import LayerGraph, LayerSpec, axis_fields
from pixelwise.networks.blocks import Block, convolution_spec, residual_graph
from pixelwise.networks.layers import make_convolution
from pixelwise.networks.options import ShortcutPadding

Shortcut = Literal["A", "B", "C", "D", "none"]

BOTTLENECK_EXPANSION = 4  # channels of a bottleneck's output per channel of its 3 x 3 convolution


class ResidualBlock(Block):
    """A residual block of two or three convolutions and a shortcut; parameter names as in torchvision.

    He et al. 2015, figure 5: each convolution is followed by normalisation, and by ReLU except the last; the shortcut
    is added; ReLU. A basic block (left, and figure 2) has two convolutions of 3 x 3. A bottleneck (right) has 1 x 1 to
    a quarter of the channels, 3 x 3, and 1 x 1 back.

    Parameters
    ----------
    name, in_channels, channels
        As for `ConvLayer`.
    stride : int
        Of one of the convolutions; 2 halves the size. In a basic block it is the first.
    shortcut : {"A", "B", "C", "D", "none"}
        See `make_shortcut`; "none" is the plain network without shortcuts.
    bottleneck : bool
        Three convolutions instead of two.
    stride_first : bool
        In a bottleneck, the stride is in the first 1 x 1 (the paper, V1) instead of the 3 x 3 (V1.5, as in
        torchvision). Weights have equal shapes but are not interchangeable.
    shortcut_padding : {"end", "both"}
        Of shortcut A; see `PaddedIdentity`.

    Examples
    --------
    >>> import torch
    >>> ResidualBlock("block", 4, 8, 2, shortcut="B")(torch.zeros(1, 4, 16, 16)).shape
    torch.Size([1, 8, 8, 8])
    >>> block = ResidualBlock("block", 4, 8, 2, shortcut="B", bottleneck=True)
    >>> [layer.kernel for layer in block.layer_graph() if isinstance(layer, LayerSpec)]
    [1, 3, 1, 1]
    """

    def __init__(
        self,
        name: str,
        in_channels: int,
        channels: int,
        stride: int,
        *,
        shortcut: Shortcut,
        bottleneck: bool = False,
        stride_first: bool = False,
        shortcut_padding: ShortcutPadding = "end",
    ) -> None:
        super().__init__()
        convolutions = [(3, channels, stride), (3, channels, 1)]  # kernel, channels, stride
        if bottleneck:
            width = channels // BOTTLENECK_EXPANSION
            early, late = (stride, 1) if stride_first else (1, stride)
            convolutions = [(1, width, early), (3, width, late), (1, channels, 1)]
        main: list[LayerSpec] = []
        source = in_channels
        for place, (kernel, width, step) in enumerate(convolutions):
            conv, norm, layer = _conv_norm(f"{name} conv {'abc'[place]}", source, width, kernel, step)
            setattr(self, f"conv{place + 1}", conv)
            setattr(self, f"bn{place + 1}", norm)
            main.append(layer)
            source = width
        self.plain = shortcut == "none"
        self.count = len(main)
        self.downsample, shortcut_graph = make_shortcut(name, in_channels, channels, stride, shortcut, shortcut_padding)
        self._layer_graph = main if self.plain else residual_graph(name, main, shortcut_graph)

    @property
    def last_norm(self) -> nn.BatchNorm2d:
        """The normalisation that is initialised to 0 by `zero_init_residual`."""
        return getattr(self, f"bn{self.count}")

    def forward(self, features: Tensor) -> Tensor:
        """(batch, in_channels, h, w) -> (batch, channels, h / stride, w / stride)."""
        inner = features
        for place in range(1, self.count + 1):
            inner = getattr(self, f"bn{place}")(getattr(self, f"conv{place}")(inner))
            if place < self.count:
                inner = functional.relu(inner, inplace=True)
        if not self.plain:
            inner += features if self.downsample is None else self.downsample(features)
        return functional.relu(inner, inplace=True)


class PaddedIdentity(nn.Module):
    """Shortcut A: subsampling by `stride` and zero-padded channels; no weights.

    Parameters
    ----------
    in_channels : int
        Channels of the input.
    channels : int
        Channels of the output, at least as many.
    stride : int
        Subsampling factor.
    padding : {"end", "both"}
        "end": zeros after the input channels. "both": half of the zeros (rounded down) before them.

    Examples
    --------
    >>> import torch
    >>> PaddedIdentity(2, 4, 1, "end")(torch.ones(1, 2, 1, 1)).flatten().tolist()
    [1.0, 1.0, 0.0, 0.0]
    >>> PaddedIdentity(2, 4, 1, "both")(torch.ones(1, 2, 1, 1)).flatten().tolist()
    [0.0, 1.0, 1.0, 0.0]
    """

    def __init__(self, in_channels: int, channels: int, stride: int, padding: ShortcutPadding) -> None:
        super().__init__()
        new = channels - in_channels
        self.before = new // 2 if padding == "both" else 0
        self.after = new - self.before
        self.stride = stride

    def forward(self, features: Tensor) -> Tensor:
        """(batch, in_channels, h, w) -> (batch, channels, h / stride, w / stride)."""
        # not features[:, :, ::2, ::2]: for export its symbolic size must equal that of the parallel convolutions
        subsampled = functional.avg_pool2d(features, 1, self.stride)
        return functional.pad(subsampled, (0, 0, 0, 0, self.before, self.after))


def make_shortcut(
    name: str,
    in_channels: int,
    channels: int,
    stride: int,
    shortcut: Shortcut,
    shortcut_padding: ShortcutPadding = "end",
) -> tuple[nn.Module | None, LayerGraph]:
    """Return the shortcut of a residual block (None: the identity) and its layers.

    He et al. 2015, section 4.1: A pads with zeros (at `shortcut_padding`), B projects (1 x 1) where the size changes, C
    always projects; D applies 2 x 2 average pooling before a projection without stride (He et al. 2019, "Bag of
    tricks", figure 2c).

    Parameters
    ----------
    name : str
        Name of the block in tables.
    in_channels : int
        Channels of the block's input.
    channels : int
        Channels of its output.
    stride : int
        Of the block.
    shortcut : {"A", "B", "C", "D", "none"}
        As above; "none" for no shortcut.
    shortcut_padding : {"end", "both"}
        Of shortcut A; see `PaddedIdentity`.

    Examples
    --------
    >>> make_shortcut("block", 4, 4, 1, "B")
    (None, [])
    >>> module, layers = make_shortcut("block", 4, 8, 2, "D")
    >>> [layer.name for layer in layers]
    ['block average', 'block shortcut']
    """
    changes = stride != 1 or in_channels != channels
    if shortcut == "none" or not (changes or shortcut == "C"):
        return None, []
    if shortcut == "A":
        spec = LayerSpec(
            name=f"{name} shortcut", kind="subsampling", stride=stride, in_channels=in_channels, channels=channels
        )
        return PaddedIdentity(in_channels, channels, stride, shortcut_padding), [spec]
    layers: list[nn.Module] = []
    specs: list[LayerSpec] = []
    if shortcut == "D":
        # at odd sizes the last window is partial, because the parallel strided convolution rounds up
        averages = stride != 1
        layers.append(nn.AvgPool2d(2, stride, ceil_mode=True, count_include_pad=False) if averages else nn.Identity())
        if averages:
            specs.append(average_spec(name, in_channels, stride))
        stride = 1
    conv, norm, layer = _conv_norm(f"{name} shortcut", in_channels, channels, 1, stride)
    return nn.Sequential(*layers, conv, norm), [*specs, layer]


def _conv_norm(
    name: str, in_channels: int, channels: int, kernel: int, stride: int
) -> tuple[nn.Module, nn.BatchNorm2d, LayerSpec]:
    """Return a convolution without bias, its batch normalisation, and their layer."""
    conv = make_convolution(in_channels, channels, kernel, stride, bias=False)
    norm = nn.BatchNorm2d(channels)
    return conv, norm, convolution_spec(name, conv, norm)


def average_spec(name: str, channels: int, stride: int | tuple[int, ...]) -> LayerSpec:
    """Return the `LayerSpec` of the average pooling of a shortcut (ResNet-D), including a partial last window.

    Examples
    --------
    >>> average_spec("block", 8, 2).name
    'block average'
    """
    strides = (stride,) if isinstance(stride, int) else stride
    return LayerSpec(
        name=f"{name} average",
        kind="average",
        **axis_fields(strides, strides, (0,) * len(strides)),
        in_channels=channels,
        channels=channels,
        ceil=True,
    )
