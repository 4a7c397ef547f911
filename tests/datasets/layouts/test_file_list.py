"""Lists of images and masks with paths of other machines: the longest end that exists counts."""

from pathlib import Path

import numpy as np
import pytest

from drawn import image, mask, save
from pixelwise import load_dataset
from pixelwise.datasets.layouts.file_list import recognise
from pixelwise.errors import BadDataset


def write(folder: Path, rows: list[str], name: str = "list.csv") -> Path:
    """Write images whose masks, by their numbers, are those of others, and a list."""
    for index in range(1, 7):
        save(folder / f"shots/img{index}.png", image(index))
        save(folder / f"drawn/res{7 - index}.png", mask(index))
    (folder / name).write_text("\n".join(rows), encoding="utf-8")
    return folder


def rows_with(image_path: str, mask_path: str) -> list[str]:
    return ["image;mask", *(f"{image_path.format(i)};{mask_path.format(7 - i)}" for i in range(1, 7))]


@pytest.mark.parametrize(
    ("image_path", "mask_path"),
    [
        ("shots/img{}.png", "drawn/res{}.png"),
        ("shots\\img{}.png", "drawn\\res{}.png"),
        ("C:\\Users\\a\\set\\shots\\img{}.png", "D:\\drawn\\res{}.png"),
        ("/home/a/set/shots/img{}.png", "/home/a/set/drawn/res{}.png"),
        ("img{}.png", "res{}.png"),
    ],
)
def test_files_are_found_by_the_end_of_their_path(tmp_path: Path, image_path: str, mask_path: str) -> None:
    dataset = load_dataset(write(tmp_path, rows_with(image_path, mask_path)))
    assert dataset.format == "list of files"
    for case in dataset.cases:
        labels = dataset.read(case).labels
        assert labels is not None
        assert np.array_equal(labels > 0, mask(int(case.name.removeprefix("img"))) > 0)


def test_a_list_of_other_files_is_no_list(tmp_path: Path) -> None:
    """Control: the images are there, and the masks are not, or are the images themselves."""
    assert not recognise(write(tmp_path / "a", rows_with("shots/img{}.png", "masks/m{}.png")))
    assert not recognise(write(tmp_path / "b", rows_with("shots/img{}.png", "masks/img{}.png")))


def test_a_later_row_without_its_file_is_an_error(tmp_path: Path) -> None:
    rows = [*rows_with("shots/img{}.png", "drawn/res{}.png"), "shots/img9.png;drawn/res9.png"]
    with pytest.raises(BadDataset, match="img9"):
        load_dataset(write(tmp_path, rows))
