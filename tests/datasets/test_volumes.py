"""Data sets of volumes: layouts, names with two suffixes, spacing and orientation, checks of masks and geometry."""

import json
from pathlib import Path

import numpy as np
import pytest

import drawn_volumes as drawn
from pixelwise.datasets.dataset import Dataset, load_dataset, scan_dataset
from pixelwise.datasets.images.files import find_images
from pixelwise.datasets.options import DataOptions
from pixelwise.errors import BadDataset, BadOption

pytest.importorskip("nibabel")
pytest.importorskip("SimpleITK")


def kinds(dataset: Dataset) -> set[str]:
    return {problem.kind for problem in dataset.problems if problem.fatal}


def test_folders_of_splits(tmp_path: Path) -> None:
    dataset = load_dataset(drawn.folders(tmp_path))
    assert dataset.spatial_dims == 3
    assert dataset.task == "multiclass"
    assert [len(dataset.splits[split]) for split in ("train", "val", "test")] == [4, 2, 2]
    case = dataset.splits["train"][0]
    assert case.name == "train/case_000"
    image, labels = dataset.read(case)
    grid = dataset.read_grid(case)
    assert image.shape == (1, *np.asarray(labels).shape)
    assert grid is not None
    assert grid.orientation == "RAS"
    stored, drawn_labels = drawn.draw(0)
    bright = image[0][labels == 1].mean(), image[0][labels == 2].mean()
    expected = stored[drawn_labels == 1].mean(), stored[drawn_labels == 2].mean()
    assert bright == pytest.approx(expected), "labels lie on their image after the turn"
    assert any("written back as stored" in message for message in dataset.messages)


def test_nnunet_with_a_file_per_channel(tmp_path: Path) -> None:
    for number in range(3):
        image, labels = drawn.draw(number)
        for channel in range(2):
            name = f"case_{number:03}_{channel:04}.nii.gz"
            drawn.save_nifti(tmp_path / "imagesTr" / name, image + channel, drawn.OBLIQUE)
        drawn.save_nifti(tmp_path / "labelsTr" / f"case_{number:03}.nii.gz", labels, drawn.OBLIQUE)
    content = {"channel_names": {"0": "T1", "1": "T2"}, "labels": {"background": 0, "ball": 1, "box": 2}}
    (tmp_path / "dataset.json").write_text(
        json.dumps({**content, "numTraining": 3, "file_ending": ".nii.gz"}), encoding="utf-8"
    )
    dataset = load_dataset(tmp_path)
    assert dataset.classes == ("background", "ball", "box")
    assert (dataset.channels, dataset.spatial_dims) == (2, 3)
    assert dataset.cases[0].name in ("case_000", "case_001", "case_002")
    image = dataset.read(dataset.cases[0]).image
    np.testing.assert_array_equal(image[1] - image[0], 1)


def test_decathlon_with_modalities_in_the_fourth_axis(tmp_path: Path) -> None:
    import nibabel

    (tmp_path / "imagesTr").mkdir()
    for number in range(3):
        image, labels = drawn.draw(number)
        both = np.stack([image, image * 2], -1).transpose(2, 1, 0, 3)
        nibabel.save(nibabel.Nifti1Image(both, drawn.OBLIQUE), tmp_path / "imagesTr" / f"liver_{number}.nii.gz")
        drawn.save_nifti(tmp_path / "labelsTr" / f"liver_{number}.nii.gz", labels, drawn.OBLIQUE)
    content = {"modality": {"0": "MRI", "1": "MRI"}, "labels": {"0": "background", "1": "liver", "2": "tumour"}}
    (tmp_path / "dataset.json").write_text(json.dumps(content), encoding="utf-8")
    dataset = load_dataset(tmp_path)
    assert dataset.classes == ("background", "liver", "tumour")
    assert dataset.channels == 2


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_other_formats_beside_one_another(tmp_path: Path, suffix: str) -> None:
    for number in range(3):
        image, labels = drawn.draw(number)
        drawn.save_itk(tmp_path / "images" / f"a{number}{suffix}", image, drawn.OBLIQUE)
        drawn.save_itk(tmp_path / "labels" / f"a{number}_seg{suffix}", labels, drawn.OBLIQUE)
    dataset = load_dataset(tmp_path)
    assert (dataset.spatial_dims, len(dataset.cases)) == (3, 3)
    assert {case.name for case in dataset.cases} == {"a0", "a1", "a2"}


def test_stacks_with_an_axis_z_and_masks_of_plain_pages(tmp_path: Path) -> None:
    for number in range(3):
        image, labels = drawn.draw(number)
        drawn.save_stack(tmp_path / "images" / f"a{number}.tif", image, (2.0, 0.5, 0.5))
        drawn.save_stack(tmp_path / "masks" / f"a{number}.tif", labels)
    dataset = load_dataset(tmp_path)
    assert dataset.spatial_dims == 3
    grid = dataset.read_grid(dataset.cases[0])
    assert grid is not None
    assert grid.spacing == pytest.approx((2.0, 0.5, 0.5))
    assert grid.unit == "micrometer"


