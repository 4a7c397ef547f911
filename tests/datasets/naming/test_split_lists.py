"""Text files and tables that name the images of each split."""

from pathlib import Path

import pytest

import drawn
from pixelwise.datasets.dataset import load_dataset
from pixelwise.errors import BadDataset

NAMES = [f"p{index:02}" for index in range(10)]


def write(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def draw(folder: Path, images: str = "images/{}.jpg", masks: str = "masks/{}.png") -> None:
    for seed, name in enumerate(NAMES):
        drawn.save(folder / images.format(name), drawn.image(seed))
        drawn.save(folder / masks.format(name), drawn.mask(seed))


def splits(folder: Path, **options: str) -> dict[str, set[str]]:
    dataset = load_dataset(folder, **options)
    return {split: {case.image.stem for case in cases} for split, cases in dataset.splits.items() if cases}


@pytest.mark.parametrize(
    ("names", "line"),
    [
        (("train.txt", "val.txt", "test.txt"), "{}"),
        (("metadata/training.txt", "metadata/validation.txt", "metadata/test.txt"), "{}.jpg"),
        (("ImageSets/trn.lst", "ImageSets/val.lst", "ImageSets/test.lst"), "./images/{}.jpg"),
        (("train_ids.txt", "valid_ids.txt", "test_ids.txt"), "D:\\data\\images\\{}.png 1 2"),
    ],
)
def test_a_list_per_split(tmp_path: Path, names: tuple[str, str, str], line: str) -> None:
    draw(tmp_path)
    parts = NAMES[:6], NAMES[6:8], NAMES[8:]
    for name, part in zip(names, parts, strict=True):
        write(tmp_path / name, [line.format(one) for one in part])
    assert splits(tmp_path) == dict(zip(("train", "val", "test"), map(set, parts), strict=True))


def test_images_in_no_list_are_for_training_unless_a_list_names_those(tmp_path: Path) -> None:
    draw(tmp_path)
    write(tmp_path / "valid.txt", NAMES[:3])
    assert splits(tmp_path) == {"train": set(NAMES[3:]), "val": set(NAMES[:3])}
    write(tmp_path / "train.txt", NAMES[3:8])
    assert splits(tmp_path) == {"train": set(NAMES[3:8]), "val": set(NAMES[:3])}
    assert any(NAMES[8] in message for message in load_dataset(tmp_path).messages)


def test_a_table_with_a_column_for_splits(tmp_path: Path) -> None:
    draw(tmp_path, "{}.jpg", "{}_mask.png")
    given = {NAMES[0]: "Valid", NAMES[1]: "test", **dict.fromkeys(NAMES[2:], "Train")}
    rows = [f"{name}.jpg,7,{split}" for name, split in given.items()]
    write(tmp_path / "split.csv", ["Filename,age,Split", *rows])
    assert splits(tmp_path) == {"train": set(NAMES[2:]), "val": {NAMES[0]}, "test": {NAMES[1]}}


def test_equal_names_in_several_folders(tmp_path: Path) -> None:
    for place in ("a", "b"):
        draw(tmp_path, f"{place}/images/{{}}.jpg", f"{place}/masks/{{}}.png")
        for seed, name in enumerate(NAMES):
            drawn.save(tmp_path / f"{place}/images/{name}.jpg", drawn.image(seed + 50 * (place == "b")))
    write(tmp_path / "val.txt", [f"b/images/{name}.jpg" for name in NAMES])
    assert {case.image.parts[-3] for case in load_dataset(tmp_path).splits["val"]} == {"b"}


def test_listed_test_images_need_no_mask(tmp_path: Path) -> None:
    draw(tmp_path)
    (tmp_path / f"masks/{NAMES[9]}.png").unlink()
    with pytest.raises(BadDataset, match="no mask of this name"):
        load_dataset(tmp_path)
    write(tmp_path / "train.txt", NAMES[:6])
    write(tmp_path / "val.txt", NAMES[6:9])
    write(tmp_path / "test.txt", NAMES[9:])
    assert splits(tmp_path) == {"train": set(NAMES[:6]), "val": set(NAMES[6:9])}


@pytest.mark.parametrize(
    ("lists", "named"),
    [
        ({"train.txt": NAMES, "val.txt": NAMES[:2]}, True),  # one image in two lists
        ({"train.txt": NAMES[:4]}, True),  # nothing says what the others are for
        ({"a/train.txt": NAMES[:4], "a/val.txt": NAMES[4:], "b/train.txt": NAMES[4:], "b/val.txt": NAMES[:4]}, True),
        ({"train.txt": ["other 1", "other 2"], "val.txt": ["other 3"]}, False),  # of another set
        ({"notes.txt": NAMES[:2], "validation notes.txt": ["not good"]}, False),
    ],
)
def test_lists_that_are_not_used(tmp_path: Path, lists: dict[str, list[str]], named: bool) -> None:
    draw(tmp_path)
    for name, lines in lists.items():
        write(tmp_path / name, lines)
    dataset = load_dataset(tmp_path)
    assert dataset.split_made
    assert any("not used" in message for message in dataset.messages) is named


def test_lists_beside_folders_of_classes(tmp_path: Path) -> None:
    """Food-101: a folder of lists beside that of the images."""
    for number, label in enumerate(("apple_pie", "sushi")):
        for seed in range(6):
            drawn.save(tmp_path / f"food/images/{label}/{100 + seed}.jpg", drawn.image(20 * number + seed))
    for split, seeds in (("train", range(4)), ("test", range(4, 6))):
        write(
            tmp_path / f"food/meta/{split}.txt", [f"{c}/{100 + seed}" for c in ("apple_pie", "sushi") for seed in seeds]
        )
    dataset = load_dataset(tmp_path)
    assert (dataset.task, dataset.classes) == ("classification", ("apple_pie", "sushi"))
    assert {case.image.stem for case in dataset.splits["test"]} == {"104", "105"}
    assert len(dataset.splits["test"]) == 4


def test_folders_of_splits_decide(tmp_path: Path) -> None:
    draw(tmp_path, "train/images/{}.jpg", "train/masks/{}.png")
    drawn.pairs(tmp_path / "val", first=30)
    write(tmp_path / "val.txt", NAMES[:3])
    assert splits(tmp_path)["train"] == set(NAMES)
