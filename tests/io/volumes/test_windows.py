"""Windows of volumes equal slices of them, in every layout that is read by windows."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from inference.streaming.test_volumes import SIZE, drawn_volume, save
from pixelwise.errors import BadImage
from pixelwise.io.volumes.windows import InMemoryVolume, ZarrVolume, open_volume_windows, reads_windows


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("tile", [None, (16, 16)], ids=str)
def test_windows_of_a_tiff_stack_equal_slices(
    tmp_path: Path, compression: str | None, tile: tuple[int, int] | None
) -> None:
    pixels = drawn_volume().astype(np.uint16) * 200
    path = tmp_path / "stack.tif"
    metadata = {"axes": "ZYX", "spacing": 2.0, "unit": "um"}
    tifffile.imwrite(
        path, pixels, imagej=tile is None, metadata=metadata, compression=compression, tile=tile, resolution=(2, 2)
    )
    source = open_volume_windows(path, channels=1)
    assert (source.shape, source.dtype) == ((1, *SIZE), np.uint16)
    assert np.array_equal(source.read((3, 30), (10, 60), (0, 52))[0], pixels[3:30, 10:60])
    assert np.array_equal(source.read((39, 40), (0, 70), (50, 52))[0], pixels[39:40, :, 50:52])
    if tile is None:
        assert source.grid is not None
        assert source.grid.millimetres == pytest.approx((2e-3, 5e-4, 5e-4))
    source.close()
    tifffile.imwrite(path, np.zeros((9, 9, 3), np.uint8), photometric="rgb")
    with pytest.raises(BadImage, match="a stack of gray pages"):
        open_volume_windows(path, channels=1)


def test_windows_of_an_ome_zarr_volume_equal_slices(tmp_path: Path) -> None:
    pixels = drawn_volume()
    source = ZarrVolume(save(tmp_path / "volume.ome.zarr", pixels))
    assert source.dtype == np.uint8
    found = source.read((3, 30), (10, 60), (0, 52))
    assert np.array_equal(found[0], pixels[3:30, 10:60])
    flat = zarr.open_group(str(tmp_path / "flat.ome.zarr"), mode="w", zarr_format=3)
    flat.create_array("0", shape=(8, 8), dtype="uint8", chunks=(8, 8))
    axes = [{"name": name, "type": "space"} for name in "yx"]
    flat.attrs["ome"] = {"multiscales": [{"axes": axes, "datasets": [{"path": "0"}]}]}
    with pytest.raises(BadImage, match="z, y, x"):
        ZarrVolume(tmp_path / "flat.ome.zarr")


def test_missing_voxels_are_nan_in_every_window(tmp_path: Path) -> None:
    pixels = drawn_volume()
    pixels[0, 0, 0] = 7
    source = open_volume_windows(save(tmp_path / "volume.ome.zarr", pixels), channels=1, nodata=7.0)
    assert source.dtype == np.float32
    assert np.isnan(source.read((0, 1), (0, 1), (0, 1))).all()
    assert source.read((0, 2), (1, 3), (1, 3)).dtype == np.float32


def test_a_volume_in_memory_is_read_as_a_view() -> None:
    pixels = drawn_volume()[None]
    source = InMemoryVolume(pixels)
    window = source.read((1, 3), (0, 70), (5, 9))
    assert np.shares_memory(window, pixels)
    assert window.shape == (1, 2, 70, 4)
    assert (source.shape, source.memory_bytes) == (pixels.shape, pixels.nbytes)


def test_only_zarr_and_tiff_are_read_by_windows(tmp_path: Path) -> None:
    (tmp_path / "a.nii").write_bytes(b"")
    (tmp_path / "a.tif").write_bytes(b"")
    assert reads_windows(save(tmp_path / "volume.ome.zarr", drawn_volume()))
    assert reads_windows(tmp_path / "a.tif")
    assert not reads_windows(tmp_path / "a.nii")
