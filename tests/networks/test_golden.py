"""Numbers of papers and reference implementations: parameters, sizes, operations, receptive fields."""

import pytest
import torch
from torch import nn

from pixelwise.geometry.layer_graph import Save, receptive_span, sizes_along
from pixelwise.networks.architectures import NetworkOptions, build, build_segmenter, published_options
from pixelwise.networks.blocks import count_parameters
from pixelwise.networks.encoders import StagedEncoder
from pixelwise.networks.models import Network, Segmenter


def on_meta(**options: object) -> Network:
    with torch.device("meta"):
        return build(NetworkOptions(**options))


def segmenter(**options: object) -> Segmenter:
    with torch.device("meta"):
        return build_segmenter(NetworkOptions(**options))


PHOTOS = {"in_channels": 3, "classes": 1000}
ON_PHOTOS = {"in_channels": 3, "classes": 1, "base": 16}
ONE = {"in_channels": 3, "classes": 1}


@pytest.mark.parametrize(
    ("options", "parameters"),
    [
        ({"name": "unet2015", "base": 64}, 31_030_658),
        ({"name": "unet2015", "base": 64, "classes": 1}, 31_030_593),
        ({"name": "unet2015", "base": 64, "in_channels": 3}, 31_031_810),
        ({"name": "unet2015", "base": 32, "in_channels": 3, "classes": 1}, 7_760_097),
        ({"base": 64}, 31_036_546),
        ({"base": 64, "in_channels": 3}, 31_037_698),
        ({"base": 64, "in_channels": 3, "upsampling": "bilinear"}, 17_263_042),
        ({"base": 32, "in_channels": 3, "classes": 1}, 7_763_041),
        ({"name": "resunet", "base": 64, "depth": 3, **ONE}, 8_220_993),
        ({"name": "unetplusplus", "normalisation": "none", **ONE}, 9_042_177),
        ({"name": "unetplusplus", "normalisation": "none", "deep_supervision": True, **ONE}, 9_042_276),
        ({"name": "unetplusplus", **ONE}, 9_045_825),
        ({"name": "unetplusplus", "deep_supervision": True, **ONE}, 9_045_924),
        ({"name": "unetplusplus", "base": 64, "deep_supervision": True, **ONE}, 36_165_444),
        ({"name": "unetplusplus", "upsampling": "bilinear", "normalisation": "none", **ONE}, 9_156_033),
        ({"name": "attention_unet", "base": 64, "in_channels": 3, "gates": "aligned"}, 31_389_230),
        ({"name": "vnet", "base": 16, "normalisation": "none", "dimensions": 3}, 65_175_314),
        ({"name": "unet3d", "base": 32, "dimensions": 3, "in_channels": 3, "classes": 3}, 19_075_523),
        ({"encoder": "resnet18", **ON_PHOTOS}, 14_328_209),
        ({"encoder": "resnet34", **ON_PHOTOS}, 24_436_369),
        ({"encoder": "resnet50", **ON_PHOTOS}, 32_521_105),
        ({"encoder": "resnet101", **ON_PHOTOS}, 51_513_233),
        ({"encoder": "resnet152", **ON_PHOTOS}, 67_156_881),
        ({"name": "resnet18", **PHOTOS}, 11_689_512),
        ({"name": "resnet34", **PHOTOS}, 21_797_672),
        ({"name": "resnet50", **PHOTOS}, 25_557_032),
        ({"name": "resnet101", **PHOTOS}, 44_549_160),
        ({"name": "resnet152", **PHOTOS}, 60_192_808),
        ({"name": "resnet18", "stem": "deep", "shortcut": "D", **PHOTOS}, 11_708_744),
        ({"name": "resnet50", "stem": "deep", "shortcut": "D", **PHOTOS}, 25_576_264),
        ({"name": "resnet152", "stem": "deep", **PHOTOS}, 60_212_040),
        ({"name": "vgg11", **PHOTOS}, 132_863_336),
        ({"name": "vgg13", **PHOTOS}, 133_047_848),
        ({"name": "vgg16", **PHOTOS}, 138_357_544),
        ({"name": "vgg19", **PHOTOS}, 143_667_240),
        ({"name": "vgg11_bn", **PHOTOS}, 132_868_840),
        ({"name": "vgg13_bn", **PHOTOS}, 133_053_736),
        ({"name": "vgg16_bn", **PHOTOS}, 138_365_992),
        ({"name": "vgg19_bn", **PHOTOS}, 143_678_248),
    ],
)
def test_published_parameter_counts(options: dict[str, object], parameters: int) -> None:
    network = on_meta(**options)
    assert count_parameters([network]) == parameters
    assert sum(layer.parameters for layer in network.layers(network.geometry().valid_size(64))) == parameters


