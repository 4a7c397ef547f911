"""Encoders (backbones): from an image to skip connections, fine to coarse.

Interface of every encoder:

* `channels`: a tuple of ints, the channels of each skip, fine to coarse;
* `strides`: a tuple of ints, image pixels per pixel of each skip; each is twice the previous one;
* `ends_on_pooling`: True if no convolution follows the last pooling;
* `forward(image (batch, in_channels, h, w))` returns as many maps; map i has `channels[i]` channels and half the size
  of the previous one (minus the border of valid convolutions);
* `layer_graph()` returns its layers, with `Save("0")`, `Save("1")`, ... after each map except the last, which continues
  into the decoder;
* `parts()`: its modules in groups, coarse stages last, for layer-wise learning-rate decay in fine-tuning.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from pixelwise.geometry.layer_graph import Branch, LayerGraph, LayerSpec, Merge, Save
from pixelwise.networks.options import NetworkOptions, ShortcutPadding
from pixelwise.networks.residual import ResidualBlock, Shortcut
from pixelwise.networks.resnet import ResNetEncoder, Stem, initialise_resnet
from pixelwise.networks.stages import run_stages
from pixelwise.networks.vgg import VGGEncoder

RESNET_BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
BOTTLENECK_DEPTH = 50  # number of layers from which ResNets use bottleneck blocks
VGG_COUNTS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}


@runtime_checkable
class Encoder(Protocol):
    """Interface of encoders for decoders and classifiers.

    Examples
    --------
    >>> isinstance(make_resnet_encoder(3, 18), Encoder)
    True
    """

    channels: tuple[int, ...]
    strides: tuple[int, ...]
    ends_on_pooling: bool

    def __call__(self, image: Tensor) -> list[Tensor]:
        """Return the maps, fine to coarse."""
        ...

    def layer_graph(self) -> LayerGraph:
        """Return the layers."""
        ...

    def parts(self) -> list[list[nn.Module]]:
        """Return the parameter groups of fine-tuning."""
        ...


class StagedEncoder(nn.Module):
    """Contracting path of a U-Net: a block per stage, with downsampling between stages.

    Parameters
    ----------
    stages : sequence of nn.Module
        Blocks with a `layer_graph`.
    widths : sequence of int
        Channels of each.
    make_down : callable, optional
        (index, channels) of the previous stage -> module that halves the size; None if the blocks do so.

    Examples
    --------
    >>> import torch
    >>> from pixelwise.networks.blocks import ConvBlock, Pool
    >>> stages = [ConvBlock("enc1", 1, 4), ConvBlock("enc2", 4, 8)]
    >>> encoder = StagedEncoder(stages, [4, 8], lambda index, width: Pool(f"pool {index + 1}", width))
    >>> [tuple(skip.shape) for skip in encoder(torch.zeros(1, 1, 16, 16))]
    [(1, 4, 16, 16), (1, 8, 8, 8)]
    """

    def __init__(
        self,
        stages: Sequence[nn.Module],
        widths: Sequence[int],
        make_down: Callable[[int, int], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.channels = tuple(widths)
        self.strides = tuple(2**i for i in range(len(widths)))
        self.ends_on_pooling = False
        self.stages = nn.ModuleList(stages)
        self.downs = nn.ModuleList(make_down(i, width) for i, width in enumerate(widths[:-1]) if make_down is not None)

    def forward(self, image: Tensor) -> list[Tensor]:
        """(batch, in_channels, h, w) -> one map per stage, fine to coarse."""
        return run_stages(self, image)

    def stage(self, index: int, features: Tensor) -> Tensor:
        """Return map `index` from the previous one, or from the image for 0."""
        if index and len(self.downs):
            features = self.downs[index - 1](features)
        return self.stages[index](features)

    def cut(self, stages: int) -> "StagedEncoder":
        """Return the encoder of the first `stages` stages, with shared weights."""
        downs = list(self.downs)
        make_down = (lambda index, width: downs[index]) if downs else None
        return StagedEncoder(list(self.stages)[:stages], self.channels[:stages], make_down)

    def parts(self) -> list[list[nn.Module]]:
        """Return the parameter groups of fine-tuning, coarse stages last."""
        downs = [[], *([down] for down in self.downs)] if len(self.downs) else [[] for _ in self.stages]
        return [[*down, stage] for down, stage in zip(downs, self.stages, strict=True)]

    def layer_graph(self) -> LayerGraph:
        """Return the layers, with a `Save` for each skip."""
        layer_graph: list[LayerSpec | Save | Branch | Merge] = []
        for index, stage in enumerate(self.stages):
            layer_graph += stage.layer_graph()  # type: ignore[operator]
            if index < len(self.stages) - 1:
                layer_graph.append(Save(str(index)))
                layer_graph += self.downs[index].layer_graph() if len(self.downs) else []  # type: ignore[operator]
        return layer_graph


class FullResolutionEncoder(nn.Module):
    """An encoder with an additional skip at the size of the image, computed by a block on the image.

    For encoders whose first stage halves the size, so that thin structures are not lost.

    Parameters
    ----------
    block : nn.Module
        Computes the additional skip.
    channels : int
        Channels of that skip.
    encoder : Encoder
        Computes the other skips.

    Examples
    --------
    >>> import torch
    >>> from pixelwise.networks.blocks import ConvBlock
    >>> encoder = FullResolutionEncoder(ConvBlock("full", 3, 4), 4, make_cifar_encoder(3, 20, base=2))
    >>> encoder.channels, encoder.strides
    ((4, 2, 4, 8), (1, 1, 2, 4))
    """

    def __init__(self, block: nn.Module, channels: int, encoder: Encoder) -> None:
        super().__init__()
        self.block, self.inner = block, encoder
        self.channels, self.strides = (channels, *encoder.channels), (1, *encoder.strides)
        self.ends_on_pooling = encoder.ends_on_pooling

    def forward(self, image: Tensor) -> list[Tensor]:
        """(batch, in_channels, h, w) -> one map per skip, fine to coarse."""
        return [self.block(image), *self.inner(image)]

    def parts(self) -> list[list[nn.Module]]:
        """Return the parameter groups of the inner encoder; the block on the image has no pretrained weights."""
        return self.inner.parts()

    def layer_graph(self) -> LayerGraph:
        """Return the layers of both paths; the names of the inner skips are shifted by one."""
        block: LayerGraph = self.block.layer_graph()  # type: ignore[operator]
        graph: list[LayerSpec | Save | Branch | Merge] = [Save("image"), *block, Save("0"), Branch("image")]
        for element in self.inner.layer_graph():
            moved = isinstance(element, Save) and element.name.isdecimal()
            graph.append(Save(str(int(element.name) + 1)) if moved else element)  # type: ignore[union-attr]
        return graph


def make_resnet_encoder(
    in_channels: int,
    depth: int,
    *,
    stem: Stem = "7x7",
    shortcut: Shortcut = "B",
    shortcut_padding: ShortcutPadding = "end",
    stride_first: bool = False,
) -> ResNetEncoder:
    """Return ResNet-18, 34, 50, 101 or 152 without its classifier: He et al. 2015 (arXiv 1512.03385), table 1.

    Parameters
    ----------
    in_channels : int
        Channels of the image.
    depth : {18, 34, 50, 101, 152}
        Number of layers, including the classifier.
    stem : {"7x7", "deep", "3x3"}
        First layers; "deep" is variant C of He et al. 2019, see `ResNetEncoder`.
    shortcut : {"A", "B", "C", "D", "none"}
        See `make_shortcut`; published weights use B.
    shortcut_padding : {"end", "both"}
        Of shortcut A; see `PaddedIdentity`.
    stride_first : bool
        For bottlenecks: the stride is in the first 1 x 1 (the paper, V1), not in the 3 x 3 (V1.5, published weights).

    Examples
    --------
    >>> make_resnet_encoder(3, 18).channels
    (64, 64, 128, 256, 512)
    """
    bottleneck = depth >= BOTTLENECK_DEPTH
    widths = (256, 512, 1024, 2048) if bottleneck else (64, 128, 256, 512)
    make_block = partial(
        ResidualBlock,
        bottleneck=bottleneck,
        shortcut=shortcut,
        stride_first=stride_first,
        shortcut_padding=shortcut_padding,
    )
    return ResNetEncoder(in_channels, make_block, widths, RESNET_BLOCKS[depth], stem=stem)


def resnet_encoder_of(options: NetworkOptions, depth: int) -> ResNetEncoder:
    """Return the initialised encoder of `make_resnet_encoder` with the stem and the blocks that the options name.

    Examples
    --------
    >>> resnet_encoder_of(NetworkOptions(in_channels=3), 18).channels
    (64, 64, 128, 256, 512)
    """
    encoder = make_resnet_encoder(
        options.in_channels,
        depth,
        stem="7x7" if options.stem == "auto" else options.stem,
        shortcut="B" if options.shortcut == "auto" else options.shortcut,
        shortcut_padding=options.shortcut_padding,
        stride_first=depth >= BOTTLENECK_DEPTH and options.stride_first,  # blocks of two convolutions do not read it
    )
    initialise_resnet(encoder, zero_init_residual=options.zero_init_residual)
    return encoder


def make_cifar_encoder(
    in_channels: int, depth: int, *, shortcut: Shortcut = "A", shortcut_padding: ShortcutPadding = "end", base: int = 16
) -> ResNetEncoder:
    """Return ResNet-20, 32, 44, 56 or 110 for small images, 6 n + 2 layers: He et al. 2015, section 4.2.

    Parameters
    ----------
    in_channels, shortcut_padding
        As for `make_resnet_encoder`.
    depth : {20, 32, 44, 56, 110}
        Number of layers, including the classifier.
    shortcut : {"A", "B", "C", "D", "none"}
        See `make_shortcut`; the paper uses A.
    base : int
        Channels of the first stage; 16 in the paper.

    Examples
    --------
    >>> make_cifar_encoder(3, 20).channels
    (16, 32, 64)
    """
    make_block = partial(ResidualBlock, shortcut=shortcut, shortcut_padding=shortcut_padding)
    count, widths = (depth - 2) // 6, (base, 2 * base, 4 * base)
    return ResNetEncoder(in_channels, make_block, widths, (count,) * 3, stem="3x3", stem_channels=base)


def make_vgg_encoder(in_channels: int, depth: int, *, normalised: bool) -> VGGEncoder:
    """Return VGG-11, 13, 16 or 19 without its classifier: Simonyan & Zisserman 2015 (arXiv 1409.1556), table 1.

    Parameters
    ----------
    in_channels : int
        Channels of the image.
    depth : {11, 13, 16, 19}
        Number of layers, including the classifier.
    normalised : bool
        Batch normalisation after each convolution.

    Examples
    --------
    >>> make_vgg_encoder(3, 11, normalised=True).strides
    (1, 2, 4, 8, 16, 32)
    """
    return VGGEncoder(in_channels, VGG_COUNTS[depth], normalised=normalised)
