"""Volumes in the formats of convert: voxels, labels and the grid are those of the source when they are read again."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import drawn_volumes as drawn
from drawn import save
from pixelwise.datasets.dataset import Dataset, load_dataset
from pixelwise.datasets.writers.labelled_set import LabelledImage
from pixelwise.datasets.writers.registry import WRITERS, refuse_volumes
from pixelwise.datasets.writers.volumes import save_volume, write_label_volume
from pixelwise.errors import BadDataset
from pixelwise.geometry.grid import Grid
from pixelwise.io.read import probe
from pixelwise.progress import Progress
from pixelwise.workflow.convert import convert

pytest.importorskip("nibabel")
sitk = pytest.importorskip("SimpleITK")
pytest.importorskip("zarr")

PLACED = ("nnunet", "nifti", "nrrd", "mha", "folders")
ALL = (*PLACED, "tiff", "ome-zarr")
SCALE = (2.0, 0.5, 0.25)  # micrometres


def nifti(root: Path, number: int, image: np.ndarray, labels: np.ndarray) -> None:
    drawn.save_nifti(root / "images" / f"case_{number}.nii.gz", image, drawn.OBLIQUE)
    drawn.save_nifti(root / "masks" / f"case_{number}.nii.gz", labels, drawn.OBLIQUE)


def zarr(root: Path, number: int, image: np.ndarray, labels: np.ndarray) -> None:
    for name, volume in (("images", image), ("masks", labels)):
        (root / name).mkdir(parents=True, exist_ok=True)
        drawn.save_zarr(root / name / f"case_{number}.ome.zarr", volume, SCALE)


def stack(root: Path, number: int, image: np.ndarray, labels: np.ndarray) -> None:
    for name, volume in (("images", image), ("masks", labels)):
        drawn.save_stack(root / name / f"case_{number}.tif", volume, SCALE)


def dicom(root: Path, number: int, image: np.ndarray, labels: np.ndarray) -> None:
    drawn.save_dicom(root / "images" / f"case_{number}", image, drawn.OBLIQUE)
    drawn.save_nifti(root / "masks" / f"case_{number}.nii.gz", labels, drawn.OBLIQUE)


def draw(root: Path, save: Callable[..., None]) -> Dataset:
    for number in range(2):
        save(root, number, *drawn.draw(number))
    return load_dataset(root)


def written(dataset: Dataset, to: str, out: Path) -> tuple[Dataset, tuple[str, ...]]:
    result = convert(dataset.root, to=to, out=out, progress=Progress())
    return load_dataset(out), result.losses


def equal_place(first: Grid, second: Grid) -> bool:
    first, second = first.in_millimetres(), second.in_millimetres()
    spacing = np.allclose(first.spacing, second.spacing, rtol=1e-5, atol=0)
    return first.unit == second.unit and spacing and np.allclose(first.affine, second.affine, atol=1e-5)


SLOW = [pytest.param(save, marks=pytest.mark.slow) for save in (zarr, dicom)]


@pytest.mark.parametrize("to", ALL)
@pytest.mark.parametrize("save", [nifti, stack, *SLOW])
def test_voxels_labels_and_grid_come_back(tmp_path: Path, save: Callable[..., None], to: str) -> None:
    dataset = draw(tmp_path / "in", save)
    again, losses = written(dataset, to, tmp_path / "out")
    assert again.classes == dataset.classes
    for before, after in zip(dataset.cases, again.cases, strict=True):
        first, second = dataset.read(before), again.read(after)
        np.testing.assert_array_equal(first.image, second.image)
        np.testing.assert_array_equal(np.asarray(first.labels), np.asarray(second.labels))
        grids = dataset.read_grid(before), again.read_grid(after)
        assert grids[0] is not None
        assert grids[1] is not None
        placed = to in PLACED or grids[0].direction is None
        assert equal_place(*grids) if placed else np.allclose(grids[0].spacing, grids[1].in_millimetres().spacing)
        assert bool(losses) == (not placed)


@pytest.mark.parametrize("to", ["nrrd", "mha"])
def test_the_place_is_that_which_simpleitk_reads(tmp_path: Path, to: str) -> None:
    """The control is a volume without its place: it must differ."""
    dataset = draw(tmp_path / "in", nifti)
    written(dataset, to, tmp_path / "out")
    for folder in ("images", "masks"):
        before = sitk.ReadImage(str(tmp_path / "in/images/case_0.nii.gz"))
        after = sitk.ReadImage(str(tmp_path / "out" / folder / f"case_0.{to}"))
        for name in ("GetSpacing", "GetOrigin", "GetDirection"):
            assert getattr(after, name)() == pytest.approx(getattr(before, name)(), abs=1e-5)
        assert after.GetDirection() != pytest.approx(sitk.Image([2, 2, 2], sitk.sitkUInt8).GetDirection())


def test_files_of_the_format_are_copied(tmp_path: Path) -> None:
    dataset = draw(tmp_path / "in", nifti)
    written(dataset, "nnunet", tmp_path / "out")
    source, copy = (tmp_path / place for place in ("in/images/case_0.nii.gz", "out/imagesTr/case_0_0000.nii.gz"))
    assert source.read_bytes() == copy.read_bytes()


@pytest.mark.parametrize("to", ALL)
def test_a_file_per_channel_becomes_channels(tmp_path: Path, to: str) -> None:
    for number in range(2):
        image, labels = drawn.draw(number)
        for channel in range(2):
            path = tmp_path / "in/imagesTr" / f"case_{number}_{channel:04}.nii.gz"
            drawn.save_nifti(path, image + channel, drawn.OBLIQUE)
        drawn.save_nifti(tmp_path / "in/labelsTr" / f"case_{number}.nii.gz", labels, drawn.OBLIQUE)
    dataset = load_dataset(tmp_path / "in")
    again, _ = written(dataset, to, tmp_path / "out")
    assert (again.channels, again.spatial_dims) == (2, 3)
    np.testing.assert_array_equal(dataset.read(dataset.cases[0]).image, again.read(again.cases[0]).image)


def test_ignored_voxels_are_kept(tmp_path: Path) -> None:
    for number in range(2):
        image, labels = drawn.draw(number)
        labels[:2, :2] = 9
        nifti(tmp_path / "in", number, image, labels)
    for to in ("nnunet", "ome-zarr"):
        convert(tmp_path / "in", to=to, out=tmp_path / to, ignore_index=9, progress=Progress())
        again = load_dataset(tmp_path / to)
        assert (np.asarray(again.read(again.cases[0]).labels) == 255).sum() == 64
        assert again.task == "multiclass"


@pytest.mark.parametrize("writer", [writer for writer in WRITERS if writer.write_volumes is refuse_volumes])
def test_formats_of_planes_refuse_volumes(tmp_path: Path, writer: object) -> None:
    dataset = draw(tmp_path / "in", stack)
    with pytest.raises(BadDataset, match="ome-zarr"):
        convert(dataset.root, to=str(getattr(writer, "name", "")), out=tmp_path / "out", progress=Progress())
    assert not (tmp_path / "out").exists()


def test_formats_of_volumes_refuse_planes(tmp_path: Path) -> None:
    import drawn as planes

    cells = planes.pairs(tmp_path / "cells", draw=planes.objects)
    with pytest.raises(BadDataset, match="volumes"):
        convert(cells, to="nifti", out=tmp_path / "out", progress=Progress())


def test_a_stack_that_needs_a_flag_is_read_without_it_afterwards(tmp_path: Path) -> None:
    for number in range(2):
        image, labels = drawn.draw(number)
        for name, volume in (("images", image.astype(np.uint16)), ("masks", labels)):
            drawn.save_stack(tmp_path / "in" / name / f"case_{number}.tif", volume)
    convert(tmp_path / "in", to="folders", out=tmp_path / "out", volumes=True, progress=Progress())
    assert probe(tmp_path / "out/images/case_0.tif").depth == 12
    assert load_dataset(tmp_path / "out").spatial_dims == 3


@pytest.mark.parametrize(("before", "to", "after"), [(".nii", "nnunet", ".nii.gz"), (".tiff", "tiff", ".tif")])
def test_files_of_almost_the_format_keep_their_bytes(tmp_path: Path, before: str, to: str, after: str) -> None:
    """NIfTI is compressed, TIFF gets its short ending: the voxels are not written anew."""
    for number in range(2):
        for name, volume in zip(("images", "masks"), drawn.draw(number), strict=True):
            path = tmp_path / "in" / name / f"case_{number}{before}"
            if before == ".nii":
                drawn.save_nifti(path, volume, drawn.OBLIQUE)
            else:
                drawn.save_stack(path, volume, SCALE)
    again, losses = written(load_dataset(tmp_path / "in"), to, tmp_path / "out")
    source, copy = tmp_path / f"in/images/case_0{before}", again.cases[0].image
    assert copy.name.endswith(after)
    content = gzip.decompress(copy.read_bytes()) if after == ".nii.gz" else copy.read_bytes()
    assert (content, losses) == (source.read_bytes(), ())


@pytest.mark.parametrize("to", ["nifti", "ome-zarr"])
def test_objects_keep_their_voxels(tmp_path: Path, to: str) -> None:
    for number in range(2):
        image, labels = drawn.draw(number)
        nifti(tmp_path / "in", number, image, labels * np.uint8(3))
    before = load_dataset(tmp_path / "in", task="instance")
    convert(tmp_path / "in", to=to, out=tmp_path / "out", task="instance", progress=Progress())
    after = load_dataset(tmp_path / "out")
    assert after.task == "instance"
    both = [np.asarray(data.read(data.cases[1]).labels).ravel() for data in (before, after)]
    counts = [len(np.unique(labels)) for labels in both]
    assert counts[0] == counts[1] == np.unique(both, axis=1).shape[1] > 2, "the same objects, whatever their numbers"


@pytest.mark.parametrize(
    ("to", "lost"), [("nrrd", "read as millimetres"), ("tiff", "is not written"), ("ome-zarr", None)]
)
def test_what_a_format_does_not_hold_is_said(tmp_path: Path, to: str, lost: str | None) -> None:
    """Volumes of 64 bits whose voxels have sizes without a unit."""
    for number in range(2):
        for name, volume in zip(("images", "masks"), drawn.draw(number), strict=True):
            (tmp_path / "in" / name).mkdir(parents=True, exist_ok=True)
            kind = np.float64 if name == "images" else np.uint8
            path = tmp_path / "in" / name / f"case_{number}.ome.zarr"
            drawn.save_zarr(path, volume.astype(kind), SCALE)
            content = json.loads((path / "zarr.json").read_text("utf-8"))
            for axis in content["attributes"]["ome"]["multiscales"][0]["axes"]:
                axis.pop("unit", None)
            (path / "zarr.json").write_text(json.dumps(content), "utf-8")
    _, losses = written(load_dataset(tmp_path / "in"), to, tmp_path / "out")
    if lost is None:
        assert not losses, "folders of the format are copied"
    else:
        assert [any(words in loss for loss in losses) for words in (lost, "64 bits")] == [True, True]


def test_a_plane_is_no_volume(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", np.zeros((5, 6), np.uint8))
    plane = LabelledImage(
        name="a", flat_name="a", source=path, pixels=np.zeros((1, 5, 6)), labels=np.zeros((5, 6), np.int32)
    )
    with pytest.raises(ValueError, match="no volume"):
        save_volume(plane, tmp_path / "b", ".nii.gz")
    with pytest.raises(ValueError, match="no volume"):
        write_label_volume(plane, plane.labels[None], tmp_path / "b.nii.gz")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
