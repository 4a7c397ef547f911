"""Open HDF5 files: plain data sets of numbers that are in the file itself; and write such files.

A link to another file, a virtual data set and external storage can name any file on the machine: they are left out. So
are compound, variable-length and object types. Source: HDF5 user guide, "Groups" (links) and "Datasets" (storage).
"""

import math
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import h5py
import numpy as np
from jaxtyping import Shaped

from pixelwise.atomic_write import write_error
from pixelwise.errors import BadImage, PixelwiseError, printable

MAX_OBJECTS = 100_000  # groups and data sets of one file
MAX_DEPTH = 16  # groups within one another
MAX_CHUNK = 1 << 30  # bytes: a chunk is decompressed as a whole
MAX_CHUNKS = 1_000_000  # of a data set: the library looks for each, also for those that are absent
_ABSENT = 1 << 27  # bytes of a data set that may be absent from the file, and are then its fill value
_RATIO = 1_100  # deflate shrinks data to a thousandth at most


@contextmanager
def open_hdf5(path: Path) -> Generator[dict[str, Any]]:
    """Yield the data sets of an HDF5 file by their paths.

    Raises
    ------
    BadImage
        It is damaged, or larger than the limits.
    """
    try:
        with h5py.File(path, "r", locking=False) as file:
            arrays: dict[str, Any] = {}
            _collect(file, "", 0, arrays, _Walked(), path)
            yield arrays
    except PixelwiseError:
        raise
    except Exception as error:  # the library raises OSError, RuntimeError, KeyError and others on damaged files
        reason = printable(str(error))[:160] or type(error).__name__
        hint = "The file is damaged, or compressed in a way that needs a plugin; export it again."
        raise BadImage("a complete HDF5 file", f"one that cannot be read ({reason})", hint, path) from error


def write_hdf5(path: Path, arrays: Mapping[str, Shaped[np.ndarray, "..."]]) -> None:
    """Write arrays into a new file, compressed without loss by deflate, which every HDF5 library reads.

    Raises
    ------
    OutputFailed
        It cannot be written.
    """
    try:
        with h5py.File(path, "x") as file:
            for name, array in arrays.items():
                file.create_dataset(name, data=array, compression="gzip", compression_opts=1, shuffle=True)
    except OSError as error:
        raise write_error(path, error) from error


@dataclass
class _Walked:
    """How many objects of a file have names, and which groups were walked: links can give a group many paths."""

    objects: int = 0
    groups: set[int] = field(default_factory=set[int])


def _collect(group: "h5py.Group", prefix: str, depth: int, arrays: dict[str, Any], walked: _Walked, path: Path) -> None:
    """Add the data sets of a group, and of the groups in it, that can be read; each group at its first path."""
    if depth > MAX_DEPTH:
        raise BadImage(f"at most {MAX_DEPTH} groups within one another", "more", "Export the arrays anew.", path)
    walked.objects += len(group)
    if walked.objects > MAX_OBJECTS:
        raise BadImage(f"at most {MAX_OBJECTS} groups and data sets", "more", "Split the file.", path)
    walked.groups.add(_address(group))
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            continue
        found = group[name]
        if isinstance(found, h5py.Group):
            if _address(found) not in walked.groups:
                _collect(found, f"{prefix}{name}/", depth + 1, arrays, walked, path)
        elif isinstance(found, h5py.Dataset) and _is_readable(found):
            arrays[f"{prefix}{name}"] = found


def _address(group: "h5py.Group") -> int:
    """Return where a group is in its file."""
    return int(cast(Any, h5py).h5o.get_info(group.id).addr)


def _is_readable(data: "h5py.Dataset") -> bool:
    """Return whether a data set has plain numbers, in this file, and not far more of them than the file can hold."""
    if data.shape is None or data.dtype.kind not in "buif" or data.is_virtual or data.external:
        return False
    if data.size * data.dtype.itemsize > max(_ABSENT, _RATIO * Path(data.file.filename).stat().st_size):
        return False
    if data.chunks is None:
        return True
    number = math.prod(-(-whole // side) for whole, side in zip(data.shape, data.chunks, strict=True))
    return number <= MAX_CHUNKS and math.prod(data.chunks) * data.dtype.itemsize <= MAX_CHUNK
