"""Scribbles: a training on 1 % of the pixels is nearly as good as on all, because the others are ignored."""

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from drawn import save
from pixelwise.datasets.options import DataOptions
from pixelwise.progress import Progress
from pixelwise.workflow.evaluate import evaluate
from pixelwise.workflow.train import train

SETTINGS = (
    "network.base=8",
    "network.depth=2",
    "patches.height=64",
    "patches.width=64",
    "patches.batch=4",
    "training.precision=float32",
)
SIDE, SHARE, UNKNOWN = 64, 0.01, 255


def draw(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two bright blobs and a dark one in noise; the classes are 0, 1 and 2."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((SIDE, SIDE), np.uint8)
    y, x = np.indices(labels.shape)
    for value, count in ((1, 2), (2, 1)):
        for row, column in rng.uniform(12, 52, (count, 2)):
            labels[np.hypot(y - row, x - column) < 10] = value
    image = np.array([110, 180, 50])[labels] + ndimage.gaussian_filter(rng.normal(0, 25, labels.shape), 0.7)
    return np.clip(image, 0, 255).astype(np.uint8), labels


def scribble(labels: np.ndarray, seed: int) -> np.ndarray:
    """Keep 1 % of the pixels, as short strokes in every class; the others are unknown."""
    rng = np.random.default_rng(seed)
    kept, budget = np.full(labels.shape, UNKNOWN, np.uint8), round(SHARE * labels.size)
    for value in np.unique(labels):
        rows, columns = np.nonzero(ndimage.binary_erosion(labels == value, iterations=2))
        if not len(rows):
            continue
        start = rng.integers(len(rows))
        stroke = slice(columns[start], columns[start] + budget // len(np.unique(labels)))
        kept[rows[start], stroke] = labels[rows[start], stroke]
    return kept


def write(root: Path, kind: str) -> Path:
    """Write 12 training images with all labels, with scribbles, or with scribbles on background; and full tests."""
    for number in range(18):
        split = "train" if number < 12 else "val" if number < 15 else "test"
        image, labels = draw(number)
        mask = labels if kind == "all" or split != "train" else scribble(labels, number)
        if kind == "background":
            mask = np.where(mask == UNKNOWN, 0, mask).astype(np.uint8)
        save(root / split / "images" / f"{number:02}.png", image)
        save(root / split / "masks" / f"{number:02}.png", mask)
    return root


def dice(root: Path, out: Path) -> float:
    options = DataOptions(task="multiclass", ignore_index=UNKNOWN)
    run = train(root, out=out, steps=150, overrides=SETTINGS, device="cpu", options=options, progress=Progress())
    return float(evaluate(run.folder, root, split="test", progress=Progress())["scores"]["pixels"]["mean_dice"])


@pytest.mark.slow
def test_one_percent_of_the_labels_is_nearly_enough(tmp_path: Path) -> None:
    """The control takes what is unlabelled for background, and fails."""
    share = np.mean([(scribble(draw(number)[1], number) != UNKNOWN).mean() for number in range(12)])
    assert share <= SHARE
    kinds = ("all", "some", "background")
    found = {kind: dice(write(tmp_path / kind, kind), tmp_path / f"run-{kind}") for kind in kinds}
    assert found["all"] > 0.9, found
    assert found["some"] > found["all"] - 0.06, found
    assert found["background"] < found["all"] - 0.3, found
