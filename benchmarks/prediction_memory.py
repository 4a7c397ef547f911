"""Peak memory and time of `pixelwise predict` on one large gray image.

    python benchmarks/prediction_memory.py --side 10000 --base 16

A model with random weights is as large and as fast as a trained one. The image is noise, an 8-bit TIFF.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from pixelwise.engine.modelfile import Recipe, save_model
from pixelwise.images.files import write_image
from pixelwise.images.preprocess import Normalisation
from pixelwise.labels.targets import TargetOptions
from pixelwise.networks.architectures import NetworkOptions, build


def main() -> None:
    """Draw, predict in a process of its own, and print a row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=10_000)
    parser.add_argument("--base", type=int, default=16)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_model(folder / "model.safetensors", chosen.base)
        pixels = np.random.default_rng(0).integers(0, 256, (1, chosen.side, chosen.side), np.uint8)
        write_image(folder / "images" / "large.tif", pixels)
        del pixels
        command = [sys.executable, "-m", "pixelwise", "predict", str(folder / "model.safetensors")]
        command += [str(folder / "images"), "--out", str(folder / "out")]
        started = time.monotonic()
        subprocess.run(command, check=True)
        seconds = time.monotonic() - started
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    print("| image | network | seconds | peak memory, GB |")
    print("|---|---|---|---|")
    print(f"| {chosen.side} x {chosen.side} gray | unet, base {chosen.base} | {seconds:.0f} | {peak:.2f} |")


def write_model(path: Path, base: int) -> None:
    """Write a binary model with random weights."""
    network = build(NetworkOptions(base=base))
    recipe = Recipe(
        network=NetworkOptions(base=base),
        normalisation=Normalisation(),
        target=TargetOptions(),
        geometry=network.geometry(),
        task="binary",
        classes=("background", "object"),
        values=(0, 255),
        colours=((0, 0, 0), (255, 255, 255)),
        channels=1,
        tile=512,
        intensity_range=((0.0, 255.0),),
        trained={},
    )
    save_model(path, network, recipe)


if __name__ == "__main__":
    main()
