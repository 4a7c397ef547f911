"""STARE: two observers in folders of their own, or beside the images."""

from pathlib import Path

import numpy as np
import pytest

from drawn import image, mask, save
from pixelwise.datasets.cases import Case
from pixelwise.datasets.dataset import load_dataset
from pixelwise.datasets.examples import Dataset


def labels_of(dataset: Dataset, case: Case) -> np.ndarray:
    labels = dataset.read(case)[1]
    assert isinstance(labels, np.ndarray)
    return labels


@pytest.mark.parametrize("folders", [("stare-images", "labels-ah", "labels-vk"), ("", "", "")])
@pytest.mark.parametrize(("chosen", "shift"), [(None, 0), ("vk", 1)])
def test_the_first_observer_is_the_truth(
    tmp_path: Path, folders: tuple[str, str, str], chosen: str | None, shift: int
) -> None:
    images, first, second = (tmp_path / folder for folder in folders)
    for index in range(1, 7):
        save(images / f"im{index:04}.ppm", image(index, (32, 40, 3)))
        save(first / f"im{index:04}.ah.ppm", mask(index))
        save(second / f"im{index:04}.vk.ppm", np.roll(mask(index), 1, 0))
    flags = {} if chosen is None else {"masks": f"labels-{chosen}" if folders[0] else f".{chosen}"}
    dataset = load_dataset(tmp_path, **flags)
    assert any("--masks" in text for text in dataset.messages)
    for cases in dataset.splits.values():
        for case in cases:
            drawn = np.roll(mask(int(case.image.stem[2:])), shift, 0)
            assert np.array_equal(labels_of(dataset, case) > 0, drawn > 0)
