"""Maps in a file: what was written is read, nothing is left in the folder, and a full disk is an error of ours."""

import errno
import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelwise.errors import DiskFull, OutputFailed
from pixelwise.io import scratch
from pixelwise.io.scratch import SCRATCH_BYTES, ScratchFile, scratch_bytes, scratch_folder

pytestmark = pytest.mark.skipif(not hasattr(os, "pwrite"), reason="files cannot be read at an offset here")


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def window(data: st.DataObject, size: tuple[int, ...]) -> tuple[slice, ...]:
    starts = [data.draw(st.integers(0, side - 1)) for side in size]
    return tuple(
        slice(start, data.draw(st.integers(start + 1, side))) for start, side in zip(starts, size, strict=True)
    )


@given(data=st.data(), channels=st.integers(1, 3), dimensions=st.sampled_from([2, 3]))
def test_windows_hold_what_was_written(
    data: st.DataObject, channels: int, dimensions: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.getbasetemp()
    size = tuple(data.draw(st.integers(1, 6)) for _ in range(dimensions))
    file = ScratchFile(folder)
    before = sorted(folder.iterdir())
    maps = [file.allocate((channels, *size), np.dtype(kind)) for kind in (np.float32, np.float64)]
    expected = [rng.normal(size=(channels, *size)).astype(stored.dtype) for stored in maps]
    for stored, values in zip(maps, expected, strict=True):
        stored.write([slice(0, side) for side in size], values)
        changed = window(data, size)
        values[(slice(None), *changed)] += 1
        stored.write(changed, values[(slice(None), *changed)])
    for stored, values in zip(maps, expected, strict=True):
        place = window(data, size)
        np.testing.assert_array_equal(stored.read(place), values[(slice(None), *place)])
    assert sorted(folder.iterdir()) == before, "the file has no name, so that a killed process leaves nothing"


def test_a_cleared_file_takes_no_space_and_is_used_again(tmp_path: Path) -> None:
    file = ScratchFile(tmp_path)
    place = [slice(0, 8), slice(0, 8)]
    first = file.allocate((2, 8, 8), np.dtype(np.float32))
    first.write(place, np.ones((2, 8, 8), np.float32))
    assert os.fstat(first.descriptor).st_size == 512
    file.clear()
    assert os.fstat(first.descriptor).st_size == 0
    again = file.allocate((2, 8, 8), np.dtype(np.float32))
    assert again.offset == 0
    with pytest.raises(EOFError):
        again.read(place)


def test_a_full_disk_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = ScratchFile(tmp_path)
    stored = file.allocate((1, 4, 4), np.dtype(np.float32))

    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(DiskFull):
        stored.write([slice(0, 4), slice(0, 4)], np.zeros((1, 4, 4), np.float32))
    with pytest.raises(OutputFailed):
        ScratchFile(tmp_path / "missing")


def test_nothing_is_stored_where_there_is_little_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = 10 * SCRATCH_BYTES
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(free, 0, free))
    assert scratch_bytes(tmp_path / "made" / "later") == SCRATCH_BYTES
    free = SCRATCH_BYTES
    assert scratch_bytes(tmp_path) == 0
    assert scratch_bytes(None) == 0


def test_the_folder_is_that_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(scratch.tempfile, "tempdir", None)
    assert scratch_folder() == tmp_path
    monkeypatch.delenv("TMPDIR")
    assert scratch_folder() is not None
