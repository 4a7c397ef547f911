"""Tests of the common interface over all registered networks."""

import json
import subprocess
import sys
from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from pixelwise.errors import BadOption
from pixelwise.networks.architectures import (
    ARCHITECTURES,
    CLASSIFIERS,
    ENCODERS,
    SEGMENTERS,
    NetworkOptions,
    build,
    build_classifier,
    build_segmenter,
    options_read,
    published_options,
    summary,
    with_defaults_where_unread,
)
from pixelwise.networks.layers import StridedPointwise2d
from pixelwise.networks.models import Segmenter


def on_meta(**options: object) -> Segmenter:
    with torch.device("meta"):
        return build_segmenter(NetworkOptions(**options))


def test_he_initialisation() -> None:
    torch.manual_seed(0)
    network = build(NetworkOptions(name="unet2015", base=32))
    kernels = [p for name, p in network.named_parameters() if name == "encoder.stages.1.layers.2.weight"]
    kernel = kernels[0]  # 64 -> 64 channels: N = 9 x 64 = 576
    assert float(kernel.detach().std()) == pytest.approx((2 / 576) ** 0.5, rel=0.02)
    assert all(float(p.detach().abs().max()) == 0 for n, p in network.named_parameters() if n.endswith("bias"))


def what_is_read(name: str, options: dict[str, object]) -> dict[str, object]:
    return {option: value for option, value in options.items() if option in options_read(NetworkOptions(name=name))}


SMALL: dict[str, object] = {"base": 4, "depth": 3}
CONTRACT: list[dict[str, object]] = [
    *({"name": name, **what_is_read(name, SMALL)} for name in SEGMENTERS),
    *({"normalisation": n, **SMALL} for n in ("group", "instance", "none")),
    *({"upsampling": u, **SMALL} for u in ("bilinear", "nearest")),
    {"base": 4, "depth": 1},
    {"name": "resunet", "normalisation": "none", **SMALL},
    {"name": "unetplusplus", "deep_supervision": True, **SMALL},
    {"name": "attention_unet", "gates": "aligned", **SMALL},
    {"name": "vnet", "normalisation": "none", **SMALL},
    {"encoder": "resnet18", "base": 4},
    {"encoder": "resnet18", "base": 4, "full_resolution": True},
    {"encoder": "resnet50", "base": 4, "stem": "deep", "shortcut": "D"},
    {"encoder": "vgg11_bn", "base": 4},
]
THICK_SLICES: dict[str, object] = {"strides": ((1, 2, 2), (2, 2, 2)), "kernels": ((1, 3, 3), (1, 3, 3), (3, 3, 3))}
VALID_ONLY = ("unet2015", "unet3d")  # their smallest volumes are large
VOLUMES = [
    {"name": name, "base": 2, "depth": 2, "dimensions": 3, **axes}
    for name in SEGMENTERS
    if name not in VALID_ONLY
    for axes in ({}, THICK_SLICES)
]
HEAVY = ("vgg", "resnet101", "resnet152")
CLASSIFYING = [
    pytest.param({"name": name, "classes": 5}, marks=[pytest.mark.slow] if name.startswith(HEAVY) else [], id=name)
    for name in CLASSIFIERS
] + [
    {"name": "resnet18", "shortcut": "C", "zero_init_residual": True},
    {"name": "resnet18", "shortcut": "A", "stem": "3x3"},
    {"name": "resnet50", "shortcut": "D", "stem": "deep", "stride_first": True},
]


@pytest.mark.parametrize("options", CONTRACT, ids=str)
@pytest.mark.parametrize(("channels", "classes"), [(1, 2), (3, 7)])
def test_sizes_are_as_predicted(options: dict[str, object], channels: int, classes: int) -> None:
    network = on_meta(**options, in_channels=channels, classes=classes).eval()
    geometry = network.geometry()

    @settings(max_examples=10)
    @given(k=st.integers(0, 6), j=st.integers(0, 6))
    def check(k: int, j: int) -> None:
        height, width = (geometry.legal_first + geometry.legal_step * n for n in (k, j))
        out = network(torch.zeros(2, channels, height, width, device="meta"))
        assert out.shape == (2, classes, geometry.output_size(height), geometry.output_size(width))

    check()


def begins_as_shortcut(network: nn.Module, name: str) -> bool:
    """Return whether a parameter has no gradient because a zero-initialised normalisation follows."""
    zeros = [n for n, p in network.named_parameters() if n.endswith("weight") and p.ndim == 1 and not bool(p.any())]
    return any(name.startswith(zero.rsplit(".layers.", 1)[0] + ".layers.") and name != zero for zero in zeros)


