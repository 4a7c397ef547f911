"""OME-Zarr volumes (extra `zarr`): the axes t, c, z, y, x of NGFF 0.4 and 0.5, in and out.

Source: NGFF 0.5, "multiscales" and "labels".
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Num

from pixelwise.errors import BadImage
from pixelwise.geometry.grid import VOLUME_AXES, Grid
from pixelwise.io.headers import decoding
from pixelwise.io.volumes.volume import Volume, VolumeHeader, check_volume, turned_volume
from pixelwise.io.zarr import MultiscaleLevel, check_array, find_level, is_zarr, open_array
from pixelwise.io.zarr_write import create_level, image_attributes, label_attributes, new_store

_CHUNK = 64  # voxels per side: 256 KiB of labels


def is_zarr_volume(path: Path) -> bool:
    """Return whether a folder is an OME-Zarr image with several planes along z.

    Raises
    ------
    BadImage
        It is a store without an image, or with damaged metadata.
    """
    if not is_zarr(path):
        return False
    level = find_level(path)
    return "z" in level.axes and check_array(path, path / level.path).shape[level.axes.index("z")] > 1


def read_zarr_header(path: Path) -> VolumeHeader:
    """Read the header of an OME-Zarr volume at full resolution.

    Raises
    ------
    BadImage
        Damaged metadata, several times, or an unreasonable size.
    """
    level = find_level(path)
    meta = check_array(path, path / level.path)
    sizes = dict(zip(level.axes, meta.shape, strict=True))
    if any(size != 1 for axis, size in sizes.items() if axis not in ("c", *VOLUME_AXES)):
        got = ", ".join(f"{size} along {axis}" for axis, size in sizes.items())
        raise BadImage("one volume", got, "Save one time as a separate image.", path)
    dtype = np.dtype(open_array(path / level.path).dtype)
    shape = sizes.get("c", 1), sizes.get("z", 1), sizes["y"], sizes["x"]
    check_volume(path, shape, 0, 1)  # chunks that are missing are zeros: the files may be small
    grid, warnings = _grid(level)
    return VolumeHeader(format="OME-Zarr", shape=shape, dtype=str(dtype), grid=grid, warnings=warnings)


def read_zarr_volume(path: Path) -> Volume:
    """Read an OME-Zarr volume; see `read_zarr_header`."""
    header, level = read_zarr_header(path), find_level(path)
    array = open_array(path / level.path)
    with decoding(path, "OME-Zarr"):
        samples = np.asarray(array[tuple(slice(None) if axis in "czyx" else 0 for axis in level.axes)])
    kept = [axis for axis in level.axes if axis in "czyx"]
    ordered = samples.transpose([kept.index(axis) for axis in "czyx" if axis in kept])
    return turned_volume(header, ordered.reshape(header.shape))


def write_zarr_volume(
    path: Path,
    samples: Num[np.ndarray, "channels depth height width"],
    grid: Grid,
    like: Path | None = None,
    *,
    labels: bool,
) -> None:
    """Write a volume as OME-Zarr of NGFF 0.5, renamed to its name when complete; an existing one is replaced.

    Several channels are the axis c. With `like`, an OME-Zarr volume on the same grid, its translation is kept too.

    Raises
    ------
    OutputFailed
        The folder cannot be written.
    """
    several = len(samples) > 1
    values = samples if several else samples[0]
    axes = ("c", *VOLUME_AXES) if several else VOLUME_AXES
    chunks = ((1,) if several else ()) + tuple(min(_CHUNK, side) for side in samples.shape[1:])
    with new_store(path) as group:
        create_level(group, 0, values.shape, str(values.dtype), axes=axes, chunks=chunks)[...] = values
        group.attrs.update({"ome": _attributes(grid, like, axes, labels=labels)})


def _grid(level: MultiscaleLevel) -> tuple[Grid, tuple[str, ...]]:
    """Return the grid of the stated scales; axes of different units have none."""
    scales, units = dict(zip(level.axes, level.scale, strict=True)), dict(zip(level.axes, level.units, strict=True))
    spacing = tuple(scales.get(axis, 1.0) for axis in VOLUME_AXES)
    stated = {units[axis] for axis in VOLUME_AXES if axis in units}
    if not all(0 < side < math.inf for side in spacing):
        return Grid(axes=VOLUME_AXES, spacing=(1.0, 1.0, 1.0)), ("the scales of the axes are damaged and ignored",)
    if len(stated) > 1:
        text = "the axes have different units: their scales are ignored"
        return Grid(axes=VOLUME_AXES, spacing=(1.0, 1.0, 1.0)), (text,)
    return Grid(axes=VOLUME_AXES, spacing=spacing, unit=next(iter(stated), None)), ()


def _attributes(grid: Grid, like: Path | None, axes: tuple[str, ...], *, labels: bool) -> dict[str, Any]:
    described = (grid.spacing, grid.unit)
    attributes = label_attributes(1, axes, described, (), ()) if labels else image_attributes(1, axes, described)
    if like is not None:
        level = find_level(like)
        offsets = dict(zip(level.axes, level.translation, strict=True))
        translation = [offsets.get(axis, 0.0) if axis in VOLUME_AXES else 0.0 for axis in axes]
        if any(translation):
            transforms = attributes["multiscales"][0]["datasets"][0]["coordinateTransformations"]
            transforms.append({"type": "translation", "translation": translation})
    return attributes
