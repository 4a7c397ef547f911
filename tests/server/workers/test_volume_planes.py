"""Planes of volumes: which voxel each pixel shows, from every side, of every format."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from drawn_volumes import OBLIQUE, draw, save_itk, save_nifti
from pixelwise.errors import BadImage
from pixelwise.geometry.grid import VOLUME_AXES, Grid
from pixelwise.io.read import probe, read_image
from pixelwise.io.volumes.windows import InMemoryVolume
from pixelwise.io.volumes.write import write_labels_like
from pixelwise.server.workers import volume_planes
from pixelwise.server.workers.volume_planes import (
    MAX_STRETCH,
    PLANES,
    Plane,
    PlaneReader,
    describe_planes,
    measure_range,
    open_label_volume,
    open_volume,
    view_plane,
)

SHAPE = (5, 7, 9)
BODY = Grid.from_affine(np.diag([1.0, 1.0, 3.0, 1.0]))


def numbered() -> InMemoryVolume:
    return InMemoryVolume(np.arange(np.prod(SHAPE), dtype=np.int32).reshape(1, *SHAPE))


def whole(plane: Plane, at: int, grid: Grid | None) -> np.ndarray:
    reader = PlaneReader(numbered(), view_plane(SHAPE, grid, plane), at)
    _, height, width = reader.shape
    return reader.read((0, height), (0, width))[0]


def test_planes_of_a_stack_are_its_slices() -> None:
    volume = numbered().pixels[0]
    assert np.array_equal(whole("axial", 2, None), volume[2])
    assert np.array_equal(whole("coronal", 3, None), volume[:, 3])
    assert np.array_equal(whole("sagittal", 4, None), volume[:, :, 4])


def test_a_body_is_shown_upright_with_square_pixels() -> None:
    """Slices are three times as far apart as pixels; head and front are at the top, the right at the right."""
    volume = numbered().pixels[0]
    assert np.array_equal(whole("axial", 2, BODY), volume[2, ::-1])
    assert np.array_equal(whole("coronal", 3, BODY), np.repeat(volume[::-1, 3], 3, axis=0))
    assert np.array_equal(whole("sagittal", 4, BODY), np.repeat(volume[::-1, :, 4], 3, axis=0))
    planes = describe_planes(numbered(), BODY)["planes"]
    assert [planes[plane]["edges"] for plane in PLANES] == ["ARPL", "SRIL", "SAIP"]
    assert [(planes[plane]["height"], planes[plane]["width"]) for plane in PLANES] == [(7, 9), (15, 9), (15, 7)]
    assert [planes[plane]["count"] for plane in PLANES] == [5, 7, 9]


@given(
    plane=st.sampled_from(PLANES),
    spacing=st.tuples(*[st.floats(0.2, 5)] * 3),
    upright=st.booleans(),
    data=st.data(),
)
def test_windows_are_parts_of_the_plane(
    plane: Plane, spacing: tuple[float, float, float], upright: bool, data: st.DataObject
) -> None:
    affine = np.diag([*spacing[::-1], 1.0])
    grid = Grid.from_affine(affine) if upright else Grid(axes=VOLUME_AXES, spacing=spacing)
    view = view_plane(SHAPE, grid, plane)
    at = data.draw(st.integers(0, view.count - 1))
    picture = whole(plane, at, grid)
    rows, columns = (
        data.draw(st.tuples(st.integers(0, side - 1), st.integers(1, side)).filter(lambda span: span[0] < span[1]))
        for side in view.drawn
    )
    window = PlaneReader(numbered(), view, at).read(rows, columns)[0]
    assert np.array_equal(window, picture[slice(*rows), slice(*columns)])
    shown = numbered().pixels[0].take(at, axis=PLANES.index(plane))
    assert set(np.unique(picture)) == set(shown.ravel().tolist()), "every voxel is shown"


@pytest.mark.parametrize("at", [-1, 5])
def test_planes_that_are_not_there(at: int) -> None:
    with pytest.raises(BadImage, match="a plane from 0 to 4"):
        PlaneReader(numbered(), view_plane(SHAPE, None, "axial"), at)


def test_very_long_voxels_are_drawn_shorter() -> None:
    grid = Grid(axes=VOLUME_AXES, spacing=(1e6, 1.0, 1.0))
    assert view_plane(SHAPE, grid, "coronal").drawn == (5 * MAX_STRETCH, 9)


def write_volumes(folder: Path) -> dict[str, Path]:
    """The same volume as a stack and as OME-Zarr, and a turned one as NIfTI and NRRD."""
    volume, labels = draw()
    tifffile.imwrite(folder / "a.tif", volume, imagej=True, metadata={"axes": "ZYX"}, photometric="minisblack")
    write_labels_like(folder / "a.ome.zarr", labels, Grid(axes=VOLUME_AXES, spacing=(2.0, 1.0, 1.0), unit="micrometer"))
    save_nifti(folder / "a.nii.gz", volume, OBLIQUE)
    save_itk(folder / "a.nrrd", volume, OBLIQUE)
    return {path.name: path for path in folder.iterdir()}


def test_every_format_is_read_as_prediction_reads_it(tmp_path: Path) -> None:
    pytest.importorskip("nibabel")
    pytest.importorskip("SimpleITK")
    pytest.importorskip("zarr")
    for path in write_volumes(tmp_path).values():
        expected = read_image(path).pixels
        volume = open_volume(path, probe(path))
        assert volume.shape == expected.shape
        for plane in PLANES:
            view = view_plane(expected.shape[1:], None, plane)
            shown = PlaneReader(volume, view, 3).read((0, view.drawn[0]), (0, view.drawn[1]))
            assert np.array_equal(shown, expected.take(3, axis=1 + view.axis)), (path.name, plane)
        volume.close()


def test_volumes_that_do_not_fit_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("nibabel")
    save_nifti(tmp_path / "a.nii", draw()[0], OBLIQUE)
    monkeypatch.setattr(volume_planes, "MAX_BYTES", 1000)
    with pytest.raises(BadImage, match="OME-Zarr"):
        open_volume(tmp_path / "a.nii", probe(tmp_path / "a.nii"))


def test_the_displayed_range_is_that_of_all_planes() -> None:
    volume = np.zeros((1, 40, 600, 30), np.int16)
    volume[:, :, 200:400] = 1000
    low, high = measure_range(InMemoryVolume(volume))[0]
    assert (low, high) == (0, 1000)
    assert measure_range(InMemoryVolume(volume.astype(np.uint8))) == [(0, 255)]
    flat = measure_range(InMemoryVolume(np.full((1, 2, 3, 4), 7, np.int16)))[0]
    assert flat[0] < flat[1]
    assert measure_range(InMemoryVolume(np.full((1, 2, 3, 4), np.nan, np.float32)))[0][0] == 0


def test_labels_are_read_back(tmp_path: Path) -> None:
    labels = draw()[1]
    tifffile.imwrite(tmp_path / "a.tif", labels, imagej=True, metadata={"axes": "ZYX"}, photometric="minisblack")
    opened = open_label_volume(tmp_path / "a.tif")
    assert np.array_equal(opened.read(*((0, side) for side in labels.shape))[0], labels)
    opened.close()
