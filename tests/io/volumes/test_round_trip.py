"""Volumes of every format: each voxel is read at its place, and labels written for it have its exact geometry."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import drawn_volumes as drawn
from pixelwise.geometry.grid import Grid, Turn
from pixelwise.io.read import Image, probe, read_image, read_mask
from pixelwise.io.volumes.write import result_suffix, write_labels_like

pytest.importorskip("nibabel")
sitk = pytest.importorskip("SimpleITK")

SHEARED = drawn.OBLIQUE @ np.array([[1, 0, 0.2, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
LEFT = np.diag([-0.8, 0.9, 2.5, 1.0])


def same_places(image: Image, volume: np.ndarray, affine: np.ndarray, atol: float = 1e-4) -> None:
    """Every value of a volume is where it was, in an array whose axes grow like z, y and x."""
    assert image.grid is not None
    assert image.grid.orientation == "RAS"
    found = drawn.world(image.pixels.shape[1:], image.grid.affine).reshape(3, -1).round(3)
    stored = drawn.world(volume.shape, affine).reshape(3, -1).round(3)
    one, other = np.lexsort(found), np.lexsort(stored)
    np.testing.assert_allclose(found[:, one], stored[:, other], atol=atol + 1e-3)
    np.testing.assert_array_equal(image.pixels[0].ravel()[one], volume.ravel()[other])


def labels_for(image: Image, labels: np.ndarray, volume: np.ndarray) -> np.ndarray:
    """The labels on the axes of the read image: found by the values, which the drawn volume does not repeat."""
    lookup = dict(zip(volume.ravel().tolist(), labels.ravel().tolist(), strict=True))
    return np.vectorize(lookup.__getitem__)(image.pixels[0])


def numbered(shape: tuple[int, int, int] = (5, 7, 6)) -> np.ndarray:
    """A volume in which each value occurs once."""
    return np.random.default_rng(0).permutation(np.prod(shape)).reshape(shape).astype(np.int16)


@pytest.mark.parametrize("affine", [np.eye(4), LEFT, drawn.OBLIQUE, SHEARED], ids=["RAS", "LAS", "oblique", "sheared"])
@pytest.mark.parametrize("name", ["a.nii", "b.v2.nii.gz"])
def test_nifti(tmp_path: Path, affine: np.ndarray, name: str) -> None:
    import nibabel

    volume, path = numbered(), tmp_path / name
    labels = (volume % 3).astype(np.uint8)
    drawn.save_nifti(path, volume, affine, codes=(0 if affine is SHEARED else 1, 2))
    image = read_image(path)
    same_places(image, volume, affine)
    assert image.pixels.dtype == np.int16
    assert probe(path).size == image.pixels.shape[1:]
    assert probe(path).grid == image.grid
    assert image.grid is not None
    written = write_labels_like(
        tmp_path / f"out{result_suffix(path)}", labels_for(image, labels, volume), image.grid, (path, "NIfTI")
    )
    first, second = (nibabel.Nifti1Image.from_filename(file) for file in (path, written))
    np.testing.assert_array_equal(np.asanyarray(second.dataobj).transpose(2, 1, 0), labels)
    for field in ("pixdim", "qform_code", "sform_code", "quatern_b", "qoffset_x", "srow_x", "srow_y", "srow_z"):
        assert first.header[field].tobytes() == second.header[field].tobytes(), field
    assert read_mask(written).grid == image.grid
    if affine is not SHEARED:  # which ITK does not read
        one, two = sitk.ReadImage(str(path)), sitk.ReadImage(str(written))
        assert (one.GetOrigin(), one.GetSpacing(), one.GetDirection()) == (
            two.GetOrigin(), two.GetSpacing(), two.GetDirection(),
        )  # fmt: skip
        np.testing.assert_array_equal(sitk.GetArrayFromImage(one) % 3, sitk.GetArrayFromImage(two))


@pytest.mark.parametrize("affine", [np.eye(4), LEFT, drawn.OBLIQUE], ids=["RAS", "LAS", "oblique"])
@pytest.mark.parametrize(("name", "kind"), [("a.nrrd", "NRRD"), ("a.mha", "MetaImage"), ("a.mhd", "MetaImage")])
def test_itk(tmp_path: Path, affine: np.ndarray, name: str, kind: str) -> None:
    volume, path = numbered(), tmp_path / name
    labels = (volume % 3).astype(np.uint8)
    drawn.save_itk(path, volume, affine)
    image = read_image(path)
    same_places(image, volume, affine)
    assert image.grid is not None
    target = tmp_path / f"out{result_suffix(path)}"
    write_labels_like(target, labels_for(image, labels, volume), image.grid, (path, kind))
    one, two = sitk.ReadImage(str(path)), sitk.ReadImage(str(target))
    for field in ("GetOrigin", "GetSpacing", "GetDirection"):  # NRRD stores products of spacing and direction
        np.testing.assert_allclose(getattr(one, field)(), getattr(two, field)(), rtol=1e-14, atol=1e-14)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(two), labels)


def test_dicom_series(tmp_path: Path) -> None:
    volume, folder = numbered(), tmp_path / "series"
    drawn.save_dicom(folder, volume, drawn.OBLIQUE)
    image = read_image(folder)
    same_places(image, volume, drawn.OBLIQUE)
    assert image.grid is not None
    labels = labels_for(image, (volume % 3).astype(np.uint8), volume)
    target = write_labels_like(tmp_path / f"out{result_suffix(folder)}", labels, image.grid, (folder, "DICOM"))
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    one, two = reader.Execute(), sitk.ReadImage(str(target))
    np.testing.assert_allclose(one.GetOrigin(), two.GetOrigin(), atol=1e-4)
    np.testing.assert_allclose(one.GetSpacing(), two.GetSpacing(), atol=1e-4)
    np.testing.assert_allclose(one.GetDirection(), two.GetDirection(), atol=1e-5)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(one) % 3, sitk.GetArrayFromImage(two))


def test_compressed_dicom(tmp_path: Path) -> None:
    volume, folder = numbered((5, 64, 64)), tmp_path / "series"
    drawn.save_dicom(folder, volume, drawn.OBLIQUE, packed="JPEG2000")
    assert all(b"1.2.840.10008.1.2.4." in file.read_bytes() for file in folder.iterdir()), "JPEG of some kind"
    same_places(read_image(folder), volume, drawn.OBLIQUE)


def test_zarr(tmp_path: Path) -> None:
    from yaozarrs import validate_zarr_store

    volume, path = numbered(), tmp_path / "a.ome.zarr"
    drawn.save_zarr(path, volume, (4.0, 0.5, 0.25))
    image = read_image(path)
    np.testing.assert_array_equal(image.pixels[0], volume)
    assert image.grid is not None
    assert (image.grid.spacing, image.grid.unit) == ((4.0, 0.5, 0.25), "micrometer")
    target = tmp_path / f"out{result_suffix(path)}"
    write_labels_like(target, (volume % 3).astype(np.uint8), image.grid, (path, "OME-Zarr"))
    again = read_mask(target)
    assert again.grid == image.grid
    np.testing.assert_array_equal(again.values, volume % 3)
    validate_zarr_store(str(target))
    (transform,) = json.loads((target / "zarr.json").read_text(encoding="utf-8"))["attributes"]["ome"]["multiscales"][
        0
    ]["datasets"]
    assert transform["coordinateTransformations"] == [
        {"type": "scale", "scale": [4.0, 0.5, 0.25]},
        {"type": "translation", "translation": [7.5, 2.0, 0.0]},
    ]


@pytest.mark.parametrize("scale", [(2.0, 0.5, 0.25), None])
def test_stack(tmp_path: Path, scale: tuple[float, float, float] | None) -> None:
    import tifffile

    volume, path = np.abs(numbered()), tmp_path / "a.tif"
    drawn.save_stack(path, volume.astype(np.uint16), scale)
    from pixelwise.io.read import ReadOptions

    image = read_image(path, options=ReadOptions(volumes=scale is None))
    np.testing.assert_array_equal(image.pixels[0], volume)
    assert image.grid is not None
    assert image.grid.spacing == pytest.approx(scale or (1, 1, 1))
    target = write_labels_like(tmp_path / "out.tif", (volume % 3).astype(np.uint8), image.grid)
    again = read_mask(target)
    assert again.grid is not None
    assert again.grid.spacing == pytest.approx(scale or (1, 1, 1))
    np.testing.assert_array_equal(again.values, volume % 3)
    with tifffile.TiffFile(target) as file:
        assert file.is_imagej
        assert file.series[0].axes == "ZYX"


def test_a_stack_whose_name_says_ome_has_the_metadata_of_ome(tmp_path: Path) -> None:
    import tifffile

    labels = (np.abs(numbered()) % 3).astype(np.uint8)
    grid = Grid(axes=("z", "y", "x"), spacing=(2.0, 0.5, 0.25), unit="micrometer")
    target = write_labels_like(tmp_path / "out.ome.tif", labels, grid)
    with tifffile.TiffFile(target) as file:
        assert (file.is_ome, file.is_imagej, file.series[0].axes) == (True, False, "ZYX")
        assert file.ome_metadata is not None
        assert 'PhysicalSizeZ="2.0"' in file.ome_metadata
    again = read_mask(target)
    assert again.grid is not None
    assert again.grid.spacing == pytest.approx(grid.spacing)
    np.testing.assert_array_equal(again.values, labels)


def test_channels_of_a_fourth_axis(tmp_path: Path) -> None:
    import nibabel

    volume = numbered()
    both = np.stack([volume, -volume], -1).transpose(2, 1, 0, 3)
    nibabel.save(nibabel.Nifti1Image(both, drawn.OBLIQUE), tmp_path / "a.nii.gz")
    image = read_image(tmp_path / "a.nii.gz")
    assert image.pixels.shape[0] == 2
    np.testing.assert_array_equal(image.pixels[0], -image.pixels[1])


def test_slope_and_labels_stored_as_floats(tmp_path: Path) -> None:
    volume = numbered()
    drawn.save_nifti(tmp_path / "a.nii.gz", (volume % 3).astype(np.float32), np.eye(4))
    assert read_mask(tmp_path / "a.nii.gz").values.dtype.kind == "i"
    np.testing.assert_array_equal(read_mask(tmp_path / "a.nii.gz").values, volume % 3)


def test_labels_without_a_source_keep_the_grid(tmp_path: Path) -> None:
    volume = numbered()
    drawn.save_nifti(tmp_path / "a.nii.gz", volume, drawn.OBLIQUE)
    image = read_image(tmp_path / "a.nii.gz")
    assert image.grid is not None
    for name in ("b.nii.gz", "b.nrrd", "b.mha"):
        write_labels_like(tmp_path / name, image.pixels[0] % 5, image.grid)
        again = read_mask(tmp_path / name)
        assert again.grid is not None
        np.testing.assert_allclose(again.grid.affine, image.grid.affine, atol=1e-5)
        np.testing.assert_array_equal(again.values, image.pixels[0] % 5)


@pytest.mark.parametrize("write", [lambda p: drawn.save_nifti(p, numbered(), LEFT)])
def test_equal_labels_are_equal_bytes(tmp_path: Path, write: Callable[[Path], None]) -> None:
    path = tmp_path / "a.nii.gz"
    write(path)
    image = read_image(path)
    assert image.grid is not None
    for name in ("b.nii.gz", "c.nii.gz"):
        write_labels_like(tmp_path / name, image.pixels[0] % 4, image.grid, (path, "NIfTI"))
    assert (tmp_path / "b.nii.gz").read_bytes() == (tmp_path / "c.nii.gz").read_bytes()


def test_a_header_without_directions_is_taken_as_stored(tmp_path: Path) -> None:
    volume = numbered((2, 3, 4))
    header = ["NRRD0004", "type: int16", "dimension: 3", "sizes: 4 3 2", "spacings: 0.5 0.5 3", "endian: little"]
    (tmp_path / "a.nrrd").write_bytes("\n".join([*header, "encoding: raw", "", ""]).encode() + volume.tobytes())
    image = read_image(tmp_path / "a.nrrd")
    np.testing.assert_array_equal(image.pixels[0], volume)
    assert image.grid is not None
    assert image.grid.direction is None
    assert image.grid.spacing == (3.0, 0.5, 0.5)
    assert any("no orientation" in message for message in image.warnings)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_channels_of_vectors(tmp_path: Path, suffix: str) -> None:
    volume = numbered((4, 4, 4))
    vector = sitk.GetImageFromArray(np.stack([volume, -volume], -1), isVector=True)
    sitk.WriteImage(vector, str(tmp_path / f"a{suffix}"))
    image = read_image(tmp_path / f"a{suffix}")
    assert image.pixels.shape == (2, 4, 4, 4)
    np.testing.assert_array_equal(image.pixels[0], -image.pixels[1])
    assert probe(tmp_path / f"a{suffix}").channels == 2
    shown = np.sort(image.pixels[0].ravel())
    np.testing.assert_array_equal(shown, np.sort(volume.ravel()))


def test_control_without_the_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Grid, "turn", property(lambda _: Turn((0, 1, 2), (False, False, False))))
    with pytest.raises(AssertionError):
        test_nifti(tmp_path, LEFT, "a.nii")
