"""A folder of binary masks per class: ignored pixels, and the order of the classes."""

from pathlib import Path

import numpy as np

import drawn
from pixelwise.datasets.dataset import load_dataset


def write(folder: Path, *names: str) -> np.ndarray:
    """Write a set of images, each with a mask of a band of rows per class; return the masks of one image."""
    bands = np.zeros((len(names), *drawn.SIZE), np.uint8)
    for index, name in enumerate(names):
        bands[index, 6 * index : 6 * index + 4] = 255
        for case in range(4):
            drawn.save(folder / f"images/{case}.png", drawn.image(case))
            drawn.save(folder / f"masks/{name}/{case}.png", np.roll(bands[index], case))
    return bands > 0


def test_pixels_of_a_folder_void_are_ignored(tmp_path: Path) -> None:
    for name in ("void", "Ignore", "unlabelled"):
        bands = write(tmp_path / name, "cat", "dog", name)
        dataset = load_dataset(tmp_path / name)
        assert dataset.classes == ("background", "cat", "dog")
        case = next(case for case in dataset.cases if case.name == "0")
        assert np.array_equal(dataset.read(case).labels, bands[0] + 2 * bands[1] + 255 * bands[2])
        assert any(name in text and "--ignore-index" in text for text in dataset.messages)
        assert len(load_dataset(tmp_path / name, ignore_index=-1).classes) == 4, "the flag"


def test_classes_have_the_order_of_a_table_that_names_all_of_them(tmp_path: Path) -> None:
    write(tmp_path, "cat", "dog", "eel")
    assert load_dataset(tmp_path).classes == ("background", "cat", "dog", "eel")
    (tmp_path / "classes.txt").write_text("eel\ncat\ndog\n", "utf-8")
    assert load_dataset(tmp_path).classes == ("background", "eel", "cat", "dog")
    (tmp_path / "classes.txt").write_text("eel\ncat\n", "utf-8")
    assert load_dataset(tmp_path).classes == ("background", "cat", "dog", "eel"), "control: another table"
