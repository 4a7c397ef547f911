"""The networks of this package by name, and how they are built; to add one, write a builder and register its record."""

from dataclasses import replace
from typing import Any

from pixelwise.errors import BadOption
from pixelwise.networks.classifiers import cifar_resnet, plain, resnet, vgg
from pixelwise.networks.encoders import BOTTLENECK_DEPTH, RESNET_BLOCKS, VGG_COUNTS
from pixelwise.networks.models import Classifier, Network, Segmenter
from pixelwise.networks.options import NetworkOptions
from pixelwise.networks.options_read import check_options, options_read, readers, with_defaults_where_unread
from pixelwise.networks.registry import (
    ALWAYS_READ,
    ARCHITECTURES,
    CLASSIFIERS,
    DEFAULTS,
    SEGMENTERS,
    Architecture,
    paper,
    published_size,
    register,
    summary,
)
from pixelwise.networks.segmenters import (
    attention_unet,
    resencunet,
    resunet,
    unet,
    unet3d,
    unet2015,
    unetplusplus,
    vnet,
)
from pixelwise.networks.unet_on_encoder import ENCODERS

__all__ = [
    "ALWAYS_READ",
    "ARCHITECTURES",
    "CLASSIFIERS",
    "DEFAULTS",
    "ENCODERS",
    "SEGMENTERS",
    "Architecture",
    "NetworkOptions",
    "build",
    "build_classifier",
    "build_segmenter",
    "check_options",
    "options_read",
    "paper",
    "published_options",
    "published_size",
    "readers",
    "register",
    "summary",
    "with_defaults_where_unread",
]

_HE = "He, Zhang, Ren, Sun 2015, Deep residual learning for image recognition, arXiv 1512.03385"
_VGG = "Simonyan, Zisserman 2015, Very deep convolutional networks, arXiv 1409.1556"

# of most U-Nets
_STAGED = ("in_channels", "classes", "depth", "base", "max_width", "normalisation", "dimensions", "strides", "kernels")
_CONTEXT = (*_STAGED, "context")  # of those whose first convolution is not part of a residual unit
_RESIDUAL = ("shortcut", "shortcut_padding", "zero_init_residual")  # of ResNets
_ON_ENCODER = ("in_channels", "classes", "base", "normalisation", "upsampling", "encoder")
_ENCODER_FORM: dict[str, Any] = {"in_channels": 3, "base": 16}  # published form of U-Nets on an encoder

# Parameters of the networks of torchvision, 3 -> 1000
_RESNET_PARAMETERS = {18: 11_689_512, 34: 21_797_672, 50: 25_557_032, 101: 44_549_160, 152: 60_192_808}
_VGG_PARAMETERS = {11: 132_863_336, 13: 133_047_848, 16: 138_357_544, 19: 143_667_240}
_VGG_BN_PARAMETERS = {11: 132_868_840, 13: 133_053_736, 16: 138_365_992, 19: 143_678_248}


def _resnet_reads(depth: int) -> tuple[str, ...]:
    """Return the options of the residual blocks of a large ResNet; only bottlenecks read `stride_first`."""
    return ("stem", *_RESIDUAL, *(("stride_first",) if depth >= BOTTLENECK_DEPTH else ()))


def _unet_encoders() -> dict[str, tuple[str, ...]]:
    """Return the options of a U-Net on each encoder."""
    resnets = {f"resnet{depth}": (*_ON_ENCODER, "full_resolution", *_resnet_reads(depth)) for depth in RESNET_BLOCKS}
    return {name: resnets.get(name, _ON_ENCODER) for name in ENCODERS}


