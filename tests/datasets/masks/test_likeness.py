"""Masks are told from images by their pixels."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from drawn import coloured, image, mask, objects, save
from pixelwise.datasets.masks.likeness import find_mask_side
from pixelwise.io.read import write_image


def smooth_edges(seed: int) -> np.ndarray:
    return ndimage.gaussian_filter(mask(seed).astype(np.float32), 0.7).astype(np.uint8)


def dark(seed: int) -> np.ndarray:
    """Return a fluorescence image: half of the pixels are 0."""
    return np.where(image(seed) > 127, image(seed), 0)


def write(folder: Path, draw: Callable[[int], np.ndarray], suffix: str = ".png") -> list[Path]:
    return [save(folder / f"{seed}{suffix}", draw(seed)) for seed in range(5)]


@pytest.mark.parametrize("photo", [image, dark, lambda seed: image(seed, (32, 40, 3))])
@pytest.mark.parametrize("draw", [mask, objects, coloured, smooth_edges, lambda seed: mask(seed, 1)])
def test_masks_are_recognised(
    tmp_path: Path, photo: Callable[[int], np.ndarray], draw: Callable[[int], np.ndarray]
) -> None:
    photos, masks = write(tmp_path / "a", photo), write(tmp_path / "b", draw)
    assert find_mask_side(photos, masks) == 1
    assert find_mask_side(masks, photos) == 0


def test_masks_with_losses_and_images_that_cannot_be_masks(tmp_path: Path) -> None:
    masks = write(tmp_path / "b", mask, ".jpg")
    assert find_mask_side(write(tmp_path / "a", image), masks) == 1
    for seed in range(5):
        write_image(tmp_path / f"{seed}.tif", image(seed)[None] / np.float32(3))
    assert find_mask_side([tmp_path / f"{seed}.tif" for seed in range(5)], masks) == 1


def test_neither_side_has_masks(tmp_path: Path) -> None:
    photos = write(tmp_path / "a", image)
    assert find_mask_side(photos, write(tmp_path / "b", lambda seed: image(seed + 10))) is None
    assert find_mask_side(write(tmp_path / "c", mask), write(tmp_path / "d", lambda seed: mask(seed + 1))) is None
    blank = write(tmp_path / "e", lambda seed: np.full((32, 40), 9, np.uint8))
    assert find_mask_side(photos, blank) is None
    assert find_mask_side(photos, write(tmp_path / "f", lambda seed: image(seed, (30, 40)))) is None


def test_masks_of_another_size_are_masks(tmp_path: Path) -> None:
    """They are a problem to report, and no reason to take them for images."""
    masks = write(tmp_path / "b", lambda seed: mask(seed, size=(30, 40)))
    assert find_mask_side(write(tmp_path / "a", image), masks) == 1
