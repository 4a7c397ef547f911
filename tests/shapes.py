"""Drawn class folders: discs, squares and stripes of random place, size and colour on noise; no two are alike."""

from pathlib import Path

import numpy as np

from drawn import save

SHAPES = ("disc", "square", "stripes")
SIDE = 24


def picture(shape: str, seed: int, size: tuple[int, int] = (SIDE, SIDE)) -> np.ndarray:
    """Return (rows, columns, 3) uint8."""
    rng = np.random.default_rng([SHAPES.index(shape), seed])
    rows, columns = np.mgrid[: size[0], : size[1]]
    radius = rng.uniform(0.22, 0.34) * min(size)
    middle = [rng.uniform(radius + 1, side - radius - 1) for side in size]
    down, right = rows - middle[0], columns - middle[1]
    turn, period, phase = rng.uniform(0, np.pi), rng.uniform(4, 8), rng.uniform()
    waves = (rows * np.sin(turn) + columns * np.cos(turn)) / period + phase
    inside = {
        "disc": down**2 + right**2 <= radius**2,
        "square": np.maximum(abs(down), abs(right)) <= 0.85 * radius,
        "stripes": waves % 1 < 0.5,
    }[shape]
    ground, tone = rng.uniform(0, 90, 3), rng.uniform(150, 230, 3)
    drawn = np.where(inside[..., None], tone, ground) + rng.normal(0, 8, (*size, 3))
    return drawn.clip(0, 255).astype(np.uint8)


def class_folders(folder: Path, count: int, first: int = 0, shapes: tuple[str, ...] = SHAPES) -> Path:
    """Write `count` pictures of each shape as <shape>/0000.png, ..."""
    for shape in shapes:
        for seed in range(first, first + count):
            save(folder / shape / f"{seed:04d}.png", picture(shape, seed))
    return folder
