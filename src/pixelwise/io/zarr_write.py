"""Write OME-Zarr (NGFF 0.5), renamed to the final name when complete: images with labels, multiscale label images.

Of a multiscale image one write is one shard, so that no file is written twice. Chunks of zeros are written too: a
missing chunk is damage, not background.
"""

import os
import shutil
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Integer, Num

from pixelwise.atomic_write import write_error
from pixelwise.geometry.tiles import Span
from pixelwise.io.georeference import Georeference
from pixelwise.io.tiled_writer import Compression, TiledLayout
from pixelwise.io.write import Colour
from pixelwise.io.zarr import zarr_library

_SHARD = 8  # chunks per side of a shard
_CHUNK = 512  # pixels per side, of an image with its labels
_CHANNELS = 16  # per chunk, at most
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

    Raises
    ------
    OutputFailed, BadOption
        As for `new_store`.
    """
    with new_store(path) as group:
        levels = _levels(layout)
        for number, level in enumerate(levels):
            array = create_level(
                group,
                number,
                (level.height, level.width),
                level.dtype,
                axes=("y", "x"),
                chunks=(level.tile,) * 2,
                shards=(_shard(level),) * 2,
                compression=level.compression,
            )
            _fill(array, level, read)
            read = _downsampled(array, level)
        grid = (metadata.spacing, "micrometer") if metadata.spacing else ((1.0, 1.0), None)
        group.attrs.update({"ome": label_attributes(len(levels), "yx", grid, metadata.palette, metadata.names)})


def write_labelled_image(
    path: Path,
    pixels: Num[np.ndarray, "channels height width"],
    labels: Integer[np.ndarray, "height width"],
    name: str,
    metadata: PixelMetadata,
) -> None:
    """Write an image as OME-Zarr, with its labels as the label image ``labels/NAME``, each at full resolution alone.

    Parameters
    ----------
    path : Path
        The folder of the result; an existing one is replaced.
    pixels : (channels, height, width) array
        Stored as it is; a single channel without the axis c.
    labels : (height, width) array
        Numbers from 0.

    Raises
    ------
    OutputFailed, BadOption
        As for `new_store`.
    """
    grid = (metadata.spacing, "micrometer") if metadata.spacing else ((1.0, 1.0), None)
    with new_store(path) as group:
        values, axes = (pixels, ("c", "y", "x")) if len(pixels) > 1 else (pixels[0], ("y", "x"))
        _write_whole(group, values, axes)
        group.attrs.update({"ome": image_attributes(1, axes, grid)})
        others = group.create_group("labels")
        others.attrs.update({"ome": {"version": "0.5", "labels": [name]}})
        own = others.create_group(name)
        _write_whole(own, labels, ("y", "x"))
        described = label_attributes(1, "yx", grid, metadata.palette, metadata.names)
        described["image-label"]["source"] = {"image": "../../"}
        own.attrs.update({"ome": described})


def _write_whole(group: Any, values: Num[np.ndarray, "*size"], axes: tuple[str, ...]) -> None:
    limits = (*((_CHANNELS,) if axes[0] == "c" else ()), _CHUNK, _CHUNK)
    chunks = tuple(min(side, limit) for side, limit in zip(values.shape, limits, strict=True))
    create_level(group, 0, values.shape, str(values.dtype), axes=axes, chunks=chunks)[...] = values


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


def create_level(
    group: Any,
    number: int,
    size: tuple[int, ...],
    dtype: str,
    *,
    axes: tuple[str, ...],
    chunks: tuple[int, ...],
    shards: tuple[int, ...] | None = None,
    compression: Compression = "zstd",
) -> Any:
    """Return the new array of a level; chunks of zeros are written too."""
    codecs = zarr_library().codecs
    return group.create_array(
        str(number),
        shape=size,
        dtype=dtype,
        chunks=chunks,
        shards=shards,
        fill_value=0,
        dimension_names=axes,
        config={"write_empty_chunks": True},
        compressors=codecs.ZstdCodec() if compression == "zstd" else codecs.GzipCodec(level=6),
    )


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


def label_attributes(
    levels: int,
    axes: Sequence[str],
    grid: tuple[Sequence[float], str | None],
    palette: Sequence[Colour],
    names: Sequence[str],
) -> dict[str, Any]:
    """Return the attributes `ome` of a label image: NGFF 0.5, "multiscales" and "image-label".

    `grid` is the spacing along each axis, and its unit; a level has half the samples of the one before.

    Examples
    --------
    >>> label_attributes(1, "yx", ((0.5, 0.5), "micrometer"), (), ("sky",))["image-label"]
    {'version': '0.5', 'properties': [{'label-value': 0, 'name': 'sky'}]}
    """
    label: dict[str, Any] = {"version": "0.5"}
    if palette:
        label["colors"] = [{"label-value": index, "rgba": [*colour, 255]} for index, colour in enumerate(palette)]
    if names:
        label["properties"] = [{"label-value": index, "name": name} for index, name in enumerate(names)]
    return image_attributes(levels, axes, grid) | {"image-label": label}


def image_attributes(levels: int, axes: Sequence[str], grid: tuple[Sequence[float], str | None]) -> dict[str, Any]:
    """Return the attributes `ome` of an image: NGFF 0.5, "multiscales".

    The axis c has no unit, and all samples in each level; the other parameters are those of `label_attributes`.
    """
    spacing, unit = grid
    space = {"type": "space"} | ({} if unit is None else {"unit": unit})
    sides = dict(zip((axis for axis in axes if axis != "c"), spacing, strict=True))
    datasets = [
        {
            "path": str(number),
            "coordinateTransformations": [
                {"type": "scale", "scale": [sides[axis] * 2.0**number if axis in sides else 1.0 for axis in axes]}
            ],
        }
        for number in range(levels)
    ]
    described = [{"name": axis} | (space if axis in sides else {"type": "channel"}) for axis in axes]
    return {"version": "0.5", "multiscales": [{"axes": described, "datasets": datasets}]}


def _sync(folder: Path) -> None:
    """Sync all files of a store to disk."""
    for path in folder.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
