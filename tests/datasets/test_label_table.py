"""Tables with the class of each image: columns, splits, conflicts, and tables of other things."""

from pathlib import Path

import numpy as np
import pytest

import pixelwise
from drawn import image, mask, save
from pixelwise.datasets.label_table import read_label_table
from pixelwise.datasets.options import DataOptions
from pixelwise.errors import BadDataset

AUTO = DataOptions()


def photos(folder: Path, count: int = 8, where: str = "train") -> None:
    for index in range(count):
        save(folder / f"{where}/p{index}.png", image(index))


def write(folder: Path, *rows: str, name: str = "train.csv") -> None:
    (folder / name).write_text("\n".join(rows) + "\n", encoding="utf-8")


def test_a_column_of_classes(tmp_path: Path) -> None:
    photos(tmp_path)
    write(tmp_path, "age,image,label", *(f"{40 + i},p{i}.png,{'cat' if i % 2 else 'dog'}" for i in range(7)))
    dataset = pixelwise.load_dataset(tmp_path)
    assert (dataset.task, dataset.classes, len(dataset.cases)) == ("classification", ("cat", "dog"), 7)
    for case in dataset.cases:
        assert (
            dataset.classes[int(np.asarray(dataset.read(case).labels))] == ("dog", "cat")[int(case.image.stem[1]) % 2]
        )
    assert not dataset.splits["test"]


def test_given_splits_are_kept(tmp_path: Path) -> None:
    photos(tmp_path, 9, "pictures")
    parts = ("train", "train", "val")
    write(tmp_path, "file;class;split", *(f"p{i};{i // 3};{parts[i % 3]}" for i in range(9)))
    dataset = pixelwise.load_dataset(tmp_path)
    assert [len(dataset.splits[name]) for name in ("train", "val", "test")] == [6, 3, 0]


def test_an_image_with_two_classes_is_refused(tmp_path: Path) -> None:
    photos(tmp_path)
    write(tmp_path, "id,label", *(f"p{i},{i % 2}" for i in range(8)), "p0,1")
    with pytest.raises(BadDataset, match="one class per image"):
        read_label_table(tmp_path, AUTO)


@pytest.mark.parametrize(
    "rows",
    [
        ("id,weight", *(f"p{i},{i}.5" for i in range(8))),  # numbers that are measured
        ("id,label", *(f"p{i},name{i}" for i in range(8))),  # each its own
        ("id,label", *(f"q{i},{i % 2}" for i in range(8))),  # other images
        ("id,a,b", *(f"p{i},{i % 3},{i % 2}" for i in range(8))),  # no column is called a class
        ("id,a,b", *(f"p{i},1,{i % 2}" for i in range(8))),  # several marks in a row
    ],
)
def test_other_tables_are_not_read(tmp_path: Path, rows: tuple[str, ...]) -> None:
    photos(tmp_path)
    write(tmp_path, *rows)
    assert read_label_table(tmp_path, AUTO) is None


def test_masks_come_before_a_table(tmp_path: Path) -> None:
    for index in range(8):
        save(tmp_path / f"images/p{index}.png", image(index))
        save(tmp_path / f"masks/p{index}.png", mask(index))
    write(tmp_path, "id,grade", *(f"p{i},{i % 2}" for i in range(8)))
    assert pixelwise.load_dataset(tmp_path).task == "binary"


def test_folders_that_only_store_photos_are_no_classes(tmp_path: Path) -> None:
    for index in range(8):
        save(tmp_path / f"part_{index // 4}/p{index}.png", image(index))
    write(tmp_path, "id,label", *(f"p{i},{'cat' if i % 2 else 'dog'}" for i in range(8)))
    assert pixelwise.load_dataset(tmp_path).classes == ("cat", "dog")
    assert pixelwise.load_dataset(tmp_path, format="folders").classes == ("part_0", "part_1")
