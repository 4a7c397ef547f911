"""OME-Zarr labels (NGFF 0.5): a multiscale label image with a pyramid, which appears under its name when it is whole.

The shard is what is written at once, so that no two writes ever meet in one file. Chunks of zeros are written too: what
is missing later is damage, not background.
"""

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Integer

from pixelwise.atomic_write import write_error
from pixelwise.geometry.tiles import Span
from pixelwise.io.tiled_writer import TiledLayout
from pixelwise.io.write import Colour
from pixelwise.io.zarr import zarr_library

_SHARD = 8  # chunks a side that share a file
Read = Callable[[Span, Span], Integer[np.ndarray, "rows columns"]]


@dataclass(frozen=True, kw_only=True)
class PixelMetadata:
    """What goes with the numbers: micrometres per pixel (y, x), and for masks the colour and name of each class."""

    spacing: tuple[float, float] | None = None
    palette: Sequence[Colour] = ()
    names: Sequence[str] = ()


def write_zarr(path: Path, layout: TiledLayout, read: Read, meaning: PixelMetadata) -> None:
    """Write a label image as OME-Zarr; every second pixel of a level makes the next.

    Parameters
    ----------
    path : Path
        The folder of the result; one that stands there is replaced.
    layout : Layout
        Its tiles become chunks.
    read : callable
        Returns a window of the label image, (rows, columns).
    meaning : Meaning

    Raises
    ------
    OutputFailed
        The place cannot be written.
    BadOption
        The extra `zarr` is not installed.
    """
    zarr = zarr_library()
    growing, old = path.with_name(f".{path.name}.growing"), path.with_name(f".{path.name}.old")
    try:
        shutil.rmtree(growing, ignore_errors=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        group = zarr.open_group(zarr.storage.LocalStore(growing), mode="w", zarr_format=3)
        levels = _levels(layout)
        for number, level in enumerate(levels):
            array = _create(group, number, level)
            _fill(array, level, read)
            read = _halved(array, level)
        group.attrs.update({"ome": _described(len(levels), meaning)})
        _sync(growing)
        shutil.rmtree(old, ignore_errors=True)
        if path.exists():
            path.rename(old)
        growing.rename(path)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise write_error(path, error) from error


def _levels(layout: TiledLayout) -> list[TiledLayout]:
    levels = [layout]
    while max(levels[-1].height, levels[-1].width) > layout.tile:
        levels.append(levels[-1].shrunk())
    return levels


def _shard(level: TiledLayout) -> int:
    return level.tile * min(_SHARD, max(level.down, level.across))


def _create(group: Any, number: int, level: TiledLayout) -> Any:
    side = _shard(level)
    return group.create_array(
        str(number),
        shape=(level.height, level.width),
        dtype=level.dtype,
        chunks=(level.tile, level.tile),
        shards=(side, side),
        fill_value=0,
        dimension_names=("y", "x"),
        config={"write_empty_chunks": True},
        compressors=_compressor(level),
    )


def _compressor(level: TiledLayout) -> Any:
    codecs = zarr_library().codecs
    return codecs.ZstdCodec() if level.compression == "zstd" else codecs.GzipCodec(level=6)


def _fill(array: Any, level: TiledLayout, read: Read) -> None:
    side = _shard(level)
    for top in range(0, level.height, side):
        for left in range(0, level.width, side):
            bottom, right = min(level.height, top + side), min(level.width, left + side)
            array[top:bottom, left:right] = read((top, bottom), (left, right))


def _halved(array: Any, level: TiledLayout) -> Read:
    """Return how windows of the level below are read from a level that is written."""

    def read(rows: Span, columns: Span) -> Integer[np.ndarray, "rows columns"]:
        bottom, right = min(level.height, 2 * rows[1]), min(level.width, 2 * columns[1])
        return np.asarray(array[2 * rows[0] : bottom : 2, 2 * columns[0] : right : 2])

    return read


def _described(levels: int, meaning: PixelMetadata) -> dict[str, Any]:
    spacing = meaning.spacing or (1.0, 1.0)
    unit = {"unit": "micrometer"} if meaning.spacing else {}
    datasets = [
        {
            "path": str(number),
            "coordinateTransformations": [{"type": "scale", "scale": [side * 2.0**number for side in spacing]}],
        }
        for number in range(levels)
    ]
    axes = [{"name": name, "type": "space"} | unit for name in "yx"]
    label: dict[str, Any] = {"version": "0.5"}
    if meaning.palette:
        label["colors"] = [{"label-value": i, "rgba": [*rgb, 255]} for i, rgb in enumerate(meaning.palette)]
    if meaning.names:
        label["properties"] = [{"label-value": i, "name": name} for i, name in enumerate(meaning.names)]
    return {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}], "image-label": label}


def _sync(folder: Path) -> None:
    """Bring all files of a store to the disk before it gets its name."""
    for path in folder.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
