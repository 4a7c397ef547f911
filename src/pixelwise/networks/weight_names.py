"""Conversion of parameter names between pixelwise and other libraries.

Supported are ResNet and VGG of torchvision, ResNet of timm (including the deep stem), the small ResNets of
akamaster/pytorch_resnet_cifar10, and the U-Nets of segmentation_models.pytorch; names below `encoder.` are equal.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from pixelwise.errors import BadWeights
from pixelwise.networks.models import Network, Segmenter

Tensors = Mapping[str, Tensor]

# External names and ours; # is a number, * the rest. Our names match none on the left.
_CLASSIFIERS = (  # torchvision's ResNet and VGG, timm's ResNet
    ("conv1.*", "encoder.conv1.*"),
    ("bn1.*", "encoder.bn1.*"),
    ("layer#.*", "encoder.layer#.*"),
    ("features.*", "encoder.features.*"),
    ("fc.*", "head.linear.*"),
    ("linear.*", "head.linear.*"),  # akamaster/pytorch_resnet_cifar10; the inverse uses the pair above
    ("classifier.#.*", "head.classifier.#.*"),
)
_SEGMENTERS = (  # U-Nets of segmentation_models.pytorch; encoder names are equal
    ("decoder.blocks.#.conv1.0.*", "decoder.blocks.#.layers.0.*"),
    ("decoder.blocks.#.conv1.1.*", "decoder.blocks.#.layers.1.*"),
    ("decoder.blocks.#.conv2.0.*", "decoder.blocks.#.layers.3.*"),
    ("decoder.blocks.#.conv2.1.*", "decoder.blocks.#.layers.4.*"),
    ("decoder.center.0.0.*", "decoder.centre.layers.0.*"),
    ("decoder.center.0.1.*", "decoder.centre.layers.1.*"),
    ("decoder.center.1.0.*", "decoder.centre.layers.3.*"),
    ("decoder.center.1.1.*", "decoder.centre.layers.4.*"),
    ("segmentation_head.0.*", "head.layer.*"),
)


def pixelwise_names(network: Network, tensors: Tensors) -> dict[str, Tensor]:
    """Return the tensors under the names of `network`; unknown names are kept.

    Decoders of segmentation_models.pytorch concatenate the upsampled map before the skip, ours after it, so the
    channels of those kernels are swapped.

    Examples
    --------
    >>> from pixelwise.networks.architectures import NetworkOptions, build
    >>> network = build(NetworkOptions(name="resnet20", base=2))
    >>> list(pixelwise_names(network, {"fc.weight": torch.zeros(1), "layer1.0.bn1.bias": torch.zeros(1)}))
    ['head.linear.weight', 'encoder.layer1.0.bn1.bias']
    """
    named = {_renamed(name, (*_CLASSIFIERS, *_SEGMENTERS), 0, 1) or name: value for name, value in tensors.items()}
    if any(name.startswith("segmentation_head.") for name in tensors):
        encoder: Any = network.encoder
        return _skips_moved(named, encoder.channels[-1], skip_first=False)
    return named


def published_names(network: Network) -> dict[str, Tensor]:
    """Return the weights of a network under the names of other libraries.

    A U-Net on a ResNet or VGG gets those of segmentation_models.pytorch, a classifier those of torchvision.

    Raises
    ------
    BadWeights
        A layer has no counterpart (a full-resolution skip, another network).

    Examples
    --------
    >>> from pixelwise.networks.architectures import NetworkOptions, build
    >>> names = list(published_names(build(NetworkOptions(name="resnet20", base=2))))
    >>> names[0], names[-1]
    ('conv1.weight', 'fc.bias')
    """
    tensors: dict[str, Tensor] = network.state_dict()
    segmenter = isinstance(network, Segmenter)
    if segmenter:
        encoder: Any = network.encoder
        tensors = _skips_moved(tensors, encoder.channels[-1], skip_first=True)
    result: dict[str, Tensor] = {}
    for name, value in tensors.items():
        bare = _renamed(name, _CLASSIFIERS, 1, 0)
        theirs = (_renamed(name, _SEGMENTERS, 1, 0) or (bare and name)) if segmenter else bare
        if theirs is None:
            hint = "Supported are ResNets, VGGs, and U-Nets on them without full_resolution."
            raise BadWeights("layers that exist in other libraries", f"the layer {name}", hint)
        result[theirs] = value
    return result


def _skips_moved(tensors: Tensors, deepest: int, *, skip_first: bool) -> dict[str, Tensor]:
    """Swap the channels of skip and upsampled map in the first kernel of each decoder block.

    `deepest` are the upsampled channels of the first block; those of later ones are the output of the previous block.
    """
    result, up = dict(tensors), deepest
    for level in range(len(tensors)):
        first, last = (tensors.get(f"decoder.blocks.{level}.layers.{place}.weight") for place in (0, 3))
        if first is None or last is None:
            break
        cut = first.shape[1] - up if skip_first else up
        if 0 < cut < first.shape[1]:
            result[f"decoder.blocks.{level}.layers.0.weight"] = torch.cat([first[:, cut:], first[:, :cut]], dim=1)
        up = last.shape[0]
    return result


def _renamed(name: str, pairs: Sequence[tuple[str, str]], source: int, target: int) -> str | None:
    """Return the counterpart of a name in the first pair that matches, or None."""
    for pair in pairs:
        pattern = re.escape(pair[source]).replace(r"\#", r"(?P<number>\d+)").replace(r"\*", r"(?P<rest>.+)")
        if match := re.fullmatch(pattern, name):
            groups = match.groupdict()
            return pair[target].replace("#", groups.get("number", "")).replace("*", groups["rest"])
    return None
