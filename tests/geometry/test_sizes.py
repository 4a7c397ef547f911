"""Sizes of published networks, computed by hand."""

from typing import Any

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn

from pixelwise.errors import BadOption
from pixelwise.geometry.layer_graph import Branch, LayerSpec, Merge, Save, receptive_span, sizes_along
from pixelwise.geometry.sizes import Geometry, derive_geometry


def conv(padding: int) -> LayerSpec:
    return LayerSpec(name="conv", kind="convolution", kernel=3, padding=padding)


def unet(depth: int, padding: int, up: str) -> list[LayerSpec | Save | Branch | Merge]:
    layer_graph: list[LayerSpec | Save | Branch | Merge] = []
    for level in range(depth):
        layer_graph += [conv(padding), conv(padding), Save(str(level))]
        layer_graph.append(LayerSpec(name="pool", kind="pooling", kernel=2, stride=2))
    layer_graph += [conv(padding), conv(padding)]
    for level in reversed(range(depth)):
        layer_graph.append(LayerSpec(name="up", kind=up, kernel=2 if up == "transposed" else 1, stride=2))  # type: ignore[arg-type]
        layer_graph += [Merge(str(level)), conv(padding), conv(padding)]
    return layer_graph


def test_the_paper_of_2015() -> None:
    layer_graph = unet(4, 0, "transposed")
    sizes = sizes_along(layer_graph, 572)
    assert sizes is not None
    assert sizes[-1] == 388
    geometry = derive_geometry(layer_graph)
    assert (geometry.margin, geometry.reach, geometry.receptive_field) == (92, 107, 204)
    legal = [n for n in range(100, 1000) if geometry.is_valid(n)]
    assert legal[:6] == [188, 204, 220, 236, 252, 268]
    assert len(legal) == 51
    assert [geometry.output_size(n) for n in legal[:4]] == [4, 20, 36, 52]
    assert all(sizes_along(layer_graph, n) is None for n in range(100, 300) if n not in legal)


@pytest.mark.parametrize(
    ("depth", "up", "reach", "halo"),
    [
        (2, "bilinear", 26, 28),
        (2, "transposed", 23, 24),
        (3, "bilinear", 58, 56),
        (3, "nearest", 51, 48),
        (4, "bilinear", 122, 112),
        (4, "transposed", 107, 96),
        (5, "bilinear", 250, 224),
        (5, "nearest", 219, 192),
    ],
)
def test_reach_and_halo_of_padded_unets(depth: int, up: str, reach: int, halo: int) -> None:
    geometry = derive_geometry(unet(depth, 1, up))
    assert (geometry.reach, geometry.halo, geometry.margin) == (reach, halo, 0)
    assert geometry.total_stride == geometry.legal_first == 2**depth


def test_an_invalid_size_raises_with_the_nearest_ones() -> None:
    geometry = Geometry(total_stride=16, reach=1, halo=16, margin=0, legal_first=16, legal_step=16, receptive_field=3)
    with pytest.raises(BadOption, match=r"expected a side of 16 \+ k x 16; got 100. The nearest larger one is 112"):
        geometry.check(100)


def test_formula_of_the_output_size() -> None:
    assert conv(0).arithmetic(572) == "(572 - 3 + 0) / 1 + 1 = 570"
    up = LayerSpec(name="up", kind="transposed", kernel=2, stride=2)
    assert up.arithmetic(28) == "(28 - 1) x 2 - 0 + 2 = 56"
    assert LayerSpec(name="up", kind="bilinear", stride=2).arithmetic(28) == "28 x 2 = 56"


def test_receptive_field_of_2015_depends_on_the_position() -> None:
    layer_graph = unet(4, 0, "transposed")
    sizes = sizes_along(layer_graph, 572)
    assert sizes is not None
    found = [receptive_span(layer_graph, sizes, 572, 160 + phase) for phase in range(16)]
    assert [high - low + 1 for low, high in found] == [188] * 4 + [204] * 12
    reaches = {(160 + p + 92 - low, high - 160 - p - 92) for p, (low, high) in enumerate(found)}
    assert {(107, 96), (96, 107)} & reaches  # uneven: far to one side, less far to the other
    assert max(max(pair) for pair in reaches) == 107


