"""Windows equal the whole image in every file layout, and only the touched tiles are decoded."""

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from pixelwise.errors import BadImage
from pixelwise.io.chunks import ChunkCache
from pixelwise.io.read import ONE_OF_EQUAL, read_image, write_image
from pixelwise.io.windows import ImageReader, InterpretedPlanes, open_windows

GRAY = np.random.default_rng(0).integers(0, 60_000, (150, 201)).astype(np.uint16)
RGB = np.random.default_rng(1).integers(0, 255, (150, 201, 3)).astype(np.uint8)
STACK = np.random.default_rng(2).integers(0, 255, (5, 90, 70)).astype(np.uint8)
LAYOUTS = {
    "contiguous": (GRAY, {}),
    "big-endian": (GRAY, {"byteorder": ">"}),
    "strips": (GRAY, {"rowsperstrip": 13}),
    "strips, deflate": (GRAY, {"rowsperstrip": 13, "compression": "zlib", "predictor": True}),
    "tiles": (GRAY, {"tile": (32, 64)}),
    "tiles, zstd, big-endian": (GRAY, {"tile": (32, 64), "compression": "zstd", "byteorder": ">"}),
    "BigTIFF": (GRAY, {"tile": (64, 64), "bigtiff": True, "compression": "lzw"}),
    "colour": (RGB, {"photometric": "rgb"}),
    "colour, tiles": (RGB, {"photometric": "rgb", "tile": (64, 32), "compression": "zlib"}),
    "JPEG": (RGB, {"photometric": "rgb", "tile": (64, 64), "compression": "jpeg"}),
    "planes": (np.moveaxis(RGB, -1, 0), {"photometric": "rgb", "planarconfig": "separate", "tile": (64, 32)}),
    "channels": (STACK, {"metadata": {"axes": "CYX"}, "photometric": "minisblack", "tile": (16, 32)}),
    "channels, contiguous": (STACK, {"metadata": {"axes": "CYX"}, "photometric": "minisblack"}),
    "one bit": (GRAY > 30_000, {}),
    "palette": (RGB[..., 0], {"photometric": "palette", "colormap": np.arange(768).reshape(3, 256).astype(np.uint16)}),
    "white is 0": (RGB[..., 0], {"photometric": "miniswhite", "tile": (32, 32)}),
    "floats": (GRAY.astype(np.float64), {"tile": (64, 64), "compression": "zlib", "predictor": True}),
    "alpha": (np.dstack([RGB, RGB[..., :1]]), {"photometric": "rgb", "extrasamples": ["unassalpha"], "tile": (32, 32)}),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_windows_of_a_tiff_equal_the_whole(tmp_path: Path, layout: str) -> None:
    pixels, options = LAYOUTS[layout]
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, pixels, **options)
    whole = read_image(path).pixels
    source = open_windows(path)
    assert isinstance(source, InterpretedPlanes), "read by windows"
    assert source.shape == whole.shape
    assert source.dtype == whole.dtype
    _, height, width = whole.shape
    for rows, columns in [
        ((0, height), (0, width)),
        ((0, 1), (0, 1)),
        ((31, 77), (5, 66)),
        ((height - 3, height), (60, width)),
    ]:
        window = source.read(rows, columns)
        assert np.array_equal(window, whole[:, rows[0] : rows[1], columns[0] : columns[1]])
    source.close()