for _architecture in (
    Architecture(
        name="unet2015",
        builder=unet2015,
        reads=("in_channels", "classes", "base", "dropout", "dimensions"),
        paper="Ronneberger, Fischer, Brox 2015, U-Net, doi 10.1007/978-3-319-24574-4_28",
        published={"base": 64, "dropout": 0.5},
        parameters=31_030_658,
        size=572,
    ),
    Architecture(
        name="unet",
        builder=unet,
        reads=(*_CONTEXT, "upsampling", "dropout", "encoder"),
        encoders=_unet_encoders(),
        paper="after Ronneberger, Fischer, Brox 2015, U-Net, doi 10.1007/978-3-319-24574-4_28",
    ),
    Architecture(
        name="unet3d",
        builder=unet3d,
        reads=("in_channels", "classes", "base", "dimensions"),
        paper="Cicek, Abdulkadir, Lienkamp, Brox, Ronneberger 2016, 3D U-Net, arXiv 1606.06650",
        published={"in_channels": 3, "classes": 3, "base": 32, "dimensions": 3},
        parameters=19_075_523,
        size=132,
    ),
    Architecture(
        name="resunet",
        builder=resunet,
        reads=(*_STAGED, "upsampling"),
        paper="Zhang, Liu, Wang 2018, Road extraction by deep residual U-Net, doi 10.1109/LGRS.2018.2802944",
        published={"in_channels": 3, "classes": 1, "depth": 3, "base": 64},
        size=224,
    ),
    Architecture(
        name="resencunet",
        builder=resencunet,
        reads=_CONTEXT,
        paper="Isensee et al. 2024, nnU-Net revisited, arXiv 2404.09556",
        published={"base": 32, "depth": 6, "max_width": 512, "normalisation": "instance"},
    ),
    Architecture(
        name="unetplusplus",
        builder=unetplusplus,
        reads=(*_CONTEXT, "upsampling", "dropout", "deep_supervision"),
        paper="Zhou et al. 2018, UNet++: a nested U-Net architecture, arXiv 1807.10165",
        published={"in_channels": 3, "classes": 1, "base": 32, "normalisation": "none"},
        parameters=9_042_177,
    ),
    Architecture(
        name="attention_unet",
        builder=attention_unet,
        reads=(*_CONTEXT, "dropout", "gates"),
        paper="Oktay et al. 2018, Attention U-Net, arXiv 1804.03999",
        published={"base": 64},
    ),
    Architecture(
        name="vnet",
        builder=vnet,
        reads=_STAGED,
        paper="Milletari, Navab, Ahmadi 2016, V-Net, arXiv 1606.04797",
        published={"base": 16, "normalisation": "none", "dimensions": 3},
        parameters=65_175_314,
        size=128,
    ),
    *(
        Architecture(
            name=f"resnet{depth}",
            builder=resnet,
            task="classification",
            reads=("in_channels", "classes", *_resnet_reads(depth)),
            paper=_HE,
            published={"in_channels": 3, "classes": 1000},
            parameters=_RESNET_PARAMETERS[depth],
            size=224,
        )
        for depth in RESNET_BLOCKS
    ),
    *(
        Architecture(
            name=f"resnet{depth}",
            builder=cifar_resnet,
            task="classification",
            reads=("in_channels", "classes", "base", *_RESIDUAL),
            paper=_HE,
            published={"in_channels": 3, "classes": 10, "base": 16},
            size=32,
        )
        for depth in (20, 32, 44, 56, 110)
    ),
    *(
        Architecture(
            name=f"plain{depth}",
            builder=plain,
            task="classification",
            reads=("in_channels", "classes", "base"),
            paper=_HE,
            published={"in_channels": 3, "classes": 10, "base": 16},
            size=32,
        )
        for depth in (20, 32, 44)
    ),
    *(
        Architecture(
            name=f"vgg{depth}{norm}",
            builder=vgg,
            task="classification",
            reads=("in_channels", "classes"),
            paper=_VGG,
            published={"in_channels": 3, "classes": 1000},
            parameters=(_VGG_BN_PARAMETERS if norm else _VGG_PARAMETERS)[depth],
            size=224,
        )
        for depth in VGG_COUNTS
        for norm in ("", "_bn")
    ),
):
    register(_architecture)


def build(options: NetworkOptions) -> Network:
    """Build a registered network with randomly initialised weights.

    Raises
    ------
    BadOption
        The name is not registered (the nearest one is suggested), or an option is set that the network does not read.

    Examples
    --------
    >>> network = build(NetworkOptions(name="unet", depth=3, base=8))
    >>> network.geometry().total_stride
    8
    """
    check_options(options)
    return ARCHITECTURES[options.name].builder(options)


def build_segmenter(options: NetworkOptions) -> Segmenter:
    """Build a segmentation network.

    Raises
    ------
    BadOption
        The network is a classifier; or as in `build`.

    Examples
    --------
    >>> build_segmenter(NetworkOptions(name="unet2015", base=2)).geometry().output_size(572)
    388
    """
    network = build(options)
    if not isinstance(network, Segmenter):
        raise BadOption("a segmentation network", f"`{options.name}`", f"Use one of {', '.join(SEGMENTERS)}.")
    return network


def build_classifier(options: NetworkOptions) -> Classifier:
    """Build a classification network.

    Raises
    ------
    BadOption
        The network is a segmentation network; or as in `build`.

    Examples
    --------
    >>> import torch
    >>> network = build_classifier(NetworkOptions(name="resnet20", base=2, in_channels=3, classes=5)).eval()
    >>> network(torch.zeros(1, 3, 32, 32)).shape
    torch.Size([1, 5])
    """
    network = build(options)
    if not isinstance(network, Classifier):
        raise BadOption("a classification network", f"`{options.name}`", f"Use one of {', '.join(CLASSIFIERS)}.")
    return network


def published_options(name: str, encoder: str = "plain") -> NetworkOptions:
    """Return the options of the published form of a network, optionally on an encoder.

    Examples
    --------
    >>> published_options("resnet50").classes
    1000
    """
    changes = ARCHITECTURES[name].published if encoder == "plain" else _ENCODER_FORM
    return replace(NetworkOptions(name=name, encoder=encoder), **changes)
