"""Parity: with the same weights and the same input our networks compute what torchvision, timm and smp compute.

Each peer draws random weights and random statistics of its batch normalisations, writes them as safetensors under its
own names, and we read them through `pixelwise.networks.weights`. Differences are relative to the largest output.

Run with the peers' Python (torch, torchvision, timm, segmentation_models_pytorch, pydantic, jaxtyping, safetensors):
    PYTHONPATH=src PEERS/bin/python benchmarks/weights_parity.py [--only resnet18]
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from pixelwise.networks.architectures import NetworkOptions, build
from pixelwise.networks.models import Network
from pixelwise.networks.weight_names import published_names
from pixelwise.networks.weights import load_encoder, load_network, read_weights

RESNETS, VGGS = (18, 34, 50, 101, 152), (11, 13, 16, 19)
ALLOWED = 1e-5
SIZE = 96  # pixels a side


def draw(network: nn.Module) -> nn.Module:
    """Give every normalisation a scale and shift of its own, and the statistics of random images."""
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0  # the statistics become those of the one batch below
            with torch.no_grad():
                module.weight.copy_(0.5 + torch.rand(module.num_features, generator=generator))
                module.bias.copy_(0.1 * torch.randn(module.num_features, generator=generator))
    with torch.no_grad():
        network.train()(torch.randn(4, 3, SIZE, SIZE, generator=generator))
    return network.eval()


def carry(peer: nn.Module) -> dict[str, Tensor]:
    """Take the peer's weights through a safetensors file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.safetensors"
        save_file({name: value.contiguous() for name, value in peer.state_dict().items()}, path)
        return read_weights(path)[0]


def compare(peer: Callable[[Tensor], Tensor], ours: Callable[[Tensor], Tensor]) -> tuple[float, float]:
    """Return the largest absolute difference and the largest absolute output."""
    image = torch.randn(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected, found = peer(image), ours(image)
    return float((expected - found).abs().max()), float(expected.abs().max())


def classifier(peer: nn.Module, **options: Any) -> tuple[float, float]:
    peer = draw(peer)
    ours = build(NetworkOptions(in_channels=3, classes=1000, **options)).eval()
    load_network(ours, carry(peer))
    difference = compare(peer, ours)
    check_way_back(ours, peer)
    return difference


def segmenter(peer: nn.Module, encoder: str) -> tuple[float, float]:
    peer = draw(peer)
    ours = build(NetworkOptions(name="unet", encoder=encoder, in_channels=3, classes=2, base=16)).eval()
    load_network(ours, carry(peer))
    difference = compare(peer, ours)
    check_way_back(ours, peer)
    return difference


def skips(peer: nn.Module, maps: Callable[[Tensor], list[Tensor]], encoder: str) -> tuple[float, float]:
    """Compare every map that the encoder of a U-Net of ours hands on with `maps` of the peer."""
    draw(peer)
    ours: Any = build(NetworkOptions(name="unet", encoder=encoder, in_channels=3, classes=2, base=16)).eval()
    load_encoder(ours, carry(peer))
    return compare(lambda image: flat(maps(image)), lambda image: flat(ours.encoder(image)))


def flat(maps: list[Tensor]) -> Tensor:
    return torch.cat([found.flatten() for found in maps])


def check_way_back(ours: Network, peer: nn.Module) -> None:
    """Under the published names our weights are the peer's again, name by name."""
    back, expected = published_names(ours), peer.state_dict()
    if set(back) != set(expected) or not all(torch.equal(back[name], expected[name]) for name in expected):
        raise SystemExit(f"{type(peer).__name__}: the way back gives other names or values")


def rows() -> Iterator[tuple[str, str, Callable[[], tuple[float, float]]]]:
    """Return library, network and what compares it."""
    import segmentation_models_pytorch as smp  # pyright: ignore[reportMissingImports]
    import timm  # pyright: ignore[reportMissingImports]
    import torchvision  # pyright: ignore[reportMissingImports]

    zoo: Any = torchvision.models

    def make(name: str) -> nn.Module:
        return smp.Unet(name, encoder_weights=None, classes=2)

    for depth in RESNETS:
        name = f"resnet{depth}"
        yield "torchvision", name, lambda name=name: classifier(zoo.get_model(name), name=name)
    for depth in VGGS:
        for name in (f"vgg{depth}", f"vgg{depth}_bn"):
            yield "torchvision", name, lambda name=name: classifier(zoo.get_model(name), name=name)
    for depth in RESNETS:
        name = f"resnet{depth}"
        yield "timm", name, lambda name=name: classifier(timm.create_model(name), name=name)
    deep: dict[str, Any] = {"stem": "deep", "shortcut": "D"}
    for depth in RESNETS:
        name = f"resnet{depth}"
        yield "timm", f"{name}d", lambda name=name: classifier(timm.create_model(f"{name}d"), name=name, **deep)
    for depth in RESNETS:
        name = f"resnet{depth}"
        yield "smp", f"Unet on {name}", lambda name=name: segmenter(make(name), name)
    # smp leaves the skip at the size of the image out, so that on a VGG only the encoders are alike
    for depth in VGGS:
        for name in (f"vgg{depth}", f"vgg{depth}_bn"):
            yield "smp", f"encoder of Unet on {name}", lambda name=name: vgg_encoder(make(name), name)


def vgg_encoder(peer: Any, name: str) -> tuple[float, float]:
    return skips(peer, peer.encoder, name)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="networks whose row holds this text")
    wanted = parser.parse_args().only
    torch.manual_seed(0)
    print(f"torch {torch.__version__}, float32, CPU; two images of {SIZE} x {SIZE}, random weights and statistics\n")
    print("| library | network | max. abs. difference | largest output | relative |")
    print("|---|---|---|---|---|")
    worst = 0.0
    for library, name, measure in rows():
        if wanted not in f"{library} {name}":
            continue
        difference, scale = measure()
        worst = max(worst, difference / scale)
        print(f"| {library} | {name} | {difference:.1e} | {scale:.3g} | {difference / scale:.1e} |", flush=True)
    print(f"\nLargest relative difference: {worst:.1e}; allowed: {ALLOWED:.0e}.")
    return int(not worst <= ALLOWED)


if __name__ == "__main__":
    sys.exit(main())
