"""A label volume is written by windows, read again, and resumed from what its journal holds."""

from pathlib import Path

import numpy as np
import pytest
from yaozarrs import validate_zarr_store

from pixelwise.errors import BadOption, OutputFailed
from pixelwise.geometry.grid import Grid
from pixelwise.io.volumes.label_tiles import VolumeTiles
from pixelwise.io.volumes.zarr import read_zarr_volume
from pixelwise.io.volumes.zarr_levels import write_zarr_levels

SHAPE = (5, 40, 50)
LABELS = np.random.default_rng(0).integers(0, 60_000, SHAPE).astype(np.uint16)
WINDOWS = [
    ((first, min(5, first + 3)), (top, min(40, top + 32)), (left, min(50, left + 32)))
    for first in (0, 3)
    for top in (0, 32)
    for left in (0, 32)
]


def tiles(tmp_path: Path, identity: str = "one") -> VolumeTiles:
    return VolumeTiles(tmp_path / "labels", SHAPE, "uint16", tile=16, identity=identity)


def part(window: tuple[tuple[int, int], ...]) -> np.ndarray:
    return LABELS[tuple(slice(*span) for span in window)]


def test_windows_are_read_again_across_their_edges(tmp_path: Path) -> None:
    file = tiles(tmp_path)
    for window in WINDOWS:
        file.write(window, part(window))
    assert np.array_equal(file.read((0, 5), (0, 40), (0, 50)), LABELS)
    assert np.array_equal(file.read((2, 4), (30, 37), (17, 49)), LABELS[2:4, 30:37, 17:49])
    file.discard()
    assert list(tmp_path.iterdir()) == []


def test_what_is_written_is_done_also_for_the_next_process(tmp_path: Path) -> None:
    file = tiles(tmp_path)
    file.note("scale", 3)
    for window in WINDOWS[:5]:
        file.write(window, part(window))
    file.close()
    again = tiles(tmp_path)
    assert [window in again.done for window in WINDOWS] == [True] * 5 + [False] * 3
    assert again.notes == {"scale": 3}
    assert np.array_equal(again.read((0, 3), (0, 40), (0, 50)), LABELS[:3])
    again.close()
    other = tiles(tmp_path, "another")
    assert not any(window in other.done for window in WINDOWS)
    other.discard()


def test_a_window_with_a_lost_plane_is_not_done(tmp_path: Path) -> None:
    file = tiles(tmp_path)
    file.write(WINDOWS[0], part(WINDOWS[0]))
    file.close()
    journal = tmp_path / ".labels.journal"
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:-1]))
    again = tiles(tmp_path)
    assert WINDOWS[0] not in again.done
    again.discard()


def test_windows_off_the_grid_and_two_writers_are_refused(tmp_path: Path) -> None:
    file = tiles(tmp_path)
    for window in (((0, 1), (0, 20), (0, 50)), ((0, 1), (8, 40), (0, 50)), ((0, 1), (0, 40), (0, 20))):
        with pytest.raises(BadOption, match="windows on a grid of 16 pixels"):
            file.write(window, part(window))
    with pytest.raises(OutputFailed, match="another process"):
        tiles(tmp_path)
    file.discard()


@pytest.mark.parametrize("unit", ["micrometer", None])
def test_levels_are_valid_ome_zarr(tmp_path: Path, unit: str | None) -> None:
    shape = (70, 40, 150)
    labels = np.random.default_rng(0).integers(0, 9, shape).astype(np.uint8)
    grid = Grid(axes=("z", "y", "x"), spacing=(3.0, 0.5, 0.5), unit=unit)
    calls: list[tuple[int, ...]] = []

    def read(*window: tuple[int, int]) -> np.ndarray:
        calls.append(tuple(stop - start for start, stop in window))
        return labels[tuple(slice(*span) for span in window)]

    path = tmp_path / "labels.ome.zarr"
    write_zarr_levels(path, shape, "uint8", read, grid=grid, names=("background", "object"))
    volume = read_zarr_volume(path)
    assert np.array_equal(volume.samples[0], labels)
    assert volume.grid == grid
    assert max(max(sides) for sides in calls) <= 128, "read in parts"
    validate_zarr_store(str(path))
