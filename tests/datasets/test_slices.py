"""Numbered slices as volumes: order, names, voxel size, and what is refused in one line."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import drawn_volumes as volumes
from drawn import save
from pixelwise.datasets.dataset import load_dataset
from pixelwise.errors import BadDataset, BadImage, BadOption
from pixelwise.io.read import probe, read_image
from pixelwise.io.volumes.slices import group_slices, slice_files, slices_path
from pixelwise.progress import Progress
from pixelwise.workflow.convert import convert


def write(root: Path, image: str = "images/case{}_z{:03}.png", mask: str = "masks/case{}_z{:03}.png") -> Path:
    """Three volumes of 10, 11 and 12 slices, numbered from 8."""
    for case in range(3):
        pixels, labels = volumes.draw(case, (10 + case, 20, 16))
        for index in range(len(pixels)):
            save(root / image.format(case, index + 8), np.clip(pixels[index] / 3, 0, 255).astype(np.uint8))
            save(root / mask.format(case, index + 8), labels[index])
    return root


@pytest.mark.parametrize(
    ("image", "mask", "names"),
    [
        ("images/case{}_z{:03}.png", "masks/case{}_z{:03}.png", ["case0", "case1", "case2"]),
        ("images/case{}_z{}.png", "masks/case{}_z{}.png", ["case0", "case1", "case2"]),
        ("images/p{}/{:04}.png", "masks/p{}/{:04}.png", ["p0", "p1", "p2"]),
        ("c{}-slice{:03}.png", "c{}-slice{:03}_mask.png", ["c0", "c1", "c2"]),
    ],
    ids=["padded", "unpadded", "folders", "suffix"],
)
def test_slices_in_the_order_of_their_numbers(tmp_path: Path, image: str, mask: str, names: list[str]) -> None:
    dataset = load_dataset(write(tmp_path, image, mask), stack=True)
    assert dataset.spatial_dims == 3
    assert sorted(case.name for case in dataset.cases) == names
    case = next(case for case in dataset.cases if case.name == names[2])
    pixels, labels = volumes.draw(2, (12, 20, 16))
    found = dataset.read(case)
    np.testing.assert_array_equal(found.image[0], np.clip(pixels / 3, 0, 255).astype(np.uint8))
    np.testing.assert_array_equal(np.asarray(found.labels), labels)
    assert any("--stack" in text and "33 files" in text for text in dataset.messages)


def test_without_the_flag_slices_are_images(tmp_path: Path) -> None:
    dataset = load_dataset(write(tmp_path), task="multiclass")
    assert (dataset.spatial_dims, len(dataset.cases)) == (2, 33)


def test_the_voxel_size_is_given_or_stated(tmp_path: Path) -> None:
    root = write(tmp_path)
    unknown = load_dataset(root, stack=True)
    given_size = load_dataset(root, stack=True, voxel_size="3,1,0.5")
    (root / "dataset.json").write_text(json.dumps({"spacing": [2, 1, 1]}), "utf-8")
    stated = load_dataset(root, stack=True)
    grids = [dataset.read_grid(dataset.cases[0]) for dataset in (unknown, given_size, stated)]
    assert [None if grid is None else grid.millimetres for grid in grids] == [None, (3.0, 1.0, 0.5), (2.0, 1.0, 1.0)]
    assert any("dataset.json" in text and "--voxel-size" in text for text in stated.messages)


@pytest.mark.parametrize("size", ["3,1", "0,1,1", "a,b,c", "nan,1,1"])
def test_an_impossible_voxel_size_is_refused(size: str) -> None:
    with pytest.raises(BadOption, match="--voxel-size"):
        load_dataset(Path(), stack=True, voxel_size=size)


def test_missing_numbers_and_other_sizes_are_refused_in_one_line(tmp_path: Path) -> None:
    root = write(tmp_path)
    other = root / "images/case1_z012.png"
    before = other.read_bytes()
    save(other, np.zeros((21, 16), np.uint8))
    with pytest.raises(BadDataset, match=r"case1_z012") as sizes:
        load_dataset(root, stack=True)
    other.write_bytes(before)
    for folder in ("images", "masks"):
        (root / folder / "case1_z012.png").unlink()
    with pytest.raises(BadDataset, match=r"no number 12 in case1") as missing:
        load_dataset(root, stack=True)
    save(root / "images/overview.png", np.ones((9, 9), np.uint8))
    save(root / "masks/overview.png", np.ones((9, 9), np.uint8))
    with pytest.raises(BadDataset, match="a number at the end") as unnamed:
        load_dataset(root, stack=True)
    assert all(len(str(error.value).splitlines()) == 1 for error in (sizes, missing, unnamed))


def test_slices_become_a_volume_of_another_format(tmp_path: Path) -> None:
    pytest.importorskip("nibabel")
    root = write(tmp_path / "in")
    convert(root, to="nnunet", out=tmp_path / "out", stack=True, voxel_size="3,1,1", progress=Progress())
    dataset, again = load_dataset(root, stack=True), load_dataset(tmp_path / "out")
    assert [case.name for case in again.cases] == [case.name for case in dataset.cases]
    grid = again.read_grid(again.cases[0])
    assert grid is not None
    assert grid.spacing == (3.0, 1.0, 1.0)
    np.testing.assert_array_equal(dataset.read(dataset.cases[0]).image, again.read(again.cases[0]).image)


def test_a_stack_of_colours_as_masks_is_refused(tmp_path: Path) -> None:
    for index in range(3):
        save(tmp_path / f"a{index}.png", np.full((4, 5, 3), (200, 30 * index, 7), np.uint8))
    path = tmp_path / "a[0-2].png"
    assert (probe(path).depth, read_image(path).pixels.shape) == (3, (3, 3, 4, 5))
    from pixelwise.io.read import read_mask

    with pytest.raises(BadImage, match="colours"):
        read_mask(path)


@given(st.integers(0, 990), st.integers(2, 12), st.sampled_from(["{}", "{:04}"]), st.text("ab_-.", max_size=4))
def test_a_path_stands_for_its_files(first: int, count: int, form: str, after: str) -> None:
    digits = [form.format(number) for number in range(first, first + count)]
    files = [Path("folder") / f"x1_{number}{after}.png" for number in digits]
    path = slices_path(files, digits)
    assert path is not None
    assert slice_files(path) == files
    assert group_slices(files[::-1]) == [path]
    assert slices_path([*files[:-1], Path("folder/other.png")], digits) is None
