"""Several masks beside each image: of classes, of objects, or of several people, with the flag that chooses."""

from pathlib import Path

import numpy as np
import pytest

from drawn import image, save
from pixelwise.datasets.cases import Case
from pixelwise.datasets.dataset import load_dataset
from pixelwise.datasets.examples import Dataset
from pixelwise.datasets.layouts.masks_beside import find_masks_beside
from pixelwise.errors import BadDataset


def labels_of(dataset: Dataset, case: Case) -> np.ndarray:
    labels = dataset.read(case)[1]
    assert isinstance(labels, np.ndarray)
    return labels


def parts(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two rectangles that do not touch."""
    left, right = np.zeros((2, 32, 40), np.uint8)
    left[4 + seed % 3 : 12, 4:12] = 255
    right[18:28, 24 + seed % 4 : 34] = 255
    return left, right


def draw(root: Path, *endings: str, overlapping: bool = False, images: str = "{:03}.jpg") -> list[Path]:
    files: list[Path] = []
    for seed in range(6):
        name = images.format(seed)
        files.append(save(root / name, image(seed)))
        for ending, part in zip(endings, parts(seed), strict=True):
            drawn = np.roll(parts(seed)[0], len(ending) % 2, 0) if overlapping else part
            files.append(save(root / f"{Path(name).stem}{ending}.png", drawn))
    return files


@pytest.mark.parametrize("endings", [("_cell", "_nucleus"), ("-road", "-roof"), (".liver", ".kidney")])
def test_words_are_classes(tmp_path: Path, endings: tuple[str, str]) -> None:
    draw(tmp_path, *endings)
    dataset = load_dataset(tmp_path)
    assert (dataset.task, set(dataset.classes)) == ("multiclass", {"background", *(end[1:] for end in endings)})
    for cases in dataset.splits.values():
        for case in cases:
            left, right = parts(int(case.image.stem))
            labels = labels_of(dataset, case)
            assert np.all(labels[left > 0] == dataset.classes.index(endings[0][1:]))
            assert np.all(labels[right > 0] == dataset.classes.index(endings[1][1:]))


@pytest.mark.parametrize("endings", [("_1", "_2"), ("_mask_1", "_mask_2"), ("_cell01", "_cell02")])
def test_numbers_are_objects(tmp_path: Path, endings: tuple[str, str]) -> None:
    draw(tmp_path, *endings)
    dataset = load_dataset(tmp_path)
    assert dataset.task == "instance"
    assert all(labels_of(dataset, case).max() == 2 for cases in dataset.splits.values() for case in cases)


@pytest.mark.parametrize("endings", [("_expert1", "_expert22"), ("_anna", "_tom")])
def test_versions_are_refused_and_the_named_flag_chooses(tmp_path: Path, endings: tuple[str, str]) -> None:
    draw(tmp_path, *endings, overlapping=True)
    with pytest.raises(BadDataset, match="--mask-suffix"):
        load_dataset(tmp_path)
    dataset = load_dataset(tmp_path, mask_suffix=endings[0])
    assert sum(len(cases) for cases in dataset.splits.values()) == 6


def test_a_mask_with_a_usual_name_is_the_mask(tmp_path: Path) -> None:
    assert find_masks_beside(draw(tmp_path, "_mask", "_edges")) == {}
    assert load_dataset(tmp_path).task == "binary"


def test_control_other_images_with_longer_names_are_no_masks(tmp_path: Path) -> None:
    files = draw(tmp_path, "_1", "_2")
    assert len(find_masks_beside(files)) == 6
    for path in files:
        save(path, image(len(path.name)))
    assert find_masks_beside(files) == {}


def test_control_one_mask_per_image_is_left_to_other_rules(tmp_path: Path) -> None:
    files = draw(tmp_path, "_a", "_b")
    assert find_masks_beside([path for path in files if not path.stem.endswith("_b")]) == {}
