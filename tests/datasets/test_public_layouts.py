"""Public sets are read with no flag, or with the options that they need, as a person reads them."""

from pathlib import Path

import numpy as np
import pytest

import pixelwise
from pixelwise.datasets.dataset import Dataset
from public_sets import (
    aerial,
    annotated,
    arrays,
    cases,
    classified,
    codes,
    defects,
    medical,
    messy,
    microscopy,
    people,
    programs,
    scenes,
    series,
    transparency,
    volumes,
)
from public_sets.drawing import Draw, Truth

MODULES = (
    medical, microscopy, aerial, defects, scenes, cases, volumes, annotated, classified,
    arrays, codes, messy, people, series, transparency, programs,
)  # fmt: skip
SETS: dict[str, Draw] = {name: draw for module in MODULES for name, draw in module.SETS.items()}


def test_the_names_of_sets_differ() -> None:
    assert len(SETS) == sum(len(module.SETS) for module in MODULES)


@pytest.mark.parametrize("name", SETS)
def test_a_public_set_is_read_as_a_person_reads_it(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    truth = SETS[name](folder)
    dataset = pixelwise.load_dataset(folder, **truth.options)
    assert dataset.task == truth.task
    assert set(truth.names) <= set(dataset.classes)
    if truth.splits:
        found = {split: len(cases) for split, cases in dataset.splits.items() if cases}
        assert {split: found.get(split, 0) for split in truth.splits} == truth.splits
    if truth.task != "classification":
        check_labels(folder, dataset, truth)


def check_labels(folder: Path, dataset: Dataset, truth: Truth) -> None:
    """Every image has the drawn labels: the same objects, or one number per class in the whole set."""
    images = {case.image.relative_to(folder).as_posix(): case for case in dataset.cases}
    assert set(images) == set(truth.labels)
    mapping: dict[int, int] = {}
    for path, drawn in truth.labels.items():
        labels = np.asarray(dataset.read(images[path]).labels)
        if truth.task == "instance":
            mapping = {}
        for found, expected in set(zip(labels.ravel().tolist(), drawn.ravel().tolist(), strict=True)):
            assert mapping.setdefault(found, expected) == expected, path
        assert len(set(mapping.values())) == len(mapping), path
        if truth.task != "multiclass":
            assert mapping.get(0, 0) == 0, path
