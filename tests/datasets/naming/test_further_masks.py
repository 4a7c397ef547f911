"""Further mask files of an image are united with its mask, or are objects of their own."""

from pathlib import Path

import numpy as np
import pytest

from drawn import image, save
from pixelwise.datasets.dataset import load_dataset
from pixelwise.datasets.examples import Dataset
from pixelwise.errors import BadDataset


def draw(root: Path, further: str) -> None:
    for index in range(8):
        left, right = np.zeros((2, 32, 40), np.uint8)
        left[4 + index % 3 : 12, 4:12] = 255
        right[18:28, 24 + index % 4 : 34] = 255
        save(root / f"set/s ({index}).png", image(index))
        save(root / f"set/s ({index})_mask.png", left if index % 4 == 1 else left | right)
        if index % 4 == 1:
            save(root / "set" / further.format(f"s ({index})"), right)


def labels_of(dataset: Dataset) -> list[np.ndarray]:
    read = [dataset.read(case)[1] for cases in dataset.splits.values() for case in cases]
    return [labels for labels in read if isinstance(labels, np.ndarray)]


@pytest.mark.parametrize("further", ["{}_mask_1.png", "{}_mask2.png", "{}_mask (1).png"])
def test_masks_with_a_number_are_united(tmp_path: Path, further: str) -> None:
    draw(tmp_path, further)
    dataset = load_dataset(tmp_path)
    assert dataset.task == "binary"
    assert any("united" in text and "--task instance" in text for text in dataset.messages)
    areas = [int(one.sum()) for one in labels_of(dataset)]
    assert len(areas) == 8
    assert min(areas) > 100, "both rectangles in every image"
    objects = load_dataset(tmp_path, task="instance")
    assert max(int(one.max()) for one in labels_of(objects)) == 2


def test_control_other_names_are_no_further_masks(tmp_path: Path) -> None:
    draw(tmp_path, "{}_spare.png")
    with pytest.raises(BadDataset):
        load_dataset(tmp_path)
