"""Masks at another scale than their images: the message names the flag, and with it they are resized."""

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from drawn import image, save
from pixelwise import load_dataset
from pixelwise.errors import BadDataset

RATIOS = [((60, 80), (30, 40)), ((30, 40), (60, 80)), ((299, 299), (256, 256)), ((75, 100), (64, 85))]


def write(folder: Path, size: tuple[int, int], size_of_mask: tuple[int, int]) -> dict[str, np.ndarray]:
    """Write images and masks of two classes, and return the masks."""
    drawn = {}
    for seed in range(4):
        mask = np.zeros(size_of_mask, np.uint8)
        mask[3 + seed : 14, 5:20] = 1
        mask[16:25, 8 + seed : 22] = 2
        mask[2:4, 24:27] = 1 + seed % 2
        save(folder / f"images/{seed}.png", image(seed, size))
        save(folder / f"masks/{seed}.png", mask)
        drawn[str(seed)] = mask
    return drawn


@pytest.mark.parametrize(("size", "size_of_mask"), RATIOS)
def test_masks_are_resized_by_nearest_neighbours(
    tmp_path: Path, size: tuple[int, int], size_of_mask: tuple[int, int]
) -> None:
    drawn = write(tmp_path, size, size_of_mask)
    with pytest.raises(BadDataset, match="--resize-masks"):
        load_dataset(tmp_path, task="multiclass")
    dataset = load_dataset(tmp_path, task="multiclass", resize_masks=True)
    assert any("--resize-masks" in message for message in dataset.messages)
    factors = size[0] / size_of_mask[0], size[1] / size_of_mask[1]
    for case in dataset.cases:
        example = dataset.read(case)
        assert example.labels is not None
        assert example.labels.shape == example.image.shape[1:] == size
        expected = ndimage.zoom(drawn[case.name], factors, order=0, grid_mode=True, mode="nearest")
        # centres that lie between two pixels of the mask go to either of them
        assert np.mean(example.labels == expected) > 0.99
        assert np.array_equal(example.labels, dataset.read_labels(case))
        if size[0] == 2 * size_of_mask[0]:
            assert np.array_equal(example.labels, np.kron(drawn[case.name], np.ones((2, 2), int)))


def test_masks_of_the_right_size_stay_as_they_are(tmp_path: Path) -> None:
    drawn = write(tmp_path, (60, 80), (60, 80))
    dataset = load_dataset(tmp_path, task="multiclass", resize_masks=True)
    assert all(np.array_equal(dataset.read(case).labels, drawn[case.name]) for case in dataset.cases)
    assert not any("resized" in message for message in dataset.messages)


@pytest.mark.parametrize("size", [(60, 60), (80, 60), (61, 95)])
def test_masks_of_another_shape_are_refused(tmp_path: Path, size: tuple[int, int]) -> None:
    """Control: a crop, a transposed mask, and one of another ratio do not show the field of their image."""
    write(tmp_path, size, (45, 60))
    with pytest.raises(BadDataset, match=r"size mismatch|masks of the size"):
        load_dataset(tmp_path, task="multiclass", resize_masks=True)