@pytest.mark.parametrize("orientation", range(1, 9))
@settings(max_examples=10)
@given(data=st.data())
def test_windows_are_upright_for_every_orientation(
    tmp_path_factory: pytest.TempPathFactory, orientation: int, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("rotated") / "image.tif"
    tifffile.imwrite(path, GRAY, tile=(32, 64), extratags=[(274, "H", 1, orientation, True)])
    whole = read_image(path).pixels
    source = open_windows(path)
    assert source.shape == whole.shape
    top, left = (data.draw(st.integers(0, side - 1)) for side in source.shape[1:])
    bottom, right = data.draw(st.integers(top + 1, source.shape[1])), data.draw(st.integers(left + 1, source.shape[2]))
    assert np.array_equal(source.read((top, bottom), (left, right)), whole[:, top:bottom, left:right])
    source.close()


def test_the_full_resolution_of_a_pyramid(tmp_path: Path) -> None:
    path = tmp_path / "image.ome.tif"
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        metadata = {"axes": "YX", "PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.25}
        writer.write(GRAY, subifds=1, tile=(64, 64), metadata=metadata)
        writer.write(GRAY[::2, ::2], subfiletype=1, tile=(64, 64))
    source = open_windows(path)
    assert np.array_equal(source.read((0, 150), (0, 201))[0], GRAY)
    assert source.spacing == (0.25, 0.5)
    source.close()


def decoded(source: ImageReader) -> int:
    """Return the number of decoded tiles or strips."""
    planes: Any = source.planes if isinstance(source, InterpretedPlanes) else None
    return planes.decoded


def test_only_the_tiles_that_a_window_touches_are_decoded(tmp_path: Path) -> None:
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, GRAY, tile=(32, 32), compression="zlib")
    source = open_windows(path)
    source.read((33, 60), (33, 60))
    assert decoded(source) == 1
    source.read((33, 65), (33, 60))
    assert decoded(source) == 2, "the first tile is cached"
    source.close()


def test_the_cache_respects_its_limit() -> None:
    cache = ChunkCache(250)
    for key in (1, 2, 1, 3, 1):
        cache.get(key, lambda: np.zeros(100, np.uint8))
    assert cache.decoded == 3, "1 was used last and is kept, 2 is evicted"
    cache.get(2, lambda: np.zeros(100, np.uint8))
    assert cache.decoded == 4
    assert cache.get(4, lambda: np.zeros(1000, np.uint8)).size == 1000, "one chunk is always kept"


def test_a_planned_band_is_decoded_once(tmp_path: Path) -> None:
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, np.zeros((512, 4096), np.uint16), tile=(64, 64), compression="zlib")
    source = open_windows(path)
    memory_bytes = source.plan(100)
    assert memory_bytes < 4096 * 512 * 2
    for top in range(0, 512, 64):
        for left in range(0, 4096, 128):
            source.read((max(0, top - 18), min(512, top + 82)), (left, left + 128))
    assert decoded(source) == 8 * 64
    source.close()


def test_formats_without_random_access_give_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    write_image(path, np.moveaxis(RGB, -1, 0))
    source = open_windows(path)
    (warning,) = source.warnings
    assert "PNG" in warning
    assert "decoded completely (0 MiB)" in warning
    assert np.array_equal(source.read((3, 9), (2, 5)), np.moveaxis(RGB, -1, 0)[:, 3:9, 2:5])


def test_channels_are_matched_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, GRAY, tile=(32, 32))
    source = open_windows(path, channels=3)
    assert source.shape == (3, 150, 201)
    assert (source.read((0, 5), (0, 5)) == GRAY[:5, :5]).all()
    source.close()
    with pytest.raises(BadImage, match="expected 4 channels; got 1"):
        open_windows(path, channels=4)


def test_gray_that_was_saved_as_rgb_has_one_channel_where_it_is_gray(tmp_path: Path) -> None:
    path, pixels = tmp_path / "image.tif", np.repeat(GRAY[..., None], 3, axis=2)
    pixels[100, 100, 0] ^= 255
    tifffile.imwrite(path, pixels, photometric="rgb", tile=(32, 32))
    source = open_windows(path, channels=1)
    assert source.shape == (1, 150, 201)
    assert np.array_equal(source.read((0, 50), (0, 50))[0], GRAY[:50, :50])
    assert ONE_OF_EQUAL in source.warnings
    with pytest.raises(BadImage, match="expected 1 channel"):
        source.read((90, 110), (90, 110))
    source.close()


def test_hostile_headers_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, np.zeros((64, 64), np.uint8), tile=(32, 32), compression="zlib")
    with pytest.raises(BadImage, match="expected at most 4000 pixels"):
        open_windows(path, max_pixels=4000)
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        page: Any = tiff.pages[0]
        for tag in ("ImageWidth", "ImageLength", "TileWidth", "TileLength"):
            page.tags[tag].overwrite(65520)
    with pytest.raises(BadImage, match=r"expected tiles or strips below 1 GiB; got one of 65520 × 65520 pixels"):
        open_windows(path)
    tifffile.imwrite(path, STACK, photometric="minisblack", tile=(32, 32))
    with pytest.raises(BadImage, match="got a stack of 5 pages"):
        open_windows(path)


def test_damage_is_detected_in_the_window_that_is_read(tmp_path: Path) -> None:
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, GRAY, tile=(32, 32), compression="zlib")
    with tifffile.TiffFile(path) as tiff:
        page: Any = tiff.pages[0]
        offset = page.dataoffsets[0]
    data = bytearray(path.read_bytes())
    data[offset : offset + 40] = b"\xff" * 40
    path.write_bytes(data)
    source = open_windows(path)
    assert np.array_equal(source.read((64, 96), (64, 96))[0], GRAY[64:96, 64:96])
    with pytest.raises(BadImage, match=r"image\.tif: .* cannot be decoded"):
        source.read((0, 8), (0, 8))
    source.close()