def test_plain_stacks_are_volumes_on_request_alone(tmp_path: Path) -> None:
    for number in range(3):
        image, labels = drawn.draw(number)
        drawn.save_stack(tmp_path / "images" / f"a{number}.tif", image)
        drawn.save_stack(tmp_path / "masks" / f"a{number}.tif", labels)
    with pytest.raises(BadDataset, match="--volumes"):
        load_dataset(tmp_path)
    dataset = load_dataset(tmp_path, volumes=True)
    assert dataset.spatial_dims == 3
    assert dataset.reading.volumes
    image, labels = dataset.read(dataset.cases[0])
    assert image.shape == (1, *np.asarray(labels).shape)
    assert dataset.read_grid(dataset.cases[0]) is not None
    with pytest.raises(BadOption, match="--volumes"):
        DataOptions(volumes=True, pages=3)


def test_zarr_and_dicom_folders_are_images(tmp_path: Path) -> None:
    for number in range(3):
        image, labels = drawn.draw(number)
        drawn.save_zarr(tmp_path / "zarr" / "images" / f"a{number}.zarr", image, (4.0, 1.0, 1.0))
        drawn.save_zarr(tmp_path / "zarr" / "masks" / f"a{number}.zarr", labels, (4.0, 1.0, 1.0))
        drawn.save_dicom(tmp_path / "dicom" / "images" / f"p{number}", image, drawn.OBLIQUE)
        drawn.save_nifti(tmp_path / "dicom" / "masks" / f"p{number}.nii.gz", labels, drawn.OBLIQUE)
    for name in ("zarr", "dicom"):
        dataset = load_dataset(tmp_path / name)
        assert (dataset.spatial_dims, len(dataset.cases)) == (3, 3)
        image, labels = dataset.read(dataset.cases[0])
        assert image.shape == (1, *np.asarray(labels).shape)
        assert len(find_images(tmp_path / name / "images")) == 3
        assert find_images(tmp_path / name / "images" / ("a0.zarr" if name == "zarr" else "p0"))
    image, labels = dataset.read(dataset.cases[0])
    assert image[0][labels == 1].mean() > image[0][labels == 0].mean() + 100
    assert image[0][labels == 2].mean() < image[0][labels == 0].mean() - 100


def test_masks_on_another_grid(tmp_path: Path) -> None:
    root = drawn.folders(tmp_path, (3, 1, 0))
    _, labels = drawn.draw(1)
    shifted = drawn.OBLIQUE.copy()
    shifted[:3, 3] += 3
    drawn.save_nifti(root / "train" / "masks" / "case_001.nii.gz", labels, shifted)
    _, labels = drawn.draw(2)
    drawn.save_nifti(root / "train" / "masks" / "case_002.nii.gz", labels[1:], drawn.OBLIQUE)
    dataset = scan_dataset(root)
    assert kinds(dataset) == {"geometry mismatch", "size mismatch"}
    texts = " ".join(problem.text for problem in dataset.problems)
    assert "origins" in texts
    assert "20 x 12 x 16, mask 20 x 11 x 16 (depth x height x width)" in texts, "turned: stored from front to back"


def test_a_mask_stored_in_another_orientation_lies_on_its_image(tmp_path: Path) -> None:
    root = drawn.folders(tmp_path, (3, 1, 0))
    _, labels = drawn.draw(0)
    flipped = drawn.OBLIQUE @ np.array([[-1, 0, 0, 15], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    before = load_dataset(root)
    expected = before.read(before.splits["train"][0]).labels
    drawn.save_nifti(root / "train" / "masks" / "case_000.nii.gz", labels[:, :, ::-1], flipped)
    dataset = load_dataset(root)
    np.testing.assert_array_equal(dataset.read(dataset.splits["train"][0]).labels, expected)


def test_planes_among_volumes(tmp_path: Path) -> None:
    from pixelwise.io.read import write_labels

    root = drawn.folders(tmp_path, (3, 1, 0))
    for name in ("images", "masks"):
        write_labels(root / "train" / name / "flat.tif", np.eye(20, dtype=np.uint8))
    assert "mixed dimensions" in kinds(scan_dataset(root))
    assert load_dataset(root, skip_bad=True).spatial_dims == 3


def test_values_of_no_class_and_fractions(tmp_path: Path) -> None:
    root = drawn.folders(tmp_path, (3, 1, 0))
    _, labels = drawn.draw(1)
    drawn.save_nifti(root / "train" / "masks" / "case_001.nii.gz", labels + np.float32(0.5), drawn.OBLIQUE)
    assert kinds(scan_dataset(root)) == {"float mask"}


def test_instances(tmp_path: Path) -> None:
    for number in range(3):
        image, labels = drawn.draw(number)
        numbers = labels.astype(np.uint16)
        numbers[9:11, 2:5, 10:13] = 3 + number
        numbers[9:11, 12:15, 10:13] = 7 + number
        drawn.save_nifti(tmp_path / "images" / f"a{number}.nii.gz", image, np.eye(4))
        drawn.save_nifti(tmp_path / "masks" / f"a{number}.nii.gz", numbers, np.eye(4))
    dataset = load_dataset(tmp_path, task="instance")
    assert dataset.task == "instance"
    assert len(np.unique(np.asarray(dataset.read(dataset.cases[0]).labels))) == 5


def test_formats_of_planes_refuse_volumes(tmp_path: Path) -> None:
    from pixelwise.progress import Progress
    from pixelwise.workflow.convert import convert

    root = drawn.folders(tmp_path / "set", (3, 1, 0))
    with pytest.raises(BadDataset, match="volumes"):
        convert(root, to="coco", out=tmp_path / "out", progress=Progress())
