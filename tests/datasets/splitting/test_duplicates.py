"""Duplicate images: equal ones, re-encoded ones, and copies with different masks."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drawn import image, mask, pairs, save
from pixelwise.datasets.dataset import DataOptions, detect_dataset, scan_dataset


def conflicting(root: Path) -> Path:
    """Write six images and copies of two of them with other masks; one copy is a JPEG."""
    rng = np.random.default_rng(0)
    for index in range(6):
        blocks = rng.integers(40, 200, (12, 14), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
        save(root / f"images/{index}.png", blocks)
        save(root / f"masks/{index}.png", mask(index, size=(96, 112)))
    for source, copy in ((1, 7), (3, 8)):
        picture = Image.open(root / f"images/{source}.png")
        if copy == 8:
            file = BytesIO()
            picture.save(file, "JPEG", quality=85)
            picture = Image.open(file)
        save(root / f"images/{copy}.png", np.asarray(picture))
        save(root / f"masks/{copy}.png", mask(source + 2, size=(96, 112)))
    return root


def names(root: Path, **options: object) -> set[str]:
    return {case.name for case in detect_dataset(root, DataOptions(**options)).cases}


def test_copies_with_different_masks_give_a_warning_with_the_flag(tmp_path: Path) -> None:
    dataset = detect_dataset(conflicting(tmp_path))
    result = [problem for problem in dataset.problems if problem.kind == "conflicting masks"]
    assert [(p.file, p.fatal, p.left_out) for p in result] == [("1", False, False), ("3", False, False)]
    (messages,) = [text for text in dataset.messages if "--conflicts" in text]
    assert "1 ~ 7" in messages
    assert "3 ~ 8" in messages
    for seed in range(6):
        parts = {case.name: case.split for case in detect_dataset(tmp_path, seed=seed).cases}
        assert parts["1"] == parts["7"]
        assert parts["3"] == parts["8"]


@pytest.mark.parametrize(
    ("choice", "left"),
    [("keep", "01234578"), ("first", "012345"), ("drop", "0245")],
)
def test_conflicts_option(tmp_path: Path, choice: str, left: str) -> None:
    assert names(conflicting(tmp_path), conflicts=choice) == set(left)


def test_copies_are_dropped(tmp_path: Path) -> None:
    root = conflicting(tmp_path)
    save(root / "images/9.png", np.asarray(Image.open(root / "images/2.png")))
    save(root / "masks/9.png", mask(2, size=(96, 112)))
    assert names(root) == set("012345789")
    dataset = detect_dataset(root, DataOptions(drop_copies=True))
    assert {case.name for case in dataset.cases} == set("012345")
    left = [text for text in dataset.messages if "left out" in text]
    assert any("--drop-copies" in text and "images/9.png" in text for text in left)
    assert any("--conflicts" in text and "images/7.png" in text and "images/8.png" in text for text in left)
    assert names(root, drop_copies=True, conflicts="drop") == set("0245")


def test_left_out_files_are_reported_by_name_and_number(tmp_path: Path) -> None:
    dataset = detect_dataset(conflicting(tmp_path), DataOptions(conflicts="first"))
    (messages,) = [text for text in dataset.messages if "left out" in text]
    assert "2 files" in messages
    assert "images/7.png" in messages
    assert "images/8.png" in messages
    assert all(p.left_out for p in dataset.problems if p.kind == "conflicting masks")


def test_equal_copies_with_equal_masks_are_no_conflict(tmp_path: Path) -> None:
    pairs(tmp_path)
    save(tmp_path / "images/again.png", image(0))
    save(tmp_path / "masks/again.png", mask(0))
    assert {p.kind for p in detect_dataset(tmp_path).problems} == {"duplicate image"}
    assert "again" in names(tmp_path, conflicts="drop")


def test_near_copies_do_not_prevent_training(tmp_path: Path) -> None:
    # frames of two mirrored scenes: every image is a near copy of every other
    rng = np.random.default_rng(0)
    scene = rng.integers(20, 200, (12, 14)).repeat(8, 0).repeat(8, 1)
    for index in range(6):
        turned = scene if index % 2 else scene[:, ::-1]
        save(tmp_path / f"images/{index}.png", (turned + rng.integers(0, 4, turned.shape)).astype(np.uint8))
        save(tmp_path / f"masks/{index}.png", mask(index, size=turned.shape))
    dataset = scan_dataset(tmp_path)
    assert not any(problem.fatal for problem in dataset.problems)
    assert dataset.splits["val"]
    assert any("nearly equal to one another" in text for text in dataset.messages)


def test_control_equal_images_do(tmp_path: Path) -> None:
    for index in range(4):
        save(tmp_path / f"images/{index}.png", image(0))
        save(tmp_path / f"masks/{index}.png", mask(0))
    assert {p.kind for p in scan_dataset(tmp_path).problems if p.fatal} == {"groups too large"}
