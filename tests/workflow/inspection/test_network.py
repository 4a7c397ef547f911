"""`inspect NETWORK`: sizes, memory, receptive field, drawings."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch

from pixelwise.errors import BadOption, OutputFailed
from pixelwise.io.read import read_image
from pixelwise.networks.architectures import (
    ARCHITECTURES,
    CLASSIFIERS,
    ENCODERS,
    SEGMENTERS,
    NetworkOptions,
    build,
    published_options,
    summary,
)
from pixelwise.networks.blocks import Pool
from pixelwise.networks.models import Classifier
from pixelwise.workflow.inspect import inspect


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Drawings go to the current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_network_of_2015_comes_out_as_published() -> None:
    found = inspect("unet2015", size=572)
    value = json.loads(json.dumps(found.to_json()))
    # Ronneberger et al. 2015, figure 1; work counted by hand from the same figure (a multiply-add is two)
    assert value["parameters"] == 31_030_658
    assert (value["input_size"], value["output_size"], value["total_stride"]) == (572, 388, 16)
    assert value["flops"] == pytest.approx(300.9e9, rel=1e-3)
    assert value["legal_sizes"][:3] == [188, 204, 220]
    assert (value["legal_first"], value["legal_step"]) == (188, 16)
    convolutions = [layer for layer in value["layers"] if layer["parameters"]]
    assert len(convolutions) == 23
    assert "(572 - 3 + 0) / 1 + 1 = 570" in found.to_text()
    assert "31,030,658" in found.to_text()
    assert "doi 10.1007/978-3-319-24574-4_28" in found.to_text()


def test_memory_of_the_maps_is_counted_by_hand() -> None:
    found = inspect("unet", size=4, overrides=["depth=1", "base=2", "in_channels=1", "classes=3"])
    value = found.to_json()
    # 2 maps of 2 x 16, 2 x 4, 2 of 4 x 4, up 2 x 16, 2 of 2 x 16, head 3 x 16
    values = [32, 32, 8, 16, 16, 32, 32, 32, 48]
    assert [layer["values"] for layer in value["layers"]] == values
    assert [layer["activation_bytes"] for layer in value["layers"]] == [4 * n for n in values]
    assert value["activation_bytes"] == 4 * sum(values)
    # at its worst: the skip of 32, the up-sampled map of 32, and both joined
    assert value["inference_peak_bytes"] == 4 * (32 + 32 + 64)
    total = next(line for line in found.to_text().splitlines() if line.startswith("total"))
    assert total.split()[1:4] == ["4", "->", "4"]
    assert f"{value['parameters']:,}" in total


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_what_is_shown_is_what_runs(name: str) -> None:
    value = inspect(name).to_json()
    with torch.device("meta"):
        network = build(published_options(name)).eval()
        out = network(torch.zeros(1, value["channels"], *[value["input_size"]] * value["dimensions"]))
    assert value["parameters"] == sum(parameter.numel() for parameter in network.parameters())
    if isinstance(network, Classifier):
        assert out.shape == (1, value["classes"])
        assert value["output_size"] == 1
    else:
        assert out.shape[1:] == (value["classes"], *[value["output_size"]] * value["dimensions"])


def test_without_settings_a_network_is_as_published() -> None:
    """Parameters of torchvision's documentation (ResNet-50, VGG-16) and of the papers."""
    shown = {name: inspect(name).to_json() for name in ("resnet50", "vgg16", "resnet20", "vnet")}
    assert {name: value["parameters"] for name, value in shown.items()} == {
        "resnet50": 25_557_032,
        "vgg16": 138_357_544,
        "resnet20": 269_722,
        "vnet": 65_175_314,
    }
    assert {name: value["input_size"] for name, value in shown.items()} == {
        "resnet50": 224,
        "vgg16": 224,
        "resnet20": 32,
        "vnet": 128,
    }
    assert [shown["resnet50"][key] for key in ("channels", "classes", "task")] == [3, 1000, "classification"]
    # segmentation_models_pytorch 0.3: Unet("resnet34", classes=1) has 24,436,369; one class more is 16 x 9 + 1
    assert inspect("unet", overrides=["encoder=resnet34"]).to_json()["parameters"] == 24_436_369 + 145


def test_settings_change_the_network() -> None:
    shallow, deep = (inspect("unet", size=256, overrides=[f"network.depth={d}"]).to_json() for d in (2, 5))
    assert (shallow["total_stride"], deep["total_stride"]) == (4, 32)
    assert deep["receptive_field"] > shallow["receptive_field"]
    assert inspect("unet", size=256, overrides=["depth=2"]).to_json()["layers"] == shallow["layers"]
    with pytest.raises(BadOption, match=r"`network\.dept`. Did you mean `network\.depth`"):
        inspect("unet", overrides=["network.dept=5"])


