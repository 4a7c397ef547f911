"""Folds hold each labelled image out once, keep groups and copies together, and stratify rare classes."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drawn import SIZE, image, pairs, save
from pixelwise.datasets.dataset import DataOptions, detect_dataset
from pixelwise.datasets.splitting.folds import assign_folds, fold_split, merge_train_val
from pixelwise.datasets.splitting.splits import choose_folds
from pixelwise.errors import BadDataset, BadOption


@given(
    groups=st.lists(st.integers(0, 12), min_size=13, max_size=60).map(lambda drawn: [*range(13), *drawn]),
    folds=st.integers(2, 6),
    seed=st.integers(0, 9),
)
def test_groups_stay_whole_and_no_fold_is_empty(groups: list[int], folds: int, seed: int) -> None:
    names = [str(group) for group in groups]
    label_set = [frozenset({0, group % 3}) for group in groups]
    chosen = choose_folds(names, label_set, folds, seed)
    assert set(chosen) == set(range(folds))
    assert len(set(zip(names, chosen, strict=True))) == len(set(names))


@given(cases=st.integers(6, 50), folds=st.integers(2, 6), seed=st.integers(0, 9))
def test_cases_of_equal_classes_are_assigned_evenly(cases: int, folds: int, seed: int) -> None:
    chosen = choose_folds([str(i) for i in range(cases)], [frozenset({0, 1})] * cases, folds, seed)
    sizes = Counter(chosen).values()
    assert max(sizes) - min(sizes) <= 1


@given(seed=st.integers(0, 99))
def test_a_rare_class_is_in_as_many_folds_as_possible(seed: int) -> None:
    label_set = [frozenset({0, 1, 2} if i < 3 else {0, 1}) for i in range(20)]
    chosen = choose_folds([str(i) for i in range(20)], label_set, 5, seed)
    assert len({chosen[i] for i in range(3)}) == 3
    assert sorted(Counter(chosen).values()) == [4] * 5


def test_folds_of_classification_images_are_stratified() -> None:
    label_set = [frozenset({i % 4}) for i in range(40)]
    chosen = choose_folds([str(i) for i in range(40)], label_set, 5, 0)
    assert all(count == 2 for count in Counter(zip(chosen, [i % 4 for i in range(40)], strict=True)).values())


def test_folds_are_a_function_of_the_seed() -> None:
    names, label_set = [str(i) for i in range(12)], [frozenset({0})] * 12
    assert (
        choose_folds(names, label_set, 3, 0)
        == choose_folds(names, label_set, 3, 0)
        != choose_folds(names, label_set, 3, 1)
    )


def test_folds_include_training_and_validation_but_not_test(tmp_path: Path) -> None:
    pairs(tmp_path / "train", 6)
    pairs(tmp_path / "val", 3, first=6)
    pairs(tmp_path / "test", 2, first=20)
    dataset = detect_dataset(tmp_path)
    folds = assign_folds(dataset, 3, seed=0)
    assert folds.messages[:3] == (
        "Assigned 9 labelled images to 3 folds of 3, 3, 3 with seed 0.",
        "The validation split (3 images) is included.",
        "The test split (2 images) is excluded.",
    )
    names = sorted(name for names in folds.left_out for name in names)
    assert names == sorted(case.name for case in dataset.cases if case.split != "test")
    for left_out in folds.left_out:
        fold = fold_split(dataset, left_out)
        assert sorted(case.name for case in fold.splits["val"]) == sorted(left_out)
        assert len(fold.splits["train"]) == 6
        assert fold.splits["test"] == dataset.splits["test"]
        assert [case.split for case in fold.cases] == ["train"] * 6 + ["val"] * 3 + ["test"] * 2
    assert len(merge_train_val(dataset).splits["train"]) == 9


def test_copies_and_groups_are_left_out_together(tmp_path: Path) -> None:
    for index in range(12):
        noise = image(index // 3).astype(np.int16) + index % 3  # three near copies of four images
        save(tmp_path / f"images/c{index}.png", np.clip(noise, 0, 255).astype(np.uint8))
        drawn = np.zeros(SIZE, np.uint8)
        drawn[3:9, 4 + index % 3 : 12] = 255
        save(tmp_path / f"masks/c{index}.png", drawn)
    folds = assign_folds(detect_dataset(tmp_path), 4, seed=0)
    assert sorted(sorted(int(name.split("c")[-1]) // 3 for name in names) for names in folds.left_out) == [
        [picture] * 3 for picture in range(4)
    ]
    with pytest.raises(BadDataset, match="expected at least 5 groups of images for 5 folds; got 4 groups in 12 images"):
        assign_folds(detect_dataset(tmp_path), 5, seed=0)


def test_a_class_in_only_one_fold_is_reported(tmp_path: Path) -> None:
    for index in range(6):
        drawn = np.zeros(SIZE, np.uint8)
        drawn[3:9, 4:12], drawn[12:16, 4:14] = 1, 2
        if index == 0:
            drawn[20:25, 20:30] = 3
        save(tmp_path / f"images/c{index}.png", image(index))
        save(tmp_path / f"masks/c{index}.png", drawn)
    folds = assign_folds(detect_dataset(tmp_path, DataOptions(task="multiclass")), 3, seed=0)
    (message,) = (text for text in folds.messages if text.startswith("Only fold"))
    assert "never sees it" in message
    assert "(3)" in message


@pytest.mark.parametrize("folds", [1, 21])
def test_numbers_of_folds_out_of_range(tmp_path: Path, folds: int) -> None:
    with pytest.raises(BadOption, match=f"expected --folds from 2 to 20; got {folds}"):
        assign_folds(detect_dataset(pairs(tmp_path, 6)), folds, seed=0)
