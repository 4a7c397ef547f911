"""Class folders are understood where they are ones, left alone where they are not, and told in words."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drawn import image, mask, pairs, save
from pixelwise.datasets.class_folders import read_class_folders
from pixelwise.datasets.dataset import DataOptions, Dataset, examine, understand
from pixelwise.datasets.problems import KINDS
from pixelwise.datasets.splits import choose_balanced
from pixelwise.errors import BadDataset
from pixelwise.io.read import write_image
from shapes import class_folders, picture

Spoil = Callable[[Path], object]


def kinds(dataset: Dataset) -> set[str]:
    return {problem.kind for problem in dataset.problems}


def names(dataset: Dataset, part: str) -> list[str]:
    return [case.name for case in dataset.part(part)]


def test_folders_of_classes_are_divided_alike(tmp_path: Path) -> None:
    data = understand(class_folders(tmp_path / "data", 10))
    assert data.labelling.task == "classification"
    assert data.labelling.classes == ("disc", "square", "stripes")
    assert data.channels == 3
    for index in range(3):
        counts = [sum(case.class_index == index for case in data.part(part)) for part in ("train", "val", "test")]
        assert counts == [8, 2, 0]
    assert any("A folder per class, no masks were found" in messages for messages in data.messages)
    assert any(
        "6 of 30 training images validate, the same share of each class" in messages for messages in data.messages
    )
    assert all(case.name.split("/")[0] == data.labelling.classes[case.class_index or 0] for case in data.cases)
    assert not any(case.group for case in data.cases)
    other = understand(tmp_path / "data", seed=1)
    assert names(other, "val") != names(data, "val")


def test_the_classes_are_told_in_the_users_order(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "data", 3)
    messages = understand(root, DataOptions(classes=("stripes", "disc", "square"))).messages
    assert any(text.endswith("3 classes: stripes, disc, square.") for text in messages)
    assert any(text.endswith("3 classes: disc, square, stripes.") for text in understand(root).messages)


def test_parts_above_the_classes_are_kept(tmp_path: Path) -> None:
    for first, part in ((0, "train"), (10, "valid"), (20, "test")):
        class_folders(tmp_path / "data" / part, 3, first)
    save(tmp_path / "data" / "test" / "unknown.png", picture("disc", 99))
    data = understand(tmp_path / "data")
    assert [len(data.part(part)) for part in ("train", "val", "test")] == [9, 9, 9]
    assert not data.split_made
    assert names(data, "val")[0] == "val/disc/0010"
    assert "test has 1 image outside of classes: left aside (use predict on them)." in data.messages


def test_a_wrapping_folder_and_folders_inside_a_class(tmp_path: Path) -> None:
    class_folders(tmp_path / "data" / "photos", 3)
    save(tmp_path / "data" / "photos" / "disc" / "more" / "0000.png", picture("disc", 50))
    (tmp_path / "data" / "photos" / "notes").mkdir()
    (tmp_path / "data" / "photos" / "notes" / "readme.txt").write_text("mine")
    data = understand(tmp_path / "data")
    assert "The class folders lie in photos." in data.messages
    assert "notes holds no pictures and was left aside." in data.messages
    discs = sorted(case.name for case in data.cases if case.class_index == 0)
    assert discs == ["disc/0000.png", "disc/0001", "disc/0002", "disc/more/0000.png"]


def test_masks_are_never_taken_for_a_class(tmp_path: Path) -> None:
    pairs(tmp_path / "named", 4)
    pairs(tmp_path / "odd", 4, images="first/{}.png", masks="second/{}.png")
    for name in ("named", "odd"):
        assert examine(tmp_path / name).labelling.task == "binary"
        assert read_class_folders(tmp_path / name, DataOptions()) is None
    assert read_class_folders(tmp_path / "odd", DataOptions(task="binary")) is None
    forced = examine(tmp_path / "odd", DataOptions(task="classification"))
    assert forced.labelling.classes == ("first", "second")
    assert "as you said" in forced.messages[0]


def test_the_user_orders_the_classes(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "data", 3)
    data = understand(root, DataOptions(classes=("stripes", "disc", "square")))
    assert data.labelling.classes == ("stripes", "disc", "square")
    assert {case.name.split("/")[0] for case in data.cases if case.class_index == 0} == {"stripes"}
    with pytest.raises(
        BadDataset, match="expected a name for every class; got folders disc, square, stripes and names a"
    ):
        understand(root, DataOptions(classes=("a", "b")))


def lone(root: Path) -> None:
    shutil.rmtree(root / "square")
    shutil.rmtree(root / "stripes")
    (root / "square").mkdir()


BAD: dict[str, tuple[Spoil, str]] = {
    "empty class": (lambda root: (root / "cross").mkdir(), "empty class folder"),
    "one class and an empty one": (lone, "empty class folder"),
    "outside": (lambda root: save(root / "loose.png", picture("disc", 77)), "image outside a class"),
    "unreadable": (lambda root: (root / "disc" / "broken.png").write_text("hello"), "unreadable image"),
    "five channels": (
        lambda root: write_image(root / "disc" / "many.tif", np.zeros((5, 24, 24), np.uint8)),
        "mixed channels",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_learned_is_refused_in_words(tmp_path: Path, name: str) -> None:
    spoil, kind = BAD[name]
    root = class_folders(tmp_path / "data", 4)
    spoil(root)
    assert kind in kinds(examine(root))
    with pytest.raises(BadDataset) as raised:
        understand(root)
    assert KINDS[kind][1] in str(raised.value)
    assert "masks" not in str(raised.value)


def test_one_class_alone_says_what_is_missing(tmp_path: Path) -> None:
    class_folders(tmp_path / "data", 4, shapes=("disc",))
    with pytest.raises(BadDataset, match="or with a folder of images per class"):
        understand(tmp_path / "data")
    with pytest.raises(BadDataset, match="expected at least two class folders; got only disc"):
        understand(tmp_path / "data", DataOptions(task="classification"))


def test_the_same_picture_in_two_classes_is_a_warning(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "data", 6)
    shutil.copy(root / "disc" / "0000.png", root / "square" / "copy.png")
    data = understand(root)
    (problem,) = [problem for problem in data.problems if problem.kind == "image in two classes"]
    assert not problem.fatal
    assert problem.text == "the same image as square/copy, but their classes differ"
    assert any("copies whose classes differ" in messages and "--conflicts" in messages for messages in data.messages)
    both = {case.part for case in data.cases if case.name in ("disc/0000", "square/copy")}
    assert len(both) == 1, "copies stay in one part"
    assert {case.group for case in data.cases if case.name in ("disc/0000", "square/copy")} == {"disc/0000"}


def test_the_same_picture_in_two_parts_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "data"
    for first, part in ((0, "train"), (10, "test")):
        class_folders(root / part, 4, first)
    shutil.copy(root / "train" / "disc" / "0000.png", root / "test" / "disc" / "copy.png")
    with pytest.raises(BadDataset, match="no image in two parts"):
        understand(root)
    assert understand(root, DataOptions(allow_duplicates=True)).part("test")
    mirrored = picture("disc", 1)[:, ::-1]
    save(root / "test" / "disc" / "copy.png", np.ascontiguousarray(mirrored))
    data = understand(root)
    (near,) = [problem for problem in data.problems if problem.kind == "near duplicate across parts"]
    assert "train/disc/0001 ~ test/disc/copy" in near.text


def test_a_class_that_only_a_later_part_shows_is_refused(tmp_path: Path) -> None:
    class_folders(tmp_path / "data" / "train", 4)
    class_folders(tmp_path / "data" / "val", 2, 10)
    shutil.rmtree(tmp_path / "data" / "train" / "disc")
    with pytest.raises(
        BadDataset, match="expected every class in the training part; got class disc occurs in val only"
    ):
        understand(tmp_path / "data")


def test_gray_and_deep_photos_are_taken_with_the_others(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "data", 5)
    save(root / "disc" / "gray.png", image(3, (20, 31)))
    save(root / "disc" / "deep.png", (image(4, (20, 31)).astype(np.uint16) * 257))
    data = understand(root)
    assert data.channels == 3
    assert any("gray ones are repeated to 3 channels" in messages for messages in data.messages)
    assert any("1 image has 16 bits, the others 8" in messages for messages in data.messages)
    assert kinds(data) == set()


def test_groups_stay_together(tmp_path: Path) -> None:
    root = tmp_path / "data"
    for shape in ("disc", "square"):
        for seed in range(12):
            save(root / shape / f"person{seed // 3}_{seed}.png", picture(shape, seed))
    data = understand(root, DataOptions(group_by=r"^(person\d+)_"))
    parts: dict[str, set[str]] = {}
    for case in data.cases:
        parts.setdefault(case.name.split("/")[1].split("_")[0], set()).add(case.part)
    assert len(parts) == 4
    assert all(len(found) == 1 for found in parts.values())


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 30)), min_size=1, max_size=60),
    st.floats(0.05, 0.6),
    st.integers(0, 5),
)
def test_a_balanced_choice_never_empties_a_class_nor_parts_a_group(
    cases: list[tuple[int, int]], share: float, seed: int
) -> None:
    classes = [label for label, _ in cases]
    groups = [f"g{group}" for _, group in cases]
    chosen = choose_balanced(groups, classes, share, seed)
    assert chosen == choose_balanced(groups, classes, share, seed)
    for label in set(classes):
        own = [validates for validates, other in zip(chosen, classes, strict=True) if other == label]
        assert not all(own)
        smallest = min(cases.count((label, group)) for group in {g for name, g in cases if name == label})
        assert sum(own) <= max(smallest, int(share * len(own) + 0.5))
    for group in set(groups):
        assert len({validates for validates, other in zip(chosen, groups, strict=True) if other == group}) == 1


def test_control_masks_beside_images_are_seen_by_their_values(tmp_path: Path) -> None:
    """The same layout with two folders of pictures is two classes: only the values tell masks from photos."""
    for seed in range(4):
        save(tmp_path / "data" / "first" / f"{seed}.png", image(seed))
        save(tmp_path / "data" / "second" / f"{seed}.png", image(seed + 10))
    assert examine(tmp_path / "data").labelling.task == "classification"
    for seed in range(4):
        save(tmp_path / "data" / "second" / f"{seed}.png", mask(seed))
    assert examine(tmp_path / "data").labelling.task == "binary"
