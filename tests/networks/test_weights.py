"""Loading of external weights: names, strict checks, stem adaptation and provenance.

Numerical parity with torchvision, timm and segmentation_models.pytorch is measured by benchmarks/weights_parity.py, in
an environment with these libraries; these tests check names and hand-computed values.
"""

import json
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from pixelwise.errors import BadOption, BadWeights
from pixelwise.networks.architectures import NetworkOptions, build
from pixelwise.networks.first_convolution import adapt_first_convolution, adapt_statistics
from pixelwise.networks.models import Network
from pixelwise.networks.published import PRETRAINED, find_pretrained, identify
from pixelwise.networks.weight_names import pixelwise_names, published_names
from pixelwise.networks.weights import Provenance, load_encoder, load_network, read_weights

RESNETS = {"resnet18": 122, "resnet34": 218, "resnet50": 320, "resnet101": 626, "resnet152": 932}  # tensors with fc


def make(name: str = "resnet18", seed: int = 0, **options: object) -> Network:
    torch.manual_seed(seed)
    network = build(NetworkOptions(name=name, **{"in_channels": 3, "classes": 5, **options}))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return network.eval()


def on_meta(name: str, **options: object) -> Network:
    with torch.device("meta"):
        return build(NetworkOptions(name=name, **{"in_channels": 3, "classes": 1000, **options}))


def unet(encoder: str = "resnet18", seed: int = 0, **options: object) -> Network:
    return make("unet", seed, encoder=encoder, base=4, **options)


def image(channels: int = 3, side: int = 64) -> Tensor:
    return torch.rand(2, channels, side, side, generator=torch.Generator().manual_seed(7))


def skips(network: Network, pixels: Tensor) -> list[Tensor]:
    with torch.no_grad():
        return network.encoder(pixels)


@pytest.mark.parametrize(("name", "count"), RESNETS.items())
def test_resnets_have_the_names_and_the_number_of_tensors_that_torchvision_publishes(name: str, count: int) -> None:
    names = published_names(on_meta(name))
    assert len(names) == count
    assert {"conv1.weight", "bn1.running_var", "layer1.0.conv1.weight", "fc.weight", "fc.bias"} <= names.keys()
    assert "layer2.0.downsample.0.weight" in names
    assert "layer2.0.downsample.1.num_batches_tracked" in names
    assert ("layer1.0.downsample.0.weight" in names) == (int(name[6:]) >= 50)


def test_timm_names_of_the_deep_stem_and_the_averaging_shortcut() -> None:
    names = published_names(on_meta("resnet50", stem="deep", shortcut="D"))
    stem = {name.split(".")[1] for name in names if name.startswith("conv1.")}
    assert stem == {"0", "1", "3", "4", "6"}
    assert "layer2.0.downsample.1.weight" in names
    assert "layer2.0.downsample.2.running_mean" in names
    assert "layer2.0.downsample.0.weight" not in names  # the average


@pytest.mark.parametrize(
    ("name", "present", "absent"),
    [
        ("vgg16", "features.28.bias", "features.1.weight"),
        ("vgg16_bn", "features.41.running_mean", "features.2.weight"),
    ],
)
def test_vggs_have_the_names_that_torchvision_publishes(name: str, present: str, absent: str) -> None:
    names = published_names(on_meta(name))
    assert {present, "features.0.weight", "classifier.0.weight", "classifier.3.bias", "classifier.6.weight"} <= set(
        names
    )
    assert absent not in names


def test_unets_have_the_names_of_smp() -> None:
    names = published_names(on_meta("unet", encoder="resnet34"))
    assert {
        "encoder.conv1.weight",
        "encoder.layer1.0.conv1.weight",
        "decoder.blocks.0.conv1.0.weight",
        "decoder.blocks.4.conv2.1.running_var",
        "segmentation_head.0.weight",
        "segmentation_head.0.bias",
    } <= names.keys()
    assert "decoder.center.1.0.weight" in published_names(on_meta("unet", encoder="vgg11_bn"))


@pytest.mark.parametrize("options", [{"encoder": "resnet18", "full_resolution": True}, {}, {"upsampling": "bilinear"}])
def test_networks_without_counterpart_have_no_published_names(options: dict[str, object]) -> None:
    with pytest.raises(BadWeights, match="exist in other libraries; got the layer"):
        published_names(on_meta("unet", **options))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("resnet18", {}),
        ("resnet50", {"stem": "deep", "shortcut": "D"}),
        ("unet", {"encoder": "resnet18", "base": 4}),
        ("unet", {"encoder": "vgg11_bn", "base": 4}),
    ],
)
def test_names_round_trip(name: str, options: dict[str, object]) -> None:
    network, other = make(name, **options), make(name, seed=1, **options)
    load_network(other, published_names(network))
    with torch.no_grad():
        assert torch.equal(network(image()), other(image()))


