"""Write the golden files: one finished run of each kind, and what its model predicts for one image.

Every later version must load them (`tests/test_golden.py`). They are written once per format, not with every version:
PYTHONPATH=src python tests/make_golden.py [binary instance ...]
"""

import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

import pixelwise

HERE = Path(__file__).parent / "golden"
SIDE = 48
SMALL = ("network.base=2", "network.depth=2", "patches.height=32", "patches.width=32", "patches.batch=2")
NARROW = (
    "network.name=resnet20",
    "network.base=2",
    "classification.batch=4",
    "classification.side=16",
    "classification.shorter=16",
)
# kind of run -> settings and keyword arguments of its training
KINDS: dict[str, tuple[tuple[str, ...], dict[str, int]]] = {
    "binary": (SMALL, {}),
    "instance": (SMALL, {}),
    "classification": (NARROW, {}),
    "folds": (SMALL, {"folds": 2}),
}


def draw(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return an image (height, width) uint8 of bright discs, and the number of the disc at each pixel."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    labels = np.zeros((SIDE, SIDE), np.uint16)
    for number in range(1, 5):
        row, column, radius = rng.integers(6, SIDE - 6), rng.integers(6, SIDE - 6), rng.integers(3, 7)
        labels[((rows - row) ** 2 + (columns - column) ** 2 <= radius**2) & (labels == 0)] = number
    image = rng.normal(60, 12, labels.shape) + 110 * (labels > 0)
    return image.clip(0, 255).astype(np.uint8), labels


def write_data(root: Path, kind: str) -> None:
    """Write a folder of images of one kind: pairs of image and mask, or a folder per class."""
    for seed in range(8):
        image, labels = draw(seed)
        split = "train" if seed < 6 else "val"
        if kind == "classification":
            name = "bright" if seed % 2 else "dark"
            folder = root / split / name
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image if seed % 2 else image // 3).save(folder / f"{seed}.png")
            continue
        for folder, array in (
            ("images", image),
            ("masks", labels if kind == "instance" else (labels > 0) * np.uint8(1)),
        ):
            (root / split / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(root / split / folder / f"{seed}.png")


def make(kind: str) -> None:
    """Train a run of one kind for two steps; keep what later versions have to read."""
    settings, arguments = KINDS[kind]
    folder = HERE / kind
    shutil.rmtree(folder, ignore_errors=True)
    words = (*settings, "training.precision=float32")
    with TemporaryDirectory() as place:
        write_data(Path(place), kind)
        pixelwise.train(place, out=folder, steps=2, overrides=words, device="cpu", **arguments)
    for name in ("checkpoints", "snapshots", ".lock"):  # of a training that continues
        for path in [*folder.rglob(name)]:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in folder.rglob("*.json"):  # where this machine keeps temporary files does not belong here
        path.write_text(path.read_text("utf-8").replace(str(Path(place).resolve()), "/data"), "utf-8")
    answer = pixelwise.load(folder, device="cpu").probabilities(draw(100)[0])
    np.save(folder / "expected.npy", answer)


if __name__ == "__main__":
    for kind in sys.argv[1:] or KINDS:
        make(kind)
