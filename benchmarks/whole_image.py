"""Networks with instance or group normalisation: exact tiles beside blended ones, in time, memory and wrong pixels.

    PYTHONPATH=src python benchmarks/whole_image.py [--side 2048] [--base 16] [--normalisation instance] [--threads 2]

A padded U-Net with random weights predicts a drawn image three ways: blended tiles, exact tiles (statistics of the
whole image are measured first), and the whole image at once, which is the reference, if --reference is given. Each way
runs in a process of its own. Seconds are those of the processors, so that other work on the machine counts little, and
of the clock; pixels that differ are those whose class is another one than in the whole image.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

WAYS = ("blended", "exact", "whole")


def main() -> None:
    """Run each way, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument("--base", type=int, default=16)
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--normalisation", choices=("instance", "group"), default="instance")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--reference", action="store_true", help="also predict the whole image at once")
    parser.add_argument("--way", choices=WAYS, help="run this way in this process, and print its numbers as JSON")
    parser.add_argument("--labels", type=Path, help="of --way: where its labels are written")
    chosen = parser.parse_args()
    if chosen.way:
        print(json.dumps(predict(chosen)))
        return
    ways = WAYS if chosen.reference else WAYS[:2]
    with tempfile.TemporaryDirectory() as folder:
        found = {way: run_way(way, sys.argv[1:], Path(folder) / f"{way}.npy") for way in ways}
        labels = {way: np.load(Path(folder) / f"{way}.npy") for way in ways}
    print("| way | processor, s | clock, s | times blended | peak memory, GB | pixels that differ |")
    print("|---|---|---|---|---|---|")
    for way, numbers in found.items():
        differ = f"{np.mean(labels[way] != labels['whole']):.1e}" if "whole" in labels else "-"
        times = numbers["processor"] / found["blended"]["processor"]
        row = (
            way,
            f"{numbers['processor']:.1f}",
            f"{numbers['clock']:.1f}",
            f"{times:.2f}",
            f"{numbers['memory']:.2f}",
        )
        print("| " + " | ".join((*row, differ)) + " |")
    print(f"\n{found['exact']['tiling']}")


def run_way(way: str, arguments: list[str], labels: Path) -> dict[str, Any]:
    """Run a way in a process of its own."""
    command = [sys.executable, __file__, *arguments, "--way", way, "--labels", str(labels)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def predict(chosen: argparse.Namespace) -> dict[str, Any]:
    """Predict the drawn image one way; return its seconds, memory and tiling."""
    import torch

    from pixelwise.inference.memory import MASK_BYTES, peak_memory, tile_budget
    from pixelwise.inference.predictor import Predictor
    from pixelwise.networks.architectures import NetworkOptions, build
    from pixelwise.runtimes.torch import TorchRuntime
    from pixelwise.sampling.normalise import Scale

    torch.set_num_threads(chosen.threads)
    torch.manual_seed(0)
    options = NetworkOptions(base=chosen.base, depth=chosen.depth, normalisation=chosen.normalisation)
    network = build(options).eval()
    budget = tile_budget(chosen.base, image_pixel=MASK_BYTES)
    runtime = TorchRuntime(network)
    measured = budget if chosen.way == "exact" else None
    predictor = Predictor(runtime, network.geometry(), 2, 512, memory_budget=budget, statistics_budget=measured)
    if chosen.way == "whole":
        predictor = predictor.with_core(chosen.side)
    pixels, size = draw(chosen.side), (chosen.side, chosen.side)
    tiling = predictor.tiling(size)
    began, used = time.perf_counter(), time.process_time()
    labels = np.empty(size, np.uint8)
    for window in predictor.stream(pixels, Scale(np.ones(1), np.zeros(1))):
        labels[window.place[1:]] = window.logits.argmax(0)
    numbers = {"clock": time.perf_counter() - began, "processor": time.process_time() - used}
    np.save(chosen.labels, labels)
    return numbers | {"memory": peak_memory() / 1e9, "tiling": str(tiling)}


def draw(side: int) -> np.ndarray:
    """Return an image whose parts have other statistics than the whole: waves that grow towards a corner."""
    rows, columns = np.mgrid[:side, :side].astype(np.float32)
    waves = np.sin(rows / 23) + np.cos(columns / 17) + 0.3 * np.random.default_rng(0).standard_normal((side, side))
    return ((0.2 + (rows + columns) / side) * waves).astype(np.float32)[None]


if __name__ == "__main__":
    main()
