"""Stacks of pages: read as images where nothing else can be learned, else asked for."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

import pixelwise
from drawn import image, mask
from pixelwise.errors import BadDataset


def stack(folder: Path, name: str, pages: int, first: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    seeds = range(first, first + pages)
    tifffile.imwrite(
        folder / f"{name}.tif", np.stack([image(s) for s in seeds]), photometric="minisblack", metadata=None
    )
    masks = np.stack([mask(s) for s in seeds])
    tifffile.imwrite(folder / f"{name}_labels.tif", masks, photometric="minisblack", metadata=None)


def test_the_last_pages_of_a_single_stack_are_for_validation(tmp_path: Path) -> None:
    stack(tmp_path, "train", 10)
    dataset = pixelwise.load_dataset(tmp_path)
    assert [len(dataset.splits[split]) for split in ("train", "val")] == [8, 2]
    assert {case.image.name for case in dataset.splits["val"]} == {"8", "9"}
    for case in dataset.cases:
        pixels, labels = dataset.read(case)
        assert np.array_equal(pixels[0], image(int(case.image.name)))
        assert np.array_equal(labels, mask(int(case.image.name)) > 0)
    assert any("--volumes" in message for message in dataset.messages)


def test_several_stacks_are_asked_for(tmp_path: Path) -> None:
    for number in range(3):
        stack(tmp_path, f"a{number}", 5, 10 * number)
    with pytest.raises(BadDataset, match=r"--volumes.*--format pages"):
        pixelwise.load_dataset(tmp_path)
    dataset = pixelwise.load_dataset(tmp_path, format="pages")
    assert len(dataset.cases) == 15
    assert not {case.group for case in dataset.splits["train"]} & {case.group for case in dataset.splits["val"]}
    assert pixelwise.load_dataset(tmp_path, volumes=True).spatial_dims == 3
