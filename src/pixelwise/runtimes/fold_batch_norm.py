"""Folding of batch normalisation into the preceding convolutions of a trained network."""

from collections.abc import Iterator
from copy import deepcopy
from itertools import pairwise

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

CONVOLUTIONS = (nn.Conv2d, nn.Conv3d)
NORMS = (nn.BatchNorm2d, nn.BatchNorm3d)


def fold_batch_norm(network: nn.Module) -> nn.Module:
    """Return a copy in evaluation mode, with each batch normalisation after a convolution folded into it.

    y = gamma (W x + b - mean) / sqrt(var + eps) + beta is a convolution with other W and b. The order of layers is
    given by `nn.Sequential`, or elsewhere by the names of the ResNets: `bn1` follows `conv1`, which may be a sequence
    that ends in a convolution. Normalisations before convolutions are not folded.
    """
    replaced: dict[int, object] = {}  # computed below, so that they are not copied: they are most of the memory
    for parent, name, norm_parent, norm_name in _conv_norm_pairs(network):
        for layer in (getattr(parent, name), getattr(norm_parent, norm_name)):
            replaced |= {id(tensor): tensor for tensor in (*layer.parameters(), *layer.buffers())}
    copied = deepcopy(network, replaced).eval()
    for parent, name, norm_parent, norm_name in _conv_norm_pairs(copied):
        conv, norm = getattr(parent, name), getattr(norm_parent, norm_name)
        conv.weight, conv.bias = fuse_conv_bn_weights(
            conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
        )
        setattr(norm_parent, norm_name, nn.Identity())
    return copied


def _conv_norm_pairs(network: nn.Module) -> list[tuple[nn.Module, str, nn.Module, str]]:
    """Return (module, name of its convolution, module, name of its normalisation) of the layers that are folded."""
    return [pair for parent in network.modules() for pair in _pairs_in(parent)]


def _pairs_in(parent: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Module, str]]:
    """Yield (module, name of its convolution, module, name of its normalisation)."""
    children = dict(parent.named_children())
    if isinstance(parent, nn.Sequential):
        followers = list(pairwise(children))
    else:
        followers = [(name, f"bn{name.removeprefix('conv')}") for name in children if name.startswith("conv")]
    for first, second in followers:
        before, norm = children[first], children.get(second)
        if not isinstance(norm, NORMS):
            continue
        if isinstance(before, CONVOLUTIONS):
            yield parent, first, parent, second
        elif isinstance(before, nn.Sequential) and len(before) and isinstance(before[-1], CONVOLUTIONS):
            yield before, str(len(before) - 1), parent, second