def test_values_are_checked_as_in_whole_images(tmp_path: Path) -> None:
    path = tmp_path / "image.tif"
    pixels = np.zeros((64, 64), np.float32)
    pixels[40, 40] = np.nan
    tifffile.imwrite(path, pixels, tile=(32, 32))
    source = open_windows(path)
    source.read((0, 32), (0, 64))
    with pytest.raises(BadImage, match="got 1 NaN and 0 infinite values"):
        source.read((32, 64), (0, 64))
    source.close()


def zarr_image(folder: Path, pixels: np.ndarray, axes: str, version: str, **options: object) -> Path:
    """Write an OME-Zarr image of one level with the zarr library."""
    zarr: Any = importlib.import_module("zarr")
    zarr_format = 3 if version == "0.5" else 2
    group = zarr.create_group(folder, zarr_format=zarr_format)
    if zarr_format == 2:
        options["chunk_key_encoding"] = {"name": "v2", "separator": "/"}
    array = group.create_array(
        "0", shape=pixels.shape, dtype=pixels.dtype, **{"chunks": tuple(min(32, n) for n in pixels.shape), **options}
    )
    array[...] = pixels
    kinds = {"c": "channel", "t": "time"}
    named = [{"name": a, "type": kinds.get(a, "space")} | ({"unit": "nanometer"} if a in "yx" else {}) for a in axes]
    scale = [{"type": "scale", "scale": [1.0] * (len(axes) - 2) + [250.0, 500.0]}]
    metadata = {
        "multiscales": [
            {"axes": named, "datasets": [{"path": "0", "coordinateTransformations": scale}], "version": version}
        ]
    }
    group.attrs.update({"ome": {"version": "0.5", **metadata}} if zarr_format == 3 else metadata)
    return folder


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("axes", ["yx", "cyx", "tczyx"])
def test_ome_zarr_by_windows(tmp_path: Path, version: str, axes: str) -> None:
    pixels = {"yx": GRAY, "cyx": STACK, "tczyx": STACK[None, :, None]}[axes]
    whole = STACK if axes != "yx" else GRAY[None]
    source = open_windows(zarr_image(tmp_path / "image.zarr", pixels, axes, version))
    assert source.shape == whole.shape
    assert source.spacing == (0.25, 0.5)
    assert np.array_equal(source.read((7, 66), (31, 65)), whole[:, 7:66, 31:65])
    assert np.array_equal(source.read((0, whole.shape[1]), (0, whole.shape[2])), whole)


def test_sharded_ome_zarr(tmp_path: Path) -> None:
    folder = zarr_image(tmp_path / "image.zarr", GRAY, "yx", "0.5", shards=(64, 64))
    assert np.array_equal(open_windows(folder).read((30, 70), (0, 201))[0], GRAY[30:70])


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


def test_hostile_zarr_stores_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadImage, match="a stack of 5 along z"):
        open_windows(zarr_image(tmp_path / "stack", STACK, "zyx", "0.5"))
    folder = zarr_image(tmp_path / "codec", GRAY, "yx", "0.5")
    change(folder / "0" / "zarr.json", '"zstd"', '"numcodecs.pick_le"')
    with pytest.raises(BadImage, match=r"expected a numeric codec; got `numcodecs.pick_le`"):
        open_windows(folder)
    folder = zarr_image(tmp_path / "type", GRAY, "yx", "0.4")
    change(folder / "0" / ".zarray", '"<u2"', '"|O"')
    with pytest.raises(BadImage, match=r"expected an array of numbers; got one of `\|O`"):
        open_windows(folder)
    folder = zarr_image(tmp_path / "path", GRAY, "yx", "0.5")
    change(folder / "zarr.json", '"path": "0"', '"path": "../type/0"')
    with pytest.raises(BadImage, match=r"expected a path inside the store; got `../type/0`"):
        open_windows(folder)
    folder = zarr_image(tmp_path / "chunks", GRAY, "yx", "0.5")
    meta = json.loads((folder / "0" / "zarr.json").read_text(encoding="utf-8"))
    meta["chunk_grid"]["configuration"]["chunk_shape"] = [100_000, 100_000]
    (folder / "0" / "zarr.json").write_text(json.dumps(meta), encoding="utf-8")
    with pytest.raises(BadImage, match="expected chunks below 1 GiB"):
        open_windows(folder)
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "zarr.json").write_text("{}", encoding="utf-8")
    with pytest.raises(BadImage, match="got a store without a multiscale image"):
        open_windows(empty)


def test_a_jpeg_is_decoded_completely(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    Pillow.fromarray(RGB).save(path)
    source = open_windows(path)
    assert "decoded completely" in source.warnings[-1]
    assert source.plan(10) == source.memory_bytes == 3 * 150 * 201
