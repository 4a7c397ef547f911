"""Read images that are stored as arrays: NPY, NPZ, HDF5 and MAT.

Axes are (height, width), (height, width, channels) or (channels, height, width), with few channels against height and
width, and one more in front for a stack of images, or behind (`parts.LAST`). Nothing is unpickled. Sources: NumPy,
"numpy.lib.format" (NPY versions 1 and 2), the HDF5 file format 3.0 (see `hdf5`), and "MAT-File Format" (see `matlab`).
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from pixelwise.errors import BadImage, printable
from pixelwise.io.array_paths import FRAMES, PAGES, ArrayPath, parse_array_path
from pixelwise.io.arrays.npz import open_npy, open_npz
from pixelwise.io.arrays.parts import LAST, MARK, channels_of_part, take_part
from pixelwise.io.headers import Header

MAX_CHANNELS = 4
MAX_BANDS = 32  # of an image with the channels last, at most half of its height and width
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
    with _open(place, path) as arrays:
        for name in arrays:  # joined with the path of the file: another one would be read, or written
            if set(name.split("/")) & {"", ".", ".."} and name:
                got = f"the name `{printable(name[:80])}`"
                raise BadImage("names of arrays inside the file", got, "Save the arrays by plain names.", place.file)
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
    with _image(path) as image:
        sizes = dict(zip(image.axes, image.shape, strict=True))
        dtype = np.dtype(np.int32) if image.part in ("objects", "classes") else image.array.dtype.newbyteorder("=")
        channels = channels_of_part(image.part, sizes.get("c", 1), path)
        lossy = bool(getattr(image.array, "lossy", False))
        return Header(
            format=image.kind, height=sizes["y"], width=sizes["x"], channels=channels, dtype=dtype.name, lossy=lossy
        )


def decode_array(path: Path) -> Shaped[np.ndarray, "channels height width"]:
    """Return the samples of an image in an array file."""
    with _image(path) as image:
        samples = np.asarray(image.array[image.index])
        if image.axes == "yx":
            samples = samples[None]
        elif image.axes == "yxc":
            samples = samples.transpose(2, 0, 1)
        channels_of_part(image.part, len(samples), path)
        samples = take_part(samples, image.part)
    return np.ascontiguousarray(samples, dtype=samples.dtype.newbyteorder("="))


def image_axes(shape: tuple[int, ...], *, channels_named: bool = False) -> str | None:
    """Return the axes of one image: "yx", "yxc" or "cyx"; None for other shapes.

    Up to 4 channels, or `MAX_BANDS` if they are the last axis. As the first axis so many may be the images of a stack,
    unless the path names channels.

    >>> image_axes((64, 80, 3)), image_axes((3, 64, 80)), image_axes((64, 80, 14)), image_axes((30, 64, 80))
    ('yxc', 'cyx', 'yxc', None)
    """
    if len(shape) == 2:
        return "yx"
    if len(shape) != 3:
        return None
    if shape[2] <= MAX_CHANNELS < min(shape[:2]):
        return "yxc"
    if shape[0] <= MAX_CHANNELS < min(shape[1:]):
        return "cyx"
    if shape[2] <= min(MAX_BANDS, min(shape[:2]) // 2):
        return "yxc"
    return "cyx" if channels_named and shape[0] <= min(MAX_BANDS, min(shape[1:]) // 2) else None


@contextmanager
def _open(place: ArrayPath, path: Path) -> Generator[Mapping[str, Any]]:
    """Yield the arrays of a file by their paths inside it; they are read only where they are indexed."""
    if place.kind == "NPY":
        yield {"": open_npy(place.file)}
    elif place.kind == "NPZ":
        yield open_npz(place.file)
    elif place.kind == PAGES:
        from pixelwise.io.tiff import PageStack

        yield {"": PageStack(place.file)}
    elif place.kind == FRAMES:
        from pixelwise.io.arrays.frames import FrameStack

        yield {"": FrameStack(place.file)}
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


@dataclass(frozen=True, kw_only=True)
class _Stored:
    """An image in an array: the kind of its file, where it is in the array, its shape and axes, and the part of it."""

    kind: str
    array: Any
    index: Any
    shape: tuple[int, ...]
    axes: str
    part: str


@contextmanager
def _image(path: Path) -> Generator[_Stored]:
    """Yield an image of an array file."""
    place = parse_array_path(path)
    if place is None:
        raise BadImage("an NPY, NPZ, HDF5 or MAT file", "another file", "Check the path.", path)
    inner, part = place.inner, ""
    if inner and inner[-1].startswith(MARK):
        inner, part = inner[:-1], inner[-1].removeprefix(MARK)
    with _open(place, path) as arrays:
        name = "/".join(inner)
        array = arrays.get(name)
        if array is None and not name and len(arrays) == 1:
            array = next(iter(arrays.values()))
        if array is not None:
            index, shape = ..., array.shape
        else:
            array, index, shape = _of_stack(place, inner, arrays, path)
        axes = image_axes(shape, channels_named=bool(part))
        if axes is None or array.dtype.kind not in "buifc":
            raise _no_image(array, path)
        yield _Stored(kind=place.kind, array=array, index=index, shape=tuple(shape), axes=axes, part=part)


def _of_stack(
    place: ArrayPath, inner: tuple[str, ...], arrays: Mapping[str, Any], path: Path
) -> tuple[Any, Any, tuple[int, ...]]:
    """Return the array of a stack, the index of one image, and its shape."""
    above, last = inner[:-1], False
    if above and above[-1] == LAST:
        above, last = above[:-1], True
    name = "/".join(above)
    if not inner or not inner[-1].isdecimal() or name not in arrays:
        raise _no_such_array(place, arrays, path)
    array, position = arrays[name], int(inner[-1])
    if position >= array.shape[-1 if last else 0]:
        raise _no_image(array, path)
    return array, (..., position) if last else position, array.shape[:-1] if last else array.shape[1:]


def _no_such_array(place: ArrayPath, arrays: Mapping[str, Any], path: Path) -> BadImage:
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
