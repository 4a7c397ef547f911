"""Drawn data sets whose images show what the masks mark: bright spots of three sizes on noise."""

from pathlib import Path

import numpy as np

from drawn import save

SIZE = (48, 64)


def spots(seed: int, size: tuple[int, int] = SIZE) -> tuple[np.ndarray, np.ndarray]:
    """An image (height, width) uint8 and its mask of 0 and 1; no two are alike, none is symmetric."""
    random = np.random.default_rng(seed)
    rows, columns = np.indices(size)
    mask = np.zeros(size, np.uint8)
    for radius in (3, 5, 7):
        row, column = random.uniform(radius, size[0] - radius), random.uniform(radius, size[1] - radius)
        mask[(rows - row) ** 2 + (columns - column) ** 2 < radius**2] = 1
    image = 70 + 90.0 * mask + random.normal(0, 12, size)
    return np.clip(image, 0, 255).astype(np.uint8), mask


def write_spots(folder: Path, count: int = 16, size: tuple[int, int] = SIZE) -> Path:
    """Write images/spots_0.png ... and their masks of 0 and 255."""
    for seed in range(count):
        image, mask = spots(seed, size)
        save(folder / "images" / f"spots_{seed}.png", image)
        save(folder / "masks" / f"spots_{seed}.png", mask * 255)
    return folder
