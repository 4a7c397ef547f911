"""Mutated PNG, TIFF, JPEG, BMP and OME-Zarr files: every reader accepts or refuses them, and none hangs."""

import io
import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fuzz.mutations import ODD, SECONDS, accept_or_refuse, edits, examples, mutate, places, replaced
from pixelwise.io.read import probe, read_image, read_mask
from pixelwise.io.windows import open_windows

PIXELS = np.random.default_rng(0).integers(0, 255, (24, 20)).astype(np.uint8)
LIMIT = 1 << 24  # pixels: a mutated header must not allocate more


def _pillow(format: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, format)
    return file.getvalue()


def _tiff(**options: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, PIXELS, photometric="minisblack", **options)
    return file.getvalue()


def _stack() -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, np.stack([PIXELS] * 3), photometric="minisblack", compression="zlib", tile=(16, 16))
    return file.getvalue()


FILES = {
    "a.png": _pillow("PNG"),
    "a.jpg": _pillow("JPEG"),
    "a.bmp": _pillow("BMP"),
    "a.webp": _pillow("WEBP"),
    "plain.tif": _tiff(),
    "tiled.tif": _tiff(tile=(16, 16), compression="zlib"),
    "big.tif": _tiff(bigtiff=True, rowsperstrip=5),
    "stack.tif": _stack(),
}


def read_all(path: Path) -> None:
    accept_or_refuse(lambda: probe(path))
    accept_or_refuse(lambda: read_image(path, max_pixels=LIMIT))
    accept_or_refuse(lambda: read_mask(path, max_pixels=LIMIT))
    accept_or_refuse(lambda: read_windows(path))


def read_windows(path: Path) -> None:
    reader = open_windows(path, max_pixels=LIMIT)
    try:
        reader.plan(16)
        _, height, width = reader.shape
        reader.read((0, min(height, 32)), (0, min(width, 32)))
    finally:
        reader.close()


@pytest.mark.parametrize("name", FILES)
def test_mutated_images_are_read_or_refused(name: str, tmp_path: Path) -> None:
    content = FILES[name]
    path = tmp_path / name

    @examples(60)
    @given(changed=edits(len(content)), cut=st.none() | st.integers(0, len(content)))
    def check(changed: list[tuple[int, int]], cut: int | None) -> None:
        path.write_bytes(mutate(content, changed, cut))
        read_all(path)

    check()


@pytest.mark.parametrize("name", ["plain.tif", "tiled.tif", "big.tif"])
def test_mutated_tiff_directories_are_read_or_refused(name: str, tmp_path: Path) -> None:
    """Changes are concentrated on the first directory, where sizes, offsets and counts are."""
    content = FILES[name]
    start = struct.unpack("<Q", content[8:16])[0] if name == "big.tif" else struct.unpack("<I", content[4:8])[0]
    length = min(len(content), start + 300) - start
    path = tmp_path / name

    @examples(120)
    @given(changed=edits(length))
    def check(changed: list[tuple[int, int]]) -> None:
        path.write_bytes(mutate(content, [(start + at, byte) for at, byte in changed], None))
        read_all(path)

    check()


def test_unchanged_images_are_accepted(tmp_path: Path) -> None:
    """Without a mutation everything but the stack is read: the tests above do not pass by refusing all."""
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
        accepted = accept_or_refuse(lambda path=tmp_path / name: read_image(path))
        assert accepted is (name != "stack.tif"), name


def circular_tiff() -> bytes:
    """Return a TIFF whose second directory has no entries and points back to the first."""
    tags = [(256, 4, 4), (257, 4, 4), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 140), (278, 4, 4), (279, 4, 16)]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    second = 8 + 2 + len(entries) + 4
    first = struct.pack("<H", len(tags)) + entries + struct.pack("<I", second)
    content = b"II*\0" + struct.pack("<I", 8) + first + struct.pack("<HI", 0, 8)
    return content.ljust(140, b"\0") + bytes(range(16))


def test_a_circle_of_directories_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "circle.tif"
    path.write_bytes(circular_tiff())
    for read in (probe, read_image, read_mask, read_windows):
        assert not accept_or_refuse(lambda read=read: read(path))


def test_control_without_the_check_the_circle_is_followed(tmp_path: Path) -> None:
    """In a process of its own, which has to be killed."""
    path = tmp_path / "circle.tif"
    path.write_bytes(circular_tiff())
    program = (
        "import sys; from pathlib import Path; from pixelwise.io import tiff_directories as directories\n"
        "from pixelwise.io.read import probe\n"
        "directories.check_directories = lambda *_: directories.Directories(1, 1, None)\n"
        "print('reads', flush=True)\nprobe(Path(sys.argv[1]))\nprint('done')"
    )
    reader = subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True)
    assert reader.stdout is not None
    with reader:
        assert reader.stdout.readline() == "reads\n"
        with pytest.raises(subprocess.TimeoutExpired):
            reader.wait(SECONDS)
        reader.kill()
        assert reader.stdout.read() == ""


AXES = [{"name": name, "type": "space"} for name in "yx"]
SCALE = [{"type": "scale", "scale": [1.0, 1.0]}]
ATTRIBUTES = {
    "multiscales": [{"version": "0.4", "axes": AXES, "datasets": [{"path": "0", "coordinateTransformations": SCALE}]}]
}


def write_store(store: Path) -> None:
    """Write an OME-Zarr image."""
    import zarr

    array = zarr.create_array(store / "0", data=PIXELS, chunks=(16, 16), zarr_format=2)
    assert array.shape == PIXELS.shape
    (store / ".zgroup").write_text('{"zarr_format": 2}', encoding="utf-8")
    (store / ".zattrs").write_text(json.dumps(ATTRIBUTES), encoding="utf-8")


def write_sharded_store(store: Path) -> None:
    """Write an OME-Zarr image of NGFF 0.5 in shards."""
    import zarr

    zarr.create_array(store / "0", data=np.zeros((64, 48), np.uint8), chunks=(8, 8), shards=(32, 16), zarr_format=3)
    scales = {"axes": AXES, "datasets": [{"path": "0", "coordinateTransformations": SCALE}]}
    group = {"zarr_format": 3, "node_type": "group", "attributes": {"ome": {"version": "0.5", "multiscales": [scales]}}}
    (store / "zarr.json").write_text(json.dumps(group), encoding="utf-8")


@pytest.mark.parametrize("file", [".zattrs", ".zarray"])
def test_odd_zarr_metadata_are_read_or_refused(file: str, tmp_path: Path) -> None:
    pytest.importorskip("zarr")
    store = tmp_path / "a.zarr"
    write_store(store)
    assert accept_or_refuse(lambda: read_windows(store))
    path = store / file if file == ".zattrs" else store / "0" / file
    original = json.loads(path.read_text(encoding="utf-8"))

    @examples(60)
    @given(at=st.sampled_from(places(original)), new=st.sampled_from(ODD))
    def check(at: tuple[Any, ...], new: Any) -> None:
        path.write_text(json.dumps(replaced(original, at, new)), encoding="utf-8")
        accept_or_refuse(lambda: read_windows(store))

    check()
