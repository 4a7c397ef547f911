"""Forward and training speed of each network against its counterpart in smp, MONAI, timm or torchvision, in one run.

    python benchmarks/network_speed.py --repeats 3 [--only unet,vnet]

Runs in an environment that has these libraries beside pixelwise; a counterpart whose library is missing is left out.
Both sides run in PyTorch on the same threads, in float32, on the same input. The rivals as their tutorials run them:
`model.eval()` in inference mode, and forward, cross-entropy, backward, AdamW step. Ours as pixelwise runs them: the
runtime of prediction, from array to array, and the learner's whole step with its averaged weights; this once more in
bfloat16, which the plan takes where it measures that it pays. The two take turns, pass by pass; medians of the ratios
are printed, above 1 where pixelwise is faster. Where the published designs of the
libraries differ from the papers', the table shows how large both networks are.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from pixelwise.networks.architectures import NetworkOptions, build, with_defaults_where_unread
from pixelwise.networks.models import Network
from pixelwise.runtimes.torch import TorchRuntime
from pixelwise.training.batch import Batch
from pixelwise.training.learner import Learner, TrainingOptions
from pixelwise.training.losses import LossOptions

BATCH, SIDE, CLASSES = 4, 256, 2
PHOTO, PHOTO_CLASSES = 224, 1000
Precision = Literal["float32", "bfloat16"]
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")
WIDTHS = (32, 64, 128, 256, 512)


@dataclass(frozen=True)
class Pair:
    """Our options, and what builds the rival."""

    ours: dict[str, object]
    rival: str
    build_rival: Callable[[], nn.Module]

    @property
    def photos(self) -> bool:
        """Whether the networks are classifiers."""
        return self.ours.get("classes") == PHOTO_CLASSES


def pairs() -> dict[str, Pair]:
    """Return the pairs whose libraries are there."""
    found: dict[str, Pair] = {}
    for add in (_monai, _nnunet, _smp, _timm, _torchvision):
        try:
            found |= add()
        except ImportError as error:
            print(f"left out: {error}", file=sys.stderr)
    return found


def _monai() -> dict[str, Pair]:
    from monai.networks import nets  # pyright: ignore[reportMissingImports]

    plane = {"spatial_dims": 2, "in_channels": 1, "out_channels": CLASSES}
    features = (*WIDTHS, WIDTHS[0])
    norm = {"norm": "batch", "act": "relu"}
    return {
        "unet": Pair({"name": "unet"}, "monai BasicUNet", lambda: nets.BasicUNet(**plane, features=features, **norm)),
        "resunet": Pair(
            {"name": "resunet", "depth": 3},
            "monai UNet, 2 residual units",
            lambda: nets.UNet(
                **plane, channels=WIDTHS[:4], strides=(1, 2, 2), num_res_units=2, norm="batch", act="relu"
            ),
        ),
        "unetplusplus": Pair(
            {"name": "unetplusplus"},
            "monai BasicUNetPlusPlus",
            lambda: nets.BasicUNetPlusPlus(**plane, features=features, **norm),
        ),
        "attention_unet": Pair(
            {"name": "attention_unet"},
            "monai AttentionUnet",
            lambda: nets.AttentionUnet(**plane, channels=WIDTHS, strides=(2, 2, 2, 2)),
        ),
        "vnet": Pair({"name": "vnet", "base": 16}, "monai VNet", lambda: nets.VNet(**plane, act="prelu")),
    }


def _nnunet() -> dict[str, Pair]:
    from dynamic_network_architectures.architectures.unet import (  # pyright: ignore[reportMissingImports]
        ResidualEncoderUNet,
    )

    blocks = (1, 3, 4, 6, 6)
    how = {"n_blocks_per_stage": blocks, "n_conv_per_stage_decoder": (1,) * 4, "conv_bias": True}
    how |= {"norm_op": nn.BatchNorm2d, "nonlin": nn.LeakyReLU, "nonlin_kwargs": {"inplace": True}}

    def rival() -> nn.Module:
        return ResidualEncoderUNet(1, 5, WIDTHS, nn.Conv2d, 3, (1, 2, 2, 2, 2), num_classes=CLASSES, **how)

    return {"resencunet": Pair({"name": "resencunet", "depth": 4}, "nnU-Net ResidualEncoderUNet", rival)}


def _smp() -> dict[str, Pair]:
    import segmentation_models_pytorch as smp  # pyright: ignore[reportMissingImports]

    def rival(encoder: str) -> Callable[[], nn.Module]:
        return lambda: smp.Unet(encoder, encoder_weights=None, in_channels=1, classes=CLASSES)

    names = {
        "resnet18": "resnet18",
        "resnet34": "resnet34",
        "resnet50": "resnet50",
        "vgg16": "vgg16",
        "vgg16_bn": "vgg16_bn",
    }
    return {
        f"unet-{ours}": Pair({"encoder": ours, "base": 16}, f"smp Unet, {theirs}", rival(theirs))
        for ours, theirs in names.items()
    }


def _timm() -> dict[str, Pair]:
    import timm  # pyright: ignore[reportMissingImports]

    def rival(name: str) -> Callable[[], nn.Module]:
        return lambda: timm.create_model(name, pretrained=False)

    return {
        f"{name} (timm)": Pair(_photo(name), f"timm {name}", rival(name))
        for name in ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
    }


def _torchvision() -> dict[str, Pair]:
    from torchvision import models  # pyright: ignore[reportMissingImports]

    def rival(name: str) -> Callable[[], nn.Module]:
        return lambda: models.get_model(name, weights=None)

    return {
        f"{name}": Pair(_photo(name), f"torchvision {name}", rival(name))
        for name in ("resnet18", "resnet50", "vgg11", "vgg16", "vgg16_bn", "vgg19")
    }


def _photo(name: str) -> dict[str, object]:
    return {"name": name, "in_channels": 3, "classes": PHOTO_CLASSES}


def measure(pair: Pair, repeats: int) -> tuple[str, str, float, list[float]]:
    """Return both sizes, in words, and the ratios of speed: forward, and training in each precision."""
    torch.manual_seed(0)
    options = {"base": WIDTHS[0], "in_channels": 1, "classes": CLASSES, "depth": 4} | pair.ours
    ours = build(with_defaults_where_unread(NetworkOptions(**options)))  # type: ignore[arg-type]
    theirs = pair.build_rival()
    if pair.photos:
        images, targets = torch.randn(BATCH, 3, PHOTO, PHOTO), torch.randint(PHOTO_CLASSES, (BATCH,))
    else:
        images, targets = torch.randn(BATCH, 1, SIDE, SIDE), torch.randint(CLASSES, (BATCH, SIDE, SIDE))
    sizes = [_size(network, images) for network in (ours, theirs)]
    runtime, array = TorchRuntime(ours), images.numpy()
    forward = _ratio(lambda: runtime(array), _rival_forward(theirs, images), repeats)
    training = [_training(ours, theirs, images, targets, precision, repeats) for precision in PRECISIONS]
    return sizes[0], sizes[1], forward, training


def _training(
    ours: Network, theirs: nn.Module, images: torch.Tensor, targets: torch.Tensor, precision: Precision, repeats: int
) -> float:
    learner = Learner(deepcopy(ours), TrainingOptions(precision=precision), LossOptions(dice=0.0), "cpu")
    return _ratio(lambda: learner.step(5, Batch(images, targets)), _rival_step(theirs, images, targets), repeats)


def _size(network: nn.Module, images: torch.Tensor) -> str:
    """Return millions of parameters, and GFLOP of one image (a multiply-add counts as two)."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(images[:1])
    return f"{sum(p.numel() for p in network.parameters()) / 1e6:.1f} M, {counter.get_total_flops() / 1e9:.1f}"


