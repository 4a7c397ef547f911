"""Batch normalisation is folded into the preceding convolution without changing the output."""

import pytest
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from pixelwise.networks.architectures import ARCHITECTURES, NetworkOptions, build, with_defaults_where_unread
from pixelwise.runtimes.fold_batch_norm import fold_batch_norm

NORMS = (nn.BatchNorm2d, nn.BatchNorm3d)
# Here normalisation precedes the convolution (He et al. 2016), so that some layers cannot be folded.
BEFORE = {"resunet"}
CASES: list[dict[str, object]] = [
    *({"name": name, "base": 4} for name in ARCHITECTURES if not name.startswith("vgg")),
    {"name": "vgg11_bn"},
    {"encoder": "resnet18", "base": 4},
    {"encoder": "vgg11_bn", "base": 4},
    {"name": "resnet50", "stem": "deep", "shortcut": "D"},
    {"encoder": "resnet50", "stem": "deep", "base": 4},
    {"base": 4, "depth": 2, "dimensions": 3},
]


def addresses(network: nn.Module) -> set[int]:
    return {value.data_ptr() for value in network.state_dict().values()}


@pytest.mark.parametrize("options", CASES, ids=str)
def test_folding_changes_nothing_and_leaves_no_batch_norm(options: dict[str, object]) -> None:
    torch.manual_seed(0)
    network = build(with_defaults_where_unread(NetworkOptions(**options))).double()
    for module in network.modules():
        if isinstance(module, NORMS):
            assert module.running_mean is not None
            assert module.running_var is not None
            for values, low, high in (
                (module.weight, 0.8, 1.2),
                (module.bias, -0.1, 0.1),
                (module.running_mean, -0.1, 0.1),
                (module.running_var, 0.8, 1.2),
            ):
                nn.init.uniform_(values, low, high)
    side = network.geometry().valid_size(33)
    image = torch.randn(2, 1, *[side] * network.dimensions, dtype=torch.float64)
    network.eval()
    before = network(image).detach()
    tensors = {name: value.clone() for name, value in network.state_dict().items()}
    folded = fold_batch_norm(network)
    assert all(value.equal(tensors[name]) for name, value in network.state_dict().items()), "unchanged"
    assert not addresses(folded) & addresses(network), "a copy"
    assert torch.allclose(folded(image), before, rtol=1e-9, atol=1e-9 * float(before.abs().max()))
    left = sum(isinstance(module, NORMS) for module in folded.modules())
    assert (left > 0) == (options.get("name") in BEFORE)


def test_weights_are_the_bits_of_pytorch() -> None:
    torch.manual_seed(0)
    convolution, norm = nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5)
    norm(torch.randn(4, 5, 8, 8))
    network = nn.Sequential(convolution, norm).eval()
    expected = fuse_conv_bn_eval(convolution, norm)
    folded = fold_batch_norm(network)[0]  # type: ignore[index]
    assert expected.bias is not None
    assert folded.weight.equal(expected.weight)
    assert folded.bias.equal(expected.bias)
