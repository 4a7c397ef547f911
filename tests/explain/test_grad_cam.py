"""Activations equal direct calls of the modules, and Grad-CAM of small networks equals values by hand."""

import numpy as np
import pytest
import torch
from torch import nn

from pixelwise.errors import BadOption
from pixelwise.explain.grad_cam import GradCam
from pixelwise.geometry.layer_graph import LayerGraph, LayerSpec
from pixelwise.networks.architectures import (
    CLASSIFIERS,
    SEGMENTERS,
    NetworkOptions,
    build_classifier,
    build_segmenter,
    with_defaults_where_unread,
)
from pixelwise.networks.attention import AlignedGate, GridGate
from pixelwise.networks.blocks import Head, Pool
from pixelwise.networks.decoders import UNetDecoder, cut_to
from pixelwise.networks.encoders import StagedEncoder
from pixelwise.networks.models import Classifier, Segmenter

SIDE = 8


class Spread(nn.Module):
    """Map one channel to two: the image and its negative."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.cat([image, -image], dim=1)

    def layer_graph(self) -> LayerGraph:
        return [LayerSpec(name="spread", kind="convolution", in_channels=1, channels=2)]


class Same(nn.Module):
    """Identity."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features

    def layer_graph(self) -> LayerGraph:
        return []