def test_the_receptive_field_depends_on_the_position_on_the_pooling_grid() -> None:
    value = inspect("unet2015").to_json()
    assert (value["receptive_field_min"], value["receptive_field_max"]) == (188, 204)
    text = inspect("unet2015").to_text()
    assert "188 to 204 input pixels per side" in text
    assert "at most 107 pixels in one direction" in text
    flat = inspect("resnet50").to_json()
    assert flat["receptive_field_min"] == flat["receptive_field_max"] == 427
    # one level: 5 pixels behind lie in 3 of half the size, which see 7 of them, 14 in all, and 2 more to each side
    small = inspect("unet", overrides=["depth=1"]).to_json()
    assert (small["receptive_field_min"], small["receptive_field"]) == (18, 18)


def test_the_field_of_view_is_where_gradients_arrive() -> None:
    """Reference: the pixels of the image with a gradient, for one output pixel at each place of the grid."""
    network = build(NetworkOptions(depth=2, base=2, normalisation="none"))
    for parameter in network.parameters():
        torch.nn.init.constant_(parameter, 0.1)
    for module in network.modules():
        if isinstance(module, Pool):
            module.add_module("layer", torch.nn.AvgPool2d(2))  # max pooling has zero gradients
    seen: set[int] = set()
    for place in range(4):
        image = torch.ones(1, 1, 96, 96, requires_grad=True)
        network(image)[0, 0, 48 + place, 48].backward()
        assert image.grad is not None
        rows = image.grad[0, 0].abs().sum(1).nonzero()[:, 0]
        seen.add(int(rows.max() - rows.min()) + 1)
    geometry = network.geometry()
    assert (min(seen), max(seen)) == (geometry.receptive_field_min, geometry.receptive_field)


def test_an_invalid_size_lists_both_neighbours() -> None:
    with pytest.raises(BadOption, match=r"got 570\. The nearest larger one is 572, the nearest smaller one 556\."):
        inspect("unet2015", size=570)
    with pytest.raises(BadOption, match=r"got 100\. The nearest larger one is 188\.$"):
        inspect("unet2015", size=100)


def test_an_unknown_name_lists_the_networks() -> None:
    with pytest.raises(BadOption, match=r"got `unet2051`. Did you mean `unet2015`\? Known: unet2015, unet"):
        inspect("unet2051")


def test_the_drawing_is_written_to_the_current_folder_or_to_out(own_folder: Path) -> None:
    named = inspect("unet", overrides=["depth=2"])
    assert sorted(p.name for p in own_folder.iterdir()) == ["inspect-unet.png", "inspect-unet.svg"]
    assert "Drawing: inspect-unet.svg, inspect-unet.png" in named.to_text()
    inspect("unet", overrides=["encoder=resnet18"])
    assert Path("inspect-unet-resnet18.svg").is_file()
    wanted = inspect("vgg11", out=own_folder / "new" / "v.11.svg").to_json()["drawings"]
    assert wanted == [str(own_folder / "new" / "v.11.svg"), str(own_folder / "new" / "v.11.png")]
    root = ElementTree.parse(wanted[0]).getroot()
    words = " ".join(root.itertext())
    for part in ("vgg11", "arXiv 1409.1556", "132,863,336 parameters", "3 × 224 × 224 → 1000", "max pooling 2 × 2"):
        assert part in words
    assert read_image(Path(wanted[1])).pixels.std() > 10, "something is drawn"
    with pytest.raises(OutputFailed, match=r"expected a drawing as \.svg or \.png; got `\.pdf`"):
        inspect("unet", out="unet.pdf")


def test_all_networks_are_listed() -> None:
    found = inspect()
    value = json.loads(json.dumps(found.to_json()))
    tasks = {network["name"]: network["task"] for network in value["networks"]}
    assert tasks == dict.fromkeys(SEGMENTERS, "segmentation") | dict.fromkeys(CLASSIFIERS, "classification")
    assert {network["name"] for network in value["networks"] if network["encoder"]} == set(ENCODERS)
    lines = found.to_text().splitlines()
    for name in ARCHITECTURES:
        (line,) = (line for line in lines if line.endswith(summary(name)))  # a line per family, not per member
        assert (" * " in line) == (name in ENCODERS)
    assert any(line.split(" * ")[0].strip() == "resnet18, 34, 50, 101, 152" for line in lines)
    assert any(line.split(" * ")[0].strip() == "vgg11, 11_bn, 13, 13_bn, 16, 16_bn, 19, 19_bn" for line in lines)


def test_memory_and_kernels_of_networks_within_slices(tmp_path: Path) -> None:
    """Slices that are not mixed need as many values as so many images; the drawing has the kernels of each axis."""
    flat = ("strides=[[1,2,2],[1,2,2]]", "kernels=[[1,3,3],[1,3,3],[1,3,3]]", "dimensions=3")
    shared = ("base=4", "depth=2")
    images = inspect("unet", size=16, overrides=shared, out=tmp_path / "images.svg")
    volumes = inspect("unet", size=16, overrides=(*shared, *flat), out=tmp_path / "volumes.svg")
    for number in ("flops", "parameters"):
        assert volumes.to_json()[number] == images.to_json()[number] * (16 if number == "flops" else 1)
    assert volumes.peak == 16 * images.peak  # type: ignore[union-attr]
    assert "1 × 2 × 2" in (tmp_path / "volumes.svg").read_text("utf-8")
