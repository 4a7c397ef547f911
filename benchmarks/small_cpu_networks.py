"""Cheaper training steps on a small CPU: lighter decoders, compiled networks, memory formats, frozen batch statistics.

    python benchmarks/small_cpu_networks.py steps --avx2
    python benchmarks/small_cpu_networks.py scores --avx2 --seconds 40 --seeds 0,1

`steps` prints CPU seconds per training step of each variant (forward, loss, backward, Muon, EMA), which other load
changes little; all variants take turns in one process, on one thread. `scores` trains the decoders that save time on
the drawn cells of `pixelwise demo`, each for the same CPU seconds of steps, and prints mean AP on its test images.
`--avx2` restricts oneDNN, MKL and torch to AVX2.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
SIZES = ((2, 128, 8, 3), (2, 128, 16, 3), (4, 256, 16, 4))  # patches, their side, base width, depth
CLASSES = 3  # background, interior, boundary
DECODERS = ("unet", "unet_one_conv", "unet_separable", "unet_narrow")


def register_variants() -> None:
    """Register the U-Net with lighter decoders under names of their own."""
    from torch import nn

    from pixelwise.networks import segmenters
    from pixelwise.networks.architectures import ARCHITECTURES, Architecture, NetworkOptions, register
    from pixelwise.networks.blocks import Chain, ConvBlock, ConvLayer
    from pixelwise.networks.decoders import UNetDecoder
    from pixelwise.networks.models import Network

    reads = ARCHITECTURES["unet"].reads

    def one_conv(name: str, source: int, channels: int) -> nn.Module:
        return ConvLayer(name, source, channels)

    def separable(name: str, source: int, channels: int) -> nn.Module:
        return Chain(_depth_wise(f"{name} a", source, channels), _depth_wise(f"{name} b", channels, channels))

    def _depth_wise(name: str, source: int, channels: int) -> nn.Module:
        layer = ConvLayer(f"{name} depth", source, source, activation=None)
        layer[0] = nn.Conv2d(source, source, 3, padding=1, groups=source, bias=False)
        return Chain(layer, ConvLayer(f"{name} point", source, channels, kernel=1))

    def builder(make_block: Callable[[str, int, int], nn.Module], share: float) -> Callable[[NetworkOptions], Network]:
        def build(options: NetworkOptions) -> Network:
            """U-Net with a lighter decoder."""
            widths = [options.base * 2**stage for stage in range(options.depth + 1)]
            encoder = segmenters._plain_encoder(options, widths, [0.0] * (options.depth + 1))  # pyright: ignore
            outputs = [max(4, int(width * share)) for width in widths[:-1]]
            ups = segmenters._ups(options, "transposed")  # pyright: ignore[reportPrivateUsage]
            decoder = UNetDecoder(widths, outputs, make_up=ups, make_block=make_block)
            return segmenters._finish(options, encoder, decoder)  # pyright: ignore[reportPrivateUsage]

        return build

    for name, block, share in (("one_conv", one_conv, 1.0), ("separable", separable, 1.0), ("narrow", ConvBlock, 0.5)):
        register(Architecture(name=f"unet_{name}", builder=builder(block, share), reads=reads))


def step_functions(patches: int, side: int, base: int, depth: int) -> dict[str, Callable[[int], object]]:
    """Return a training step per variant."""
    import torch
    from torch import nn

    from pixelwise.networks.architectures import NetworkOptions, build
    from pixelwise.training.batch import Batch
    from pixelwise.training.learner import Learner, TrainingOptions
    from pixelwise.training.losses import LossOptions

    images, targets = torch.randn(patches, 1, side, side), torch.randint(CLASSES, (patches, side, side))

    def learner(name: str = "unet") -> Learner:
        torch.manual_seed(0)
        network = build(NetworkOptions(name=name, in_channels=1, classes=CLASSES, base=base, depth=depth))
        return Learner(network, TrainingOptions(optimiser="muon"), LossOptions(), "cpu")

    def step_of(made: Learner) -> Callable[[int], object]:
        return lambda index: made.step(index, Batch(images, targets))

    steps = {name: step_of(learner(name)) for name in DECODERS}
    contiguous = learner()
    contiguous.network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    steps["unet, weights in NCHW"] = step_of(contiguous)
    frozen = learner()
    for module in frozen.network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.train = lambda mode=True, kept=module: kept  # type: ignore[method-assign, assignment, misc]
            module.training = False
    steps["unet, batch statistics frozen"] = step_of(frozen)
    compiled = learner()
    compiled.network.forward_heads = torch.compile(compiled.network.forward_heads)  # type: ignore[method-assign]
    steps["unet, torch.compile"] = step_of(compiled)
    return steps


def measure_steps(repeats: int) -> None:
    """Print CPU milliseconds per step of each variant, and of its first step."""
    print("| patches | width, depth | variant | ms per step | of the U-Net | first step, s |")
    print("|---|---|---|---|---|---|", flush=True)
    for patches, side, base, depth in SIZES:
        steps = step_functions(patches, side, base, depth)
        first = {name: _cpu_seconds(step, 0) for name, step in steps.items()}
        for step in steps.values():
            step(1)
        seconds: dict[str, list[float]] = {name: [] for name in steps}
        for repeat in range(repeats):
            for name, step in steps.items():
                seconds[name].append(_cpu_seconds(step, 2 + repeat))
        whole = statistics.median(seconds["unet"])
        for name, each in seconds.items():
            median = statistics.median(each)
            row = f"| {patches} of {side} x {side} | {base}, {depth} | {name} | {1000 * median:.0f} "
            print(f"{row}| {median / whole:.2f} | {first[name]:.1f} |", flush=True)


def _cpu_seconds(step: Callable[[int], object], index: int) -> float:
    started = time.process_time()
    step(index)
    return time.process_time() - started


def measure_scores(seconds: float, seeds: list[int]) -> None:
    """Print mean AP of each decoder after the same CPU seconds of steps."""
    import pixelwise
    from pixelwise.datasets.synthetic import write_demo
    from pixelwise.progress import Progress

    patches, side, base, depth = SIZES[0]
    steps = step_functions(patches, side, base, depth)
    print("| decoder | seed | ms per step | steps | mean AP |")
    print("|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "cells"
        write_demo(data)
        # before the first training, which sets the number of threads
        times = {name: statistics.median(_cpu_seconds(steps[name], i) for i in range(15)) for name in DECODERS}
        for name, each in times.items():
            count = int(seconds / each)
            for seed in seeds:
                words = [f"network.name={name}", f"network.base={base}", f"network.depth={depth}"]
                words += [f"patches.batch={patches}", f"patches.height={side}", f"patches.width={side}"]
                out = Path(folder) / f"{name}-{seed}"
                pixelwise.train(data, out=out, steps=count, seed=seed, overrides=words, progress=Progress())
                scores = pixelwise.evaluate(out, data, split="test", progress=Progress())["scores"]
                row = f"| {name} | {seed} | {1000 * each:.0f} | {count} "
                print(f"{row}| {scores['objects']['mean_ap']:.3f} |", flush=True)


def main() -> None:
    """Measure steps or scores."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["steps", "scores"])
    parser.add_argument("--avx2", action="store_true", help="restrict oneDNN, MKL and torch to AVX2")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=40)
    parser.add_argument("--seeds", default="0")
    chosen = parser.parse_args()
    if chosen.avx2 and any(os.environ.get(name) != value for name, value in AVX2.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | AVX2)
    import torch

    torch.set_num_threads(1)
    register_variants()
    if chosen.what == "steps":
        measure_steps(chosen.repeats)
    else:
        measure_scores(chosen.seconds, [int(seed) for seed in chosen.seeds.split(",")])


if __name__ == "__main__":
    main()