@pytest.mark.parametrize("options", CONTRACT, ids=str)
def test_every_parameter_has_a_gradient_and_the_state_round_trips(options: dict[str, object]) -> None:
    torch.manual_seed(1)
    network = build_segmenter(NetworkOptions(**options))
    side = network.geometry().valid_size(32)
    images = torch.randn(2, 1, side, side)
    # batch statistics cancel a preceding bias, so its gradient is only rounding; running ones do not
    for mode in (True, False):
        heads = network.train(mode).forward_heads(images)
        torch.stack([head.square().mean() for head in heads]).sum().backward()
    dead = [n for n, p in network.named_parameters() if p.grad is None or not bool(p.grad.abs().sum() > 0)]
    assert not [name for name in dead if not begins_as_shortcut(network, name)]
    again = build(NetworkOptions(**options))
    again.load_state_dict(network.state_dict())
    image = torch.randn(1, 1, side, side)
    assert torch.equal(again.eval()(image), network.eval()(image))


def test_unknown_names_and_sizes_raise() -> None:
    with pytest.raises(BadOption, match=r"got `unett`\. Did you mean `unet"):
        build(NetworkOptions(name="unett"))
    with pytest.raises(BadOption, match=r"expected network.depth in 1...8; got 99"):
        NetworkOptions(depth=99)
    with pytest.raises(BadOption, match=r"got 100\. The nearest larger one is 112"):
        on_meta(base=4)(torch.zeros(1, 1, 112, 100, device="meta"))


def test_only_local_networks_are_exact() -> None:
    exact = {n: on_meta(base=4, normalisation=n).geometry().exact for n in ("batch", "none", "group", "instance")}
    assert exact == {"batch": True, "none": True, "group": False, "instance": False}


@pytest.mark.parametrize("options", CONTRACT, ids=str)
def test_the_smallest_valid_size_works(options: dict[str, object]) -> None:
    network = build(NetworkOptions(**options)).eval()
    side = network.geometry().legal_first
    assert bool(network(torch.randn(1, 1, side, side)).isfinite().all())


# torch's instance normalisation always puts out NCHW; a group of one channel would not, but is far less precise there
@pytest.mark.parametrize("options", [o for o in CONTRACT if o.get("normalisation") != "instance"], ids=str)
def test_every_layer_keeps_channels_last(options: dict[str, object]) -> None:
    network = build(NetworkOptions(**options)).eval()
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    side = network.geometry().valid_size(64)
    moved: list[str] = []

    def note(module: nn.Module, _: object, out: torch.Tensor) -> None:
        if not out.is_contiguous(memory_format=torch.channels_last):
            moved.append(str(module))

    for module in network.modules():
        if not list(module.children()):
            module.register_forward_hook(note)
    network(torch.randn(2, 3, side, side)[:, :1].contiguous(memory_format=torch.channels_last))
    assert not moved


def test_no_bias_before_a_normalisation() -> None:
    biases = [n for n, _ in on_meta(base=4, depth=1, upsampling="nearest").named_parameters() if n.endswith("bias")]
    without = on_meta(base=4, depth=1, upsampling="nearest", normalisation="none")
    assert len(biases) == 6 + 1  # of six normalisations and the head
    assert len([n for n, _ in without.named_parameters() if n.endswith("bias")]) == 6 + 1  # convolutions and head
    assert not any(m.bias is not None for m in on_meta(base=4).encoder.modules() if isinstance(m, nn.Conv2d))
    assert all(m.inplace for m in on_meta(base=4).modules() if isinstance(m, nn.ReLU))


GRADIENT: list[dict[str, object]] = [
    *({"depth": 2, "upsampling": u} for u in ("transposed", "bilinear", "nearest")),
    {"depth": 3, "upsampling": "bilinear"},
    {"name": "unet2015"},
    {"name": "resunet", "depth": 2},
    {"name": "resencunet", "depth": 2},
    {"name": "unetplusplus", "depth": 3},
    {"name": "unetplusplus", "depth": 2, "deep_supervision": True},
    {"name": "attention_unet", "depth": 3},
    {"name": "attention_unet", "depth": 2, "gates": "aligned"},
    {"name": "vnet", "depth": 2},
    {"encoder": "resnet18"},
]


def average_pooling(
    features: Tensor, kernel_size: int, stride: int, padding: int = 0, *args: object, **kwargs: object
) -> Tensor:
    return nn.functional.avg_pool2d(features, kernel_size, stride, padding)


