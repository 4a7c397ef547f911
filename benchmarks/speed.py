"""Speed of prediction: one warm 512 x 512 image in eager PyTorch and in each runtime; and from a cold start.

    python benchmarks/speed.py warm [--base 16,64] [--rounds 9] [--threads 4]
    python benchmarks/speed.py cold MODEL... --image PICTURE.png

warm: padded U-Nets with batch normalisation, 1 channel, 2 classes, random weights. "eager" is the network as tutorials
run it: `eval()`, `no_grad()`, contiguous input. Every side lives in a process of its own, so that no library's threads
disturb another's; the sides take turns, round by round, and only one computes at a time. Medians over the rounds, and
the ratio to eager of the same round. Int8 is quantised on noise, which is as fast as on pictures; what it does to masks
is in the certificates of exports. GFLOP/s counts the network's multiply-adds twice, whatever an algorithm saves.

cold: `pixelwise predict` as a process, from nothing to the mask of one picture on the disk; runs and exports in turns.
"""

import argparse
import multiprocessing
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path

import numpy as np

from pixelwise.networks.options import NetworkOptions
from pixelwise.parallel import let_idle_threads_sleep

SIDE = 512
CALLS = 3  # per round and side; the least counts
SIDES = ("eager", "torch", "torch-bf16", "onnx", "openvino", "openvino-bf16", "openvino-int8")


def options(base: int) -> NetworkOptions:
    return NetworkOptions(base=base, in_channels=1, classes=2)


def prepare(base: int, folder: Path) -> int:
    """Write the graphs of a network, in float32 and int8; return its floating-point operations for one image."""
    import torch

    from pixelwise.engine.exporting.to_onnx import onnx_bytes
    from pixelwise.engine.exporting.to_openvino import write_openvino, write_openvino_int8
    from pixelwise.engine.recipe import Recipe
    from pixelwise.images.preprocess import Normalisation
    from pixelwise.labels.targets import TargetOptions
    from pixelwise.networks.architectures import build_segmenter

    torch.manual_seed(0)
    network = build_segmenter(options(base)).eval()
    recipe = Recipe(
        network=options(base),
        normalisation=Normalisation(kind="none"),
        target=TargetOptions(),
        geometry=network.geometry(),
        task="binary",
        classes=("background", "object"),
        values=(0, 1),
        colours=((0, 0, 0), (255, 255, 255)),
        channels=1,
        tile=SIDE,
        intensity_range=((0.0, 1.0),),
        trained={},
    )
    graph = onnx_bytes(network, recipe)
    (folder / "model.onnx").write_bytes(graph)
    write_openvino(folder / "openvino.xml", graph, recipe)
    rng = np.random.default_rng(0)
    feeds = [{"image": rng.standard_normal((1, 1, 256, 256), np.float32)} for _ in range(8)]
    write_openvino_int8(folder / "openvino-int8.xml", graph, recipe, feeds)
    return sum(layer.flops for layer in network.layers(SIDE))


def make_side(name: str, base: int, folder: Path, threads: int) -> Callable[[np.ndarray], object]:
    """Return what computes one image."""
    if name == "onnx":
        from pixelwise.engine.runtime_onnx import OnnxRuntime

        return OnnxRuntime(folder / "model.onnx", threads=threads)
    if name.startswith("openvino"):
        from pixelwise.engine.runtime_openvino import OpenVinoRuntime

        file = "openvino-int8.xml" if name.endswith("int8") else "openvino.xml"
        return OpenVinoRuntime(folder / file, precision="bf16" if name.endswith("bf16") else "fp32", threads=threads)
    import torch

    from pixelwise.engine.runtime_torch import TorchRuntime
    from pixelwise.networks.architectures import build

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    network = build(options(base)).eval()
    if name == "eager":

        def eager(image: np.ndarray) -> object:
            with torch.no_grad():
                return network(torch.from_numpy(image))

        return eager
    return TorchRuntime(network, precision="bf16" if name.endswith("bf16") else "fp32")


def worker(pipe: Connection, name: str, base: int, folder: Path, threads: int) -> None:
    """Compute when asked, and answer with the seconds of the fastest of a few calls."""
    compute = make_side(name, base, folder, threads)
    image = np.random.default_rng(0).standard_normal((1, 1, SIDE, SIDE), np.float32)
    for _ in range(2):
        compute(image)
    pipe.send("ready")
    while pipe.recv():
        taken: list[float] = []
        for _ in range(CALLS):
            began = time.perf_counter()
            compute(image)
            taken.append(time.perf_counter() - began)
        pipe.send(min(taken))


def take_turns(base: int, folder: Path, rounds: int, threads: int) -> dict[str, list[float]]:
    """Return the seconds of each side in each round."""
    context = multiprocessing.get_context("spawn")
    pipes: dict[str, Connection] = {}
    processes: list[SpawnProcess] = []
    for name in SIDES:
        here, there = context.Pipe()
        process = context.Process(target=worker, args=(there, name, base, folder, threads), daemon=True)
        process.start()
        here.recv()
        pipes[name] = here
        processes.append(process)
    seconds: dict[str, list[float]] = {name: [] for name in SIDES}
    for _ in range(rounds):
        for name, pipe in pipes.items():
            pipe.send(True)
            seconds[name].append(pipe.recv())
    for pipe, process in zip(pipes.values(), processes, strict=True):
        pipe.send(False)
        process.join()
    return seconds


def warm(bases: list[int], rounds: int, threads: int) -> None:
    print(f"| base | runtime ({threads} threads) | median, ms | times eager (least - most) | GFLOP/s |")
    print("|---|---|---|---|---|")
    for base in bases:
        with tempfile.TemporaryDirectory() as folder:
            flops = prepare(base, Path(folder))
            seconds = take_turns(base, Path(folder), rounds, threads)
        for name in SIDES:
            ratios = [eager / own for eager, own in zip(seconds["eager"], seconds[name], strict=True)]
            median = statistics.median(seconds[name])
            spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} - {max(ratios):.2f})"
            print(f"| {base} | {name} | {median * 1000:.1f} | {spread} | {flops / median / 1e9:.0f} |", flush=True)


def cold(models: list[Path], image: Path, rounds: int) -> None:
    seconds: dict[Path, list[float]] = {model: [] for model in models}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(rounds):
            for index, model in enumerate(models):
                out = Path(folder) / f"{index}-{turn}"
                command = [sys.executable, "-m", "pixelwise", "predict", str(model), str(image), "--out", str(out)]
                began = time.perf_counter()
                subprocess.run(command, check=True, capture_output=True)
                seconds[model].append(time.perf_counter() - began)
    print("| model | cold start to mask on disk, median s | slowest, s |")
    print("|---|---|---|")
    for model, values in seconds.items():
        print(f"| {model.name} | {statistics.median(values):.2f} | {max(values):.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("warm")
    one.add_argument("--base", default="16,64")
    one.add_argument("--rounds", type=int, default=9)
    one.add_argument("--threads", type=int, default=4)
    two = commands.add_parser("cold")
    two.add_argument("models", type=Path, nargs="+")
    two.add_argument("--image", type=Path, required=True)
    two.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    let_idle_threads_sleep()
    if given.command == "warm":
        warm([int(base) for base in given.base.split(",")], given.rounds, given.threads)
    else:
        cold(given.models, given.image, given.rounds)


if __name__ == "__main__":
    main()
