"""Read data sets: real ones without flags, labels, channels and groups."""

import time
from pathlib import Path

import numpy as np
import pytest

from drawn import image, mask, objects, pairs, save, several
from pixelwise.datasets.annotations import MaskFile
from pixelwise.datasets.dataset import (
    DataOptions,
    Dataset,
    Labelling,
    detect_dataset,
    find_images,
    raise_problems,
    read_labels,
    read_pixels,
    scan_dataset,
)
from pixelwise.datasets.images.files import describe_folders
from pixelwise.errors import BadDataset, BadImage, BadOption

FIVE = {
    "isbi2012_em": ("binary", ("membrane", "cell_interior"), (0, 255), None, 1, (18, 3, 3)),
    "dsb2018_nuclei": ("instance", ("background", "object"), (), None, 3, (452, 56, 56)),
    "camvid11": (
        "multiclass",
        ("Sky", "Building", "Pole", "Road", "Pavement", "Tree", "SignSymbol", "Fence", "Car", "Pedestrian",
         "Bicyclist"),
        tuple(range(11)), 11, 3, (367, 101, 0),
    ),
    "magnetic_tile_defects": (
        "multiclass", ("background", "blowhole", "break", "crack", "fray", "uneven"), tuple(range(6)),
        None, 1, (359, 98, 65),
    ),
    "chase_db1": ("binary", ("background", "vessel"), (0, 255), None, 3, (14, 2, 4)),
}  # fmt: skip


def facts(dataset: Dataset) -> tuple[object, ...]:
    result = dataset.labelling
    counts = tuple(len(dataset.splits[part]) for part in ("train", "val", "test"))
    return result.task, result.classes, result.values, result.ignore_value, dataset.channels, counts


@pytest.mark.parametrize("name", FIVE)
def test_real_sets_need_no_flags(shared_data: Path, name: str) -> None:
    started = time.process_time()
    dataset = detect_dataset(shared_data / name)
    assert time.process_time() - started < 60, "CPU seconds; usually up to 4"
    assert facts(dataset) == FIVE[name]
    assert not dataset.split_made
    assert len(dataset.problems) < 10
    spare = any("masks_2nd_observer" in text and "ignored" in text for text in dataset.messages)
    assert spare == (name == "chase_db1")


@pytest.mark.parametrize(
    ("name", "task"),
    [("isbi2012_em", "binary"), ("dsb2018_nuclei", "instance"), ("camvid11", "multiclass"), ("chase_db1", "binary")],
)
def test_real_sets_without_their_descriptions(shared_data: Path, tmp_path: Path, name: str, task: str) -> None:
    for part in ("train", "val", "test"):
        if (shared_data / name / part).is_dir():
            (tmp_path / part).symlink_to(shared_data / name / part)
    dataset = detect_dataset(tmp_path)
    assert dataset.labelling.task == task
    assert any(f"task {task}" in text and "--task" in text for text in dataset.messages)
    if task == "binary":
        assert any("--foreground" in text for text in dataset.messages)
    if task == "multiclass":
        assert any("--classes" in text for text in dataset.messages)
        flagged = detect_dataset(tmp_path, DataOptions(ignore_index=11)).labelling
        assert (len(flagged.classes), flagged.ignore_value) == (11, 11)


def test_examine_lists_problems_that_understand_raises(tmp_path: Path) -> None:
    pairs(tmp_path)
    (tmp_path / "masks/case_0.png").unlink()
    dataset = scan_dataset(tmp_path)
    assert [p.kind for p in dataset.problems] == ["missing mask"]
    assert len(dataset.cases) == 5
    with pytest.raises(BadDataset, match=r"case_0.png: expected a mask for every image; got no mask of this name"):
        raise_problems(dataset)
    raise_problems(dataset, but=("missing mask",))


def test_names_are_unique_and_in_natural_order(tmp_path: Path) -> None:
    pairs(tmp_path, 12)
    dataset = detect_dataset(tmp_path)
    names = [case.name for case in dataset.splits["train"]]
    assert names == sorted(names, key=lambda name: int(name.split("_")[1]))
    assert len({case.name for case in dataset.cases}) == 12