def test_channels_of_skip_and_upsampled_map_are_swapped() -> None:
    network = unet()
    theirs = published_names(network)["decoder.blocks.0.conv1.0.weight"]
    ours = network.state_dict()["decoder.blocks.0.layers.0.weight"]
    up, skip = 512, 256  # of layer4 and layer3
    assert torch.equal(theirs[:, :up], ours[:, skip:])
    assert torch.equal(theirs[:, up:], ours[:, :skip])


def test_own_names_are_unchanged() -> None:
    network = unet()
    assert pixelwise_names(network, network.state_dict()).keys() == network.state_dict().keys()


def test_encoder_weights_of_a_classifier_in_a_unet() -> None:
    classifier, segmenter = make(), unet(seed=1)
    before = segmenter.state_dict()["decoder.blocks.0.layers.0.weight"].clone()
    load_encoder(segmenter, published_names(classifier))
    for ours, theirs in zip(skips(segmenter, image()), skips(classifier, image()), strict=True):
        assert torch.equal(ours, theirs)
    assert torch.equal(segmenter.state_dict()["decoder.blocks.0.layers.0.weight"], before)


@pytest.mark.parametrize("source", [{}, {"full_resolution": True}])
def test_the_full_resolution_skip_is_not_loaded(source: dict[str, object]) -> None:
    other, network = unet(**source), unet(seed=1, full_resolution=True)
    before = network.state_dict()["encoder.block.layers.0.weight"].clone()
    load_encoder(network, other.state_dict())
    assert torch.equal(network.state_dict()["encoder.block.layers.0.weight"], before)
    assert torch.equal(skips(network, image())[-1], skips(other, image())[-1])


def test_files_without_batch_counters_load() -> None:
    network, other = make(), make(seed=1)
    old = {name: value for name, value in published_names(network).items() if "num_batches" not in name}
    load_network(other, old)
    with torch.no_grad():
        assert torch.equal(network(image()), other(image()))


def test_half_precision_files_load_as_single() -> None:
    network, other = make(), make(seed=1)
    half = {n: v.half() if v.is_floating_point() else v for n, v in published_names(network).items()}
    load_network(other, half)
    assert other.state_dict()["head.linear.weight"].dtype == torch.float32


def test_every_mismatch_is_listed_and_nothing_is_loaded() -> None:
    network = make()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    tensors = published_names(make(seed=1))
    del tensors["bn1.weight"]
    tensors["layer9.weight"] = torch.zeros(2, 3)
    tensors["layer1.0.conv1.weight"] = torch.zeros(64, 32, 3, 3)
    with pytest.raises(BadWeights) as caught:
        load_network(network, tensors, path="x.safetensors")
    assert str(caught.value) == (
        "x.safetensors: expected weights with the 122 tensors of the Classifier; got "
        "1 missing: encoder.bn1.weight (64); 1 unexpected: encoder.layer9.weight (2, 3); "
        "1 of another shape: encoder.layer1.0.conv1.weight (64, 32, 3, 3) instead of (64, 64, 3, 3). "
        "Choose the network that the weights were trained for. Nothing was loaded."
    )
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_long_list_is_truncated() -> None:
    # eight more blocks of two kernels and two normalisations, whose counters may be missing
    with pytest.raises(BadWeights, match=r"80 missing: layer1\.2\.conv1\.weight .* and 70 more"):
        load_encoder(unet("resnet34"), published_names(make("resnet18")))
    with pytest.raises(BadWeights, match="missing"):
        load_encoder(unet(), {})


def test_weights_of_another_family_raise() -> None:
    with pytest.raises(BadWeights, match=r"missing: features\.0\.weight .*unexpected: conv1\.weight"):
        load_encoder(unet("vgg11"), published_names(make()))


@pytest.mark.parametrize("channels", [1, 2, 5])
@pytest.mark.parametrize("how", ["auto", "sum", "repeat"])
def test_images_with_equal_channels_keep_their_output(channels: int, how: str) -> None:
    kernel = torch.randn(8, 3, 7, 7, dtype=torch.float64)
    gray = image(1).double()
    if how == "repeat" or (how == "auto" and channels != 1):  # exact where red, green and blue weigh alike
        kernel = kernel[:, :1].repeat(1, 3, 1, 1)
    adapted = adapt_first_convolution(kernel, channels, how)
    assert adapted.shape == (8, channels, 7, 7)
    expected = functional.conv2d(gray.repeat(1, 3, 1, 1), kernel)
    found = functional.conv2d(gray.repeat(1, channels, 1, 1), adapted)
    torch.testing.assert_close(found, expected)


