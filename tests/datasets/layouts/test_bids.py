"""BIDS: masks in derivatives belong to the images of their subject and session."""

from pathlib import Path

import numpy as np
import pytest

import pixelwise
from drawn_volumes import OBLIQUE, draw, save_nifti
from pixelwise.errors import BadDataset


def bids(root: Path, kinds: tuple[str, ...] = ("T1w",), masks: str = "lesions/{0}/anat/{0}_label-lesion_mask") -> None:
    """Five subjects with a volume of each kind and a mask, and one without a mask."""
    for index in range(6):
        volume, labels = draw(index)
        name = f"sub-{index + 1:02}"
        for number, kind in enumerate(kinds):
            save_nifti(root / f"{name}/anat/{name}_{kind}.nii.gz", volume + number, OBLIQUE)
            (root / f"{name}/anat/{name}_{kind}.json").write_text('{"EchoTime": 0.1}', encoding="utf-8")
        if index < 5:
            path = root / f"derivatives/{masks.format(name)}.nii.gz"
            save_nifti(path, (labels == 1).astype(np.uint8), OBLIQUE)
    (root / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.8.0"}', encoding="utf-8")
    (root / "participants.tsv").write_text("participant_id\tage\nsub-01\t70\n", encoding="utf-8")


@pytest.mark.parametrize(
    ("kinds", "masks"),
    [
        (("T1w",), "lesions/{0}/anat/{0}_label-lesion_mask"),
        (("adc", "dwi"), "{0}/{0}_msk"),  # ISLES 2022
    ],
)
def test_masks_of_derivatives(tmp_path: Path, kinds: tuple[str, ...], masks: str) -> None:
    bids(tmp_path, kinds, masks)
    dataset = pixelwise.load_dataset(tmp_path)
    assert (dataset.task, dataset.channels, len(dataset.cases)) == ("binary", len(kinds), 5)
    for case in dataset.cases:
        subject = case.name.rpartition("/")[2]
        assert subject in case.image.name
        index = int(subject[-2:]) - 1
        assert (np.asarray(dataset.read(case).labels) > 0).sum() == (draw(index)[1] == 1).sum()


def test_images_on_another_grid_are_no_channels(tmp_path: Path) -> None:
    bids(tmp_path, ("dwi",))
    for index in range(6):
        name = f"sub-{index + 1:02}"
        save_nifti(tmp_path / f"{name}/anat/{name}_FLAIR.nii.gz", draw(index)[0][:, ::2], OBLIQUE)
    assert pixelwise.load_dataset(tmp_path).channels == 1


def test_kinds_of_images_and_masks_are_chosen(tmp_path: Path) -> None:
    bids(tmp_path, ("T1w", "T2w"))
    bids(tmp_path, (), "tissue/{0}/anat/{0}_dseg")
    with pytest.raises(BadDataset, match=r"lesions.*tissue.*--masks"):
        pixelwise.load_dataset(tmp_path)
    dataset = pixelwise.load_dataset(tmp_path, masks="dseg", images="T2w")
    assert (dataset.channels, len(dataset.cases)) == (1, 5)
    assert all("T2w" in case.image.name for case in dataset.cases)
    with pytest.raises(BadDataset, match="--images T1w"):
        pixelwise.load_dataset(tmp_path, masks="dseg", images="FLAIR")
