"""Tiled prediction equals whole-image prediction if and only if the derived halo is read.

Float64 and positive weights: with random weights ReLU and maxima cut so much that half the halo looks right too.
"""

import pytest
import torch
from torch import Tensor, nn

from pixelwise.networks.architectures import NetworkOptions, build_segmenter
from pixelwise.networks.models import Segmenter

CORE = 64


def positive(**options: object) -> Segmenter:
    torch.manual_seed(0)
    network = build_segmenter(NetworkOptions(base=2, **options))
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            fan = module.weight[0].numel() if isinstance(module, nn.Conv2d) else module.in_channels
            nn.init.uniform_(module.weight, 0.5 / fan, 1.5 / fan)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)  # residual branches may begin at zero and would hide what they see
    return network.double().eval()


def draw(height: int, width: int) -> Tensor:
    return torch.rand(1, 1, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(5))


@torch.inference_mode()
def error_of_padded_tiles(network: Segmenter, halo: int) -> float:
    """Return the relative difference to the whole image for tiles with a valid region of CORE x CORE."""
    image = draw(2 * CORE, 4 * CORE)
    height, width = image.shape[2:]
    whole = network(image)
    tiled = torch.full_like(whole, torch.nan)
    for top in range(0, height, CORE):
        for left in range(0, width, CORE):
            r0, r1 = max(0, top - halo), min(height, top + CORE + halo)
            c0, c1 = max(0, left - halo), min(width, left + CORE + halo)
            out = network(image[:, :, r0:r1, c0:c1])[:, :, top - r0 :, left - c0 :]
            tiled[:, :, top : top + CORE, left : left + CORE] = out[:, :, :CORE, :CORE]
    return float((tiled - whole).abs().max() / whole.abs().max())


PADDED = [
    {"depth": 2, "upsampling": "transposed"},
    {"depth": 3, "upsampling": "bilinear"},
    {"depth": 3, "upsampling": "nearest", "normalisation": "none"},
    {"name": "resunet", "depth": 2},
    {"name": "resencunet", "depth": 2},
    {"name": "unetplusplus", "depth": 2},
    {"name": "attention_unet", "depth": 2},
    {"name": "attention_unet", "depth": 2, "gates": "aligned"},
    {"name": "vnet", "depth": 2},
]


@pytest.mark.parametrize("options", PADDED, ids=str)
def test_the_derived_halo_is_exact_and_no_smaller_one_is(options: dict[str, object]) -> None:
    network = positive(**options)
    stride, halo = network.geometry().total_stride, network.geometry().halo
    assert error_of_padded_tiles(network, halo) < 1e-12
    for less in (halo - stride, halo // 2 // stride * stride, 0):
        assert error_of_padded_tiles(network, less) > 1e-10  # far above the rounding of float64


@pytest.mark.parametrize("normalisation", ["instance", "group"])
def test_no_halo_is_exact_for_global_layers(normalisation: str) -> None:
    network = positive(depth=2, normalisation=normalisation)
    assert error_of_padded_tiles(network, network.geometry().halo) > 1e-6
    assert not network.geometry().exact


@torch.inference_mode()
def error_of_valid_tiles(network: Segmenter, core: int) -> float:
    """Predict strips of `core` columns, each from an input that is wider by the borders."""
    margin = network.geometry().margin
    image = draw(188, 188 + 128)
    whole = network(image)
    tiled = torch.full_like(whole, torch.nan)
    for left in range(0, whole.shape[3], core):
        wide = network.geometry().valid_size(core + 2 * margin)
        read = min(left, image.shape[3] - wide)
        out = network(image[:, :, :, read : read + wide])
        tiled[:, :, :, left : left + core] = out[:, :, :, left - read : left - read + core]
    return float((tiled - whole).abs().max() / whole.abs().max())


def test_valid_tiles_abut_exactly_on_the_pooling_grid_only() -> None:
    network = positive(name="unet2015")
    assert error_of_valid_tiles(network, 32) < 1e-12
    assert error_of_valid_tiles(network, 24) > 1e-8  # begins between multiples of the stride