def test_stem_adaptation_by_hand() -> None:
    kernel = torch.tensor([3.0, 5.0, 10.0]).view(1, 3, 1, 1)
    cases = {
        (1, "auto"): [18.0],
        (2, "auto"): [4.5, 7.5],  # times 3/2
        (4, "auto"): [3.0, 5.0, 10.0, 0.0],
        (5, "auto"): [1.8, 3.0, 6.0, 1.8, 3.0],  # times 3/5, in turn
        (4, "repeat"): [2.25, 3.75, 7.5, 2.25],
        (4, "sum"): [4.5] * 4,
        (6, "rgb+zero"): [3.0, 5.0, 10.0, 0.0, 0.0, 0.0],
        (3, "sum"): [3.0, 5.0, 10.0],  # nothing to adapt
    }
    for (channels, how), expected in cases.items():
        torch.testing.assert_close(adapt_first_convolution(kernel, channels, how).flatten(), torch.tensor(expected))
    with pytest.raises(BadOption, match=r"at least 3 channels for transfer\.first_convolution=rgb\+zero; got 2"):
        adapt_first_convolution(kernel, 2, "rgb+zero")


def test_grey_weights_for_colour_images() -> None:
    kernel = torch.tensor([6.0]).view(1, 1, 1, 1)
    assert adapt_first_convolution(kernel, 3).flatten().tolist() == [2.0, 2.0, 2.0]


def test_statistics_follow_the_kernel() -> None:
    mean, own = (0.4, 0.5, 0.6), [9.0, 9.0, 9.0, 0.2]
    assert adapt_statistics(mean, 3, "auto", own) == mean
    assert adapt_statistics(mean, 1, "auto", own) == pytest.approx((0.5,))
    assert adapt_statistics(mean, 4, "auto", own) == (*mean, 0.2)
    assert adapt_statistics(mean, 5, "auto", own) == (*mean, 0.4, 0.5)


@pytest.mark.parametrize("name", ["resnet18", "vgg11_bn"])
def test_a_fourth_channel_has_zero_weights_with_gradients(name: str) -> None:
    rgb, four = unet(name), unet(name, seed=1, in_channels=4)
    load_encoder(four, published_names(make(name)) if name == "resnet18" else rgb.state_dict())
    source = make(name) if name == "resnet18" else rgb
    pixels = image(4)
    torch.testing.assert_close(skips(four, pixels)[-1], skips(source, pixels[:, :3])[-1])
    four(pixels).sum().backward()
    gradient = next(four.encoder.parameters()).grad
    assert gradient is not None
    assert float(gradient[:, 3].abs().max()) > 0


def test_only_kernels_on_the_image_are_adapted() -> None:
    tensors = published_names(make())
    tensors["layer1.0.conv1.weight"] = tensors["layer1.0.conv1.weight"][:, :32]
    with pytest.raises(BadWeights, match="1 of another shape"):
        load_encoder(unet(in_channels=1), tensors)


def test_a_plain_unet_loads_an_encoder_with_another_number_of_channels() -> None:
    gray, colour = make("unet", base=4, depth=2, in_channels=1), make("unet", 1, base=4, depth=2)
    load_encoder(colour, gray.state_dict())
    pixels = image(1)
    torch.testing.assert_close(skips(colour, pixels.repeat(1, 3, 1, 1))[-1], skips(gray, pixels)[-1])


def test_provenance_round_trip(tmp_path: Path) -> None:
    origin = Provenance(source="somebody", licence="CC0", sha256="ab", mean=(0.5,), std=(0.25,))
    save_file({"a": torch.ones(2)}, tmp_path / "x.safetensors", origin.to_metadata())
    tensors, found = read_weights(tmp_path / "x.safetensors")
    assert found == origin
    assert tensors["a"].tolist() == [1.0, 1.0]
    save_file({"a": torch.ones(2)}, tmp_path / "y.safetensors")
    assert read_weights(tmp_path / "y.safetensors")[1] == Provenance()


def header(text: str, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(text) if length is None else length) + text.encode()


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (b"", "an empty file"),
        (b"hello, this is text", "a file of another kind"),
        (header("{}", 2**63), "a file of another kind"),
        (header('{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}'), "an unreadable file"),
        (header('{"a": 1}'), "an unreadable file"),
        (header(json.dumps({"__metadata__": {"pixelwise_origin": "[1]"}})), "with invalid provenance"),
    ],
)
def test_invalid_safetensors_files_raise(tmp_path: Path, content: bytes, got: str) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(BadWeights, match=got) as caught:
        read_weights(path)
    assert "pixelwise import-weights" in caught.value.hint


def test_non_finite_weights_raise(tmp_path: Path) -> None:
    save_file({"a": torch.tensor([float("nan")])}, tmp_path / "x.safetensors")
    with pytest.raises(BadWeights, match="NaN or Inf in a"):
        read_weights(tmp_path / "x.safetensors")


def test_registry_file_names_contain_the_digest() -> None:
    for word, files in PRETRAINED.items():
        for encoder, published in files.items():
            assert published.word == word
            assert published.stem == f"{encoder}-{published.sha256[:8]}"
            assert published.url.startswith("https://")
            assert len(published.sha256) in (8, 64)
            assert int(published.sha256, 16) > 0
            assert published.licence
            assert identify(published.sha256.ljust(64, "0")) == published
    assert identify("0" * 64) is None
    with pytest.raises(BadOption, match=r"got `unet`\. Available: resnet18, .*vgg19_bn\. Set encoder="):
        find_pretrained("imagenet", "unet")
