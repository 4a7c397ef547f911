"""Zarr metadata of more chunks or codecs than a library can work with: refused before the store is opened."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fuzz.mutations import limited
from fuzz.test_fuzz_images import read_windows, write_sharded_store, write_store
from pixelwise.errors import BadImage
from pixelwise.io import zarr as zarr_io
from pixelwise.io.zarr import MAX_CHUNKS, check_array

pytest.importorskip("zarr")


def _change(path: Path, *places: tuple[tuple[Any, ...], Any]) -> None:
    meta = json.loads(path.read_text("utf-8"))
    for place, new in places:
        value = meta
        for key in place[:-1]:
            value = value[key]
        value[place[-1]] = new
    path.write_text(json.dumps(meta), encoding="utf-8")


def _more_chunks(store: Path) -> None:
    write_store(store)
    _change(store / "0" / ".zarray", (("shape",), [24, 99_999_999]))


def _more_shards(store: Path) -> None:
    write_sharded_store(store)
    _change(store / "0" / "zarr.json", (("shape",), [64, 99_999_999]))


def _more_chunks_in_a_shard(store: Path) -> None:
    write_sharded_store(store)
    sides = ("chunk_grid", "configuration", "chunk_shape")
    inner = ("codecs", 0, "configuration", "chunk_shape")
    _change(store / "0" / "zarr.json", (sides, [8192, 8192]), (inner, [1, 1]))


@pytest.mark.parametrize("make", [_more_chunks, _more_shards, _more_chunks_in_a_shard])
def test_too_many_chunks_are_refused(make: Callable[[Path], None], tmp_path: Path) -> None:
    store = tmp_path / "a.zarr"
    make(store)
    with limited(), pytest.raises(BadImage, match=f"at most {MAX_CHUNKS} chunks"):
        read_windows(store)


def test_control_without_the_limit_the_library_lists_the_chunks(tmp_path: Path, monkeypatch: Any) -> None:
    store, listed = tmp_path / "a.zarr", list[int]()
    _more_chunks(store)
    monkeypatch.setattr(zarr_io, "_describe_absent", lambda array, _: listed.append(array.nchunks) or ())
    with pytest.raises(BadImage, match="chunks"):
        read_windows(store)
    assert listed == []
    monkeypatch.setattr(zarr_io, "MAX_CHUNKS", 10**12)
    with pytest.raises(BadImage, match="pixels"):
        read_windows(store)
    assert listed == [12_500_000]


def test_too_many_filters_are_refused(tmp_path: Path, monkeypatch: Any) -> None:
    store = tmp_path / "a.zarr"
    write_store(store)
    _change(store / "0" / ".zarray", (("filters",), [{"id": "delta", "dtype": "|u1"}] * 40))
    with limited(), pytest.raises(BadImage, match=r"codecs; got 4[01]"):
        read_windows(store)
    monkeypatch.setattr(zarr_io, "_MAX_CODECS", 100)  # the control
    read_windows(store)


def test_shards_are_read(tmp_path: Path) -> None:
    store = tmp_path / "a.zarr"
    write_sharded_store(store)
    assert check_array(store, store / "0").chunks == (8, 8)
    read_windows(store)
