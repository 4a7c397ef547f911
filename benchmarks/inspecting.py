"""Speed of `inspect` and `doctor` beside the speed at which the machine decodes the same files.

    python benchmarks/inspecting.py [--images 2000] [--height 480] [--width 640] [--endings .jpg,.png] [--repeats 3]

Photographs are imitated by smooth noise in colour, with masks of 4 classes as 8-bit PNG: a few are drawn, and each is
written many times with a pixel of its own, so that no two files are equal. Decoding is Pillow's, of every image and
every mask, in a thread per core. `read` is what every command does with a folder before anything else, `inspect` and
`doctor` are the commands with all that they measure. All take turns; medians. The bar: inspect at 85 % of the decoding
speed, doctor at half of it.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from machine import in_words
from PIL import Image
from scipy import ndimage

from pixelwise.datasets.dataset import scan_dataset
from pixelwise.parallel import cores
from pixelwise.progress import Progress
from pixelwise.workflow.doctor import doctor
from pixelwise.workflow.inspect import inspect

DRAWN = 8  # different photographs
CLASSES = 4


def main() -> None:
    """Print a table: seconds, images per second, and the fraction of the decoding speed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--endings", default=".jpg,.png")
    parser.add_argument("--repeats", type=int, default=3)
    chosen = parser.parse_args()
    print(in_words())
    print("\n| images | what | seconds | images per second | of the decoding speed |\n|---|---|---|---|---|")
    for ending in chosen.endings.split(","):
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) / "data"
            write_set(folder, chosen.images, (chosen.height, chosen.width), ending)
            found = measure(folder, chosen.repeats)
            for what, seconds in found.items():
                row = (f"{chosen.images} {ending}", what, f"{seconds:.1f}", f"{chosen.images / seconds:.0f}")
                print("| " + " | ".join(row) + f" | {found['decoding'] / seconds:.0%} |", flush=True)


def write_set(folder: Path, count: int, size: tuple[int, int], ending: str) -> None:
    """Write images/ and masks/ with `count` pairs."""
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    drawn = [draw(np.random.default_rng(seed), size) for seed in range(min(DRAWN, count))]
    for index in range(count):
        image, mask = (values.copy() for values in drawn[index % len(drawn)])
        row, column = divmod(index * 97, size[1])
        image[row % size[0], column] = 255 - image[row % size[0], column]
        mask[row % size[0], column] = index % CLASSES
        Image.fromarray(image).save(folder / "images" / f"{index:05}{ending}", quality=90)
        Image.fromarray(mask).save(folder / "masks" / f"{index:05}.png")


def draw(random: np.random.Generator, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return an image (height, width, 3), and the classes that its brightness shows."""
    shape = ndimage.gaussian_filter(random.normal(size=size), 24)
    mask = np.digitize(shape, np.quantile(shape, np.arange(1, CLASSES) / CLASSES)).astype(np.uint8)
    texture = np.stack([ndimage.gaussian_filter(random.normal(size=size), 1.5) * 40 for _ in range(3)], -1)
    return np.clip(60 + 40 * mask[..., None] + texture, 0, 255).astype(np.uint8), mask


def decode(folder: Path) -> None:
    """Decode all files with Pillow."""

    def load(path: Path) -> int:
        with Image.open(path) as opened:
            return np.asarray(opened).size

    with ThreadPoolExecutor(cores()) as pool:
        list(pool.map(load, (path for part in ("images", "masks") for path in sorted((folder / part).iterdir()))))


def measure(folder: Path, repeats: int) -> dict[str, float]:
    """Return the median seconds of each kind of work; they take turns."""
    quiet = Progress()
    works: dict[str, Callable[[], object]] = {
        "decoding": lambda: decode(folder),
        "read": lambda: scan_dataset(folder, progress=quiet),
        "inspect": lambda: inspect(folder, out=folder.parent / "sheet.png", progress=quiet),
        "doctor": lambda: doctor(folder, progress=quiet),
    }
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repeats):
        for name, work in works.items():
            began = time.perf_counter()
            work()
            seconds[name].append(time.perf_counter() - began)
    return {name: statistics.median(values) for name, values in seconds.items()}


if __name__ == "__main__":
    main()
