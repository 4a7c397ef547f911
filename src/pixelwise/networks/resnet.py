"""ResNet encoders: He et al. 2015, "Deep residual learning for image recognition" (arXiv 1512.03385)."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from pixelwise.geometry.layer_graph import Branch, LayerGraph, LayerSpec, Merge, Save
from pixelwise.networks.blocks import convolution_spec, count_parameters, has_values, pooling_spec
from pixelwise.networks.residual import ResidualBlock
from pixelwise.networks.stages import run_stages

Stem = Literal["7x7", "deep", "3x3"]


class ResNetEncoder(nn.Module):
    """A stem and stages of residual blocks; parameter names as in torchvision.

    Parameters
    ----------
    in_channels : int
        Channels of the image.
    make_block : callable
        (name, in_channels, channels, stride) -> block.
    widths : sequence of int
        Channels of each stage; those after the first halve the size.
    blocks : sequence of int
        Blocks of each stage.
    stem : {"7x7", "deep", "3x3"}
        7x7 of stride 2 and max pooling of stride 2 (the paper); three 3x3 instead of 7x7 (variant C of He et al. 2019);
        one 3x3 of stride 1 without pooling (the paper's networks for CIFAR-10, section 4.2).
    stem_channels : int
        Channels of the stem.

    Attributes
    ----------
    channels : tuple of int
        Of the skips. With stem "3x3" the first skip is the first stage, at full resolution; otherwise the stem, at half
        the resolution.
    strides : tuple of int
        Image pixels per pixel of each skip.

    Examples
    --------
    >>> import torch
    >>> from functools import partial
    >>> encoder = ResNetEncoder(3, partial(ResidualBlock, shortcut="B"), [4, 8], [1, 1], stem_channels=4)
    >>> [tuple(skip.shape) for skip in encoder(torch.zeros(1, 3, 64, 64))]
    [(1, 4, 32, 32), (1, 4, 16, 16), (1, 8, 8, 8)]
    """

    def __init__(
        self,
        in_channels: int,
        make_block: Callable[[str, int, int, int], ResidualBlock],
        widths: Sequence[int],
        blocks: Sequence[int],
        *,
        stem: Stem = "7x7",
        stem_channels: int = 64,
    ) -> None:
        super().__init__()
        self._small = stem == "3x3"
        self.conv1, specs = _make_stem(stem, in_channels, stem_channels)
        self.bn1 = nn.BatchNorm2d(stem_channels)
        self._stem_graph = _with_norm(specs, self.bn1)
        self.stages: list[str] = []
        source = stem_channels
        for index, (width, count) in enumerate(zip(widths, blocks, strict=True)):
            name = f"layer{index + 1}"
            stage: list[nn.Module] = []
            for place in range(count):
                stride = 2 if index > 0 and place == 0 else 1
                stage.append(make_block(f"{name}.{place}", source, width, stride))
                source = width
            setattr(self, name, nn.Sequential(*stage))
            self.stages.append(name)
        self.channels = tuple(widths) if self._small else (stem_channels, *widths)
        self.strides = tuple((1 if self._small else 2) * 2**i for i in range(len(self.channels)))
        self.ends_on_pooling = False

    def forward(self, image: Tensor) -> list[Tensor]:
        """(batch, in_channels, h, w) -> one map per skip, fine to coarse."""
        return run_stages(self, image)

    def stage(self, index: int, features: Tensor) -> Tensor:
        """Return map `index` from the previous one, or from the image for 0."""
        if index == 0:
            features = functional.relu(self.bn1(self.conv1(features)), inplace=True)
            return getattr(self, self.stages[0])(features) if self._small else features
        if self._small:
            return getattr(self, self.stages[index])(features)
        if index == 1:
            features = functional.max_pool2d(features, 3, 2, 1)
        return getattr(self, self.stages[index - 1])(features)

    def parts(self) -> list[list[nn.Module]]:
        """Return the parameter groups of fine-tuning, coarse stages last."""
        return [[self.conv1, self.bn1], *([getattr(self, name)] for name in self.stages)]

    def layer_graph(self) -> LayerGraph:
        """Return the layers, with a `Save` for each skip."""
        layer_graph: list[LayerSpec | Save | Branch | Merge] = [*self._stem_graph]
        skip = 0
        if not self._small:
            width = layer_graph[-1].channels  # type: ignore[union-attr]
            layer_graph += [Save("0"), pooling_spec("maximum", width, 3, 2, 1)]
            skip = 1
        for index, name in enumerate(self.stages):
            for block in getattr(self, name):
                layer_graph += block.layer_graph()
            if index < len(self.stages) - 1:
                layer_graph.append(Save(str(index + skip)))
        return layer_graph


def initialise_resnet(network: nn.Module, *, zero_init_residual: bool) -> None:
    """Initialise convolutions as Kaiming normal (fan-out, ReLU); normalisations are 1 and 0.

    He et al. 2015 (arXiv 1502.01852), as in torchvision and timm. `zero_init_residual` initialises the last
    normalisation of each block to 0, so that the block is initially its shortcut (Goyal et al. 2017, arXiv 1706.02677,
    section 5.1).

    Examples
    --------
    >>> block = ResidualBlock("block", 4, 4, 1, shortcut="B")
    >>> initialise_resnet(block, zero_init_residual=True)
    >>> block.last_norm.weight.tolist()
    [0.0, 0.0, 0.0, 0.0]
    """
    if not has_values(network):
        return
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, ResidualBlock) and zero_init_residual:
            nn.init.zeros_(module.last_norm.weight)


def _make_stem(stem: Stem, in_channels: int, channels: int) -> tuple[nn.Module, list[LayerSpec]]:
    """Return the convolutions of the stem, without the last normalisation, and their layers."""
    if stem != "deep":
        kernel, stride = (7, 2) if stem == "7x7" else (3, 1)
        conv = nn.Conv2d(in_channels, channels, kernel, stride, kernel // 2, bias=False)
        return conv, [convolution_spec("stem", conv)]
    half = channels // 2
    one = nn.Conv2d(in_channels, half, 3, 2, 1, bias=False)
    two = nn.Conv2d(half, half, 3, 1, 1, bias=False)
    three = nn.Conv2d(half, channels, 3, 1, 1, bias=False)
    norms = nn.BatchNorm2d(half), nn.BatchNorm2d(half)
    layers = nn.Sequential(one, norms[0], nn.ReLU(inplace=True), two, norms[1], nn.ReLU(inplace=True), three)
    specs = [
        convolution_spec("stem a", one, norms[0]),
        convolution_spec("stem b", two, norms[1]),
        convolution_spec("stem c", three),
    ]
    return layers, specs


def _with_norm(specs: list[LayerSpec], norm: nn.Module) -> list[LayerSpec]:
    """Add the parameters of the last normalisation of the stem to its last convolution."""
    last = replace(specs[-1], parameters=specs[-1].parameters + count_parameters([norm]))
    return [*specs[:-1], last]
