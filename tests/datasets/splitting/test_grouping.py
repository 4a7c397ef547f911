"""Patients, videos and scenes stay in one split; what given splits share is one message."""

from pathlib import Path

import pytest

from drawn import image, mask, save
from pixelwise.datasets.dataset import DataOptions, Dataset, detect_dataset, scan_dataset
from shapes import picture

LAYOUTS = [
    "{kind}/patient{group:02}/{item}.png",
    "{kind}/p{group:02}-{item}.png",
    "{kind}/video{group}_frame{item}.png",
]


def write(root: Path, layout: str, groups: range = range(5), items: int = 4, first: int = 0) -> Path:
    for group in groups:
        for item in range(items):
            seed = first + 10 * group + item
            save(root / layout.format(kind="images", group=group, item=item), image(seed))
            save(root / layout.format(kind="masks", group=group, item=item), mask(seed))
    return root


def groups_by_split(dataset: Dataset, layout: str) -> list[set[str]]:
    """Return the groups in training and validation, as the names of the files say."""
    cut = -6 if layout.endswith("{item}.png") else 0
    return [{str(case.image)[:cut] for case in dataset.splits[part]} for part in ("train", "val")]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_groups_stay_in_one_split_and_are_reported(tmp_path: Path, layout: str) -> None:
    root = write(tmp_path, layout)
    for seed in range(3):
        train, val = groups_by_split(detect_dataset(root, seed=seed), layout)
        assert val
        assert not train & val
    messages = detect_dataset(root).messages
    assert any("20 images in 5 groups" in text and "--group-by" in text for text in messages)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_control_without_groups_they_are_divided(tmp_path: Path, layout: str) -> None:
    dataset = detect_dataset(write(tmp_path, layout), DataOptions(group_by="none"))
    train, val = groups_by_split(dataset, layout)
    assert train & val
    assert not any("groups" in text for text in dataset.messages)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_reported_flag_gives_the_same_split(tmp_path: Path, layout: str) -> None:
    root = write(tmp_path, layout)
    automatic = detect_dataset(root)
    (text,) = [text for text in automatic.messages if "groups by" in text]
    expression = text.split("--group-by '")[1].split("'")[0]
    given = detect_dataset(root, DataOptions(group_by=expression))
    train, val = groups_by_split(given, layout)
    assert val
    assert not train & val


def test_the_expression_of_the_user_sees_folders(tmp_path: Path) -> None:
    write(tmp_path, "{kind}/alpha{group}/{item}.png")
    dataset = detect_dataset(tmp_path, DataOptions(group_by=r"/(alpha\d)/"))
    assert {case.group for case in dataset.cases} == {f"alpha{group}" for group in range(5)}


def test_groups_that_leave_no_validation_split_are_dropped(tmp_path: Path) -> None:
    write(tmp_path / "train", LAYOUTS[0], range(1), items=6)
    write(tmp_path / "test", LAYOUTS[0], range(1, 5))
    dataset = detect_dataset(tmp_path)
    assert dataset.splits["val"]
    assert not any("groups by" in text for text in dataset.messages)


def test_groups_in_two_given_splits_are_one_message(tmp_path: Path) -> None:
    write(tmp_path / "train", LAYOUTS[0], range(4))
    write(tmp_path / "val", LAYOUTS[0], range(2, 6), first=500)
    dataset = scan_dataset(tmp_path)
    (text,) = [text for text in dataset.messages if "given splits share" in text]
    assert "2 groups (patient02, patient03)" in text
    assert "8 of 16 images of val and test" in text
    assert not any(problem.fatal for problem in dataset.problems)
    quiet = scan_dataset(tmp_path, DataOptions(group_by="none"))
    assert not any("given splits share" in text for text in quiet.messages)


def test_near_copies_in_two_given_splits_are_in_the_same_message(tmp_path: Path) -> None:
    write(tmp_path / "train", LAYOUTS[0], range(4))
    write(tmp_path / "val", LAYOUTS[0], range(6, 10), first=500)
    copy = image(0).copy()
    copy[0, 0] ^= 1
    save(tmp_path / "val/images/patient06/0.png", copy)
    (text,) = [text for text in scan_dataset(tmp_path).messages if "given splits share" in text]
    assert "1 pair of nearly equal images" in text
    assert "1 of 16 images" in text


def test_classes_are_no_groups(tmp_path: Path) -> None:
    for shape in ("disc", "square"):
        for seed in range(12):
            save(tmp_path / f"{shape}1" / f"person{seed // 3}_{seed}.png", picture(shape, seed))
    dataset = detect_dataset(tmp_path)
    people: dict[str, set[str]] = {}
    for case in dataset.cases:
        people.setdefault(case.image.name.split("_")[0], set()).add(case.split)
    assert len(people) == 4
    assert all(len(parts) == 1 for parts in people.values())
    assert {case.class_index for case in dataset.splits["val"]} == {0, 1}