def resnet_unet(blocks: tuple[int, ...], bottleneck: bool, up: str) -> list[LayerSpec | Save | Branch | Merge]:
    """Return the layer graph of segmentation_models.pytorch's U-Net on ResNet, without shortcuts."""

    def step(kernel: int, stride: int = 1) -> LayerSpec:
        return LayerSpec(name="conv", kind="convolution", kernel=kernel, stride=stride, padding=kernel // 2)

    layer_graph: list[LayerSpec | Save | Branch | Merge] = [step(7, 2), Save("2")]
    layer_graph.append(LayerSpec(name="pool", kind="pooling", kernel=3, stride=2, padding=1))
    for stage, count in enumerate(blocks):
        for block in range(count):
            stride = 2 if stage and not block else 1
            layer_graph += [step(1), step(3, stride), step(1)] if bottleneck else [step(3, stride), step(3)]
        if stage < 3:
            layer_graph.append(Save(str(4 * 2**stage)))
    for skip in ("16", "8", "4", "2", None):
        layer_graph.append(LayerSpec(name="up", kind=up, stride=2))  # type: ignore[arg-type]
        layer_graph += [Merge(skip)] if skip else []
        layer_graph += [conv(1), conv(1)]
    return [*layer_graph, conv(1)]


@pytest.mark.parametrize(
    ("blocks", "bottleneck", "up", "reach", "halo"),
    [
        ((2, 2, 2, 2), False, "nearest", 311, 288),
        ((2, 2, 2, 2), False, "bilinear", 342, 320),
        ((3, 4, 6, 3), False, "nearest", 543, 544),
        ((3, 4, 6, 3), False, "bilinear", 574, 576),
        ((3, 4, 6, 3), True, "nearest", 307, 288),
        ((3, 4, 6, 3), True, "bilinear", 338, 320),
    ],
)
def test_reach_on_strided_padded_encoders(
    blocks: tuple[int, ...], bottleneck: bool, up: str, reach: int, halo: int
) -> None:
    geometry = derive_geometry(resnet_unet(blocks, bottleneck, up))
    assert (geometry.reach, geometry.halo, geometry.margin) == (reach, halo, 0)
    assert (geometry.total_stride, geometry.legal_first, geometry.legal_step) == (32, 32, 32)


def test_a_minimum_side_of_maps_changes_the_first_valid_size() -> None:
    geometry = derive_geometry(unet(3, 1, "nearest"), smallest=2)
    assert (geometry.legal_first, geometry.legal_step, geometry.halo) == (16, 8, 48)


def test_layers_without_a_valid_size_raise() -> None:
    lost = [conv(1), Save("0"), LayerSpec(name="pool", kind="pooling", kernel=2, stride=2), Merge("0")]
    up = LayerSpec(name="up", kind="nearest", stride=4)  # comes back twice as large as it went
    with pytest.raises(BadOption, match="valid size below 4096; got none"):
        derive_geometry([*lost, up])


def layer(step: LayerSpec) -> nn.Module:
    """Return torch's own layer of one axis, with weights of one."""
    if step.kind == "pooling":  # the average, because a maximum sends its gradient to one pixel only
        return nn.AvgPool1d(step.kernel, step.stride, step.padding)
    if step.up and step.kind != "transposed":
        return nn.Upsample(scale_factor=step.stride, mode="linear" if step.kind == "bilinear" else "nearest")
    kind = nn.ConvTranspose1d if step.kind == "transposed" else nn.Conv1d
    made = kind(1, 1, step.kernel, step.stride, step.padding, dilation=step.dilation, bias=False)
    nn.init.ones_(made.weight)
    return made


@st.composite
def steps(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(["convolution", "pooling", "transposed", "bilinear", "nearest"]))
    if kind in ("bilinear", "nearest"):
        return {"name": "up", "kind": kind, "stride": draw(st.sampled_from([2, 4]))}
    kernel, stride = draw(st.integers(1, 7)), draw(st.integers(1, 4))
    padding = draw(st.integers(0, kernel // 2))
    dilation = 1 if kind == "pooling" else draw(st.integers(1, 3))
    return {"name": "step", "kind": kind, "kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation}


@given(fields=steps(), size=st.integers(24, 40))
def test_a_layer_agrees_with_torch(fields: dict[str, Any], size: int) -> None:
    step = LayerSpec(**fields)  # not in the strategy, because the check of its types draws random numbers
    line = torch.ones(1, 1, size, dtype=torch.float64, requires_grad=True)
    out = layer(step).double()(line)
    assert out.shape[2] == step.output_size(size)
    middle = out.shape[2] // 2
    (gradient,) = torch.autograd.grad(out[0, 0, middle], line)
    receptive_span = gradient.ravel().nonzero().ravel()
    assume(len(receptive_span) > 0)  # a transposed kernel with gaps may miss every input
    low, high = step.input_span(middle, middle)
    assert low <= int(receptive_span[0])
    assert int(receptive_span[-1]) <= high
    if step.kind != "transposed" or (step.dilation == 1 and step.kernel >= step.stride):
        assert (max(0, low), min(size - 1, high)) == (int(receptive_span[0]), int(receptive_span[-1]))
