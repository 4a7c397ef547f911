"""Cityscapes written: what is read again is what was written, and other classes are refused."""

from pathlib import Path

import numpy as np
import pytest

import drawn
from pixelwise.datasets.dataset import load_dataset
from pixelwise.datasets.writers.cityscapes import write_cityscapes
from pixelwise.datasets.writers.labelled_set import LabelledSet
from pixelwise.errors import BadDataset


def street(folder: Path, *names: str, values: tuple[int, ...] = (1, 2, 255)) -> Path:
    for part, first in (("train", 0), ("val", 6)):
        drawn.pairs(folder / part, 4, drawn.several(*values), first=first)
    rows = [f"{index} {name}" for index, name in enumerate(names)]
    (folder / "classes.txt").write_text("\n".join([*rows, "255 void", ""]), "utf-8")
    return folder


def test_scored_classes_and_ignored_pixels_are_kept(tmp_path: Path) -> None:
    dataset = load_dataset(street(tmp_path / "in", "sky", "road", "car"))
    assert write_cityscapes(LabelledSet(dataset=dataset), tmp_path / "out") == ()
    again = load_dataset(tmp_path / "out")
    assert set(again.classes) == set(dataset.classes)
    by_name = {case.image.stem.removesuffix("_leftImg8bit"): case for case in again.cases}
    order = np.array([*(again.classes.index(name) for name in dataset.classes), *[255] * 253])
    for case in dataset.cases:
        image, labels = dataset.read(case)
        other = by_name[case.image.stem]
        assert other.split == case.split
        assert np.array_equal(again.read(other).image, image)
        assert np.array_equal(again.read(other).labels, order[np.asarray(labels)])


def test_ids_of_unscored_classes_lose_ignored_pixels(tmp_path: Path) -> None:
    dataset = load_dataset(street(tmp_path / "in", "sky", "road", "parking"))
    (loss,) = write_cityscapes(LabelledSet(dataset=dataset), tmp_path / "out")
    assert "unlabeled" in loss
    assert len(list((tmp_path / "out").rglob("*_labelIds.png"))) == 8


def test_other_classes_and_objects_are_refused(tmp_path: Path) -> None:
    dataset = load_dataset(street(tmp_path / "in", "sky", "road", "giraffe"))
    with pytest.raises(BadDataset, match="giraffe"):
        write_cityscapes(LabelledSet(dataset=dataset), tmp_path / "out")
    cells = load_dataset(drawn.pairs(tmp_path / "cells", draw=drawn.objects))
    with pytest.raises(BadDataset, match="objects"):
        write_cityscapes(LabelledSet(dataset=cells), tmp_path / "out")


def test_a_test_split_of_low_training_ids_is_no_void(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for seed in range(3):
            drawn.save(
                tmp_path / f"leftImg8bit/{split}/ulm/{split}{seed}_leftImg8bit.png", drawn.image(seed, (32, 40, 3))
            )
            path = tmp_path / f"gtFine/{split}/ulm/{split}{seed}_gtFine_labelTrainIds.png"
            drawn.save(path, drawn.mask(seed, value=1))
    assert len(load_dataset(tmp_path, allow_duplicates=True).splits["test"]) == 3