def _rival_forward(network: nn.Module, images: torch.Tensor) -> Callable[[], object]:
    def forward() -> None:
        network.eval()
        with torch.inference_mode():
            network(images)

    return forward


def _rival_step(network: nn.Module, images: torch.Tensor, targets: torch.Tensor) -> Callable[[], object]:
    optimiser = torch.optim.AdamW(network.parameters(), 1e-3)

    def step() -> None:
        network.train()
        optimiser.zero_grad()
        out = network(images)
        logits = out[0] if isinstance(out, list) else out
        nn.functional.cross_entropy(logits, targets).backward()
        optimiser.step()

    return step


def _ratio(ours: Callable[[], object], theirs: Callable[[], object], repeats: int) -> float:
    """Return how many times as fast ours is: the median over turns, after a turn to warm up."""
    ratios: list[float] = []
    for repeat in range(repeats + 1):
        seconds: list[float] = []
        for side in (theirs, ours):
            start = time.perf_counter()
            side()
            seconds.append(time.perf_counter() - start)
        if repeat:
            ratios.append(seconds[0] / seconds[1])
    return statistics.median(ratios)


def main() -> None:
    """Measure all pairs and print a row for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", default="")
    chosen = parser.parse_args()
    wanted = [name for name in chosen.only.split(",") if name]
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads", file=sys.stderr)
    columns = ["network", "counterpart", "ours: parameters, GFLOP", "theirs", "forward", "training", "in bfloat16"]
    print(f"| {' | '.join(columns)} |")
    print("|---" * len(columns) + "|")
    for name, pair in pairs().items():
        if not wanted or name in wanted:
            ours, theirs, forward, training = measure(pair, chosen.repeats)
            speeds = " | ".join(f"{ratio:.2f}" for ratio in training)
            print(f"| {name} | {pair.rival} | {ours} | {theirs} | {forward:.2f} | {speeds} |", flush=True)


if __name__ == "__main__":
    main()
