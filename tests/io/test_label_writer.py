"""Label images are written tile by tile, resumable after a kill at any byte, and atomic."""

import importlib
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from yaozarrs import v05

from pixelwise.errors import BadImage, BadOption, OutputFailed
from pixelwise.io.journal import Journal
from pixelwise.io.label_writer import PixelMetadata, check_format, finish, result_path
from pixelwise.io.tiled_writer import HEADER, TiledLayout, TileFile, read_windows
from pixelwise.io.windows import open_windows

COLOURS = ((0, 0, 0), (255, 0, 0), (0, 158, 115))
METADATA = PixelMetadata(spacing=(0.25, 0.5), palette=COLOURS, names=("ground", "cell", "edge"))


def drawn(height: int, width: int, dtype: str = "uint8") -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return ((rows // 7 + columns // 11) % 3 * (1 if dtype == "uint8" else 30_001)).astype(dtype)


def windows(layout: TiledLayout, core: int) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    return [
        ((top, min(top + core, layout.height)), (left, min(left + core, layout.width)))
        for top in range(0, layout.height, core)
        for left in range(0, layout.width, core)
    ]


def fill(tiles: TileFile, labels: np.ndarray, core: int, limit: int = 10**9) -> int:
    """Write at most `limit` missing windows; return the number of written windows."""
    left = [window for window in windows(tiles.layout, core) if window not in tiles.done][:limit]
    for window in left:
        (top, bottom), (start, stop) = window
        tiles.write(window, labels[top:bottom, start:stop])
    return len(left)


@pytest.mark.parametrize("compression", ["deflate", "zstd"])
@pytest.mark.parametrize(
    ("height", "width", "dtype"), [(100, 150, "uint8"), (64, 64, "uint16"), (130, 33, "uint32"), (1, 1, "uint8")]
)
def test_tiff_round_trip(tmp_path: Path, height: int, width: int, dtype: str, compression: str) -> None:
    labels = drawn(height, width, dtype)
    layout = TiledLayout(height=height, width=width, dtype=dtype, tile=32, compression=compression)
    path = result_path(tmp_path, "mask", "tiff")
    tiles = TileFile(path, layout, "test")
    fill(tiles, labels, 64)
    assert np.array_equal(tiles.read((0, height), (0, width)), labels)
    assert finish(tiles, "tiff", METADATA) == path
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mask.tif"]
    with tifffile.TiffFile(path) as tiff:
        assert tiff.is_bigtiff
        assert np.array_equal(tiff.pages[0].asarray(), labels)
        pages: Any = tiff.pages
        for number, page in enumerate(pages):
            step = 2**number
            assert np.array_equal(page.asarray(), labels[::step, ::step])
            assert page.is_reduced == (number > 0)
        assert max(pages[-1].shape) <= 32
    source = open_windows(path)
    assert source.spacing == (0.25, 0.5)
    if dtype == "uint8":
        assert source.shape[0] == 3, "a palette"
        source.close()
    else:
        assert np.array_equal(source.read((0, height), (0, width))[0], labels)
        source.close()


@pytest.mark.parametrize(("height", "width"), [(100, 150), (300, 40), (5, 5)])
def test_ome_zarr_labels_with_a_pyramid(tmp_path: Path, height: int, width: int) -> None:
    zarr: Any = importlib.import_module("zarr")

    labels = drawn(height, width)
    path = result_path(tmp_path, "mask", "zarr")
    tiles = TileFile(path, TiledLayout(height=height, width=width, dtype="uint8", tile=16), "test")
    fill(tiles, labels, 32)
    finish(tiles, "zarr", METADATA)
    assert [p.name for p in tmp_path.iterdir()] == ["mask.ome.zarr"]
    group = zarr.open_group(path, mode="r")
    attributes = group.attrs["ome"]
    v05.LabelImage.model_validate(dict(attributes))  # an independent model of the specification
    datasets = attributes["multiscales"][0]["datasets"]
    for number, dataset in enumerate(datasets):
        step = 2**number
        assert np.array_equal(np.asarray(group[dataset["path"]]), labels[::step, ::step])
        assert dataset["coordinateTransformations"] == [{"type": "scale", "scale": [0.25 * step, 0.5 * step]}]
    assert attributes["image-label"]["colors"][1] == {"label-value": 1, "rgba": [255, 0, 0, 255]}
    assert attributes["image-label"]["properties"][2] == {"label-value": 2, "name": "edge"}
    source = open_windows(path)
    assert source.spacing == (0.25, 0.5)
    assert np.array_equal(source.read((0, height), (0, width))[0], labels)


def test_an_old_store_is_replaced(tmp_path: Path) -> None:
    path = result_path(tmp_path, "mask", "zarr")
    for dtype in ("uint8", "uint16"):
        tiles = TileFile(path, TiledLayout(height=40, width=40, dtype=dtype, tile=16), dtype)
        fill(tiles, drawn(40, 40, dtype), 32)
        finish(tiles, "zarr", PixelMetadata())
    assert open_windows(path).dtype == np.uint16
    assert [p.name for p in tmp_path.iterdir()] == ["mask.ome.zarr"]


LAYOUT = TiledLayout(height=100, width=150, dtype="uint8", tile=32)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("whole") / "mask.tif"
    tiles = TileFile(path, LAYOUT, "test")
    fill(tiles, drawn(100, 150), 64)
    finish(tiles, "tiff", METADATA)
    return path.read_bytes()


@settings(max_examples=60)
@given(
    done=st.integers(0, 6), cut_part=st.integers(0, 200), cut_journal=st.integers(0, 200), junk=st.binary(max_size=40)
)
def test_the_result_is_the_same_after_a_kill_at_any_byte(
    tmp_path_factory: pytest.TempPathFactory, expected: bytes, done: int, cut_part: int, cut_journal: int, junk: bytes
) -> None:
    path = tmp_path_factory.mktemp("killed") / "mask.tif"
    tiles = TileFile(path, LAYOUT, "test")
    fill(tiles, drawn(100, 150), 64, done)
    tiles.close()
    for file, cut in ((tiles.tiles_path, cut_part), (tiles.journal_path, cut_journal)):
        data = file.read_bytes()
        file.write_bytes(data[: max(0, len(data) - cut)] + junk)
    again = TileFile(path, LAYOUT, "test")
    assert len(again.done) <= done
    if not cut_part and not cut_journal:
        assert len(again.done) == done, "finished windows are not written again"
    fill(again, drawn(100, 150), 64)
    finish(again, "tiff", METADATA)
    assert path.read_bytes() == expected


def test_the_result_does_not_depend_on_the_order_of_the_windows(tmp_path: Path, expected: bytes) -> None:
    path, labels = tmp_path / "mask.tif", drawn(100, 150)
    tiles = TileFile(path, LAYOUT, "test")
    for top in (64, 32, 0, 96):
        for left in (128, 0, 64):
            rows, columns = slice(top, min(top + 32, 100)), slice(left, min(left + 64, 150))
            tiles.write(((rows.start, rows.stop), (columns.start, columns.stop)), labels[rows, columns])
    order = [tiles.levels[0].locations[index][0] for index in sorted(tiles.levels[0].locations)]
    assert order != sorted(order), "the tiles are in another order until then"
    finish(tiles, "tiff", METADATA)
    assert path.read_bytes() == expected


def test_a_kill_while_the_result_is_put_in_order_loses_nothing(
    tmp_path: Path, expected: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mask.tif"
    tiles = TileFile(path, LAYOUT, "test")
    fill(tiles, drawn(100, 150), 64)
    written = len(tiles.done)
    with monkeypatch.context() as patch:
        patch.setattr(TileFile, "finalize", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            finish(tiles, "tiff", METADATA)
    assert (tmp_path / ".mask.tif.ordered").exists()
    for file in (tiles._file, tiles._journal):  # as for a killed process, whose lock ends with it
        file.close()
    again = TileFile(path, LAYOUT, "test")
    assert len(again.done) == written
    finish(again, "tiff", METADATA)
    assert path.read_bytes() == expected
    assert [file.name for file in tmp_path.iterdir()] == ["mask.tif"]


def test_windows_after_a_flipped_bit_are_written_again(tmp_path: Path, expected: bytes) -> None:
    path = tmp_path / "mask.tif"
    tiles = TileFile(path, LAYOUT, "test")
    fill(tiles, drawn(100, 150), 64)
    offset = tiles.levels[0].locations[2][0]
    tiles.close()
    data = bytearray(tiles.tiles_path.read_bytes())
    data[offset] ^= 1
    tiles.tiles_path.write_bytes(data)
    again = TileFile(path, LAYOUT, "test")
    assert again.done == {((0, 64), (0, 64))}, "tile 2 belongs to the second window"
    fill(again, drawn(100, 150), 64)
    finish(again, "tiff", METADATA)
    assert path.read_bytes() == expected


def test_another_identity_starts_from_scratch(tmp_path: Path) -> None:
    path = tmp_path / "mask.tif"
    tiles = TileFile(path, LAYOUT, "one model")
    tiles.note("scale", [1.0, 2.5])
    fill(tiles, drawn(100, 150), 64, 3)
    tiles.close()
    again = TileFile(path, LAYOUT, "one model")
    assert (len(again.done), again.notes) == (3, {"scale": [1.0, 2.5]})
    again.close()
    other = TileFile(path, LAYOUT, "another model")
    assert (other.done, other.notes) == (set(), {})
    assert other.tiles_path.stat().st_size == HEADER
    other.discard()
    assert list(tmp_path.iterdir()) == []


def test_an_unfinished_file_is_not_an_image(tmp_path: Path) -> None:
    path = tmp_path / "mask.tif"
    tiles = TileFile(path, LAYOUT, "test")
    fill(tiles, drawn(100, 150), 64)
    tiles.close()
    assert not path.exists()
    with pytest.raises(BadImage, match="a truncated file"):
        open_windows(tiles.tiles_path)


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    tiles = TileFile(tmp_path / "mask.tif", LAYOUT, "test")
    with pytest.raises(OutputFailed, match="another process"):
        TileFile(tmp_path / "mask.tif", LAYOUT, "test")
    tiles.close()
    TileFile(tmp_path / "mask.tif", LAYOUT, "test").close()


def test_windows_off_the_grid_are_refused(tmp_path: Path) -> None:
    tiles = TileFile(tmp_path / "mask.tif", LAYOUT, "test")
    with pytest.raises(BadOption, match="expected windows on a grid of 32 pixels"):
        tiles.write(((0, 40), (0, 32)), np.zeros((40, 32), np.uint8))
    with pytest.raises(BadOption, match="expected tiles of a multiple of 16 pixels"):
        TiledLayout(height=1, width=1, dtype="uint8", tile=20)
    with pytest.raises(BadOption, match="expected a format of tiff or zarr; got `png`"):
        check_format("png")
    tiles.close()


def test_writing_resumes_after_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expected: bytes) -> None:
    path = tmp_path / "mask.tif"
    tiles = TileFile(path, LAYOUT, "test")
    fill(tiles, drawn(100, 150), 64, 2)

    class Full:
        def __init__(self, file: object) -> None:
            self.file = file

        def __getattr__(self, name: str) -> object:
            return getattr(self.file, name)

        def write(self, data: bytes) -> int:
            raise OSError(28, "No space left on device")

    whole = tiles._file
    monkeypatch.setattr(tiles, "_file", Full(whole))
    with pytest.raises(OutputFailed, match="expected free disk space; got a full disk"):
        fill(tiles, drawn(100, 150), 64)
    monkeypatch.setattr(tiles, "_file", whole)
    tiles.close()
    again = TileFile(path, LAYOUT, "test")
    assert len(again.done) == 2
    fill(again, drawn(100, 150), 64)
    finish(again, "tiff", METADATA)
    assert path.read_bytes() == expected


@pytest.mark.parametrize("step", ["append_bytes", "reorder", "sync", "note", "finalize"])
def test_every_step_says_that_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    path = tmp_path / "mask.tif"
    tiles = TileFile(path, LAYOUT, "test")
    fill(tiles, drawn(100, 150), 64)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    steps = {
        "append_bytes": lambda: tiles.append_bytes(b"1234"),
        "reorder": tiles.reorder,
        "sync": tiles.sync,
        "note": lambda: tiles.note("mean", 1.5),
        "finalize": lambda: tiles.finalize(HEADER),
    }
    with monkeypatch.context() as patch:
        if step == "append_bytes":
            patch.setattr(tiles, "_file", SimpleNamespace(seek=full))
        elif step == "reorder":
            patch.setattr(Path, "open", full)
        elif step == "finalize":
            tiles.reorder()
            patch.setattr(Path, "replace", full)
        else:
            patch.setattr(Journal, "sync" if step == "sync" else "append", full)
        with pytest.raises(OutputFailed, match="expected free disk space; got a full disk"):
            steps[step]()
    tiles.close()
    assert not path.exists()
    again = TileFile(path, LAYOUT, "test")
    assert set(again.done) == set(windows(LAYOUT, 64)), "what was written is kept"
    assert not again.notes
    again.close()


def test_the_tiles_of_an_unfinished_image_are_read_and_checked(tmp_path: Path) -> None:
    labels = drawn(100, 150)
    first, second = (TileFile(tmp_path / name, LAYOUT, "test") for name in ("a.tif", "b.tif"))
    fill(first, labels, 64)
    first.close()
    found = read_windows(first.tiles_path, first.journal_path)
    for window, tiles in found.items():
        second.take(window, tiles())
    assert np.array_equal(second.read((0, 100), (0, 150)), labels)
    second.close()
    damaged = bytearray(first.tiles_path.read_bytes())
    damaged[HEADER + 3] ^= 255
    first.tiles_path.write_bytes(damaged)
    with pytest.raises(BadImage, match="undamaged tile"):
        _ = [tiles() for tiles in found.values()]
    first.tiles_path.unlink()
    with pytest.raises(OutputFailed):
        next(iter(found.values()))()
    first.journal_path.unlink()
    with pytest.raises(OutputFailed):
        read_windows(first.tiles_path, first.journal_path)


def test_resume_after_sigkill(tmp_path: Path, expected: bytes) -> None:
    """The process is killed while writing and does not close its files."""
    path = tmp_path / "mask.tif"
    code = (
        "import os, signal, sys; sys.path.insert(0, sys.argv[2])\n"
        "from pathlib import Path; from test_label_writer import LAYOUT, drawn, fill\n"
        "from pixelwise.io.label_writer import TileFile\n"
        "tiles = TileFile(Path(sys.argv[1]), LAYOUT, 'test'); fill(tiles, drawn(100, 150), 64, 4)\n"
        "tiles.append(0, 99, drawn(32, 32)); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    died = subprocess.run([sys.executable, "-c", code, str(path), str(Path(__file__).parent)], check=False)
    assert died.returncode == -9
    again = TileFile(path, LAYOUT, "test")
    assert len(again.done) == 4
    fill(again, drawn(100, 150), 64)
    finish(again, "tiff", METADATA)
    assert path.read_bytes() == expected