@pytest.mark.parametrize("options", GRADIENT, ids=str)
def test_reach_halo_and_field_agree_with_the_gradient(options: dict[str, object]) -> None:
    """With positive weights and average pooling the gradient shows the whole receptive field."""
    small = with_defaults_where_unread(NetworkOptions(base=1, normalisation="none", **options))
    network = build_segmenter(small).double().eval()
    for parameter in network.parameters():
        nn.init.constant_(parameter, 0.1 if parameter.ndim > 1 else 0.0)
    for norm in (m for m in network.modules() if isinstance(m, nn.BatchNorm2d)):  # of a ResNet encoder
        nn.init.ones_(norm.weight)
    geometry = network.geometry()
    stride, margin = geometry.total_stride, geometry.margin
    reach = halo = field = 0
    # the centre of an image longer than the receptive field; narrow, because both axes are alike
    side = geometry.valid_size(2 * geometry.reach + 3 * stride)
    image = torch.ones(1, 1, side, geometry.legal_first, dtype=torch.float64, requires_grad=True)
    with patch("torch.nn.functional.max_pool2d", average_pooling):
        out = network(image)
    middle = out.shape[2] // 2 // stride * stride
    for phase in range(stride):
        (gradient,) = torch.autograd.grad(out[0, 0, middle + phase].sum(), image, retain_graph=True)
        rows = gradient[0, 0].sum(1).nonzero().ravel()
        place = middle + phase + margin
        left, right = place - int(rows[0]), int(rows[-1]) - place
        reach, field = max(reach, left, right), max(field, left + right + 1)
        halo = max(halo, left - phase, right - (stride - 1 - phase))
    assert (reach, field) == (geometry.reach, geometry.receptive_field)
    if not margin:
        assert -(-halo // stride) * stride == geometry.halo


@pytest.mark.parametrize("options", VOLUMES, ids=str)
def test_volumes_have_the_predicted_size(options: dict[str, object]) -> None:
    network = build_segmenter(NetworkOptions(**options))
    first, step = network.geometry().legal_first, network.geometry().legal_step
    out = network(torch.randn(2, 1, first + step, first + 2 * step, first + step))
    assert out.shape == (2, 2, first + step, first + 2 * step, first + step)
    out.square().mean().backward()
    layers = network.layers(first + step)
    assert sum(layer.parameters for layer in layers) == sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("options", CLASSIFYING, ids=str)
def test_classifiers_accept_any_size_and_every_parameter_has_a_gradient(options: dict[str, object]) -> None:
    torch.manual_seed(0)
    network = build_classifier(NetworkOptions(in_channels=3, **options))
    first = network.geometry().legal_first
    classes = options.get("classes", 2)
    network.eval()
    assert network(torch.randn(1, 3, first, first + 5)).shape == (1, classes)
    if first > 1:
        with pytest.raises(BadOption, match=f"expected a side of {first}"):
            network(torch.randn(1, 3, first - 1, first))
    network.train()
    network(torch.randn(2, 3, first + 40, first + 37)).square().mean().backward()
    learned = {name: bool(p.grad is not None and p.grad.abs().sum() > 0) for name, p in network.named_parameters()}
    if not options.get("zero_init_residual"):
        assert all(learned.values()), [name for name, learns in learned.items() if not learns]
    again = build_classifier(NetworkOptions(in_channels=3, **options))
    again.load_state_dict(network.state_dict())
    image = torch.randn(1, 3, first + 8, first + 8)
    assert torch.equal(again.eval()(image), network.eval()(image))


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_layers_of_classifiers_agree_with_execution(name: str) -> None:
    with torch.device("meta"):
        network = build_classifier(published_options(name))
    sizes: list[int] = []
    for module in network.encoder.modules():
        if isinstance(module, nn.Conv2d | nn.MaxPool2d):
            module.register_forward_hook(lambda _, __, out: sizes.append(out.shape[2]))
    network.eval()(torch.zeros(1, 3, 75, 75, device="meta"))
    rows = [row for row in network.layers(75) if row.kind in ("convolution", "pooling") and row.name != "maximum"]
    assert sorted(row.output_size for row in rows) == sorted(sizes)
    assert sum(row.parameters for row in network.layers(75)) == sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("options", [*CONTRACT, *({"name": name} for name in CLASSIFIERS)], ids=str)
def test_no_plain_strided_pointwise_convolution(options: dict[str, object]) -> None:
    """With bfloat16 and few channels its backward pass writes out of bounds (`networks.layers`)."""
    with torch.device("meta"):
        network = build(NetworkOptions(**options))
    assert {type(module) for module in strided_pointwise(network)} <= {StridedPointwise2d}


def strided_pointwise(network: nn.Module) -> list[nn.Conv2d]:
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    return [module for module in convolutions if module.kernel_size == (1, 1) and module.stride != (1, 1)]


def test_control_a_plain_strided_pointwise_convolution_is_detected() -> None:
    assert len(strided_pointwise(build(NetworkOptions(name="resnet18")))) == 3  # a shortcut per halving of the size
    assert len(strided_pointwise(nn.Sequential(nn.Conv2d(1, 1, 1, stride=2), nn.Conv2d(1, 1, 1)))) == 1


CAPTURE = """
import json, sys, torch
from pixelwise.networks.architectures import NetworkOptions, build
for options in json.loads(sys.argv[1]):
    network = build(NetworkOptions(**options)).eval()
    side = network.geometry().valid_size(16)
    image = torch.randn(1, 1, side, side)
    captured = torch.compile(network, backend="eager", fullgraph=True)
    assert torch.equal(captured(image), network(image)), options
    torch.compiler.reset()
"""


def test_one_graph_can_be_captured() -> None:
    """In a separate process, because the shape checks of the tests are not part of the graph."""
    every = [*CONTRACT, {"name": "resnet20", "base": 4}]
    done = subprocess.run(
        [sys.executable, "-c", CAPTURE, json.dumps(every)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_plain_networks_differ_only_in_shortcuts() -> None:
    torch.manual_seed(0)
    plain, residual = (
        build_classifier(NetworkOptions(name=f"{n}20", in_channels=3, base=4)) for n in ("plain", "resnet")
    )
    residual.load_state_dict(plain.state_dict())
    image = torch.randn(1, 3, 32, 32)
    assert not torch.equal(plain.eval()(image), residual.eval()(image))


def test_v1_and_v15_have_equal_shapes_and_different_outputs() -> None:
    torch.manual_seed(0)
    later, first = (
        build_classifier(NetworkOptions(name="resnet50", in_channels=3, stride_first=s)).eval() for s in (False, True)
    )
    first.load_state_dict(later.state_dict())
    image = torch.randn(1, 3, 64, 64)
    assert not torch.allclose(later(image), first(image))


def test_zero_initialised_residual_blocks_are_shortcuts() -> None:
    torch.manual_seed(0)
    network = build_classifier(NetworkOptions(name="resnet20", in_channels=3, base=4, zero_init_residual=True)).eval()
    features = torch.rand(1, 4, 8, 8)
    block = network.get_submodule("encoder.layer1.1")
    assert torch.equal(block(features), features)
    control = build_classifier(NetworkOptions(name="resnet20", in_channels=3, base=4)).eval()
    assert not torch.equal(control.get_submodule("encoder.layer1.1")(features), features)


def test_shallow_heads_of_a_nested_network_need_no_deeper_columns() -> None:
    torch.manual_seed(0)
    whole = build_segmenter(NetworkOptions(name="unetplusplus", deep_supervision=True, base=4, depth=3)).eval()
    image = torch.randn(1, 1, 32, 32)
    heads = whole.forward_heads(image)
    assert len(heads) == 3
    assert torch.allclose(whole(image), torch.stack(heads).mean(0), atol=1e-6)
    for column, expected in enumerate(heads, 1):
        pruned = whole.prune(column)  # type: ignore[operator]
        assert torch.allclose(pruned(image), expected, atol=1e-6)
        assert sum(p.numel() for p in pruned.parameters()) < sum(p.numel() for p in whole.parameters())
        assert pruned.geometry().total_stride == 2**column
    with pytest.raises(BadOption, match=r"a column in 1\.\.\.3; got 4"):
        whole.prune(4)  # type: ignore[operator]


def test_full_resolution_skip_distinguishes_single_pixels() -> None:
    """Without it, an encoder that halves the size first has no map finer than two pixels."""
    torch.manual_seed(0)
    finest = [build_segmenter(NetworkOptions(encoder="resnet18", base=4, full_resolution=f)) for f in (False, True)]
    out = [network.get_submodule("encoder")(torch.randn(1, 1, 64, 64))[0].shape[2] for network in finest]
    assert out == [32, 64]


def test_names_of_registered_networks() -> None:
    expected = "unet2015 unet unet3d resunet resencunet unetplusplus attention_unet vnet"
    expected += " resnet18 resnet34 resnet50 resnet101 resnet152 resnet20 resnet32 resnet44 resnet56 resnet110"
    expected += " plain20 plain32 plain44 vgg11 vgg13 vgg16 vgg19 vgg11_bn vgg13_bn vgg16_bn vgg19_bn"
    assert set(ARCHITECTURES) == set(expected.split())
    assert all(20 < len(summary(name)) < 120 for name in ARCHITECTURES)
    assert all(name in CLASSIFIERS for name in ENCODERS)


def test_incompatible_options_raise() -> None:
    with pytest.raises(BadOption, match=r"expected options that vnet reads \(.*\); got network\.encoder=resnet18"):
        build(NetworkOptions(name="vnet", encoder="resnet18"))
    with pytest.raises(BadOption, match=r"a registered encoder; got `resnet19`. Did you mean `resnet18"):
        build(NetworkOptions(encoder="resnet19"))
    with pytest.raises(BadOption, match=r"expected options that unet on resnet18 reads .*; got network\.dimensions=3"):
        build(NetworkOptions(encoder="resnet18", dimensions=3))
    with pytest.raises(BadOption, match=r"expected network\.stem in auto, 7x7, deep for an encoder; got 3x3"):
        build(NetworkOptions(encoder="resnet18", stem="3x3"))
    with pytest.raises(BadOption, match="expected a segmentation network; got `resnet18`"):
        build_segmenter(NetworkOptions(name="resnet18"))
    with pytest.raises(BadOption, match="expected a classification network; got `unet`"):
        build_classifier(NetworkOptions())


@pytest.mark.parametrize("name", [name for name in SEGMENTERS if name not in VALID_ONLY])
def test_thick_slices_are_neither_pooled_nor_mixed_at_first(name: str) -> None:
    """Along the first axis the network is shallower: smaller valid sizes, halo and receptive field (by gradients)."""
    options = NetworkOptions(**{"name": name, "base": 2, "depth": 2, "dimensions": 3, **THICK_SLICES})
    torch.manual_seed(0)
    network = build_segmenter(options).eval()
    geometry = network.geometry()
    assert [geometry.along(axis).total_stride for axis in range(3)] == [2, 4, 4]
    assert geometry.along(0).halo < geometry.along(1).halo == geometry.halo
    for module in network.modules():
        if isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
            nn.init.constant_(module.weight, 0.1)  # positive, so that nothing that is seen cancels
    reach = geometry.along(0).reach
    image = torch.rand(1, 1, 4 * (reach + 2) // 2 * 2, 8, 8, requires_grad=True)
    middle = image.shape[2] // 2
    network(image)[0, 0, middle].sum().backward()
    assert image.grad is not None
    seen = image.grad[0, 0].abs().sum((1, 2)).nonzero().ravel()
    assert max(middle - int(seen[0]), int(seen[-1]) - middle) <= reach


def test_slices_alone_are_a_network_of_two_dimensions() -> None:
    flat = {"strides": ((1, 2, 2),) * 2, "kernels": ((1, 3, 3),) * 3}
    torch.manual_seed(0)
    volumes = build_segmenter(NetworkOptions(base=2, depth=2, dimensions=3, **flat)).eval()
    images = build_segmenter(NetworkOptions(base=2, depth=2)).eval()
    images.load_state_dict(
        {name: value.squeeze(2) if value.ndim == 5 else value for name, value in volumes.state_dict().items()}
    )
    volume = torch.randn(1, 1, 5, 8, 12)
    torch.testing.assert_close(volumes(volume)[0].transpose(0, 1), images(volume[0].transpose(0, 1)), atol=1e-5, rtol=0)
    assert volumes.geometry().along(0).legal_step == 1


def test_strides_and_kernels_that_do_not_fit_raise() -> None:
    with pytest.raises(BadOption, match=r"network\.strides of 1 or 2 along each axis, a 2 in each row"):
        NetworkOptions(strides=((1, 1, 1),))
    with pytest.raises(BadOption, match=r"network\.kernels of 1 or 3"):
        NetworkOptions(kernels=((1, 5, 5),))
    for wrong in ({"strides": ((1, 2, 2),)}, {"strides": ((2, 2),) * 2}, {"kernels": ((1, 3, 3),) * 2}):
        with pytest.raises(BadOption, match="rows with 3 numbers for depth 2"):
            build(NetworkOptions(depth=2, dimensions=3, **wrong))
