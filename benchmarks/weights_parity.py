"""Parity: with the same weights and the same input our networks compute what torchvision, timm and smp compute.

Each peer draws random weights, takes the statistics of its batch normalisations from random images, and writes all as
safetensors under its own names; we read them through `pixelwise.networks.weights`. Differences are relative to the
largest output. In float64 nothing but the function counts. In float32 rounding counts too, which residual branches
multiply with depth; the peer against itself in another memory layout (channels last) shows how much that can be.

Run with the peers' Python (torch, torchvision, timm, segmentation_models_pytorch, pydantic, jaxtyping, safetensors):
    PYTHONPATH=src PEERS/bin/python benchmarks/weights_parity.py [--only resnet18]
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
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
ALLOWED, ALLOWED_DOUBLE = 1e-5, 1e-12
SIZE = 96  # pixels a side


@dataclass(frozen=True)
class Pair:
    """A peer to be made, our options for it, and whether the encoders alone are compared."""

    library: str
    name: str
    make: Callable[[], nn.Module]
    options: dict[str, Any] = field(default_factory=dict[str, Any])
    encoders: bool = False


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


def twin(pair: Pair, peer: nn.Module) -> Network:
    """Return our network with the peer's weights."""
    ours = build(NetworkOptions(in_channels=3, **pair.options)).eval()
    if pair.encoders:
        load_encoder(ours, carry(peer))
        return ours
    load_network(ours, carry(peer))
    back, expected = published_names(ours), peer.state_dict()
    if set(back) != set(expected) or not all(torch.equal(back[name], expected[name]) for name in expected):
        raise SystemExit(f"{pair.library} {pair.name}: the way back gives other names or values")
    return ours


def run(network: nn.Module, image: Tensor, encoders: bool) -> Tensor:
    """Return the logits, or all maps of the encoder in a row."""
    part: Any = network.encoder if encoders else network
    with torch.inference_mode():
        found = part(image)
    return torch.cat([one.flatten() for one in found]) if encoders else found


def differ(one: nn.Module, other: nn.Module, image: Tensor, encoders: bool) -> tuple[float, float]:
    """Return the largest absolute difference, and its share of the largest output."""
    expected, found = run(one, image, encoders), run(other, image, encoders)
    difference = float((expected - found).abs().max())
    return difference, difference / float(expected.abs().max())


def measure(pair: Pair) -> tuple[float, float, float, float]:
    """Return absolute, relative and float64 differences, and the relative one of the peer with itself."""
    image = torch.randn(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    torch.manual_seed(0)
    peer = draw(pair.make())
    ours = twin(pair, peer)
    absolute, relative = differ(peer, ours, image, pair.encoders)
    other_layout = deepcopy(peer).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    itself = differ(peer, other_layout, image, pair.encoders)[1]
    return absolute, relative, differ(peer.double(), ours.double(), image.double(), pair.encoders)[1], itself


def pairs() -> Iterator[Pair]:
    """Return every network that a peer has too."""
    import segmentation_models_pytorch as smp  # pyright: ignore[reportMissingImports]
    import timm  # pyright: ignore[reportMissingImports]
    import torchvision  # pyright: ignore[reportMissingImports]

    zoo: Any = torchvision.models
    resnets = [f"resnet{depth}" for depth in RESNETS]
    vggs = [f"vgg{depth}{norm}" for depth in VGGS for norm in ("", "_bn")]
    for name in (*resnets, *vggs):
        yield Pair("torchvision", name, lambda name=name: zoo.get_model(name), {"name": name, "classes": 1000})
    for name in resnets:
        yield Pair("timm", name, lambda name=name: timm.create_model(name), {"name": name, "classes": 1000})
    for name in resnets:
        options = {"name": name, "classes": 1000, "stem": "deep", "shortcut": "D"}
        yield Pair("timm", f"{name}d", lambda name=name: timm.create_model(f"{name}d"), options)
    for name in (*resnets, *vggs):
        # smp leaves the skip at the size of the image out, so that on a VGG only the encoders are alike
        vgg = name in vggs
        label = f"encoder of Unet on {name}" if vgg else f"Unet on {name}"
        options = {"name": "unet", "encoder": name, "classes": 2, "base": 16}
        yield Pair("smp", label, lambda name=name: smp.Unet(name, encoder_weights=None, classes=2), options, vgg)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="networks whose row holds this text")
    wanted = parser.parse_args().only
    print(f"torch {torch.__version__}, CPU; two images of {SIZE} x {SIZE}\n")
    print("| library | network | max. abs. | relative | float64 | peer with itself, channels last |")
    print("|---|---|---|---|---|---|")
    worst, worst_double = 0.0, 0.0
    for pair in pairs():
        if wanted in f"{pair.library} {pair.name}":
            absolute, relative, double, itself = measure(pair)
            worst, worst_double = max(worst, relative), max(worst_double, double)
            numbers = " | ".join(f"{value:.1e}" for value in (absolute, relative, double, itself))
            print(f"| {pair.library} | {pair.name} | {numbers} |", flush=True)
    print(f"\nLargest relative difference: {worst:.1e} (allowed {ALLOWED:.0e}), in float64 {worst_double:.1e}.")
    return int(not (worst <= ALLOWED and worst_double <= ALLOWED_DOUBLE))


if __name__ == "__main__":
    sys.exit(main())