class Means(nn.Module):
    """Two classes: the mean of each channel."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features.mean((2, 3))

    def layer_graph(self) -> LayerGraph:
        return [LayerSpec(name="mean", kind="global average", in_channels=2, channels=2)]


class FirstNearest(nn.Module):
    """Upsample the input by nearest neighbours."""

    channels = 2

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return nn.functional.interpolate(features, scale_factor=2, mode="nearest")

    def layer_graph(self) -> LayerGraph:
        return [LayerSpec(name="up", kind="nearest", stride=2, in_channels=2, channels=2)]


def by_hand(weights: list[list[float]]) -> Segmenter:
    """Return a U-Net of one level with 2 x 2 max pooling, nearest upsampling and given head weights (classes, 4).

    The input channels of the head: skip (image, negative), upsampled maxima of image and negative.
    """
    encoder = StagedEncoder([Spread(), Same()], [2, 2], lambda index, width: Pool("pool", width))
    decoder = UNetDecoder([2, 2], [4], make_up=lambda *given: FirstNearest(), make_block=lambda *given: Same())
    head = Head(4, len(weights))
    with torch.no_grad():
        head.layer.weight.copy_(torch.tensor(weights)[:, :, None, None])
        assert head.layer.bias is not None
        head.layer.bias.zero_()
    return Segmenter(encoder, decoder, head, exact=True)


@pytest.fixture
def image(rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal((1, SIDE, SIDE)).astype(np.float32)


def blocks(image: np.ndarray) -> np.ndarray:
    """Return the maxima of 2 x 2 blocks."""
    return image.reshape(SIDE // 2, 2, SIDE // 2, 2).max((1, 3))


def test_stages_of_a_small_network(image: np.ndarray) -> None:
    grad_cam = GradCam(by_hand([[1, 0, 0, 0], [0, 0, 0, 1]]), image)
    facts = [(s.name, s.part, s.stride, s.maps.shape) for s in grad_cam.stages]
    assert facts == [
        ("encoder 1", "encoder", 1, (2, 8, 8)),
        ("encoder 2", "encoder", 2, (2, 4, 4)),
        ("skip 1", "skip", 1, (2, 8, 8)),
        ("decoder 1", "decoder", 1, (4, 8, 8)),
    ]
    first, second, skip, decoder = (stage.maps for stage in grad_cam.stages)
    assert np.array_equal(first, np.concatenate([image, -image]))
    assert np.array_equal(skip, first)
    assert np.array_equal(second, [blocks(image[0]), blocks(-image[0])])
    assert np.array_equal(decoder[2:], second.repeat(2, 1).repeat(2, 2))
    assert np.array_equal(grad_cam.logits, [image[0], decoder[3]])
    assert (grad_cam.coarsest, grad_cam.finest, grad_cam.gates) == ("encoder 2", "decoder 1", ())


def test_only_channels_with_a_weight_contribute(image: np.ndarray) -> None:
    grad_cam = GradCam(by_hand([[2, 0, 0, 0], [0, 0, 0, 3]]), image)
    coarse, fine = grad_cam.attributions(0)
    # class 0 depends on the finest map only: 2 per pixel, on all pixels
    assert fine.weights.tolist() == [2, 0, 0, 0]
    assert fine.heat == pytest.approx(np.maximum(2 * image[0], 0))
    assert coarse.weights.tolist() == [0, 0]
    assert not coarse.heat.any()
    coarse, fine = grad_cam.attributions(1)
    # class 1 depends on the coarse map of the negative, each of whose pixels affects four logits
    assert coarse.weights.tolist() == [0, 12]
    assert coarse.heat == pytest.approx(np.maximum(12 * blocks(-image[0]), 0))
    assert fine.weights.tolist() == [0, 0, 0, 3]


def test_grad_cam_of_a_region_uses_its_pixels_only(image: np.ndarray) -> None:
    grad_cam = GradCam(by_hand([[2, 0, 0, 0], [0, 0, 0, 3]]), image)
    region = np.zeros((SIDE, SIDE), bool)
    region[4, 6] = region[5, 6] = region[0, 0] = True
    (fine,) = grad_cam.attributions(0, region, ["decoder 1"])
    assert fine.weights == pytest.approx([2 * 3 / 64, 0, 0, 0])
    (coarse,) = grad_cam.attributions(1, region, ["encoder 2"])
    assert coarse.weights == pytest.approx([0, 3 * 3 / 16])
    (skip,) = grad_cam.attributions(0, region, ["skip 1"])
    assert skip.weights == pytest.approx([2 * 3 / 64, 0]), "only the channels of the skip"


def test_the_saliency_map_is_zero_outside_the_receptive_field(image: np.ndarray) -> None:
    grad_cam = GradCam(by_hand([[2, 0, 0, 0], [0, 0, 0, 3]]), image)
    region = np.zeros((SIDE, SIDE), bool)
    region[5, 6] = True
    expected = np.zeros((SIDE, SIDE), np.float32)
    expected[5, 6] = 2
    assert np.array_equal(grad_cam.sensitivity(0, region), expected)
    # the maximum of the negative in the block of rows 4, 5 and columns 6, 7
    lowest = np.unravel_index(image[0, 4:6, 6:8].argmin(), (2, 2))
    expected = np.zeros((SIDE, SIDE), np.float32)
    expected[4 + lowest[0], 6 + lowest[1]] = 3
    assert np.array_equal(grad_cam.sensitivity(1, region), expected)


def test_grad_cam_of_a_small_classifier(image: np.ndarray) -> None:
    encoder = StagedEncoder([Spread(), Same()], [2, 2], lambda index, width: Pool("pool", width))
    grad_cam = GradCam(Classifier(encoder, Means()), image)
    assert grad_cam.logits == pytest.approx([blocks(image[0]).mean(), blocks(-image[0]).mean()])
    assert (grad_cam.coarsest, grad_cam.finest) == ("encoder 2", "encoder 1")
    (coarse,) = grad_cam.attributions(1, stages=["encoder 2"])
    assert coarse.weights == pytest.approx([0, 1 / 16])
    assert coarse.heat == pytest.approx(np.maximum(blocks(-image[0]) / 16, 0))


@pytest.mark.parametrize("name", SEGMENTERS)
def test_activations_equal_direct_calls_of_the_modules(name: str, rng: np.random.Generator) -> None:
    """No module changes a recorded map in place, and gradients reach every stage."""
    torch.manual_seed(0)
    network = build_segmenter(with_defaults_where_unread(NetworkOptions(name=name, base=4, depth=3))).eval()
    side = network.geometry().valid_size(64)
    pixels = rng.standard_normal((1, side, side)).astype(np.float32)
    grad_cam = GradCam(network, pixels)
    with torch.inference_mode():
        skips = network.encoder(torch.from_numpy(pixels)[None])
        logits = network(torch.from_numpy(pixels)[None])[0].numpy()
        features = network.decoder(tuple(skips))
    assert grad_cam.logits == pytest.approx(logits, abs=1e-5)
    encoder = [stage for stage in grad_cam.stages if stage.part == "encoder"]
    assert len(encoder) == len(skips)
    for stage, skip in zip(encoder, skips, strict=True):
        assert stage.maps == pytest.approx(skip[0].numpy(), abs=1e-5)
    last = features[-1] if isinstance(features, list) else features
    (finest,) = [stage for stage in grad_cam.stages if stage.name == grad_cam.finest]
    assert finest.maps == pytest.approx(last[0].numpy(), abs=1e-5)
    names = [stage.name for stage in grad_cam.stages]
    assert len(set(names)) == len(names)
    for attributions in grad_cam.attributions(1, stages=names):
        assert attributions.weights.any(), f"{attributions.stage} contributes"


@pytest.mark.parametrize("name", ["resnet18", "resnet20", "plain20", "vgg11_bn"])
def test_maps_of_classifiers(name: str, rng: np.random.Generator) -> None:
    assert name in CLASSIFIERS
    options = with_defaults_where_unread(NetworkOptions(name=name, base=4, in_channels=3, classes=5))
    network = build_classifier(options).eval()
    pixels = rng.standard_normal((3, 64, 64)).astype(np.float32)
    grad_cam = GradCam(network, pixels)
    with torch.inference_mode():
        maps = network.encoder(torch.from_numpy(pixels)[None])
    for stage, expected in zip(grad_cam.stages, maps, strict=True):
        assert stage.maps == pytest.approx(expected[0].numpy(), abs=1e-5)
    assert grad_cam.attributions(4)[0].heat.shape == maps[-1].shape[2:]


def test_skips_of_unet2015_are_cropped(rng: np.random.Generator) -> None:
    network = build_segmenter(NetworkOptions(name="unet2015", base=2))
    grad_cam = GradCam(network, rng.standard_normal((1, 188, 188)).astype(np.float32))
    maps = {stage.name: torch.from_numpy(stage.maps)[None] for stage in grad_cam.stages}
    for level in (1, 2, 3, 4):
        skip, whole = maps[f"skip {level}"], maps[f"encoder {level}"]
        assert skip.shape[2] < whole.shape[2]
        assert torch.equal(cut_to(whole, skip), skip)


@pytest.mark.parametrize("gates", ["published", "aligned"])
def test_gates_are_the_coefficients_that_weight_the_skips(gates: str, rng: np.random.Generator) -> None:
    torch.manual_seed(0)
    network = build_segmenter(NetworkOptions(name="attention_unet", base=4, depth=2, gates=gates)).eval()
    pixels = rng.standard_normal((1, 32, 32)).astype(np.float32)
    grad_cam = GradCam(network, pixels)
    assert [gate.name for gate in grad_cam.gates] == (["gate 2"] if gates == "published" else ["gate 2", "gate 1"])
    gate = grad_cam.gates[0]
    assert gate.coefficients.shape == (16, 16)
    assert (gate.coefficients > 0).all()
    assert (gate.coefficients < 1).all()
    maps = {stage.name: torch.from_numpy(stage.maps)[None] for stage in grad_cam.stages}
    decoder: UNetDecoder = network.decoder  # type: ignore[assignment]
    module = decoder.gates[0]
    weighted = torch.from_numpy(gate.coefficients) * maps["encoder 2"]
    with torch.inference_mode():
        if isinstance(module, GridGate):
            weighted = module.out(weighted)
        else:
            assert isinstance(module, AlignedGate)
    assert maps["skip 2"].numpy() == pytest.approx(weighted.numpy(), abs=1e-5)


@pytest.mark.parametrize(("sign", "order"), [(1, [0, 1]), (-1, [1, 0])])
def test_the_most_varied_channels_come_first(image: np.ndarray, sign: int, order: list[int]) -> None:
    # the maxima of the negative of a non-negative image are zero almost everywhere
    grad_cam = GradCam(by_hand([[1, 0, 0, 0], [0, 0, 0, 1]]), sign * np.maximum(image, 0))
    stage = next(stage for stage in grad_cam.stages if stage.name == "encoder 2")
    assert stage.most_varied().tolist() == order
    assert stage.deviations() == pytest.approx([stage.maps[0].std(), stage.maps[1].std()], abs=1e-6)


def test_the_network_is_not_changed(image: np.ndarray) -> None:
    network = by_hand([[1, 0, 0, 0], [0, 0, 0, 1]]).train()
    network.head.requires_grad_(False)
    network.encoder.eval()
    GradCam(network, image)
    assert network.training
    assert not network.encoder.training
    assert [parameter.requires_grad for parameter in network.parameters()] == [False, False]
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())
    for parameter in network.requires_grad_(True).parameters():
        assert parameter.grad is None
    with pytest.raises(BadOption, match=r"expected a side of 2 \+ k x 2; got 7"):
        GradCam(network, image[:, :7, :7])
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_invalid_arguments_are_rejected(image: np.ndarray) -> None:
    grad_cam = GradCam(by_hand([[1, 0, 0, 0], [0, 0, 0, 1]]), image)
    with pytest.raises(BadOption, match=r"expected a class in 0\.\.\.1; got 2"):
        grad_cam.attributions(2)
    with pytest.raises(BadOption, match=r"got `encodr 2`\. Did you mean `encoder 2`\? Known: encoder 1, encoder 2"):
        grad_cam.attributions(0, stages=["encodr 2"])
    with pytest.raises(BadOption, match="expected a region with pixels; got an empty one"):
        grad_cam.attributions(0, np.zeros((SIDE, SIDE), bool))
    with pytest.raises(BadOption, match=r"expected a region of the size of the logits, \(8, 8\); got \(4, 4\)"):
        grad_cam.sensitivity(0, np.ones((4, 4), bool))


@pytest.mark.parametrize("name", ["unet", "attention_unet"])
def test_volumes_have_heat_maps_with_a_depth(name: str) -> None:
    torch.manual_seed(0)
    network = build_segmenter(NetworkOptions(name=name, base=2, depth=2, dimensions=3)).eval()
    image = np.random.default_rng(0).random((1, 8, 12, 16)).astype(np.float32)
    cam = GradCam(network, image)
    region = np.zeros((8, 12, 16), bool)
    region[2:5, 3:7, 4:9] = True
    for found in cam.attributions(1, region):
        stage = next(stage for stage in cam.stages if stage.name == found.stage)
        assert found.heat.shape == stage.maps.shape[1:] == tuple(side // found.stride for side in (8, 12, 16))
        score = torch.from_numpy(found.weights)[:, None, None, None] * torch.from_numpy(stage.maps)
        assert np.allclose(found.heat, score.sum(0).clamp_min(0), atol=1e-6)
    assert cam.sensitivity(1, region).shape == (8, 12, 16)
    assert all((stage.deviations() >= 0).all() for stage in cam.stages)
    assert [gate.coefficients.ndim for gate in cam.gates] == [3] * len(cam.gates)
