"""Networks of slices with a context: the same as two-dimensional ones whose channels are neighbouring slices."""

from typing import Any

import pytest
import torch

from pixelwise.errors import BadOption
from pixelwise.networks.architectures import NetworkOptions, build_segmenter, readers

FLAT: dict[str, Any] = {"depth": 2, "dimensions": 3, "strides": ((1, 2, 2),) * 2, "kernels": ((1, 3, 3),) * 3}
NAMES = ("unet", "resencunet", "unetplusplus", "attention_unet")


def as_plane(name: str, weights: torch.Tensor, flat: torch.Tensor) -> torch.Tensor:
    """Return weights over slices as those of a plane: slices of a kernel become channels."""
    if weights.ndim != 5:
        return weights
    out, given, slices, *kernel = weights.shape
    return weights.reshape(out, given * slices, *kernel) if slices > 1 else weights[:, :, 0].view_as(flat)


@pytest.mark.parametrize("context", [1, 2])
@pytest.mark.parametrize("name", NAMES)
def test_a_context_is_neighbouring_slices_as_channels(name: str, context: int) -> None:
    torch.manual_seed(0)
    slices = 2 * context + 1
    network = build_segmenter(NetworkOptions(name=name, base=2, in_channels=2, context=context, **FLAT)).double()
    plane = build_segmenter(NetworkOptions(name=name, base=2, in_channels=2 * slices, depth=2)).double()
    for module in network.modules():  # residual branches begin at zero
        if isinstance(module, torch.nn.BatchNorm3d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    flat = plane.state_dict()
    plane.load_state_dict({key: as_plane(key, value, flat[key]) for key, value in network.state_dict().items()})
    volume = torch.randn(1, 2, 7, 16, 12, dtype=torch.float64)
    with torch.inference_mode():
        found = network.eval()(volume)
        assert found.shape == (1, 2, 7 - 2 * context, 16, 12)
        for place in range(found.shape[2]):
            near = volume[:, :, place : place + slices].reshape(1, -1, 16, 12)
            torch.testing.assert_close(found[:, :, place], plane.eval()(near), atol=1e-12, rtol=0)


def test_a_context_is_a_border_along_its_axis_alone() -> None:
    for axis, (strides, kernels) in enumerate([((1, 2, 2), (1, 3, 3)), ((2, 1, 2), (3, 1, 3)), ((2, 2, 1), (3, 3, 1))]):
        options = NetworkOptions(depth=1, base=2, dimensions=3, strides=(strides,), kernels=(kernels,) * 2, context=2)
        geometry = build_segmenter(options).geometry()
        assert options.slice_axis == axis
        assert [geometry.along(place).margin for place in range(3)] == [2 if place == axis else 0 for place in range(3)]
        assert geometry.along(axis).receptive_field == 5
        assert geometry.along(axis).legal_first == 5
        assert geometry.legal_first >= 5, "what is valid for the network is valid along all axes"


def test_a_context_needs_slices() -> None:
    with pytest.raises(BadOption, match=r"network\.kernels and network\.strides of 1 along an axis"):
        build_segmenter(NetworkOptions(dimensions=3, context=1))
    with pytest.raises(BadOption, match=r"options that vnet reads"):
        build_segmenter(NetworkOptions(name="vnet", context=1, **FLAT))
    assert {name.split()[0] for name in readers("context")} == set(NAMES)
    thick = NetworkOptions(depth=1, dimensions=3, strides=((2, 2, 2),), kernels=((1, 3, 3),) * 2)
    assert thick.slice_axis is None, "slices are pooled together"
