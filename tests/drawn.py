"""Small drawn data sets: textured images that differ, and masks whose every pixel is known."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (32, 40)  # rows, columns
Draw = Callable[[int], np.ndarray]


def image(seed: int, size: tuple[int, ...] = SIZE) -> np.ndarray:
    """Noise with its own seed, so that no two are alike."""
    return np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)


def mask(seed: int, value: int = 255, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A rectangle of one value that moves with the seed."""
    drawn = np.zeros(size, np.uint8)
    drawn[4 + seed % 5 : 15, 6 : 20 + seed % 7] = value
    return drawn


def several(*values: int) -> Draw:
    """Masks that hold each value as two stripes in a block of its own, in every file."""

    def draw(seed: int) -> np.ndarray:
        drawn = np.zeros(SIZE, np.uint8)
        for index, value in enumerate(values):
            drawn[5 * index : 5 * index + 4, 2 : 12 + seed % 5] = value
            drawn[5 * index : 5 * index + 4, 22:34] = value
        return drawn

    return draw


def objects(seed: int) -> np.ndarray:
    """A label image with 3 + seed objects of one area each."""
    drawn = np.zeros(SIZE, np.uint16)
    for index in range(3 + seed):
        row, column = divmod(index, 5)
        drawn[7 * row + 1 : 7 * row + 6, 8 * column + 1 : 8 * column + 6] = index + 1
    return drawn


def save(path: Path, array: np.ndarray, **options: object) -> Path:
    """Write an array as the picture that the ending names, with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)
    return path


def pairs(
    folder: Path,
    count: int = 6,
    draw: Draw = mask,
    images: str = "images/{}.png",
    masks: str = "masks/{}.png",
    first: int = 0,
) -> Path:
    """Write `count` pairs named case_0, case_1, ... under the given patterns."""
    for seed in range(first, first + count):
        save(folder / images.format(f"case_{seed}"), image(seed))
        save(folder / masks.format(f"case_{seed}"), draw(seed))
    return folder


def coloured(seed: int) -> np.ndarray:
    """Two classes as red and blue on black."""
    return np.array([[0, 0, 0], [255, 0, 0], [0, 0, 255]], np.uint8)[several(1, 2)(seed)]
