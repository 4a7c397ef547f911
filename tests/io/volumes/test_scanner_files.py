"""What scanners and programs write beside plain volumes: localizers, times, headers that contradict themselves."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

import drawn_volumes as drawn
from pixelwise.errors import BadImage
from pixelwise.io.read import probe, read_image
from pixelwise.io.volumes import itk

nibabel = pytest.importorskip("nibabel")
sitk = pytest.importorskip("SimpleITK")
PLACED = np.diag([-0.8, -0.8, 3.0, 1.0])


def add_slice(folder: Path, name: str, series: str, kind: str, size: tuple[int, int] = (20, 16)) -> None:
    """Add a sagittal slice of a series to the folder of another one."""
    image = sitk.GetImageFromArray(np.full((1, *size), 7, np.int16))
    writer: Any = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    tags = {
        "0008|0060": "MR", "0008|0008": kind, "0020|000d": "1.2.826.0.1.3680043.2.1125.1", "0020|000e": series,
        "0008|0018": f"{series}.{len(name)}9", "0020|0013": "90",
        "0020|0032": "0\\0\\0", "0020|0037": "0\\1\\0\\0\\0\\-1",
    }  # fmt: skip
    for key, value in tags.items():
        image.SetMetaData(key, value)
    writer.SetFileName(str(folder / name))
    writer.Execute(image)


@pytest.mark.parametrize("series", ["1.2.826.0.1.3680043.2.1125.2", "1.2.826.0.1.3680043.2.1125.9"])
@pytest.mark.parametrize("size", [(20, 16), (9, 11)])
def test_localizers_are_left_out(
    tmp_path: Path, series: str, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    volume, _ = drawn.draw(0)
    drawn.save_dicom(tmp_path / "ct", volume, PLACED)
    alone = read_image(tmp_path / "ct")
    add_slice(tmp_path / "ct", "scout.dcm", series, "ORIGINAL\\PRIMARY\\LOCALIZER", size)
    found = read_image(tmp_path / "ct")
    np.testing.assert_array_equal(found.pixels, alone.pixels)
    assert found.grid == alone.grid
    assert "1 localizer left out" in found.warnings
    monkeypatch.setattr(itk, "_is_localizer", lambda reader: False)
    with pytest.raises(BadImage):
        read_image(tmp_path / "ct")


def test_another_slice_is_no_localizer(tmp_path: Path) -> None:
    """Control: what does not say that it is one is never left out."""
    drawn.save_dicom(tmp_path / "ct", drawn.draw(0)[0], PLACED)
    add_slice(tmp_path / "ct", "more.dcm", "1.2.826.0.1.3680043.2.1125.9", "ORIGINAL\\PRIMARY\\AXIAL")
    with pytest.raises(BadImage, match="one DICOM series"):
        read_image(tmp_path / "ct")


def test_slices_of_a_tilted_gantry(tmp_path: Path) -> None:
    """Slices that are shifted against one another are placed by their positions, as SimpleITK's are."""
    sheared = PLACED @ np.array([[1, 0, 0, 0], [0, 1, 0.8, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    volume, _ = drawn.draw(0)
    drawn.save_dicom(tmp_path / "ct", volume, sheared)
    image = read_image(tmp_path / "ct")
    assert image.grid is not None
    world = drawn.world(image.pixels.shape[1:], image.grid.affine).reshape(3, -1).round(3)
    stored = drawn.world(volume.shape, sheared).reshape(3, -1).round(3)
    one, other = np.lexsort(world), np.lexsort(stored)
    np.testing.assert_allclose(world[:, one], stored[:, other], atol=2e-3)
    np.testing.assert_array_equal(image.pixels[0].ravel()[one], volume.ravel()[other])


@pytest.mark.parametrize("volumes", [False, True])
def test_volumes_of_several_times_are_refused(tmp_path: Path, volumes: bool) -> None:
    """The slices of one time and the next are never one volume, also if the user calls pages slices."""
    from pixelwise.io.images import ReadOptions

    stack = np.zeros((2, 5, 1, 20, 70), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", stack, imagej=True, metadata={"axes": "TZCYX"})
    with pytest.raises(BadImage, match="2 times of 5 slices"):
        read_image(tmp_path / "a.tif", options=ReadOptions(volumes=volumes))
    tifffile.imwrite(tmp_path / "b.tif", stack[:1], imagej=True, metadata={"axes": "TZCYX"})
    assert probe(tmp_path / "b.tif").size == (5, 20, 70), "control: one time is a volume"


@pytest.mark.parametrize(("moved", "warned"), [(0.0, False), (0.01, False), (3.0, True)])
def test_headers_with_two_places(tmp_path: Path, moved: float, warned: bool) -> None:
    """The sform counts, as for nibabel; if the qform is elsewhere, it is reported."""
    volume, _ = drawn.draw(0)
    image: Any = nibabel.Nifti1Image(volume.transpose(2, 1, 0), PLACED)
    other = PLACED.copy()
    other[0, 3] += moved
    image.set_qform(other, 1)
    image.set_sform(PLACED, 2)
    nibabel.save(image, tmp_path / "a.nii.gz")
    found = read_image(tmp_path / "a.nii.gz")
    assert any("qform" in text for text in found.warnings) == warned
    assert found.grid is not None
    np.testing.assert_allclose(nibabel.as_closest_canonical(image).affine, found.grid.affine, atol=1e-5)
