"""Read images that are stored as arrays: NPY, NPZ, HDF5 and MAT.

Axes are (height, width), (height, width, channels) or (channels, height, width) with at most 4 channels, and one more
in front for a stack of images. Nothing is unpickled. Sources: NumPy, "numpy.lib.format" (NPY versions 1 and 2), the
HDF5 file format 3.0 (see `hdf5`), and "MAT-File Format" (see `matlab`).
"""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from pixelwise.errors import BadImage, printable
from pixelwise.io.array_paths import PAGES, ArrayPath, parse_array_path
from pixelwise.io.arrays.npz import open_npy, open_npz
from pixelwise.io.headers import Header

MAX_CHANNELS = 4
_SHOWN = 5  # arrays that a message lists


@dataclass(frozen=True, kw_only=True)
class StoredArray:
    """An array in a file: the path to it, and its shape and data type."""

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype


def list_arrays(path: Path) -> list[StoredArray]:
    """Return the arrays of numbers with at least two axes in an array file.

    Raises
    ------
    BadImage
        The file is damaged, or has more than is read of one file.
    """
    place = parse_array_path(path)
    if place is None:
        raise BadImage("an NPY, NPZ, HDF5 or MAT file", "another file", "Check the path.", path)
    with _opened(place, path) as arrays:
        return [
            StoredArray(path=place.file / name if name else place.file, shape=array.shape, dtype=array.dtype)
            for name, array in arrays.items()
            if array.ndim >= 2 and array.dtype.kind in "buif"
        ]


def read_array_header(path: Path) -> Header:
    """Return the header of an image in an array file.

    Raises
    ------
    BadImage
        No such array, or it is not one image.
    """
    with _image(path) as (kind, array, axes):
        shape = tuple(array.shape[-3:] if axes != "yx" else array.shape[-2:])
        sizes = dict(zip(axes, shape, strict=True))
        height, width, channels = sizes["y"], sizes["x"], sizes.get("c", 1)
        return Header(
            format=kind, height=height, width=width, channels=channels, dtype=array.dtype.newbyteorder("=").name
        )


def decode_array(path: Path) -> Shaped[np.ndarray, "channels height width"]:
    """Return the samples of an image in an array file."""
    with _image(path) as (_, array, axes):
        index = _split(parse_array_path(path), array.ndim - len(axes))
        samples = np.asarray(array[index] if index is not None else array[...])
    if axes == "yx":
        samples = samples[None]
    elif axes == "yxc":
        samples = samples.transpose(2, 0, 1)
    return np.ascontiguousarray(samples, dtype=samples.dtype.newbyteorder("="))


def image_axes(shape: tuple[int, ...]) -> str | None:
    """Return the axes of one image: "yx", "yxc" or "cyx"; None for other shapes.

    >>> image_axes((64, 80, 3)), image_axes((3, 64, 80)), image_axes((30, 64, 80))
    ('yxc', 'cyx', None)
    """
    if len(shape) == 2:
        return "yx"
    if len(shape) != 3:
        return None
    if shape[2] <= MAX_CHANNELS < min(shape[:2]):
        return "yxc"
    return "cyx" if shape[0] <= MAX_CHANNELS < min(shape[1:]) else None


def _split(place: ArrayPath | None, leading: int) -> int | None:
    return int(place.inner[-1]) if place is not None and leading == 1 else None


@contextmanager
def _opened(place: ArrayPath, path: Path) -> Generator[dict[str, Any]]:
    """Yield the arrays of a file by their paths inside it; they are read only where they are indexed."""
    if place.kind == "NPY":
        yield {"": open_npy(place.file)}
    elif place.kind == "NPZ":
        with open_npz(place.file) as arrays:
            yield arrays
    elif place.kind == PAGES:
        from pixelwise.io.tiff import PageStack

        yield {"": PageStack(place.file)}
    elif place.kind == "MAT":
        from pixelwise.io.arrays.matlab import open_mat

        with open_mat(place.file) as arrays:
            yield arrays
    else:
        try:
            from pixelwise.io.arrays.hdf5 import open_hdf5
        except ImportError as error:
            hint = "Install it: pip install 'pixelwise[hdf5]'."
            raise BadImage("the package h5py, which reads HDF5", "none", hint, path) from error
        with open_hdf5(place.file) as arrays:
            yield arrays


@contextmanager
def _image(path: Path) -> Generator[tuple[str, Any, str]]:
    """Yield the kind of the file, the array that contains an image, and the axes of the image."""
    place = parse_array_path(path)
    if place is None:
        raise BadImage("an NPY, NPZ, HDF5 or MAT file", "another file", "Check the path.", path)
    with _opened(place, path) as arrays:
        name = "/".join(place.inner)
        stack = "/".join(place.inner[:-1])
        if name in arrays or (not name and len(arrays) == 1):
            array = arrays[name] if name in arrays else next(iter(arrays.values()))
            axes = image_axes(array.shape)
        elif place.inner and place.inner[-1].isdecimal() and stack in arrays:
            array = arrays[stack]
            axes = image_axes(array.shape[1:]) if int(place.inner[-1]) < array.shape[0] else None
        else:
            raise _no_such_array(place, arrays, path)
        if axes is None or array.dtype.kind not in "buifc":
            raise _no_image(array, path)
        yield place.kind, array, axes


def _no_such_array(place: ArrayPath, arrays: dict[str, Any], path: Path) -> BadImage:
    names = [printable(name) for name in arrays][:_SHOWN]
    got = f"{len(arrays)} arrays: {', '.join(names)}{', ...' if len(arrays) > _SHOWN else ''}" if names else "none"
    hint = f"Name one of them: {place.file.name}/{names[0]}." if names else "Save the image as an array of numbers."
    return BadImage("an array with one image", got, hint, path)


def _no_image(array: Any, path: Path) -> BadImage:
    shown = " x ".join(map(str, array.shape)) or "a single value"
    got = f"an array of {array.dtype} with the axes {shown}"
    if array.ndim in (3, 4) and array.dtype.kind in "buif":
        hint = f"Name one image of a stack by its position: {path.name}/0 to {path.name}/{array.shape[0] - 1}."
    else:
        hint = f"Save (height, width) or (height, width, channels), at most {MAX_CHANNELS} channels, as numbers."
    return BadImage("one image", got, hint, path)
