"""Strided pointwise convolutions equal those of PyTorch."""

import pytest
import torch
from torch import nn

from pixelwise.networks.layers import make_convolution


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("stride", [2, 3])
@pytest.mark.parametrize("size", [8, 9])
def test_strided_pointwise_convolutions_equal_the_library_s(dimensions: int, stride: int, size: int) -> None:
    torch.manual_seed(0)
    ours = make_convolution(3, 5, 1, stride, dimensions=dimensions).double()
    theirs = {2: nn.Conv2d, 3: nn.Conv3d}[dimensions](3, 5, 1, stride).double()
    theirs.load_state_dict(ours.state_dict())
    images = [torch.randn(2, 3, *[size] * dimensions, dtype=torch.float64, requires_grad=True)]
    images.append(images[0].detach().clone().requires_grad_())
    for network, image in zip((ours, theirs), images, strict=True):
        network(image).square().sum().backward()
    assert torch.allclose(ours(images[0]), theirs(images[1]))
    assert torch.allclose(images[0].grad, images[1].grad)  # type: ignore[arg-type]
    assert torch.allclose(ours.weight.grad, theirs.weight.grad)  # type: ignore[arg-type]
    assert torch.equal(ours.eval()(images[0]), theirs(images[1]))
