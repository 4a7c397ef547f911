"""Pascal VOC folders, read and written."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from annotated import annotated_set, class_masks, labels_of, random_objects
from drawn import SIZE, image, save
from pixelwise.datasets.annotations import Bitmap, MaskFile, Shape, Shapes
from pixelwise.datasets.formats import voc
from pixelwise.datasets.options import DataOptions
from pixelwise.errors import BadDataset

OPTIONS = DataOptions()
MASK = np.zeros(SIZE, np.uint8)
MASK[2:6, 2:6], MASK[10:15, 10:15], MASK[9, 9:16] = 1, 2, 255


def indexed(path: Path, mask: np.ndarray) -> None:
    picture = Image.fromarray(mask, "P")
    picture.putpalette([value for colour in voc.voc_palette() for value in colour])
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)


def folder(root: Path, names: str = "abcd", base: str = "VOCdevkit/VOC2012") -> Path:
    for seed, name in enumerate(names):
        save(root / base / f"JPEGImages/{name}.jpg", image(seed))
        indexed(root / base / f"SegmentationClass/{name}.png", MASK)
        indexed(root / base / f"SegmentationObject/{name}.png", MASK)
    return root / base


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_lists_give_splits_and_class_names(tmp_path: Path) -> None:
    base = folder(tmp_path)
    save(base / "JPEGImages/extra.jpg", image(9))
    write(base / "ImageSets/Segmentation/train.txt", "a\nc\n")
    write(base / "ImageSets/Segmentation/val.txt", "b\n")
    write(base / "ImageSets/Segmentation/test.txt", "2008_1\n")
    for name in ("dog_train", "dog_val", "cat_train", "train"):
        write(base / f"ImageSets/Main/{name}.txt", "a 1\n")
    assert voc.recognise(tmp_path)
    dataset = voc.read(tmp_path, OPTIONS)
    assert [member.split for member in dataset.images] == ["train", "train", "val"]
    assert (dataset.classes, dataset.values) == (("cat", "dog"), (1, 2))
    assert (dataset.ignore_value, dataset.instances) == (255, False)
    assert sum("left out" in message for message in dataset.messages) == 2
    assert all(np.array_equal(labels, MASK) for labels in labels_of(dataset).values())


def test_object_masks_with_task_instance(tmp_path: Path) -> None:
    base = folder(tmp_path, base=".")
    dataset = voc.read(tmp_path, DataOptions(task="instance"))
    assert dataset.instances
    assert all("SegmentationObject" in str(member.annotation) for member in dataset.images)
    assert set(np.unique(labels_of(dataset)["a"])) == {-1, 0, 1, 2}
    assert any("--task instance" in message for message in voc.read(base, OPTIONS).messages)


@pytest.mark.parametrize("coloured", [False, True])
def test_a_label_map_names_classes_in_any_order(tmp_path: Path, coloured: bool) -> None:
    base = folder(tmp_path, base=".")
    write(base / "labelmap.txt", "# label:color_rgb:parts:actions\nsky:0,0,250::\nbackground:0,0,0::\ndog:250,0,0::\n")
    colours = np.array([[0, 0, 0], [0, 0, 250], [250, 0, 0]], np.uint8)
    plain = np.where(MASK == 255, 0, MASK)
    for name in "abcd":
        if coloured:
            save(base / f"SegmentationClass/{name}.png", colours[plain])
        else:
            indexed(base / f"SegmentationClass/{name}.png", np.array([1, 0, 2], np.uint8)[plain])
    dataset = voc.read(tmp_path, OPTIONS)
    assert dataset.classes == ("sky", "dog")
    if coloured:
        assert dataset.colours == ((0, 0, 250), (250, 0, 0))
        assert np.array_equal(labels_of(dataset)["a"], plain)
    else:
        assert dataset.values == (0, 2)


def test_names_that_labelme_writes(tmp_path: Path) -> None:
    base = folder(tmp_path, base=".")
    write(base / "class_names.txt", "__ignore__\n_background_\ndog\ncat\n")
    dataset = voc.read(tmp_path, OPTIONS)
    assert (dataset.classes, dataset.values) == (("dog", "cat"), (1, 2))


def test_arrays_that_labelme_writes_are_no_masks(tmp_path: Path) -> None:
    for index in range(4):
        save(tmp_path / f"JPEGImages/{index}.jpg", image(index))
        indexed(tmp_path / f"SegmentationClassPNG/{index}.png", MASK)
        (tmp_path / "SegmentationClass").mkdir(exist_ok=True)
        np.save(tmp_path / f"SegmentationClass/{index}.npy", MASK)
    found = voc.read(tmp_path, OPTIONS)
    folders = {image.annotation.path.parent.name for image in found.images if isinstance(image.annotation, MaskFile)}
    assert folders == {"SegmentationClassPNG"}
    assert len(found.images) == 4


def test_a_list_with_an_unknown_name_is_refused(tmp_path: Path) -> None:
    write(folder(tmp_path) / "ImageSets/Segmentation/train.txt", "a\nzebra\n")
    with pytest.raises(BadDataset, match="zebra"):
        voc.read(tmp_path, OPTIONS)
    assert not voc.recognise(tmp_path / "VOCdevkit/VOC2012/ImageSets")


def test_class_masks_come_back_with_their_splits(tmp_path: Path) -> None:
    dataset = class_masks(tmp_path / "in")
    assert voc.write(dataset, tmp_path / "out") == ()
    assert not (tmp_path / "out/SegmentationObject").exists()
    again = voc.read(tmp_path / "out", OPTIONS)
    assert (again.instances, again.classes) == (False, dataset.classes)
    written, found = labels_of(dataset), labels_of(again)
    assert found.keys() == written.keys()
    assert all(np.array_equal(found[name], written[name]) for name in written)


@settings(max_examples=15)
@given(st.integers(0, 10_000))
def test_objects_come_back_as_they_were_written(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    root = tmp_path_factory.mktemp("set")
    dataset = annotated_set(root / "in", random_objects(seed), random_objects(seed + 1))
    voc.write(dataset, root / "out")
    written, found = labels_of(dataset), labels_of(voc.read(root / "out", DataOptions(task="instance")))
    assert all(np.array_equal(found[name], written[name]) for name in written)


def test_overlaps_are_reported_and_too_many_objects_refused(tmp_path: Path) -> None:
    pixels = np.ones((4, 4), bool)
    shapes = [Shape(class_name="cell", bitmap=Bitmap(row=i, column=0, pixels=pixels)) for i in range(2)]
    dataset = annotated_set(tmp_path / "in", Shapes(shapes=tuple(shapes), source=Path("a")))
    assert any("covered" in message for message in voc.write(dataset, tmp_path / "out"))
    one = np.ones((1, 1), bool)
    many = [Shape(class_name="cell", bitmap=Bitmap(row=i // 20, column=i % 20, pixels=one)) for i in range(300)]
    dataset = annotated_set(tmp_path / "in", Shapes(shapes=tuple(many), source=Path("a")))
    with pytest.raises(BadDataset, match="254 objects"):
        voc.write(dataset, tmp_path / "many")
    assert not list(tmp_path.glob("*many*")), "nothing is left behind"


def test_two_splits_may_use_one_name(tmp_path: Path) -> None:
    dataset = class_masks(tmp_path / "in", 2)
    renamed = [
        type(member)(name=f"{member.split}/same", image=member.image, annotation=member.annotation, split=member.split)
        for member in dataset.images
    ]
    voc.write(type(dataset)(**{**vars(dataset), "images": tuple(renamed)}), tmp_path / "out")
    again = voc.read(tmp_path / "out", OPTIONS)
    assert [member.name for member in again.images] == ["train/same", "val/same"]
    assert all(isinstance(member.annotation, MaskFile) for member in again.images)
