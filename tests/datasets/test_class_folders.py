"""Class folders are detected, and masks are not mistaken for them."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drawn import image, mask, pairs, save
from pixelwise.datasets.class_folders import read_class_folders
from pixelwise.datasets.dataset import DataOptions, Dataset, detect_dataset, scan_dataset
from pixelwise.datasets.problems import KINDS
from pixelwise.datasets.splitting.splits import choose_balanced
from pixelwise.errors import BadDataset
from pixelwise.io.read import write_image
from shapes import class_folders, picture

Corrupt = Callable[[Path], object]


def kinds(dataset: Dataset) -> set[str]:
    return {problem.kind for problem in dataset.problems}


def names(dataset: Dataset, part: str) -> list[str]:
    return [case.name for case in dataset.splits[part]]


def test_the_validation_split_is_stratified_by_class(tmp_path: Path) -> None:
    data = detect_dataset(class_folders(tmp_path / "data", 10))
    assert data.labelling.task == "classification"
    assert data.labelling.classes == ("disc", "square", "stripes")
    assert data.channels == 3
    for index in range(3):
        counts = [sum(case.class_index == index for case in data.splits[part]) for part in ("train", "val", "test")]
        assert counts == [8, 2, 0]
    assert any("class folders without masks" in text for text in data.messages)
    assert any("6 of 30 training images, stratified by class" in text for text in data.messages)
    assert all(case.name.split("/")[0] == data.labelling.classes[case.class_index or 0] for case in data.cases)
    assert not any(case.group for case in data.cases)
    other = detect_dataset(tmp_path / "data", seed=1)
    assert names(other, "val") != names(data, "val")


def test_the_message_lists_classes_in_the_users_order(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "data", 3)
    messages = detect_dataset(root, DataOptions(classes=("stripes", "disc", "square"))).messages
    assert any(text.endswith("3 classes: stripes, disc, square.") for text in messages)
    assert any(text.endswith("3 classes: disc, square, stripes.") for text in detect_dataset(root).messages)


def test_splits_above_the_classes(tmp_path: Path) -> None:
    for first, part in ((0, "train"), (10, "valid"), (20, "test")):
        class_folders(tmp_path / "data" / part, 3, first)
    save(tmp_path / "data" / "test" / "unknown.png", picture("disc", 99))
    data = detect_dataset(tmp_path / "data")
    assert [len(data.splits[part]) for part in ("train", "val", "test")] == [9, 9, 9]
    assert not data.split_made
    assert names(data, "val")[0] == "val/disc/0010"
    assert any("test has 1 image outside the class folders" in text for text in data.messages)


def test_a_wrapping_folder_and_folders_inside_a_class(tmp_path: Path) -> None:
    class_folders(tmp_path / "data" / "photos", 3)
    save(tmp_path / "data" / "photos" / "disc" / "more" / "0000.png", picture("disc", 50))
    (tmp_path / "data" / "photos" / "notes").mkdir()
    (tmp_path / "data" / "photos" / "notes" / "readme.txt").write_text("mine", encoding="utf-8")
    data = detect_dataset(tmp_path / "data")
    assert "The class folders are in photos." in data.messages
    assert any(text.startswith("notes contains no images") for text in data.messages)
    discs = sorted(case.name for case in data.cases if case.class_index == 0)
    assert discs == ["disc/0000.png", "disc/0001", "disc/0002", "disc/more/0000.png"]


def test_a_mask_folder_is_not_a_class(tmp_path: Path) -> None:
    pairs(tmp_path / "named", 4)
    pairs(tmp_path / "odd", 4, images="first/{}.png", masks="second/{}.png")
    for name in ("named", "odd"):
        assert scan_dataset(tmp_path / name).labelling.task == "binary"
        assert read_class_folders(tmp_path / name, DataOptions()) is None
    assert read_class_folders(tmp_path / "odd", DataOptions(task="binary")) is None
    explicit = scan_dataset(tmp_path / "odd", DataOptions(task="classification"))
    assert explicit.labelling.classes == ("first", "second")
    assert "set by the user" in explicit.messages[0]


@pytest.mark.parametrize("names", [("with_mask", "without_mask"), ("mask", "no_mask"), ("sat", "map"), ("a", "b")])
def test_classes_may_be_called_like_masks(tmp_path: Path, names: tuple[str, str]) -> None:
    for offset, name in enumerate(names):
        for seed in range(5):
            save(tmp_path / name / f"{name}_{seed}.png", picture("disc", seed + 10 * offset))
    assert detect_dataset(tmp_path).labelling.classes == tuple(sorted(names))


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        ("sat/{}_sat.jpg", "map/{}_map.png"),
        ("A/{:03}.png", "B/{:03}.png"),
        ("ortho/tile_{}.jpg", "parcels/tile_{}.jpg"),
        ("train/sat/{}.png", "train/map/{}.png"),
        ("sat/train/{}.png", "map/train/{}.png"),
        ("ir/{}.png", "drawn_by_hand/{}_done.png"),
    ],
)
def test_images_and_their_masks_are_not_two_classes(tmp_path: Path, images: str, masks: str) -> None:
    for seed in range(5):
        save(tmp_path / images.format(seed), np.stack([image(seed)] * 3, -1))
        save(tmp_path / masks.format(seed), mask(seed))
    dataset = scan_dataset(tmp_path)
    assert dataset.labelling.task == "binary" or masks.endswith(".jpg")
    assert read_class_folders(tmp_path, DataOptions()) is None
    assert len(dataset.cases) == 5


def test_the_user_orders_the_classes(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "data", 3)
    data = detect_dataset(root, DataOptions(classes=("stripes", "disc", "square")))
    assert data.labelling.classes == ("stripes", "disc", "square")
    assert {case.name.split("/")[0] for case in data.cases if case.class_index == 0} == {"stripes"}
    with pytest.raises(
        BadDataset, match="expected a name for every class; got folders disc, square, stripes and names a"
    ):
        detect_dataset(root, DataOptions(classes=("a", "b")))


def lone(root: Path) -> None:
    shutil.rmtree(root / "square")
    shutil.rmtree(root / "stripes")
    (root / "square").mkdir()


BAD: dict[str, tuple[Corrupt, str]] = {
    "empty class": (lambda root: (root / "cross").mkdir(), "empty class folder"),
    "one class and an empty one": (lone, "empty class folder"),
    "outside": (lambda root: save(root / "loose.png", picture("disc", 77)), "image outside a class"),
    "unreadable": (
        lambda root: (root / "disc" / "broken.png").write_text("hello", encoding="utf-8"),
        "unreadable image",
    ),
    "five channels": (
        lambda root: write_image(root / "disc" / "many.tif", np.zeros((5, 24, 24), np.uint8)),
        "mixed channels",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_fatal_problems_are_raised_with_their_hint(tmp_path: Path, name: str) -> None:
    corrupt, kind = BAD[name]
    root = class_folders(tmp_path / "data", 4)
    corrupt(root)
    assert kind in kinds(scan_dataset(root))
    with pytest.raises(BadDataset) as raised:
        detect_dataset(root)
    assert KINDS[kind][1] in str(raised.value)
    assert "masks" not in str(raised.value)


def test_a_single_class_is_refused(tmp_path: Path) -> None:
    class_folders(tmp_path / "data", 4, shapes=("disc",))
    with pytest.raises(BadDataset, match="one folder of images per class"):
        detect_dataset(tmp_path / "data")
    with pytest.raises(BadDataset, match="expected at least two class folders; got only disc"):
        detect_dataset(tmp_path / "data", DataOptions(task="classification"))


def test_the_same_image_in_two_classes_is_a_warning(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "data", 6)
    shutil.copy(root / "disc" / "0000.png", root / "square" / "copy.png")
    data = detect_dataset(root)
    (problem,) = [problem for problem in data.problems if problem.kind == "image in two classes"]
    assert not problem.fatal
    assert problem.text == "the same image as square/copy, but their classes differ"
    assert any("copies with different classes" in text and "--conflicts" in text for text in data.messages)
    both = {case.split for case in data.cases if case.name in ("disc/0000", "square/copy")}
    assert len(both) == 1, "copies stay in one split"
    assert {case.group for case in data.cases if case.name in ("disc/0000", "square/copy")} == {"disc/0000"}


def test_the_same_image_in_two_splits_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "data"
    for first, part in ((0, "train"), (10, "test")):
        class_folders(root / part, 4, first)
    shutil.copy(root / "train" / "disc" / "0000.png", root / "test" / "disc" / "copy.png")
    with pytest.raises(BadDataset, match="no image in two splits"):
        detect_dataset(root)
    assert detect_dataset(root, DataOptions(allow_duplicates=True)).splits["test"]
    mirrored = picture("disc", 1)[:, ::-1]
    save(root / "test" / "disc" / "copy.png", np.ascontiguousarray(mirrored))
    data = detect_dataset(root)
    (near,) = [problem for problem in data.problems if problem.kind == "near duplicate across splits"]
    assert "train/disc/0001 ~ test/disc/copy" in near.text


def test_a_class_that_only_validation_contains_is_refused(tmp_path: Path) -> None:
    class_folders(tmp_path / "data" / "train", 4)
    class_folders(tmp_path / "data" / "val", 2, 10)
    shutil.rmtree(tmp_path / "data" / "train" / "disc")
    with pytest.raises(
        BadDataset, match="expected every class in the training split; got class disc occurs in val only"
    ):
        detect_dataset(tmp_path / "data")


def test_grayscale_and_16_bit_images_are_accepted(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "data", 5)
    save(root / "disc" / "gray.png", image(3, (20, 31)))
    save(root / "disc" / "deep.png", (image(4, (20, 31)).astype(np.uint16) * 257))
    data = detect_dataset(root)
    assert data.channels == 3
    assert any("gray ones are repeated to 3 channels" in text for text in data.messages)
    assert any("1 image has 16 bits, the others 8" in text for text in data.messages)
    assert kinds(data) == set()


def test_groups_stay_together(tmp_path: Path) -> None:
    root = tmp_path / "data"
    for shape in ("disc", "square"):
        for seed in range(12):
            save(root / shape / f"person{seed // 3}_{seed}.png", picture(shape, seed))
    data = detect_dataset(root, DataOptions(group_by=r"^(person\d+)_"))
    parts: dict[str, set[str]] = {}
    for case in data.cases:
        parts.setdefault(case.name.split("/")[1].split("_")[0], set()).add(case.split)
    assert len(parts) == 4
    assert all(len(result) == 1 for result in parts.values())


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 30)), min_size=1, max_size=60),
    st.floats(0.05, 0.6),
    st.integers(0, 5),
)
def test_a_stratified_split_keeps_classes_and_groups(cases: list[tuple[int, int]], share: float, seed: int) -> None:
    classes = [label for label, _ in cases]
    groups = [f"g{group}" for _, group in cases]
    chosen = choose_balanced(groups, classes, share, seed)
    assert chosen == choose_balanced(groups, classes, share, seed)
    for label in set(classes):
        in_class = [validates for validates, other in zip(chosen, classes, strict=True) if other == label]
        assert not all(in_class)
        smallest = min(cases.count((label, group)) for group in {g for name, g in cases if name == label})
        assert sum(in_class) <= max(smallest, int(share * len(in_class) + 0.5))
    for group in set(groups):
        assert len({validates for validates, other in zip(chosen, groups, strict=True) if other == group}) == 1


def test_control_masks_are_detected_by_their_values(tmp_path: Path) -> None:
    """The same layout with two folders of images is two classes: only the values distinguish masks from images."""
    for seed in range(4):
        save(tmp_path / "data" / "first" / f"{seed}.png", image(seed))
        save(tmp_path / "data" / "second" / f"{seed}.png", image(seed + 10))
    assert scan_dataset(tmp_path / "data").labelling.task == "classification"
    for seed in range(4):
        save(tmp_path / "data" / "second" / f"{seed}.png", mask(seed))
    assert scan_dataset(tmp_path / "data").labelling.task == "binary"


def test_two_folders_of_which_one_has_masks_are_no_classes_even_if_no_name_pairs(tmp_path: Path) -> None:
    for index in range(6):
        save(tmp_path / f"a/field{'pqrstu'[index]}.png", image(index))
        save(tmp_path / f"b/drawn{'uvwxyz'[index]}.png", mask(index))
    with pytest.raises(BadDataset):
        detect_dataset(tmp_path)
    for index in range(6):
        save(tmp_path / f"b/drawn{'uvwxyz'[index]}.png", image(index + 10))
    assert detect_dataset(tmp_path).labelling.task == "classification", "control: two folders of photos"


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        ("set/A{}/A{}_photo/1.bmp", "set/A{}/A{}_lesion/1.bmp"),
        ("A{}/slice.png", "A{}/lesion.png"),
        ("Part{}/Part{}-Picture/n.png", "Part{}/Part{}-Drawn/n.png"),
    ],
)
def test_folders_of_cases_are_no_classes(tmp_path: Path, images: str, masks: str) -> None:
    for index in range(4):
        save(tmp_path / images.format(index, index), image(index))
        save(tmp_path / masks.format(index, index), mask(index))
    assert not is_classification(tmp_path)
    for index in range(4):
        save(tmp_path / masks.format(index, index), image(index + 10))
    assert is_classification(tmp_path), "control: photos alone"


def test_a_folder_of_object_masks_is_no_class(tmp_path: Path) -> None:
    for index in range(4):
        save(tmp_path / f"v1/f{index}.png", image(index))
        for part in range(3):
            save(tmp_path / f"v2/f{index}_{part}.png", mask(index + part))
    assert not is_classification(tmp_path)
    for path in (tmp_path / "v2").iterdir():
        save(path, image(len(path.name) + int(path.stem[-1])))
    assert is_classification(tmp_path), "control: photos alone"


def is_classification(root: Path) -> bool:
    try:
        return scan_dataset(root).labelling.task == "classification"
    except BadDataset:
        return False
