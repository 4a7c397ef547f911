"""Write multiscale OME-Zarr label images (NGFF 0.5), renamed to the final name when complete.

One write is one shard, so that no file is written twice. Chunks of zeros are written too: a missing chunk is damage,
not background.
"""

import os
import shutil
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Integer

from pixelwise.atomic_write import write_error
from pixelwise.geometry.tiles import Span
from pixelwise.io.georeference import Georeference
from pixelwise.io.tiled_writer import TiledLayout
from pixelwise.io.write import Colour
from pixelwise.io.zarr import zarr_library

_SHARD = 8  # chunks per side of a shard
Read = Callable[[Span, Span], Integer[np.ndarray, "rows columns"]]


@dataclass(frozen=True, kw_only=True)
class PixelMetadata:
    """Micrometres per pixel (y, x), and for masks the colour and name of each class.

    `georeference` and `nodata`, the value of missing pixels, are written in TIFF only.
    """

    spacing: tuple[float, float] | None = None
    georeference: Georeference | None = None
    nodata: int | None = None
    palette: Sequence[Colour] = ()
    names: Sequence[str] = ()


def write_zarr(path: Path, layout: TiledLayout, read: Read, metadata: PixelMetadata) -> None:
    """Write a label image as OME-Zarr; each level has every second pixel of the previous one.

    Parameters
    ----------
    path : Path
        The folder of the result; an existing one is replaced.
    layout : TiledLayout
        The tiles become chunks.
    read : callable
        Returns a window of the label image, (rows, columns).
    metadata : PixelMetadata

    Raises
    ------
    OutputFailed
        The folder cannot be written.
    BadOption
        The extra `zarr` is not installed.
    """
    with new_store(path) as group:
        levels = _levels(layout)
        for number, level in enumerate(levels):
            array = _create(group, number, level)
            _fill(array, level, read)
            read = _downsampled(array, level)
        group.attrs.update({"ome": _ome_attributes(len(levels), metadata)})


@contextmanager
def new_store(path: Path) -> Generator[Any, None, None]:
    """Give a Zarr group to fill, which becomes the folder `path` when it is complete and on disk, or replaces it.

    Raises
    ------
    OutputFailed
        The folder cannot be written.
    BadOption
        The extra `zarr` is not installed.
    """
    zarr = zarr_library()
    temporary, old = path.with_name(f".{path.name}.growing"), path.with_name(f".{path.name}.old")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        yield zarr.open_group(zarr.storage.LocalStore(temporary), mode="w", zarr_format=3)
        _sync(temporary)
        shutil.rmtree(old, ignore_errors=True)
        if path.exists():
            path.rename(old)
        temporary.rename(path)
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


def _downsampled(array: Any, level: TiledLayout) -> Read:
    """Return a function that reads windows of the next level from a written level."""

    def read(rows: Span, columns: Span) -> Integer[np.ndarray, "rows columns"]:
        bottom, right = min(level.height, 2 * rows[1]), min(level.width, 2 * columns[1])
        return np.asarray(array[2 * rows[0] : bottom : 2, 2 * columns[0] : right : 2])

    return read


def _ome_attributes(levels: int, metadata: PixelMetadata) -> dict[str, Any]:
    spacing = metadata.spacing or (1.0, 1.0)
    unit = {"unit": "micrometer"} if metadata.spacing else {}
    datasets = [
        {
            "path": str(number),
            "coordinateTransformations": [{"type": "scale", "scale": [side * 2.0**number for side in spacing]}],
        }
        for number in range(levels)
    ]
    axes = [{"name": name, "type": "space"} | unit for name in "yx"]
    label: dict[str, Any] = {"version": "0.5"}
    if metadata.palette:
        label["colors"] = [{"label-value": i, "rgba": [*rgb, 255]} for i, rgb in enumerate(metadata.palette)]
    if metadata.names:
        label["properties"] = [{"label-value": i, "name": name} for i, name in enumerate(metadata.names)]
    return {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}], "image-label": label}


def _sync(folder: Path) -> None:
    """Sync all files of a store to disk."""
    for path in folder.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
