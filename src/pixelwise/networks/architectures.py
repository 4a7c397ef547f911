"""All networks by name. To add one, write a builder and a line in ARCHITECTURES."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from pixelwise.errors import BadOption, nearest
from pixelwise.networks.classifiers import cifar_resnet, plain, resnet, vgg
from pixelwise.networks.encoders import RESNET_BLOCKS, VGG_COUNTS
from pixelwise.networks.models import Classifier, Network, Segmenter
from pixelwise.networks.options import NetworkOptions
from pixelwise.networks.segmenters import (
    attention_unet,
    resencunet,
    resunet,
    unet,
    unet2015,
    unetplusplus,
    vnet,
)
from pixelwise.networks.unet_on_encoder import ENCODERS

__all__ = [
    "ARCHITECTURES",
    "CLASSIFIERS",
    "ENCODERS",
    "SEGMENTERS",
    "NetworkOptions",
    "build",
    "build_classifier",
    "build_segmenter",
    "paper",
    "published_options",
    "published_size",
    "summary",
]

SEGMENTERS: dict[str, Callable[[NetworkOptions], Segmenter]] = {
    "unet2015": unet2015,
    "unet": unet,
    "resunet": resunet,
    "resencunet": resencunet,
    "unetplusplus": unetplusplus,
    "attention_unet": attention_unet,
    "vnet": vnet,
}
CLASSIFIERS: dict[str, Callable[[NetworkOptions], Classifier]] = {
    **{f"resnet{depth}": resnet for depth in RESNET_BLOCKS},
    **{f"resnet{depth}": cifar_resnet for depth in (20, 32, 44, 56, 110)},
    **{f"plain{depth}": plain for depth in (20, 32, 44)},
    **{f"vgg{depth}{norm}": vgg for depth in VGG_COUNTS for norm in ("", "_bn")},
}
ARCHITECTURES: Mapping[str, Callable[[NetworkOptions], Network]] = {**SEGMENTERS, **CLASSIFIERS}

# Where the published form differs from the defaults; what `inspect NAME` shows.
_PUBLISHED: dict[Callable[[NetworkOptions], Network], dict[str, Any]] = {
    unet2015: {"base": 64, "normalisation": "none", "dropout": 0.5},
    resunet: {"in_channels": 3, "classes": 1, "depth": 3, "base": 64},
    resencunet: {"base": 32, "depth": 6, "max_width": 512, "normalisation": "instance"},
    unetplusplus: {"in_channels": 3, "classes": 1, "base": 32, "normalisation": "none"},
    attention_unet: {"base": 64},
    vnet: {"base": 16, "normalisation": "none", "dimensions": 3},
    resnet: {"in_channels": 3, "classes": 1000},
    cifar_resnet: {"in_channels": 3, "classes": 10, "base": 16},
    plain: {"in_channels": 3, "classes": 10, "base": 16},
    vgg: {"in_channels": 3, "classes": 1000},
}
_ENCODER_FORM: dict[str, Any] = {"in_channels": 3, "base": 16}  # of U-Nets on an encoder

# Sides of the images that the papers show; 256 for the others.
_SIZES: dict[Callable[[NetworkOptions], Network], int] = {
    unet2015: 572,
    resunet: 224,
    vnet: 128,
    resnet: 224,
    cifar_resnet: 32,
    plain: 32,
    vgg: 224,
}
_HE = "He, Zhang, Ren, Sun 2015, Deep residual learning for image recognition, arXiv 1512.03385"
_PAPERS: dict[Callable[[NetworkOptions], Network], str] = {
    unet2015: "Ronneberger, Fischer, Brox 2015, U-Net, doi 10.1007/978-3-319-24574-4_28",
    unet: "after Ronneberger, Fischer, Brox 2015, U-Net, doi 10.1007/978-3-319-24574-4_28",
    resunet: "Zhang, Liu, Wang 2018, Road extraction by deep residual U-Net, doi 10.1109/LGRS.2018.2802944",
    resencunet: "Isensee et al. 2024, nnU-Net revisited, arXiv 2404.09556",
    unetplusplus: "Zhou et al. 2018, UNet++: a nested U-Net architecture, arXiv 1807.10165",
    attention_unet: "Oktay et al. 2018, Attention U-Net, arXiv 1804.03999",
    vnet: "Milletari, Navab, Ahmadi 2016, V-Net, arXiv 1606.04797",
    resnet: _HE,
    cifar_resnet: _HE,
    plain: _HE,
    vgg: "Simonyan, Zisserman 2015, Very deep convolutional networks, arXiv 1409.1556",
}


def build(options: NetworkOptions) -> Network:
    """Build a registered network with freshly drawn weights.

    Raises
    ------
    BadOption
        The name is not registered; the nearest one is named. Or it does not go with the other options.
    """
    if options.name not in ARCHITECTURES:
        raise BadOption("a registered network", f"`{options.name}`", nearest(options.name, list(ARCHITECTURES)))
    if options.encoder != "plain" and options.name != "unet":
        raise BadOption("encoder=plain", f"`{options.encoder}` for {options.name}", "Encoders go with network=unet.")
    return ARCHITECTURES[options.name](options)


def build_segmenter(options: NetworkOptions) -> Segmenter:
    """Build a network that must be one for segmentation.

    Raises
    ------
    BadOption
        It is a classifier.
    """
    network = build(options)
    if not isinstance(network, Segmenter):
        raise BadOption("a network for masks", f"`{options.name}`", f"Use one of {', '.join(SEGMENTERS)}.")
    return network


def build_classifier(options: NetworkOptions) -> Classifier:
    """Build a network that must be one for whole images.

    Raises
    ------
    BadOption
        It is for masks.
    """
    network = build(options)
    if not isinstance(network, Classifier):
        raise BadOption("a network for whole images", f"`{options.name}`", f"Use one of {', '.join(CLASSIFIERS)}.")
    return network


def published_options(name: str, encoder: str = "plain") -> NetworkOptions:
    """Return the options with which a registered network, on an encoder if one is named, is as published."""
    changes = _PUBLISHED.get(ARCHITECTURES[name], {}) if encoder == "plain" else _ENCODER_FORM
    return replace(NetworkOptions(name=name, encoder=encoder), **changes)


def published_size(name: str) -> int:
    """Return a side of the image that goes with a registered network."""
    return _SIZES.get(ARCHITECTURES[name], 256)


def paper(name: str) -> str:
    """Return where a registered network is described; empty where nothing is known."""
    return _PAPERS.get(ARCHITECTURES[name], "")


def summary(name: str) -> str:
    """Return one line on a registered network: the first of its builder's docstring."""
    return (ARCHITECTURES[name].__doc__ or "").strip().splitlines()[0]
