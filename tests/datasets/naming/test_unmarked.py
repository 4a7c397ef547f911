"""Images without a mask in which nothing is marked: by the folder, or because the user says so."""

from pathlib import Path

import numpy as np
import pytest

import drawn
from pixelwise.datasets.dataset import load_dataset
from pixelwise.errors import BadDataset, BadOption


def photos(folder: Path, kind: str, count: int, first: int) -> None:
    for seed in range(first, first + count):
        drawn.save(folder / f"images/{kind}/p{seed}.png", drawn.image(seed))


@pytest.mark.parametrize("kind", ["Normal", "good", "no_defect", "Non-cracked"])
def test_good_images_have_an_empty_mask(tmp_path: Path, kind: str) -> None:
    photos(tmp_path, kind, 3, 10)
    drawn.pairs(tmp_path, 6, images="images/bad/{}.png", masks="masks/bad/{}.png")
    dataset = load_dataset(tmp_path)
    assert len(dataset.cases) == 9
    assert any(kind in message and "--allow-missing" in message for message in dataset.messages)
    empty = [case for case in dataset.cases if not np.asarray(dataset.read(case).labels).any()]
    assert {case.image.parent.name for case in empty} == {kind}
    assert len(load_dataset(tmp_path, allow_missing=True).cases) == 6


def test_other_images_without_a_mask_are_asked_for(tmp_path: Path) -> None:
    photos(tmp_path, "unknown", 3, 10)
    drawn.pairs(tmp_path, 6, images="images/bad/{}.png", masks="masks/bad/{}.png")
    with pytest.raises(BadDataset, match="--missing-empty"):
        load_dataset(tmp_path)
    assert len(load_dataset(tmp_path, missing_empty=True).cases) == 9
    with pytest.raises(BadOption, match="--missing-empty"):
        load_dataset(tmp_path, missing_empty=True, allow_missing=True)
