"""Folders of medical volumes as they are downloaded and exported: BraTS, TotalSegmentator, 3D Slicer, series."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import drawn_volumes as drawn
from pixelwise.datasets.dataset import Dataset, load_dataset, scan_dataset
from pixelwise.datasets.masks import labelling
from pixelwise.errors import BadDataset
from pixelwise.io.read import read_image

pytest.importorskip("nibabel")
sitk: Any = pytest.importorskip("SimpleITK")

CASES, AFFINE = 5, np.diag([-1.0, -1.0, 2.0, 1.0])


def check(dataset: Dataset, channels: int = 1) -> None:
    """Every case has its own volume and labels, whatever the files are called."""
    assert (dataset.spatial_dims, dataset.task, dataset.channels, len(dataset.cases)) == (
        3,
        "multiclass",
        channels,
        CASES,
    )
    for case in dataset.cases:
        number = int("".join(filter(str.isdigit, case.name))[-1])
        image, mask = drawn.draw(number)
        pixels, labels = dataset.read(case)
        turned = np.s_[:, ::-1, ::-1]
        assert np.array_equal(pixels[0], image[turned]), case.name
        assert np.array_equal(labels, mask[turned]), case.name


def test_modalities_of_a_folder_are_channels_and_the_file_called_seg_is_the_mask(tmp_path: Path) -> None:
    for number in range(CASES):
        image, mask = drawn.draw(number)
        name = f"BraTS20_Training_00{number}"
        for kind, factor in (("flair", 1), ("t1", 2), ("t1ce", 3), ("t2", 4)):
            drawn.save_nifti(tmp_path / name / f"{name}_{kind}.nii.gz", image * factor, AFFINE)
        drawn.save_nifti(tmp_path / name / f"{name}_seg.nii.gz", mask, AFFINE)
    dataset = load_dataset(tmp_path)
    check(dataset, channels=4)
    assert [path.name[-10:] for path in dataset.cases[0].channel_files] == [
        "air.nii.gz", "_t1.nii.gz", "1ce.nii.gz", "_t2.nii.gz",
    ]  # fmt: skip
    (tmp_path / "BraTS20_Training_002" / "BraTS20_Training_002_t2.nii.gz").unlink()
    with pytest.raises(BadDataset, match="3 channels, but most images have 4"):
        load_dataset(tmp_path)


def test_a_series_beside_its_mask_in_a_folder_per_patient(tmp_path: Path) -> None:
    for number in range(CASES):
        image, mask = drawn.draw(number)
        drawn.save_dicom(tmp_path / f"patient{number}" / "CT", image, AFFINE)
        drawn.save_nifti(tmp_path / f"patient{number}" / "mask.nii.gz", mask, AFFINE)
    check(load_dataset(tmp_path))


def write_organs(root: Path) -> Path:
    for number in range(CASES):
        image, mask = drawn.draw(number)
        drawn.save_nifti(root / f"s000{number}" / "ct.nii.gz", image, AFFINE)
        for value, name in ((1, "kidney_left"), (2, "spleen")):
            organ = root / f"s000{number}" / "segmentations" / f"{name}.nii.gz"
            drawn.save_nifti(organ, (mask == value).astype(np.uint8), AFFINE)
    return root


def test_a_label_volume_per_structure(tmp_path: Path) -> None:
    dataset = load_dataset(write_organs(tmp_path))
    check(dataset)
    assert dataset.classes == ("background", "kidney left", "spleen")


def test_structures_on_another_grid_than_their_volume_are_refused(tmp_path: Path) -> None:
    root, moved = write_organs(tmp_path), AFFINE.copy()
    moved[0, 3] = 9.0
    for value, name in ((1, "kidney_left"), (2, "spleen")):
        mask = (drawn.draw(3)[1] == value).astype(np.uint8)
        drawn.save_nifti(root / "s0003" / "segmentations" / f"{name}.nii.gz", mask, moved)
    problems = scan_dataset(root).problems
    assert [(one.kind, one.file) for one in problems if one.fatal] == [("geometry mismatch", "s0003/ct.nii.gz")]


def save_segments(path: Path, layers: list[np.ndarray], names: tuple[str, ...]) -> None:
    """Write a segmentation as 3D Slicer does whose segments overlap: a layer for each."""
    image = sitk.GetImageFromArray(np.stack(layers, -1).astype(np.uint8), isVector=True)
    image.SetSpacing((1.0, 1.0, 2.0))
    for number, name in enumerate(names):
        for key, value in (("Name", name), ("LabelValue", "1"), ("Layer", str(number))):
            image.SetMetaData(f"Segment{number}_{key}", value)
    sitk.WriteImage(image, str(path), True)


def test_overlapping_segments_of_slicer_are_numbered_in_their_order(tmp_path: Path) -> None:
    for number in range(CASES):
        image, mask = drawn.draw(number)
        drawn.save_itk(tmp_path / f"case{number}.nrrd", image, AFFINE)
        save_segments(tmp_path / f"case{number}.seg.nrrd", [mask > 0, mask == 2], ("whole", "core"))
    dataset = load_dataset(tmp_path)
    check(dataset)
    assert any("1 whole, 2 core" in message for message in dataset.messages)


def test_channels_that_are_no_segments_are_refused(tmp_path: Path) -> None:
    for number in range(2):
        image, mask = drawn.draw(number)
        drawn.save_itk(tmp_path / f"case{number}.nrrd", image, AFFINE)
        save_segments(tmp_path / f"case{number}.seg.nrrd", [mask > 0, mask == 2], ())
    with pytest.raises(BadDataset, match="2 channels"):
        load_dataset(tmp_path)


def write_folders(root: Path, kind: type = np.uint8) -> Path:
    for number in range(CASES):
        image, mask = drawn.draw(number)
        drawn.save_nifti(root / "images" / f"c{number}.nii.gz", image, AFFINE)
        drawn.save_nifti(root / "masks" / f"c{number}.nii.gz", mask.astype(kind), AFFINE)
    return root


def test_whole_numbers_up_to_rounding(tmp_path: Path) -> None:
    root = write_folders(tmp_path, np.float32)
    mask = drawn.draw(2)[1].astype(np.float32) * np.float32(1.0000001)
    drawn.save_nifti(root / "masks" / "c2.nii.gz", mask, AFFINE)
    check(load_dataset(root))
    drawn.save_nifti(root / "masks" / "c2.nii.gz", mask * np.float32(1.01), AFFINE)
    with pytest.raises(BadDataset, match=r"float values such as (1\.01|2\.02)"):
        load_dataset(root)


def test_compressed_files_without_gz_and_the_other_way_round(tmp_path: Path) -> None:
    root = write_folders(tmp_path)
    packed, plain = root / "images" / "c1.nii.gz", root / "images" / "c2.nii.gz"
    packed.rename(packed.with_suffix(""))
    plain.write_bytes(gzip.decompress(plain.read_bytes()))
    check(load_dataset(root))
    assert read_image(plain).grid == read_image(root / "images" / "c3.nii.gz").grid


@pytest.mark.parametrize("first", [1, 2])
def test_the_same_numbers_in_every_volume_are_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: int
) -> None:
    """Structures one above the other, whose order alone may be that of connected components; and the control."""
    for number in range(CASES):
        rng = np.random.default_rng(number)
        mask = np.zeros((8, 24, 20), np.uint8)
        mask[1:4, 2:6, 2 : 8 + number] = first
        mask[3:7, 12 : 16 + number, 4 + number : 12] = 3 - first
        image = (rng.normal(300, 40, mask.shape) + 200 * (mask > 0)).astype(np.int16)
        drawn.save_nifti(tmp_path / "images" / f"c{number}.nii.gz", image, AFFINE)
        drawn.save_nifti(tmp_path / "masks" / f"c{number}.nii.gz", mask, AFFINE)
    assert load_dataset(tmp_path).task == "multiclass"
    monkeypatch.setattr(labelling, "_VOLUMES", CASES + 1)
    with pytest.raises(BadDataset, match="one connected region each"):
        load_dataset(tmp_path)
