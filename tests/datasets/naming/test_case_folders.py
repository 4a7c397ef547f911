"""Folders of cases whose files are told apart by their pixels, and folders that are numbered alike."""

from pathlib import Path

import numpy as np
import pytest

import drawn
from pixelwise.datasets.dataset import load_dataset


@pytest.mark.parametrize("names", [("slice", "lesion"), ("a", "b"), ("photo", "crack")])
def test_the_mask_of_a_case_has_the_pixels_of_a_mask(tmp_path: Path, names: tuple[str, str]) -> None:
    image, mask = names
    for seed in range(5):
        drawn.save(tmp_path / f"c{seed}/{image}.png", drawn.image(seed))
        drawn.save(tmp_path / f"c{seed}/{mask}.png", drawn.mask(seed))
    dataset = load_dataset(tmp_path)
    assert dataset.task == "binary"
    for case in dataset.cases:
        assert case.image.stem == image
        assert np.array_equal(dataset.read(case).labels, drawn.mask(int(case.image.parent.name[1:])) > 0)


def test_cases_with_photos_alone_are_classes(tmp_path: Path) -> None:
    for seed in range(12):
        drawn.save(tmp_path / f"c{seed % 3}/p{seed // 3}.png", drawn.image(seed))
    assert load_dataset(tmp_path).task == "classification"


def test_cases_of_the_same_names_are_not_images_and_masks_of_each_other(tmp_path: Path) -> None:
    for case in (1, 2):
        for index in range(4):
            drawn.save(tmp_path / f"case{case}/img_{index}.png", drawn.image(10 * case + index))
            drawn.save(tmp_path / f"case{case}/seg_{index}.png", drawn.mask(10 * case + index))
    dataset = load_dataset(tmp_path)
    assert (dataset.task, len(dataset.cases)) == ("binary", 8)


def test_numbered_folders_of_masks(tmp_path: Path) -> None:
    for number in range(1, 4):
        for index in range(3):
            drawn.save(tmp_path / f"Slide_{number}/{number}_{index}.png", drawn.image(10 * number + index))
            drawn.save(tmp_path / f"GT_{number}/{number}_{index}.png", drawn.mask(10 * number + index))
    dataset = load_dataset(tmp_path)
    assert (dataset.task, len(dataset.cases)) == ("binary", 9)
    assert {case.image.parent.name for case in dataset.cases} == {"Slide_1", "Slide_2", "Slide_3"}
