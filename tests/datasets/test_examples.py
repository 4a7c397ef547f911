"""A data set reads its cases: image and labels together, with what was given about channels and pages."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pixelwise
from drawn import pairs
from pixelwise.errors import BadOption
from shapes import class_folders


def test_a_pair_is_read_as_training_sees_it(tmp_path: Path) -> None:
    pairs(tmp_path, 6)
    dataset = pixelwise.load_dataset(tmp_path)
    assert dataset.task == "binary"
    assert len(dataset.classes) == 2
    assert sum(map(len, dataset.splits.values())) == 6
    assert list(dataset.splits) == ["train", "val", "test"]
    case = dataset.splits["train"][0]
    image, labels = dataset.read(case)
    assert isinstance(labels, np.ndarray)
    with Image.open(case.image) as picture:
        np.testing.assert_array_equal(image[0], np.asarray(picture))
    assert set(np.unique(labels).tolist()) <= {0, 1}
    assert image.shape[1:] == labels.shape


def test_an_image_of_a_class_folder_has_its_index(tmp_path: Path) -> None:
    class_folders(tmp_path / "train", 4)
    dataset = pixelwise.load_dataset(tmp_path)
    assert dataset.task == "classification"
    for case in dataset.splits["train"]:
        assert dataset.classes[int(dataset.read(case).labels)] == case.image.parent.name


def test_options_are_those_of_the_command_line(tmp_path: Path) -> None:
    pairs(tmp_path, 6)
    assert pixelwise.load_dataset(tmp_path, task="instance").task == "instance"
    assert len(pixelwise.load_dataset(tmp_path, val_share=0.5).splits["val"]) == 3
    with pytest.raises(BadOption, match="val_share between 0 and 1"):
        pixelwise.load_dataset(tmp_path, val_share=2.0)
