"""Peak memory and time of `pixelwise predict` on one large gray image.

    python benchmarks/prediction_memory.py --side 10000 --base 16 [--target boundary]

A model with random weights is as large and as fast as a trained one. The image is noise, an 8-bit TIFF, and so is what
the model sees in it: `--target boundary` finds about one object per 65 pixels with the default seed, far more than any
photo holds. Each object takes memory of its own for its row in the table, so the count is printed too.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from pixelwise.io.read import write_image
from pixelwise.labels.targets import TargetOptions
from pixelwise.model_file.model_file import ModelCard, save_model
from pixelwise.networks.architectures import NetworkOptions, build
from pixelwise.sampling.normalise import Normalisation


def main() -> None:
    """Draw, predict in a process of its own, and print a row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=10_000)
    parser.add_argument("--base", type=int, default=16)
    parser.add_argument("--target", choices=["classes", "boundary"], default="classes")
    parser.add_argument("--seed", type=int, default=4, help="of the weights; it decides how many objects are seen")
    chosen = parser.parse_args()
    torch.manual_seed(chosen.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_model(folder / "model.safetensors", chosen.base, chosen.target)
        pixels = np.random.default_rng(0).integers(0, 256, (1, chosen.side, chosen.side), np.uint8)
        write_image(folder / "images" / "large.tif", pixels)
        del pixels
        command = [sys.executable, "-m", "pixelwise", "predict", str(folder / "model.safetensors")]
        command += [str(folder / "images"), "--out", str(folder / "out")]
        started = time.monotonic()
        subprocess.run(command, check=True)
        seconds = time.monotonic() - started
        table = folder / "out" / "objects.csv"
        objects = table.read_bytes().count(b"\n") - 1 if table.is_file() else 0
    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, KiB on Linux
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit / 1e9
    print("| image | network | target | objects | seconds | peak memory, GB |")
    print("|---|---|---|---|---|---|")
    image, network = f"{chosen.side} x {chosen.side} gray", f"unet, base {chosen.base}"
    print(f"| {image} | {network} | {chosen.target} | {objects:,} | {seconds:.0f} | {peak:.2f} |")


def write_model(
    path: Path, base: int, target: Literal["classes", "boundary"], encoder: str = "plain", depth: int = 4
) -> None:
    """Write a model with random weights: of a mask, or of objects."""
    objects = target == "boundary"
    options = NetworkOptions(base=base, classes=3 if objects else 2, encoder=encoder, depth=depth)
    network = build(options)
    model_card = ModelCard(
        network=options,
        normalisation=Normalisation(),
        target=TargetOptions(kind=target),
        geometry=network.geometry(),
        task="instance" if objects else "binary",
        classes=("background", "object"),
        values=() if objects else (0, 255),
        colours=((0, 0, 0), (255, 255, 255)),
        channels=1,
        tile=512,
        intensity_range=((0.0, 255.0),),
        trained={},
    )
    save_model(path, network, model_card)


if __name__ == "__main__":
    main()
