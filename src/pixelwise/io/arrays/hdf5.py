"""Open HDF5 files: plain data sets of numbers that are in the file itself; and write such files.

A link to another file, a virtual data set and external storage can name any file on the machine: they are left out. So
are compound, variable-length and object types. Source: HDF5 user guide, "Groups" (links) and "Datasets" (storage).
"""

import math
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import h5py
import numpy as np
from jaxtyping import Shaped

from pixelwise.atomic_write import write_error
from pixelwise.errors import BadImage, PixelwiseError, printable

MAX_OBJECTS = 20_000  # groups and data sets of one file
MAX_DEPTH = 16  # groups within one another
MAX_CHUNK = 1 << 30  # bytes: a chunk is decompressed as a whole
MAX_CHUNKS = 1_000_000  # of a data set: the library looks for each, also for those that are absent
_ABSENT = 1 << 27  # bytes of a data set that may be absent from the file, and are then its fill value
_low = cast(Any, h5py)  # whose lower level has no types
_RATIO = 1_100  # deflate shrinks data to a thousandth at most


@contextmanager
def open_hdf5(path: Path) -> Generator[Mapping[str, Any]]:
    """Yield the data sets of an HDF5 file by their paths.

    Raises
    ------
    BadImage
        It is damaged, or larger than the limits.
    """
    try:
        with h5py.File(path, "r", locking=False) as file:
            yield _Arrays(file, path)
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


class _Arrays(Mapping[str, "h5py.Dataset"]):
    """The readable data sets of a file by their paths.

    One that is asked for by its path is looked up alone: a file may hold thousands, each an image. The first question
    for all of them walks the file.
    """

    def __init__(self, file: "h5py.File", path: Path) -> None:
        self._file, self._path = file, path
        self._longest = max(_ABSENT, _RATIO * path.stat().st_size)

    def __getitem__(self, name: str) -> "h5py.Dataset":
        *groups, last = name.encode().split(b"/")
        found = self._file.id
        for step in groups[:MAX_DEPTH]:
            found = _open_object(found, step) if isinstance(found, h5py.h5g.GroupID) else None
        found = _open_object(found, last) if isinstance(found, h5py.h5g.GroupID) else None
        if len(groups) > MAX_DEPTH or not isinstance(found, h5py.h5d.DatasetID) or not self._is_readable(found):
            raise KeyError(name)
        return h5py.Dataset(found)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    @cached_property
    def _names(self) -> list[str]:
        names = list[str]()
        self._collect(self._file.id, "", 0, names, _Walked())
        return names

    def _collect(self, group: Any, prefix: str, depth: int, names: list[str], walked: "_Walked") -> None:
        """Add the readable data sets of a group, and of the groups in it, each group at its first path."""
        if depth > MAX_DEPTH:
            raise BadImage(
                f"at most {MAX_DEPTH} groups within one another", "more", "Export the arrays anew.", self._path
            )
        walked.objects += group.get_num_objs()
        if walked.objects > MAX_OBJECTS:
            raise BadImage(f"at most {MAX_OBJECTS} groups and data sets", "more", "Split the file.", self._path)
        walked.groups.add(_address(group))
        for step in group:
            found, name = _open_object(group, step), f"{prefix}{step.decode()}"
            if isinstance(found, h5py.h5d.DatasetID) and self._is_readable(found):
                names.append(name)
            elif isinstance(found, h5py.h5g.GroupID) and _address(found) not in walked.groups:
                self._collect(found, f"{name}/", depth + 1, names, walked)

    def _is_readable(self, data: Any) -> bool:
        """Return whether a data set has plain numbers in this file, and not far more of them than it can hold."""
        stored = data.get_create_plist()
        if data.get_space().get_simple_extent_type() == h5py.h5s.NULL or data.dtype.kind not in "buif":
            return False
        if stored.get_layout() == h5py.h5d.VIRTUAL or stored.get_external_count():
            return False
        if math.prod(data.shape) * data.dtype.itemsize > self._longest:
            return False
        if stored.get_layout() != h5py.h5d.CHUNKED:
            return True
        chunks = stored.get_chunk()
        number = math.prod(-(-whole // side) for whole, side in zip(data.shape, chunks, strict=True))
        return number <= MAX_CHUNKS and math.prod(chunks) * data.dtype.itemsize <= MAX_CHUNK


@dataclass
class _Walked:
    """How many objects of a file have names, and which groups were walked: links can give a group many paths."""

    objects: int = 0
    groups: set[int] = field(default_factory=set[int])


def _open_object(group: Any, name: bytes) -> Any:
    """Return what a group has by a name; None if that is nothing, or a link to another path or file."""
    if not name or name in (b".", b"..") or not group.links.exists(name):
        return None
    return _low.h5o.open(group, name) if group.links.get_info(name).type == _low.h5l.TYPE_HARD else None


def _address(group: Any) -> int:
    """Return where a group is in its file."""
    return int(_low.h5o.get_info(group).addr)