def test_the_2015_network_layer_by_layer() -> None:
    network = on_meta(name="unet2015", base=64)
    rows = network.layers(572)
    assert len([row for row in rows if row.kind != "pooling"]) == 23
    assert [row.output_size for row in rows] == [
        570, 568, 284, 282, 280, 140, 138, 136, 68, 66, 64, 32, 30, 28,
        56, 54, 52, 104, 102, 100, 200, 198, 196, 392, 390, 388, 388,
    ]  # fmt: skip
    assert rows[0].arithmetic == "(572 - 3 + 0) / 1 + 1 = 570"
    assert sum(row.flops for row in rows) / 1e9 == pytest.approx(300.9, abs=0.05)
    assert network(torch.zeros(1, 1, 572, 572, device="meta")).shape == (1, 2, 388, 388)
    assert len([m for m in network.modules() if isinstance(m, nn.Dropout)]) == 2


def test_flops_of_the_padded_network() -> None:
    assert sum(row.flops for row in on_meta(base=64).layers(512)) / 1e9 == pytest.approx(384.8, abs=0.05)


@pytest.mark.parametrize(
    ("depth", "giga", "entries"),
    [(18, 1.814, 122), (34, 3.664, 218), (50, 4.089, 320), (101, 7.801, 626), (152, 11.514, 932)],
)
def test_residual_networks(depth: int, giga: float, entries: int) -> None:
    """Multiply-adds at 224 and entries of the state dict as published."""
    with torch.device("meta"):
        network = build(published_options(f"resnet{depth}"))
    assert sum(row.flops for row in network.layers(224)) / 2e9 == pytest.approx(giga, abs=0.001)
    assert len(network.state_dict()) == entries


@pytest.mark.parametrize(("depth", "millions"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.73)])
def test_residual_networks_of_cifar(depth: int, millions: float) -> None:
    with torch.device("meta"):
        network = build(published_options(f"resnet{depth}"))
    assert count_parameters([network]) / 1e6 == pytest.approx(millions, abs=0.005)


@pytest.mark.parametrize(("name", "giga"), [("vgg19", 19.63), ("vgg16_bn", 15.47)])
def test_multiply_adds_of_vgg(name: str, giga: float) -> None:
    with torch.device("meta"):
        network = build(published_options(name))
    assert sum(row.flops for row in network.layers(224)) / 2e9 == pytest.approx(giga, abs=0.01)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"name": "resnet18"}, 435),
        ({"name": "resnet34"}, 899),
        ({"name": "resnet50", "stride_first": True}, 483),
        ({"name": "resnet50"}, 427),
        ({"name": "vgg16"}, 212),
    ],
)
def test_receptive_fields_of_classifiers(options: dict[str, object], field: int) -> None:
    """Araujo et al. 2019 (distill.pub): ResNet-50 with the stride first 483, VGG-16 212."""
    assert on_meta(**options).geometry().receptive_field == field


def test_receptive_fields_of_the_vnet_going_down() -> None:
    """Milletari et al. 2016, table 1: 5, 22, 72, 172, 372 per stage."""
    encoder = segmenter(name="vnet", base=16).encoder
    assert isinstance(encoder, StagedEncoder)
    layer_graph = list(encoder.layer_graph())
    ends = [index for index, mark in enumerate(layer_graph) if isinstance(mark, Save) and mark.name.isdecimal()]
    fields: list[int] = []
    for end in [*ends, len(layer_graph)]:
        sizes = sizes_along(layer_graph[:end], 1024)
        assert sizes is not None
        low, high = receptive_span(layer_graph[:end], sizes, 1024, 8)
        fields.append(high - low + 1)
    assert fields == [5, 22, 72, 172, 372]


def test_deep_resunet_without_shortcuts_and_normalisation() -> None:
    """Zhang et al. 2018, table 2: 7.8 M parameters in the 3 x 3 convolutions and the head."""
    network = on_meta(name="resunet", base=64, depth=3, **ONE)
    kernels = [p for p in network.parameters() if p.ndim == 4 and p.shape[2] == 3]
    assert sum(p.numel() for p in kernels) + 64 == 7_780_096


def test_parameters_of_the_aligned_gates() -> None:
    network = on_meta(name="attention_unet", base=64, gates="aligned")
    assert count_parameters([network.get_submodule("decoder.gates")]) == 351_532


def test_published_options_are_those_of_the_paper() -> None:
    assert published_options("unet2015").base == 64
    assert published_options("vnet").dimensions == 3
    assert count_parameters([build_on_meta("resnet50")]) == 25_557_032


def build_on_meta(name: str) -> nn.Module:
    with torch.device("meta"):
        return build(published_options(name))


def test_the_3d_unet_is_that_of_its_paper() -> None:
    """Its 19,069,955 parameters are without normalisation and the biases of the up-convolutions."""
    with torch.device("meta"):
        network = build_segmenter(published_options("unet3d"))
    norms = sum(count_parameters([module]) for module in network.modules() if isinstance(module, nn.BatchNorm3d))
    biases = sum(module.out_channels for module in network.modules() if isinstance(module, nn.ConvTranspose3d))
    assert count_parameters([network]) - norms - biases == 19_069_955
    geometry = network.geometry()
    assert [geometry.output_size(side) for side in (132, 116)] == [44, 28]
