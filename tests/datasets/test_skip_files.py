"""Files with problems are left out with one flag, and do not affect the rest."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from drawn import SIZE, coloured, image, mask, pairs, save, several
from pixelwise.datasets.dataset import DataOptions, detect_dataset, scan_dataset
from pixelwise.datasets.problems import CONFLICTS, KINDS, STAGES, Problem
from pixelwise.errors import BadDataset

SKIP = DataOptions(skip_bad=True)
Corrupt = Callable[[Path], object]


def table(root: Path) -> None:
    (root / "classes.txt").write_text("0 ground\n255 cell\n", encoding="utf-8")


def four_channels(root: Path) -> None:
    (root / "images/case_0.png").unlink()
    tifffile.imwrite(
        root / "images/case_0.tif", image(0, (4, *SIZE)), photometric="minisblack", planarconfig="separate"
    )


def float_mask(root: Path) -> None:
    (root / "masks/case_0.png").unlink()
    tifffile.imwrite(root / "masks/case_0.tif", mask(0) * np.float32(0.3))


def nan_in_a_mask(root: Path) -> None:
    values = mask(0).astype(np.float32)
    values[0, 0] = np.nan
    (root / "masks/case_0.png").unlink()
    tifffile.imwrite(root / "masks/case_0.tif", values)


def lossy(root: Path) -> None:
    (root / "masks/case_0.png").unlink()
    save(root / "masks/case_0.jpg", mask(0))


# kind of problem, and how six valid pairs are corrupted; case_0 is left out
CORRUPTED: tuple[tuple[str, Corrupt], ...] = (
    ("missing mask", lambda r: (r / "masks/case_0.png").unlink()),
    ("orphan mask", lambda r: (r / "images/case_0.png").unlink()),
    ("duplicate name", lambda r: save(r / "images/case_0.tif", image(50))),
    ("unreadable image", lambda r: (r / "images/case_0.png").write_bytes(b"")),
    ("unreadable mask", lambda r: (r / "masks/case_0.png").write_bytes(b"")),
    ("float mask", float_mask),
    ("NaN in a mask", nan_in_a_mask),
    ("size mismatch", lambda r: save(r / "masks/case_0.png", mask(0, size=(30, 31)))),
    ("mixed channels", four_channels),
    ("mask is the image", lambda r: shutil.copy(r / "images/case_0.png", r / "masks/case_0.png")),
    ("too many values", lambda r: (table(r), save(r / "masks/case_0.png", image(90)))),
    ("unknown values", lambda r: (table(r), save(r / "masks/case_0.png", mask(0, 7)))),
    ("mixed mask kinds", lambda r: save(r / "masks/case_0.png", coloured(0))),
)


@pytest.mark.parametrize(("kind", "corrupt"), CORRUPTED, ids=[kind for kind, _ in CORRUPTED])
def test_the_data_set_is_valid_without_the_file(kind: str, corrupt: Corrupt, tmp_path: Path) -> None:
    corrupt(pairs(tmp_path))
    with pytest.raises(BadDataset, match="--skip-bad") as caught:
        detect_dataset(tmp_path)
    assert KINDS[kind][0] in str(caught.value) or kind in str(caught.value)
    dataset = detect_dataset(tmp_path, SKIP)
    assert {case.name for case in dataset.cases} == {f"case_{index}" for index in range(1, 6)}
    assert dataset.labelling.values == (0, 255), "a bad mask does not change the classes"
    assert [p.kind for p in dataset.problems if p.left_out] == [kind]
    assert any("left out (--skip-bad)" in text and kind in text and "case_0" in text for text in dataset.messages)


def given_splits(root: Path, draw: Callable[[int], np.ndarray] = mask) -> None:
    for index, part in enumerate(("train", "val", "test")):
        pairs(root / part, 4, draw=draw, first=10 * index)


def test_copies_in_two_splits_are_left_out_of_the_training(tmp_path: Path) -> None:
    given_splits(tmp_path)
    for kind in ("images", "masks"):
        shutil.copy(tmp_path / f"train/{kind}/case_0.png", tmp_path / f"test/{kind}/again.png")
    dataset = detect_dataset(tmp_path, SKIP)
    assert {case.name for case in dataset.splits["train"]} == {f"train/case_{index}" for index in (1, 2, 3)}
    assert "test/again" in {case.name for case in dataset.splits["test"]}


def test_a_group_in_two_splits_is_left_out_of_the_training(tmp_path: Path) -> None:
    given_splits(tmp_path)
    save(tmp_path / "test/images/case_3b.png", image(99))
    save(tmp_path / "test/masks/case_3b.png", mask(1))
    group_by = r"^(case_\d+)"
    with pytest.raises(BadDataset, match=r"--group-by.*--skip-bad"):
        detect_dataset(tmp_path, DataOptions(group_by=group_by))
    dataset = detect_dataset(tmp_path, DataOptions(group_by=group_by, skip_bad=True))
    assert {case.name for case in dataset.splits["train"]} == {f"train/case_{index}" for index in (0, 1, 2)}


def test_images_of_a_class_missing_in_training_are_left_out(tmp_path: Path) -> None:
    given_splits(tmp_path, several(1, 2))
    save(tmp_path / "val/masks/case_10.png", several(1, 2, 3)(0))
    dataset = detect_dataset(tmp_path, SKIP)
    assert dataset.labelling.values == (0, 1, 2)
    assert len(dataset.splits["val"]) == 3


def test_unusable_files_of_class_folders_are_left_out(tmp_path: Path) -> None:
    for label, first in (("cat", 0), ("dog", 10)):
        for index in range(5):
            save(tmp_path / label / f"{label}_{index}.png", image(first + index, (20, 24)))
    (tmp_path / "cat/cat_0.png").write_bytes(b"")
    (tmp_path / "empty").mkdir()
    save(tmp_path / "loose.png", image(77))
    with pytest.raises(BadDataset, match="--skip-bad"):
        detect_dataset(tmp_path)
    dataset = detect_dataset(tmp_path, SKIP)
    assert len(dataset.cases) == 9
    assert {p.kind for p in dataset.problems if p.left_out} == {
        "unreadable image", "empty class folder", "image outside a class",
    }  # fmt: skip


def test_copies_in_two_classes_follow_the_conflicts_flag(tmp_path: Path) -> None:
    for label, first in (("cat", 0), ("dog", 10)):
        for index in range(5):
            save(tmp_path / label / f"{index}.png", image(first + index, (20, 24)))
    shutil.copy(tmp_path / "cat/0.png", tmp_path / "dog/copy.png")
    left = {
        choice: len(detect_dataset(tmp_path, DataOptions(conflicts=choice)).cases)
        for choice in ("keep", "drop", "first")
    }
    assert left == {"keep": 11, "drop": 9, "first": 10}


def test_a_valid_set_loses_nothing(tmp_path: Path) -> None:
    assert detect_dataset(pairs(tmp_path), SKIP) == detect_dataset(tmp_path)


def test_a_set_without_usable_files_is_refused(tmp_path: Path) -> None:
    pairs(tmp_path, draw=lambda seed: mask(seed)[1:])
    with pytest.raises(BadDataset, match="6 x size mismatch") as caught:
        detect_dataset(tmp_path, SKIP)
    assert "--skip-bad leaves" not in str(caught.value)
    with pytest.raises(BadDataset) as caught:
        detect_dataset(tmp_path)
    assert "--skip-bad" not in str(caught.value), "not suggested if nothing would remain"


def test_the_error_counts_left_out_files(tmp_path: Path) -> None:
    pairs(tmp_path, 3)
    for index in (0, 1):
        (tmp_path / f"images/case_{index}.png").write_bytes(b"")
    with pytest.raises(BadDataset, match=r"at least 2 images.*2 files with problems were left out"):
        detect_dataset(tmp_path, SKIP)


def test_colours_without_a_table_have_a_flag(tmp_path: Path) -> None:
    pairs(tmp_path, draw=coloured)
    for options in (DataOptions(), DataOptions(task="multiclass")):
        dataset = detect_dataset(tmp_path, options)
        assert any("--task" in message and "255,0,0" in message for message in dataset.messages)
        assert dataset.labelling.colours == ((0, 0, 0), (0, 0, 255), (255, 0, 0))
        assert dataset.labelling.coded_by_colour


def test_swapped_masks_are_reported(tmp_path: Path) -> None:
    pairs(tmp_path)
    for index, size in ((0, (30, 50)), (1, (44, 28))):
        save(tmp_path / f"images/case_{index}.png", image(index, size))
        save(tmp_path / f"masks/case_{1 - index}.png", mask(index, size=size))
    texts = {p.file: p.text for p in scan_dataset(tmp_path).problems}
    assert "swapped with that of images/case_1.png" in texts["images/case_0.png"]
    assert "swapped with that of images/case_0.png" in texts["images/case_1.png"]


def test_stages_are_disjoint_and_known() -> None:
    kinds = [kind for stage in STAGES for kind in stage]
    assert len(set(kinds)) == len(kinds)
    assert set(kinds) <= set(KINDS)
    assert not any(Problem(file="", kind=kind, text="").skippable for kind in kinds)


# fatal problems of the whole set, and how to fix them: there is no file to leave out
WHOLE_SET = {
    "no images": "data", "one image only": "data", "no training images": "data", "all background": "data",
    "one class only": "data", "one class folder only": "data", "split without foreground": "data",
    "ambiguous folders": "--images", "colours without classes": "--task", "names do not fit": "--classes",
    "segments differ": "--classes", "too many colours": "classes.txt",
    "groups too large": "--group-by", "names differ": "--image-suffix", "pickled masks": "--save_png",
    "objects or classes": "--task", "negative values": "--background",
}  # fmt: skip
NEVER_FATAL = {
    "mixed depths", "near duplicate across splits", "duplicate image", "class missing in a split",
    "unreadable description", *CONFLICTS,
}  # fmt: skip


def test_every_fatal_kind_has_a_hint() -> None:
    by_file = {kind for stage in STAGES for kind in stage} - CONFLICTS
    assert by_file | set(WHOLE_SET) | NEVER_FATAL == set(KINDS)
    assert all(flag == "data" or flag in KINDS[kind][1] for kind, flag in WHOLE_SET.items())
