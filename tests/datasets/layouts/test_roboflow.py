"""Masks exported by Roboflow, and its COCO and YOLO exports."""

import json
from pathlib import Path

import numpy as np
import pytest

from annotated import labels_of
from drawn import SIZE, image, save
from pixelwise.datasets.formats import coco, yolo
from pixelwise.datasets.layouts import roboflow
from pixelwise.datasets.options import DataOptions
from pixelwise.errors import BadDataset

OPTIONS = DataOptions()
TABLE = "Pixel Value, Class\n0, background\n1, dog\n4, cat\n"


def masks(root: Path, table: str = TABLE) -> Path:
    for seed, split in enumerate(("train", "valid")):
        mask = np.zeros(SIZE, np.uint8)
        mask[2:5, 2:5], mask[8:12, 8:12] = 1, 4
        save(root / split / f"a_jpg.rf.{seed}.jpg", image(seed))
        save(root / split / f"a_jpg.rf.{seed}_mask.png", mask)
        (root / split / "_classes.csv").write_text(table, encoding="utf-8")
    return root


def test_masks_with_their_table(tmp_path: Path) -> None:
    root = masks(tmp_path)
    assert roboflow.recognise(root)
    dataset = roboflow.read(root, OPTIONS)
    assert (dataset.classes, dataset.values, dataset.instances) == (("dog", "cat"), (1, 4), False)
    assert [(member.name, member.split) for member in dataset.images] == [
        ("train/a_jpg.rf.0", "train"), ("val/a_jpg.rf.1", "val"),
    ]  # fmt: skip
    assert np.bincount(labels_of(dataset)["train/a_jpg.rf.0"].ravel()).tolist()[1:] == [9, 16]


def test_missing_masks_and_different_tables_are_refused(tmp_path: Path) -> None:
    root = masks(tmp_path)
    (root / "train/_classes.csv").write_text(TABLE.replace("dog", "cow"), encoding="utf-8")
    with pytest.raises(BadDataset, match="same classes"):
        roboflow.read(root, OPTIONS)
    masks(tmp_path)
    save(root / "train/b.jpg", image(5))
    with pytest.raises(BadDataset, match="--allow-missing"):
        roboflow.read(root, OPTIONS)
    assert len(roboflow.read(root, DataOptions(allow_missing=True)).images) == 2


def test_a_table_of_image_classes_is_another_export(tmp_path: Path) -> None:
    assert not roboflow.recognise(masks(tmp_path, "filename, dog, cat\na.jpg, 1, 0\n"))


def test_the_coco_export_is_coco(tmp_path: Path) -> None:
    for seed, split in enumerate(("train", "valid", "test")):
        save(tmp_path / split / f"a.rf.{seed}.jpg", image(seed))
        document = {
            "info": {"year": "2024"},
            "categories": [
                {"id": 0, "name": "pets", "supercategory": "none"},
                {"id": 1, "name": "dog", "supercategory": "pets"},
            ],
            "images": [{"id": 0, "file_name": f"a.rf.{seed}.jpg", "height": SIZE[0], "width": SIZE[1]}],
            "annotations": [
                {"id": 0, "image_id": 0, "category_id": 1, "segmentation": [[4, 4, 10, 4, 10, 9, 4, 9]], "iscrowd": 0}
            ],
        }
        (tmp_path / split / "_annotations.coco.json").write_text(json.dumps(document), encoding="utf-8")
    dataset = coco.read(tmp_path, OPTIONS)
    assert coco.recognise(tmp_path)
    assert dataset.classes == ("dog",)
    assert [member.split for member in dataset.images] == ["train", "val", "test"]


def test_the_yolo_export_is_yolo(tmp_path: Path) -> None:
    for seed, split in enumerate(("train", "valid")):
        save(tmp_path / split / "images" / f"a.rf.{seed}.jpg", image(seed))
        (tmp_path / split / "labels").mkdir()
        (tmp_path / split / "labels" / f"a.rf.{seed}.txt").write_text("0 0.1 0.1 0.5 0.1 0.5 0.5\n", encoding="utf-8")
    text = "train: ../train/images\nval: ../valid/images\ntest: ../test/images\n\nnc: 1\nnames: ['dog']\n"
    (tmp_path / "data.yaml").write_text(text, encoding="utf-8")
    dataset = yolo.read(tmp_path, OPTIONS)
    assert yolo.recognise(tmp_path)
    assert [member.split for member in dataset.images] == ["train", "val"]
    assert dataset.classes == ("dog",)
