"""Folding of batch normalisation into the preceding convolutions of a trained network."""

from collections.abc import Iterator
from itertools import pairwise

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

CONVOLUTIONS = (nn.Conv2d, nn.Conv3d)
NORMS = (nn.BatchNorm2d, nn.BatchNorm3d)


def fold_batch_norm(network: nn.Module) -> nn.Module:
    """Fold each batch normalisation after a convolution into it, in place; `network` must be in evaluation mode.

    y = gamma (W x + b - mean) / sqrt(var + eps) + beta is a convolution with other W and b. The order of layers is
    given by `nn.Sequential`, or elsewhere by the names of the ResNets: `bn1` follows `conv1`, which may be a sequence
    that ends in a convolution. Normalisations before convolutions are not folded.
    """
    for parent in list(network.modules()):
        for conv_parent, conv, norm_parent, norm in list(_conv_norm_pairs(parent)):
            setattr(conv_parent, conv, fuse_conv_bn_eval(getattr(conv_parent, conv), getattr(norm_parent, norm)))
            setattr(norm_parent, norm, nn.Identity())
    return network


def _conv_norm_pairs(parent: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Module, str]]:
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
