"""Writers of label files: what is read again is what was written, and losses are named."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import drawn
from pixelwise.datasets.dataset import load_dataset
from pixelwise.datasets.examples import Dataset
from pixelwise.datasets.writers.labelled_set import LabelledSet, groups_lost, spacing_of, unique_names
from pixelwise.datasets.writers.registry import WRITERS
from pixelwise.errors import BadDataset
from pixelwise.io.read import read_image, read_mask, write_image, write_labels

BY_NAME = {writer.name: writer for writer in WRITERS}


def write(dataset: Dataset, name: str, out: Path) -> tuple[str, ...]:
    out.mkdir(parents=True)
    return BY_NAME[name].write(LabelledSet(dataset=dataset), out)


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def assert_same(first: Dataset, second: Dataset) -> None:
    assert second.task == first.task
    assert second.classes == first.classes
    assert [case.name for case in second.cases] == [case.name for case in first.cases]
    assert [case.split for case in second.cases] == [case.split for case in first.cases]
    for one, other in zip(first.cases, second.cases, strict=True):
        for expected, got in zip(first.read(one), second.read(other), strict=True):
            assert np.array_equal(expected, got)


@pytest.fixture
def objects(tmp_path: Path) -> Dataset:
    drawn.pairs(tmp_path / "cells/train", draw=drawn.objects)
    return load_dataset(drawn.pairs(tmp_path / "cells/test", 2, drawn.objects, first=6).parent)


@pytest.fixture
def classes(tmp_path: Path) -> Dataset:
    folder = drawn.pairs(tmp_path / "street", draw=drawn.several(1, 2, 255))
    (folder / "classes.txt").write_text("0 sky 10,20,30\n1 road 1,2,3\n2 car 9,8,7\n255 void 0,0,0\n", "utf-8")
    return load_dataset(folder)


@pytest.mark.parametrize("name", ["folders", "stardist", "cellpose", "npy", "hdf5"])
def test_objects_are_read_again_without_a_flag(objects: Dataset, tmp_path: Path, name: str) -> None:
    assert write(objects, name, tmp_path / "out") == ()
    again = load_dataset(tmp_path / "out")
    assert again.task == "instance"
    by_name = {case.name: case for case in again.cases}
    for case in objects.cases:
        expected, got = objects.read(case), again.read(by_name[case.name])
        assert np.array_equal(expected.image, got.image)
        assert np.array_equal(expected.labels, got.labels)


def test_folders_keep_classes_colours_ignored_pixels_and_the_drawn_split(classes: Dataset, tmp_path: Path) -> None:
    assert write(classes, "folders", tmp_path / "out") == ()
    again = load_dataset(tmp_path / "out")
    assert_same(classes, again)
    assert again.labelling.colours == ((10, 20, 30), (1, 2, 3), (9, 8, 7))
    assert again.split_made, "a split that was not given is not written"
    assert (again.read(again.cases[0]).labels == 255).any()


def test_folders_keep_ignored_pixels_beside_objects_of_any_number(tmp_path: Path) -> None:
    for index in range(4):
        labels = drawn.objects(index).astype(np.int64)
        labels[labels == 3] = 70_000
        labels[labels == 2] = 65_535
        labels[-3:] = 9
        write_image(tmp_path / f"in/images/{index}.png", drawn.image(index)[None])
        write_labels(tmp_path / f"in/masks/{index}.tif", labels)
    dataset = load_dataset(tmp_path / "in", task="instance", ignore_index=9)
    write(dataset, "folders", tmp_path / "out")
    again = load_dataset(tmp_path / "out")
    for case in dataset.cases:
        expected = np.asarray(dataset.read(case).labels)
        got = np.asarray(again.read(next(other for other in again.cases if other.name == case.name)).labels)
        assert np.array_equal(got == -1, expected == -1)
        assert len(set(zip(got.ravel().tolist(), expected.ravel().tolist(), strict=True))) == len(np.unique(expected))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32), st.integers(1, 4))
def test_any_label_image_survives_folders_and_files_per_object(
    tmp_path_factory: pytest.TempPathFactory, seed: int, numbers: int
) -> None:
    """Touching objects, holes and objects inside others."""
    folder = tmp_path_factory.mktemp("any")
    random = np.random.default_rng(seed)
    for index in range(2):
        labels = np.repeat(np.repeat(random.integers(0, numbers + 1, (5, 6)), 2, 0), 3, 1)
        labels[:2, : 3 * numbers] = np.repeat(np.arange(1, numbers + 1), 3)  # consecutive numbers
        write_image(folder / f"in/images/{index}.png", drawn.image(seed % 1000 + index, labels.shape)[None])
        write_labels(folder / f"in/masks/{index}.tif", labels)
    dataset = load_dataset(folder / "in", task="instance")
    write(dataset, "folders", folder / "out")
    assert_same(dataset, load_dataset(folder / "out"))
    write(dataset, "file-per-object", folder / "files")
    for case in dataset.cases:
        masks = sorted((folder / "files" / case.name / "masks").iterdir())
        expected = dataset.read(case).labels
        stacked = sum(np.asarray(Image.open(mask)) // 255 * (index + 1) for index, mask in enumerate(masks))
        assert np.array_equal(stacked, expected)


def test_a_class_that_starts_with_a_number_is_kept(tmp_path: Path) -> None:
    folder = drawn.pairs(tmp_path / "in", draw=drawn.several(1, 2))
    dataset = load_dataset(folder, task="multiclass", classes=("background", "1 micron", "2nd 1,2,3"))
    write(dataset, "folders", tmp_path / "out")
    assert load_dataset(tmp_path / "out").classes == dataset.classes


def test_nnunet_has_its_names_channels_and_labels(classes: Dataset, tmp_path: Path) -> None:
    messages = write(classes, "nnunet", tmp_path / "out")
    described = json.loads((tmp_path / "out/dataset.json").read_text("utf-8"))
    assert described["labels"] == {"sky": 0, "road": 1, "car": 2, "ignore": 3}
    assert described["channel_names"] == {"0": "channel_0"}
    assert described["numTraining"] == len(classes.cases) == 6
    assert described["file_ending"] == ".png"
    for case in classes.cases:
        labels = classes.read(case).labels
        assert labels is not None
        written = read_mask(tmp_path / f"out/labelsTr/{case.name}.png").values
        assert np.array_equal(written, np.where(labels == 255, 3, labels))
        image = read_image(tmp_path / f"out/imagesTr/{case.name}_0000.png")
        assert np.array_equal(image.pixels, classes.read(case).image)
    assert len(messages) == 1
    assert "sky" in messages[0]


def test_nnunet_writes_a_file_per_channel_and_the_given_split(tmp_path: Path) -> None:
    for part, count in (("train", 3), ("val", 1), ("test", 1)):
        for index in range(count):
            pixels = np.stack([drawn.image(10 * channel + index + len(part)) for channel in range(2)])
            write_image(tmp_path / f"in/{part}/images/{index}.tif", pixels)
            write_labels(tmp_path / f"in/{part}/masks/{index}.png", drawn.mask(index))
    dataset = load_dataset(tmp_path / "in")
    messages = write(dataset, "nnunet", tmp_path / "out")
    assert {name for name in files(tmp_path / "out") if name.startswith("imagesT")} == {
        *(f"imagesTr/{name}_000{channel}.png" for name in ("0", "1", "2", "val_0") for channel in (0, 1)),
        *(f"imagesTs/test_0_000{channel}.png" for channel in (0, 1)),
    }
    assert "labelsTs/test_0.png" in files(tmp_path / "out")
    folds = json.loads((tmp_path / "out/splits_final.json").read_text("utf-8"))
    assert folds == [{"train": ["0", "1", "2"], "val": ["val_0"]}]
    assert any("splits_final.json" in text for text in messages)


def test_nnunet_keeps_floating_point_images_in_tiff(tmp_path: Path) -> None:
    for index in range(3):
        write_image(tmp_path / f"in/images/{index}.tif", drawn.image(index)[None].astype(np.float32) / 7)
        write_labels(tmp_path / f"in/masks/{index}.png", drawn.mask(index))
    dataset = load_dataset(tmp_path / "in")
    write(dataset, "nnunet", tmp_path / "out")
    assert read_image(tmp_path / "out/imagesTr/0_0000.tif").pixels.dtype == np.float32
    assert read_mask(tmp_path / "out/labelsTr/0.tif").values.max() == 1


def test_a_folder_per_class_holds_a_mask_of_each_class(classes: Dataset, tmp_path: Path) -> None:
    messages = write(classes, "folder-per-class", tmp_path / "out")
    case = classes.cases[0]
    labels = classes.read(case).labels
    for index, name in [*enumerate(classes.classes), (255, "ignore")]:
        values = read_mask(tmp_path / f"out/masks/{name}/{case.name}.png").values
        assert np.array_equal(values == 255, labels == index)
    assert not any("ignored" in text for text in messages)


@pytest.mark.parametrize("name", ["folder-per-class", "npy", "hdf5", "coco", "labelme", "voc", "qupath", "imagej"])
def test_classes_without_a_background_have_the_same_numbers_again(classes: Dataset, tmp_path: Path, name: str) -> None:
    write(classes, name, tmp_path / "in" / "out")
    again = load_dataset(tmp_path / "in" / "out")
    assert again.classes == ("sky", "road", "car")
    by_name = {case.name: case for case in again.cases}
    for case in classes.cases:
        expected, got = classes.read(case), again.read(by_name[case.name])
        assert np.array_equal(expected.image, got.image)
        assert np.array_equal(expected.labels, got.labels)


def test_arrays_keep_colours_and_types(tmp_path: Path) -> None:
    for index in range(4):
        pixels = drawn.image(index, (3, *drawn.SIZE)).astype(np.uint16) * 100
        write_image(tmp_path / f"in/images/{index}.tif", pixels)
        write_labels(tmp_path / f"in/masks/{index}.tif", drawn.objects(index).astype(np.int64) + 70_000)
    dataset = load_dataset(tmp_path / "in", task="instance", background=70_000)
    for name in ("npy", "hdf5"):
        write(dataset, name, tmp_path / name)
        again = load_dataset(tmp_path / name)
        by_name = {case.name: case for case in again.cases}
        for case in dataset.cases:
            expected, got = dataset.read(case), again.read(by_name[case.name])
            assert np.array_equal(expected.image, got.image)
            assert got.image.dtype == np.uint16
            assert np.array_equal(expected.labels, got.labels)
    stored = np.load(tmp_path / "npy/images/0.npy", allow_pickle=False)
    assert np.array_equal(np.moveaxis(stored, -1, 0), dataset.read(dataset.cases[0]).image)
    with h5py.File(tmp_path / "hdf5/0.h5") as file:
        assert set(file) == {"raw", "label"}


def test_arrays_keep_names_that_contain_a_word_for_images(tmp_path: Path) -> None:
    drawn.pairs(tmp_path / "in", 4, images="images/Image_{}.png", masks="masks/Image_{}.png")
    dataset = load_dataset(tmp_path / "in")
    for name in ("npy", "hdf5"):
        write(dataset, name, tmp_path / name)
        assert_same(dataset, load_dataset(tmp_path / name))


def test_images_of_many_channels_are_tiff_beside_arrays_of_labels(tmp_path: Path) -> None:
    for index in range(4):
        write_image(tmp_path / f"in/images/{index}.tif", drawn.image(index, (6, *drawn.SIZE)))
        write_labels(tmp_path / f"in/masks/{index}.png", drawn.objects(index))
    dataset = load_dataset(tmp_path / "in", task="instance", pages=None)
    write(dataset, "npy", tmp_path / "out")
    assert load_dataset(tmp_path / "out").channels == 6
    with pytest.raises(BadDataset, match="4 channels"):
        write(dataset, "hdf5", tmp_path / "other")


def test_masks_of_a_single_class_are_in_no_folder_of_their_own(tmp_path: Path) -> None:
    dataset = load_dataset(drawn.pairs(tmp_path / "in"))
    messages = write(dataset, "folder-per-class", tmp_path / "out")
    assert "masks/case_0.png" in files(tmp_path / "out")
    assert any("foreground" in text for text in messages)
    assert_same(dataset, load_dataset(tmp_path / "out"))


def test_classes_become_objects_and_their_loss_is_named(classes: Dataset, tmp_path: Path) -> None:
    messages = write(classes, "cellpose", tmp_path / "out")
    values = read_mask(tmp_path / f"out/{classes.cases[0].name}_masks.tif").values
    assert values.max() > len(classes.classes), "an object per connected component"
    assert any("road" in text for text in messages)
    assert any("ignored" in text for text in messages)


def test_the_table_has_physical_units_where_the_spacing_is_known(tmp_path: Path) -> None:
    for index in range(4):
        write_image(tmp_path / f"in/images/{index}.png", drawn.image(index)[None])
        write_labels(tmp_path / f"in/masks/{index}.png", drawn.objects(index))
    write_labels(tmp_path / "in/images/4.tif", drawn.image(4).astype(np.uint16), spacing=(0.5, 0.25))
    write_labels(tmp_path / "in/masks/4.png", drawn.objects(0))
    messages = write(load_dataset(tmp_path / "in", task="instance"), "csv", tmp_path / "out")
    rows = list(csv.DictReader((tmp_path / "out/objects.csv").read_text("utf-8").splitlines()))
    assert len(rows) == 3 + 4 + 5 + 6 + 3
    row = next(row for row in rows if row["image"] == "4")
    assert (row["area_px"], row["area_um2"]) == ("25", "3.125")
    assert (row["centroid_x_px"], row["centroid_x_um"], row["centroid_y_um"]) == ("3.5", "0.875", "1.75")
    assert row["perimeter_um"] == "", "pixels are not square"
    assert next(row for row in rows if row["image"] == "0")["area_um2"] == ""
    assert any(text.startswith("4 images") for text in messages)


def test_images_are_copied_unless_other_programs_would_read_them_differently(tmp_path: Path) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    for index in range(3):
        drawn.save(tmp_path / f"in/images/{index}.png", drawn.image(index, drawn.SIZE[::-1]), exif=turned)
        drawn.save(tmp_path / f"in/images/{index + 3}.png", drawn.image(index + 3))
    for index in range(6):
        drawn.save(tmp_path / f"in/masks/{index}.png", drawn.mask(index))
    dataset = load_dataset(tmp_path / "in")
    write(dataset, "folders", tmp_path / "out")
    for case in dataset.cases:
        copy = tmp_path / "out/images" / case.image.name
        assert np.array_equal(np.asarray(Image.open(copy)), dataset.read(case).image[0])
        assert (copy.read_bytes() == case.image.read_bytes()) == (int(case.name) >= 3)


def test_classes_of_whole_images_are_refused(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        for index in range(4):
            drawn.save(tmp_path / name / f"{name}{index}.png", drawn.image(hash(name) % 100 + index))
    with pytest.raises(BadDataset, match="classes of whole images"):
        LabelledSet(dataset=load_dataset(tmp_path))


def test_names_are_unique_safe_and_keep_folders() -> None:
    names = ["train/p1/a", "train/p1_a", "train/../..//B:b", "train/b_b"]
    assert unique_names([*((name, "train") for name in names), ("val/P1/A", "val")]) == [
        ("p1/a", "p1_a"),
        ("p1_a", "train_p1_a"),
        ("B_b", "B_b"),
        ("b_b_2", "b_b_2"),
        ("P1/A", "val_P1_A"),
    ]


def test_groups_that_are_not_written_are_named(objects: Dataset) -> None:
    assert groups_lost(objects) == ()
    together = tuple(replace(case, group="p7") for case in objects.cases)
    assert "p7" in groups_lost(replace(objects, cases=together))[0]


def test_the_spacing_of_a_file_that_is_no_image_is_unknown(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"nothing")
    assert spacing_of(tmp_path / "a.tif") is None
    assert spacing_of(tmp_path) is None
