"""Golden facts of the papers, and one contract for every registered network."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from pixelwise.errors import BadOption
from pixelwise.networks.architectures import ARCHITECTURES, NetworkOptions, build
from pixelwise.networks.blocks import count_parameters
from pixelwise.networks.encoders import PlainEncoder
from pixelwise.networks.models import Segmenter


def on_meta(**options: object) -> Segmenter:
    with torch.device("meta"):
        return build(NetworkOptions(**options))


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
    ],
)
def test_published_parameter_counts(options: dict[str, object], parameters: int) -> None:
    network = on_meta(**options)
    assert count_parameters([network]) == parameters
    assert sum(layer.parameters for layer in network.layers(network.geometry().legal_size(256))) == parameters


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


def test_he_initialisation() -> None:
    torch.manual_seed(0)
    network = build(NetworkOptions(name="unet2015", base=32))
    kernels = [p for name, p in network.named_parameters() if name == "encoder.stages.1.layers.2.weight"]
    kernel = kernels[0]  # 64 -> 64 channels: N = 9 x 64 = 576
    assert float(kernel.detach().std()) == pytest.approx((2 / 576) ** 0.5, rel=0.02)
    assert all(float(p.detach().abs().max()) == 0 for n, p in network.named_parameters() if n.endswith("bias"))


SMALL = {"base": 4, "depth": 3}
CONTRACT = [
    *({"name": name, **SMALL} for name in ARCHITECTURES),
    *({"normalisation": n, **SMALL} for n in ("group", "instance", "none")),
    *({"upsampling": u, **SMALL} for u in ("bilinear", "nearest")),
    {"base": 4, "depth": 1},
]


@pytest.mark.parametrize("options", CONTRACT, ids=str)
@pytest.mark.parametrize(("channels", "classes"), [(1, 2), (3, 7)])
def test_sizes_are_as_predicted(options: dict[str, object], channels: int, classes: int) -> None:
    network = on_meta(**options, in_channels=channels, classes=classes).eval()
    geometry = network.geometry()

    @given(k=st.integers(0, 6), j=st.integers(0, 6))
    def check(k: int, j: int) -> None:
        height, width = (geometry.legal_first + geometry.legal_step * n for n in (k, j))
        out = network(torch.zeros(2, channels, height, width, device="meta"))
        assert out.shape == (2, classes, geometry.output_size(height), geometry.output_size(width))

    check()


@pytest.mark.parametrize("options", CONTRACT, ids=str)
def test_every_parameter_learns_and_the_state_goes_round(options: dict[str, object]) -> None:
    torch.manual_seed(1)
    network = build(NetworkOptions(**options))
    side = network.geometry().legal_size(32)
    network(torch.randn(2, 1, side, side)).square().mean().backward()
    assert all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in network.parameters())
    again = build(NetworkOptions(**options))
    again.load_state_dict(network.state_dict())
    image = torch.randn(1, 1, side, side)
    assert torch.equal(again.eval()(image), network.eval()(image))


def test_unknown_names_and_sizes_are_refused() -> None:
    with pytest.raises(BadOption, match=r"got `unett`\. Did you mean `unet"):
        build(NetworkOptions(name="unett"))
    with pytest.raises(BadOption, match=r"expected network.depth in 1...8; got 99"):
        NetworkOptions(depth=99)
    with pytest.raises(BadOption, match=r"got 100\. The nearest larger one is 112"):
        on_meta(base=4)(torch.zeros(1, 1, 112, 100, device="meta"))


def test_only_networks_that_look_locally_are_exact() -> None:
    exact = {n: on_meta(base=4, normalisation=n).geometry().exact for n in ("batch", "none", "group", "instance")}
    assert exact == {"batch": True, "none": True, "group": False, "instance": False}


@pytest.mark.parametrize("options", CONTRACT, ids=str)
def test_the_smallest_legal_size_works(options: dict[str, object]) -> None:
    network = build(NetworkOptions(**options)).eval()
    side = network.geometry().legal_first
    assert bool(network(torch.randn(1, 1, side, side)).isfinite().all())


# torch's instance normalisation always puts out NCHW; a group of one channel would not, but is far less precise there
@pytest.mark.parametrize("options", [o for o in CONTRACT if o.get("normalisation") != "instance"], ids=str)
def test_channels_stay_last_through_every_layer(options: dict[str, object]) -> None:
    network = build(NetworkOptions(**options)).eval()
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    side = network.geometry().legal_size(64)
    moved: list[str] = []

    def note(module: nn.Module, _: object, out: torch.Tensor) -> None:
        if not out.is_contiguous(memory_format=torch.channels_last):
            moved.append(str(module))

    for module in network.modules():
        if not list(module.children()):
            module.register_forward_hook(note)
    network(torch.randn(2, 3, side, side)[:, :1].contiguous(memory_format=torch.channels_last))
    assert not moved


def test_shifts_that_a_normalisation_takes_out_are_not_learned() -> None:
    biases = [n for n, _ in on_meta(base=4, depth=1, upsampling="nearest").named_parameters() if n.endswith("bias")]
    without = on_meta(base=4, depth=1, upsampling="nearest", normalisation="none")
    assert len(biases) == 6 + 1  # of six normalisations and the head
    assert len([n for n, _ in without.named_parameters() if n.endswith("bias")]) == 6 + 1  # convolutions and head
    assert not any(m.bias is not None for m in on_meta(base=4).encoder.modules() if isinstance(m, nn.Conv2d))
    assert all(m.inplace for m in on_meta(base=4).modules() if isinstance(m, nn.ReLU))


GRADIENT = [
    *({"depth": 2, "upsampling": u} for u in ("transposed", "bilinear", "nearest")),
    {"depth": 3, "upsampling": "bilinear"},
    {"name": "unet2015"},
]


@pytest.mark.parametrize("options", GRADIENT, ids=str)
def test_reach_halo_and_field_agree_with_the_gradient(options: dict[str, object]) -> None:
    """With positive weights and averages instead of maxima no path is cut: the gradient shows all that is seen."""
    network = build(NetworkOptions(base=1, normalisation="none", **options)).double().eval()
    for parameter in network.parameters():
        nn.init.constant_(parameter, 0.1 if parameter.ndim > 1 else 0.0)
    assert isinstance(network.encoder, PlainEncoder)
    network.encoder.pools = nn.ModuleList(nn.AvgPool2d(2) for _ in network.encoder.pools)
    geometry = network.geometry()
    stride, margin = geometry.total_stride, geometry.margin
    reach = halo = field = 0
    # the middle of an image so long that neither end is seen; narrow, because both axes are alike
    side = geometry.legal_size(2 * geometry.reach + 3 * stride)
    image = torch.ones(1, 1, side, geometry.legal_first, dtype=torch.float64, requires_grad=True)
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
