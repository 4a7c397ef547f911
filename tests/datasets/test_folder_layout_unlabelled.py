"""Unlabelled images."""

from pathlib import Path

from drawn import image, mask, pairs, save
from pixelwise.datasets.folder_layout import find_unlabelled
from pixelwise.datasets.options import DataOptions


def test_images_without_a_mask_are_found_in_natural_order(tmp_path: Path) -> None:
    pairs(tmp_path, 4)
    for name in ("case_10", "case_9", "Ω neu"):
        save(tmp_path / f"images/{name}.png", image(40))
    result = find_unlabelled(tmp_path, DataOptions(allow_missing=True))
    assert [path.name for path in result] == ["case_9.png", "case_10.png", "Ω neu.png"]


def test_a_completely_labelled_set_has_none(tmp_path: Path) -> None:
    pairs(tmp_path, 4)
    save(tmp_path / "masks/orphan.png", mask(1))
    assert find_unlabelled(tmp_path, DataOptions()) == []


def test_images_of_a_test_split_without_masks_are_excluded(tmp_path: Path) -> None:
    pairs(tmp_path / "train", 3)
    save(tmp_path / "train/images/new.png", image(40))
    save(tmp_path / "test/images/hidden.png", image(41))
    assert [path.name for path in find_unlabelled(tmp_path, DataOptions())] == ["new.png"]
