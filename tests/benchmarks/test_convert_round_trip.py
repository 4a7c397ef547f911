"""The comparison of a data set with its conversion."""

from pathlib import Path

import convert_round_trip as benchmark
import numpy as np
import pytest

import drawn
from pixelwise.datasets.dataset import load_dataset


def test_label_images_that_divide_pixels_alike_are_equal_up_to_numbers() -> None:
    first = np.array([[0, 1], [2, 2]])
    assert benchmark.equal_up_to_numbers(first, np.array([[0, 7], [3, 3]]))
    assert not benchmark.equal_up_to_numbers(first, np.array([[0, 7], [3, 0]]))
    assert not benchmark.equal_up_to_numbers(first, np.array([[0, 2], [2, 2]]))


@pytest.mark.parametrize(("seed", "result"), [(0, benchmark.EQUAL), (1, "different: the labels of case_1")])
def test_other_labels_are_found(tmp_path: Path, seed: int, result: str) -> None:
    original = load_dataset(drawn.pairs(tmp_path / "a"))
    other = drawn.pairs(tmp_path / "b")
    if seed:
        drawn.save(other / "masks/case_1.png", drawn.mask(4))
    assert benchmark.compare(original, load_dataset(other)) == result


def test_ignored_pixels_may_become_background_if_that_is_stated(tmp_path: Path) -> None:
    drawn.pairs(tmp_path / "a", draw=drawn.several(1, 2, 255))
    drawn.pairs(tmp_path / "b", draw=drawn.several(1, 2, 0))
    original, again = load_dataset(tmp_path / "a", ignore_index=255), load_dataset(tmp_path / "b")
    assert benchmark.compare(original, again, ignored_lost=True) == benchmark.STATED
    assert benchmark.compare(original, again).startswith("different")


def test_every_class_is_in_some_image(tmp_path: Path) -> None:
    masks = [drawn.save(tmp_path / f"{i}.png", drawn.mask(i, value)) for i, value in enumerate((1, 1, 3, 1, 2))]
    assert benchmark.first_with_each_value(masks) == {0, 2, 4}


def test_a_set_is_converted_and_read_again(tmp_path: Path) -> None:
    for part in ("train", "test"):
        drawn.pairs(tmp_path / "data" / part, draw=drawn.objects, first=4 * (part == "test"), count=4)
    subset = benchmark.copy_subset(tmp_path / "data", tmp_path / "subset", 2)
    assert len(list(subset.rglob("*.png"))) == 8
    row = benchmark.convert_back("drawn", subset, "cellpose", tmp_path / "out")
    assert (row.result, row.losses, row.good) == (benchmark.EQUAL, (), True)