def test_labels_are_exact(tmp_path: Path) -> None:
    path = save(tmp_path / "m.png", several(1, 7)(0))
    result = Labelling(task="multiclass", classes=("a", "b"), values=(7, 0), colours=((0, 0, 0),) * 2, ignore_value=1)
    labels = read_labels(MaskFile(path=path), result)
    assert labels.dtype == np.int32
    expected = np.select([several(1, 7)(0) == 7, several(1, 7)(0) == 1], [0, 255], 1)
    np.testing.assert_array_equal(labels, expected)
    strict = Labelling(task="binary", classes=("a", "b"), values=(0, 7), colours=((0, 0, 0),) * 2)
    with pytest.raises(BadImage, match=r"m.png: expected mask values 0, 7; got 1"):
        read_labels(MaskFile(path=path), strict)


def test_ignored_pixels_of_label_images(tmp_path: Path) -> None:
    path = save(tmp_path / "m.png", objects(2))
    result = Labelling(task="instance", classes=("a", "b"), values=(), colours=((0, 0, 0),) * 2, ignore_value=2)
    np.testing.assert_array_equal(
        read_labels(MaskFile(path=path), result), np.where(objects(2) == 2, -1, objects(2).astype(int))
    )


def test_channels_are_repeated_or_refused(tmp_path: Path) -> None:
    gray, colour = save(tmp_path / "g.png", image(0)), save(tmp_path / "c.png", image(0, (8, 9, 3)))
    np.testing.assert_array_equal(read_pixels(gray, 3).pixels, np.stack([image(0)] * 3))
    np.testing.assert_array_equal(read_pixels(colour, 3).pixels, np.moveaxis(image(0, (8, 9, 3)), -1, 0))
    with pytest.raises(BadImage, match=r"expected 1 channel \(gray\); got 3"):
        read_pixels(colour, 1)


def test_images_of_a_file_or_folder(tmp_path: Path) -> None:
    for name in ("s10.png", "s9.PNG", ".s1.png"):
        save(tmp_path / "a" / name, image(0))
    (tmp_path / "a/notes.txt").write_text("x", encoding="utf-8")
    assert [path.name for path in find_images(tmp_path / "a")] == ["s9.PNG", "s10.png"]
    assert [path.name for path in find_images(tmp_path)] == ["s9.PNG", "s10.png"]
    assert find_images(tmp_path / "a/s10.png") == [tmp_path / "a/s10.png"]
    save(tmp_path / "top.png", image(1))
    save(tmp_path / "a/b/c/deep.png", image(1))
    save(tmp_path / ".hidden/h.png", image(1))
    save(tmp_path / "out/result.png", image(1))
    found = find_images(tmp_path, tmp_path / "out")
    assert [str(path.relative_to(tmp_path)) for path in found] == ["a/b/c/deep.png", "a/s9.PNG", "a/s10.png", "top.png"]
    messages = describe_folders([tmp_path], tmp_path / "out")
    assert any("3 images in sub-folders" in text for text in messages)
    assert any("left out 1 file (1 .txt)" in text for text in messages)
    (tmp_path / "b").mkdir()
    with pytest.raises(BadDataset, match=r"expected images .*; got none"):
        find_images(tmp_path / "b")
    with pytest.raises(BadDataset, match="does not exist"):
        find_images(tmp_path / "c")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"val_share": 0.0}, "between 0 and 1"),
        ({"pages": 0}, "at least 1"),
        ({"classes": ("a", "a")}, "different class names"),
        ({"foreground": 3, "ignore_index": 3}, "different from ignore_index"),
        ({"foreground": 3, "task": "instance"}, "binary task"),
        ({"group_by": "("}, "one group"),
        ({"group_by": "abc"}, "one group"),
    ],
)
def test_contradictions_are_refused(options: dict[str, object], text: str) -> None:
    with pytest.raises(BadOption, match=text):
        DataOptions(**options)


def test_masks_of_a_single_value_are_refused(tmp_path: Path) -> None:
    pairs(tmp_path, draw=lambda seed: mask(seed) * 0 + 7)
    with pytest.raises(BadDataset, match="at least two classes; got every mask contains only 7"):
        detect_dataset(tmp_path)
