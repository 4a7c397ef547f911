"""Shortcut A pads at the end or on both sides; weights are only loaded with the same padding."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from cifar_peer import make_peer
from pixelwise.errors import BadWeights
from pixelwise.model_file.model_card import ModelCard, read_model_card_text
from pixelwise.model_file.model_file import load_model, save_model
from pixelwise.networks.architectures import NetworkOptions, build
from pixelwise.networks.options import ShortcutPadding
from pixelwise.networks.residual import PaddedIdentity
from pixelwise.networks.weights import check_shortcut_padding, lacks_projections, load_network
from tiny import as_json, make_photo_recipe

PADDINGS: tuple[ShortcutPadding, ...] = ("end", "both")


def images() -> Tensor:
    return torch.rand(4, 3, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("depth", [20, 32])
@pytest.mark.parametrize("padding", PADDINGS)
def test_published_names_give_the_outputs_of_an_independent_implementation(depth: int, padding: str) -> None:
    peer = make_peer(both_sides=padding == "both", depth=depth)
    with torch.no_grad():
        expected = peer.double()(images())
    answers = {}
    for own in PADDINGS:
        network = build(NetworkOptions(name=f"resnet{depth}", in_channels=3, classes=10, base=16, shortcut_padding=own))
        load_network(network, peer.float().state_dict())
        with torch.no_grad():
            answers[own] = network.eval().double()(images())
    torch.testing.assert_close(answers.pop(padding), expected, rtol=1e-12, atol=1e-12)
    ((_, other),) = answers.items()  # control: the other convention loads without an error and gives other outputs
    assert float((other - expected).abs().max()) > 0.1 * float(expected.abs().max())


@pytest.mark.parametrize(
    ("channels", "padding", "expected"),
    [
        (4, "end", [1, 2, 0, 0]),
        (4, "both", [0, 1, 2, 0]),
        (5, "both", [0, 1, 2, 0, 0]),
        (6, "both", [0, 0, 1, 2, 0, 0]),
        (2, "both", [1, 2]),
    ],
)
def test_position_of_the_zero_channels(channels: int, padding: ShortcutPadding, expected: list[int]) -> None:
    pixels = torch.tensor([1.0, 2.0]).reshape(1, 2, 1, 1).expand(1, 2, 3, 3)
    found = PaddedIdentity(2, channels, 2, padding)(pixels)
    assert found.shape == (1, channels, 2, 2)
    assert found[0, :, 0, 0].tolist() == expected


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_large_networks_and_encoders_of_unets_follow_the_option_too(name: str) -> None:
    pixels = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    for options in ({"name": name}, {"name": "unet", "encoder": name, "base": 4}):
        answers: list[Tensor] = []
        for padding in PADDINGS:
            torch.manual_seed(0)
            network = build(NetworkOptions(in_channels=3, shortcut="A", shortcut_padding=padding, **options))
            with torch.no_grad():
                answers.append(network.eval()(pixels))
        assert not torch.allclose(*answers)


def model_card(padding: ShortcutPadding) -> ModelCard:
    known = make_photo_recipe()
    return replace(known, network=replace(known.network, shortcut_padding=padding))


def test_the_model_file_stores_the_padding(tmp_path: Path) -> None:
    for padding in PADDINGS:
        torch.manual_seed(0)
        network = build(model_card(padding).network).eval()
        save_model(tmp_path / f"{padding}.safetensors", network, model_card(padding))
        loaded, found = load_model(tmp_path / f"{padding}.safetensors")
        assert found.network.shortcut_padding == padding
        with torch.no_grad():
            assert torch.equal(loaded(images().float()), network(images().float()))


def test_a_model_file_from_before_the_option_pads_at_the_end() -> None:
    values = as_json(model_card("end"))
    del values["network"]["shortcut_padding"]
    assert read_model_card_text(json.dumps(values), Path("old.safetensors")) == model_card("end")


def test_weights_with_another_or_unknown_padding_raise() -> None:
    network = build(NetworkOptions(name="resnet20", in_channels=3, shortcut_padding="end"))
    check_shortcut_padding(network, "end", "end", "-")
    with pytest.raises(BadWeights, match="no tensor shows it") as caught:
        check_shortcut_padding(network, "end", "", "Set it.")
    assert caught.value.hint == "Set it."
    with pytest.raises(BadWeights) as caught:
        check_shortcut_padding(network, "end", "both", "-")
    assert "network.shortcut_padding=both" in caught.value.hint
    projecting = build(NetworkOptions(name="resnet20", in_channels=3, shortcut="B"))
    check_shortcut_padding(projecting, "end", "", "-")  # nothing is padded there


@pytest.mark.parametrize(("shortcut", "lacks"), [("A", True), ("B", False)])
def test_names_show_whether_shortcuts_have_weights(shortcut: str, lacks: bool) -> None:
    network = build(NetworkOptions(name="resnet20", in_channels=3, shortcut=shortcut))
    tensors = {name.removeprefix("encoder."): value for name, value in network.state_dict().items()}
    assert lacks_projections(tensors) is lacks
    assert not lacks_projections({"features.0.weight": torch.zeros(1)})
