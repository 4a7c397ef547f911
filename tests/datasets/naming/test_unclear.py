"""What cannot be paired is refused with the flag that helps, and the flag does help."""

from pathlib import Path

import pytest

import drawn
from pixelwise.datasets.dataset import load_dataset
from pixelwise.errors import BadDataset


def test_two_folders_of_images_for_one_of_masks(tmp_path: Path) -> None:
    for seed in range(6):
        drawn.save(tmp_path / f"train/A/t{seed}.png", drawn.image(seed))
        drawn.save(tmp_path / f"train/B/t{seed}.png", drawn.image(20 + seed))
        drawn.save(tmp_path / f"train/label/t{seed}.png", drawn.mask(seed))
    with pytest.raises(BadDataset, match=r"train/A, train/B.*--images"):
        load_dataset(tmp_path)
    assert len(load_dataset(tmp_path, images="B").cases) == 6


def test_several_files_per_mask_name_the_suffix(tmp_path: Path) -> None:
    for seed in range(6):
        for channel in (1, 2):
            drawn.save(tmp_path / f"images/a{seed:02}_s1_w{channel}.png", drawn.image(10 * channel + seed))
        drawn.save(tmp_path / f"labels/a{seed:02}_s1.png", drawn.mask(seed))
    with pytest.raises(BadDataset, match="--image-suffix _w1"):
        load_dataset(tmp_path)
    assert len(load_dataset(tmp_path, image_suffix="_w1").cases) == 6


def test_folders_of_kinds_in_cases_are_named_without_the_case(tmp_path: Path) -> None:
    for seed in range(4):
        case = f"IMD{seed:03}"
        drawn.save(tmp_path / f"{case}/{case}_view/{case}.png", drawn.image(seed))
        for kind in ("lesion", "roi"):
            drawn.save(tmp_path / f"{case}/{case}_{kind}/{case}_{kind}.png", drawn.mask(seed))
    with pytest.raises(BadDataset, match="lesion, roi, view"):
        load_dataset(tmp_path)
    assert load_dataset(tmp_path, images="view", masks="lesion").task == "binary"


def test_the_name_of_the_whole_set_is_no_split(tmp_path: Path) -> None:
    drawn.pairs(tmp_path / "test_data")
    dataset = load_dataset(tmp_path)
    assert not dataset.splits["test"]
    drawn.pairs(tmp_path / "train_data", first=10)
    assert len(load_dataset(tmp_path).splits["test"]) == 6
