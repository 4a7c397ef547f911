"""Sets of defects in the layout of MVTec AD."""

from pathlib import Path

import numpy as np
import pytest

from drawn import image, mask, save
from pixelwise.datasets.cases import Case
from pixelwise.datasets.dataset import load_dataset
from pixelwise.datasets.examples import Dataset
from pixelwise.datasets.layouts import anomalies


def labels_of(dataset: Dataset, case: Case) -> np.ndarray:
    labels = dataset.read(case)[1]
    assert isinstance(labels, np.ndarray)
    return labels


def draw(root: Path, good: str = "good", bad: str = "crack", ending: str = "_mask", first: int = 0) -> None:
    for index in range(4):
        save(root / f"train/{good}/{index:03}.png", image(first + index))
        save(root / f"test/{good}/{index:03}.png", image(first + 10 + index))
        save(root / f"test/{bad}/{index:03}.png", image(first + 20 + index))
        save(root / f"ground_truth/{bad}/{index:03}{ending}.png", mask(index))


@pytest.mark.parametrize(("good", "bad", "ending"), [("good", "crack", "_mask"), ("ok", "ko", "")])
def test_good_images_have_empty_masks(tmp_path: Path, good: str, bad: str, ending: str) -> None:
    draw(tmp_path, good, bad, ending)
    dataset = load_dataset(tmp_path)
    assert dataset.task == "binary"
    cases = [case for cases in dataset.splits.values() for case in cases]
    assert len(cases) == 12
    for case in cases:
        defect = case.image.parent.name == bad
        expected = mask(int(case.image.stem)) > 0 if defect else np.zeros((32, 40), bool)
        assert np.array_equal(labels_of(dataset, case) > 0, expected)
    assert any("--val-share" in text for text in dataset.messages)


def test_several_kinds_of_objects(tmp_path: Path) -> None:
    draw(tmp_path / "bottle")
    draw(tmp_path / "cable", first=100)
    assert sum(len(cases) for cases in load_dataset(tmp_path).splits.values()) == 24


def test_control_other_classes_in_training(tmp_path: Path) -> None:
    draw(tmp_path)
    save(tmp_path / "train/crack/000.png", image(99))
    assert not anomalies.recognise(tmp_path)
