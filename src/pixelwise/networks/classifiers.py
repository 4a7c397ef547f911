"""Classification networks: one function per paper."""

from torch import Tensor, nn
from torch.nn import functional

from pixelwise.errors import BadOption
from pixelwise.geometry.layer_graph import LayerGraph, LayerSpec
from pixelwise.networks.blocks import count_parameters
from pixelwise.networks.encoders import make_cifar_encoder, make_vgg_encoder, resnet_encoder_of
from pixelwise.networks.models import Classifier
from pixelwise.networks.options import NetworkOptions
from pixelwise.networks.resnet import initialise_resnet
from pixelwise.networks.vgg import initialise_vgg

VGG_POOL, VGG_HIDDEN = 7, 4096


class PooledHead(nn.Module):
    """Global average and a linear layer to the logits: He et al. 2015, table 1.

    Parameters
    ----------
    channels : int
        Channels of the map.
    classes : int
        Number of logits.

    Examples
    --------
    >>> import torch
    >>> PooledHead(8, 3)(torch.zeros(2, 8, 5, 7)).shape
    torch.Size([2, 3])
    """

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, classes)

    def forward(self, features: Tensor) -> Tensor:
        """(batch, channels, h, w) -> (batch, classes)."""
        return self.linear(features.mean((2, 3)))

    def layer_graph(self) -> LayerGraph:
        """Return the two layers."""
        channels, classes = self.linear.in_features, self.linear.out_features
        return [
            LayerSpec(name="mean", kind="global average", in_channels=channels, channels=channels),
            _linear_spec("linear", self.linear, classes),
        ]


class VGGHead(nn.Module):
    """Adaptive average pooling to 7 x 7 and three linear layers, dropout 0.5: Simonyan & Zisserman 2015, table 1.

    Parameters
    ----------
    channels, classes
        As for `PooledHead`.

    Examples
    --------
    >>> import torch
    >>> VGGHead(1, 3)(torch.zeros(2, 1, 9, 9)).shape
    torch.Size([2, 3])
    """

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self._channels = channels
        self.classifier = nn.Sequential(
            nn.Linear(channels * VGG_POOL**2, VGG_HIDDEN),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
            nn.Linear(VGG_HIDDEN, VGG_HIDDEN),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
            nn.Linear(VGG_HIDDEN, classes),
        )

    def forward(self, features: Tensor) -> Tensor:
        """(batch, channels, h, w) -> (batch, classes)."""
        return self.classifier(functional.adaptive_avg_pool2d(features, VGG_POOL).flatten(1))

    def layer_graph(self) -> LayerGraph:
        """Return the layers; the pooled map is flattened to channels of the first linear layer."""
        flattened = self._channels * VGG_POOL**2
        layers = [layer for layer in self.classifier if isinstance(layer, nn.Linear)]
        return [
            LayerSpec(name="7 x 7 means", kind="global average", in_channels=self._channels, channels=flattened),
            *(_linear_spec(f"linear {'abc'[i]}", layer, layer.out_features) for i, layer in enumerate(layers)),
        ]


def resnet(options: NetworkOptions) -> Classifier:
    """ResNet-18, 34, 50, 101, 152: stages of residual blocks, global average, one linear layer.

    He, Zhang, Ren, Sun 2015, "Deep residual learning for image recognition", arXiv 1512.03385, table 1: 11,689,512
    parameters for 18 layers, 25,557,032 for 50 (3 -> 1000). V1.5, used by published weights, has the stride of
    bottlenecks in the 3 x 3; `stride_first` is the paper's V1. Stem "deep" is variant C and shortcut "D" variant D of
    He et al. 2019, "Bag of tricks", arXiv 1812.01187.

    Blocks of two convolutions (18 and 34 layers) do not read `stride_first`.

    Examples
    --------
    >>> network = resnet(NetworkOptions(name="resnet18", in_channels=3, classes=1000))
    >>> count_parameters([network])
    11689512
    """
    encoder = resnet_encoder_of(options, _depth(options, "resnet"))
    return Classifier(encoder, PooledHead(encoder.channels[-1], options.classes))


def cifar_resnet(options: NetworkOptions) -> Classifier:
    """ResNet-20, 32, 44, 56, 110 for small images: 6 n + 2 layers of 16, 32 and 64 channels.

    He et al. 2015, arXiv 1512.03385, section 4.2: a 3 x 3 stem, three stages of 2 n convolutions at full, half and
    quarter size, shortcut A, global average, one linear layer; 0.27 M parameters for 20 layers.

    `base`, the channels of the first stage, is 16 in the paper.

    Examples
    --------
    >>> network = cifar_resnet(NetworkOptions(name="resnet20", in_channels=3, classes=10, base=16))
    >>> count_parameters([network])
    269722
    """
    shortcut = "A" if options.shortcut == "auto" else options.shortcut
    encoder = make_cifar_encoder(
        options.in_channels,
        _depth(options, "resnet"),
        shortcut=shortcut,
        shortcut_padding=options.shortcut_padding,
        base=options.base,
    )
    initialise_resnet(encoder, zero_init_residual=options.zero_init_residual)
    return Classifier(encoder, PooledHead(encoder.channels[-1], options.classes))


def plain(options: NetworkOptions) -> Classifier:
    """Plain counterpart of a small ResNet: the same layers without shortcuts, for comparison.

    He et al. 2015, arXiv 1512.03385, section 4.2 and figure 6 left: deeper plain nets have a higher training error.

    Examples
    --------
    >>> network = plain(NetworkOptions(name="plain20", in_channels=3, classes=10, base=16))
    >>> count_parameters([network])
    269722
    """
    encoder = make_cifar_encoder(options.in_channels, _depth(options, "plain"), shortcut="none", base=options.base)
    initialise_resnet(encoder, zero_init_residual=False)
    return Classifier(encoder, PooledHead(encoder.channels[-1], options.classes))


def vgg(options: NetworkOptions) -> Classifier:
    """VGG-11, 13, 16, 19: stages of 3 x 3 convolutions, three linear layers; with _bn batch normalisation.

    Simonyan, Zisserman 2015, "Very deep convolutional networks for large-scale image recognition", arXiv 1409.1556,
    table 1: 138,357,544 parameters for 16 layers (3 -> 1000).

    Examples
    --------
    >>> import torch
    >>> with torch.device("meta"):
    ...     network = vgg(NetworkOptions(name="vgg16", in_channels=3, classes=1000))
    >>> count_parameters([network])
    138357544
    """
    normalised = options.name.endswith("_bn")
    encoder = make_vgg_encoder(options.in_channels, _depth(options, "vgg"), normalised=normalised)
    network = Classifier(encoder, VGGHead(encoder.channels[-1], options.classes))
    initialise_vgg(network)
    return network


def _depth(options: NetworkOptions, family: str) -> int:
    """Read the number of layers from the name."""
    digits = options.name.removeprefix(family).removesuffix("_bn")
    if not digits.isdecimal():
        raise BadOption(f"{family} with its number of layers", f"`{options.name}`", "Use for example resnet18.")
    return int(digits)


def _linear_spec(name: str, layer: nn.Linear, classes: int) -> LayerSpec:
    return LayerSpec(
        name=name, kind="linear", in_channels=layer.in_features, channels=classes, parameters=count_parameters([layer])
    )
