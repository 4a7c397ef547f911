"""Open the arrays of numbers in MAT files of MATLAB, versions 5 to 7.3, also those in structures.

Source: MathWorks, "MAT-File Format" (version 5: a header of 128 bytes, then elements, each perhaps compressed by zlib);
version 7.3 is HDF5, whose axes are in reverse order. Functions and objects are not read.
"""

import io
import math
import struct
import zlib
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np

from pixelwise.errors import BadImage

MAX_BYTES = 2 << 30  # of all arrays of a file, which are read as a whole
MAX_DEPTH = 4  # structures within one another, in which arrays are looked for
MAX_NESTING = 64  # arrays within one another: SciPy reads them by recursion, which ends the process if it is deep
_MATRIX, _COMPRESSED = 14, 15  # miMATRIX, miCOMPRESSED
_CELL, _STRUCT, _OBJECT, _FUNCTION = 1, 2, 3, 16  # classes of arrays that contain arrays; those above contain one too
_TYPES = frozenset((1, 2, 3, 4, 5, 6, 7, 9, 12, 13, 14, 15, 16, 17, 18))  # of data, table 1-1 of the format
_LAST_NUMBER = 13  # types up to it are numbers; those after them contain others, or are text
_NUMBERS = range(6, 16)  # classes of arrays of numbers
_HEAD = 4096  # bytes of an array in which the tags of its elements are, up to its values
_COMPLEX = 0x800  # flag: imaginary values follow the real ones
_CHUNK = 1 << 20
_HEADER = 128
# what the mask is called in files with several arrays, the most telling name first
MASK_ARRAYS = (
    "inst_map", "instance_map", "label", "labels", "mask", "masks", "segmentation", "seg", "groundtruth", "gt",
    "annotation", "type_map",
)  # fmt: skip
CLASS_ARRAYS = ("type_map", "class_map", "semantic_map")  # the classes of objects that another array numbers


class Reversed:
    """An array of HDF5 whose axes are read in reverse order, as MATLAB writes them."""

    def __init__(self, stored: Any) -> None:
        self.shape, self.dtype, self.ndim = tuple(stored.shape[::-1]), stored.dtype, len(stored.shape)
        self._stored = stored

    def __getitem__(self, index: Any) -> np.ndarray:
        if isinstance(index, tuple) and index[:1] == (...,):  # one image of a stack, without reading the others
            return np.asarray(self._stored[index[1]]).T
        return np.asarray(self._stored[...]).T[index]


class _ReversedArrays(Mapping[str, Reversed]):
    """The arrays of a file of version 7.3; what MATLAB keeps for itself begins with #."""

    def __init__(self, stored: Mapping[str, Any]) -> None:
        self._stored = stored

    def __getitem__(self, name: str) -> Reversed:
        return Reversed(self._stored[name])

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._stored if not name.startswith("#"))

    def __len__(self) -> int:
        return sum(1 for _ in self)


@contextmanager
def open_mat(path: Path) -> Generator[Mapping[str, Any]]:
    """Yield the arrays of numbers of a MAT file by name; those of structures as ``structure/field``.

    Raises
    ------
    BadImage
        It is damaged, of an older version, or larger than the limit.
    """
    with path.open("rb") as file:
        head = file.read(_HEADER)
    if head.startswith(b"MATLAB 7.3"):
        try:
            from pixelwise.io.arrays.hdf5 import open_hdf5
        except ImportError as error:
            hint = "Install it: pip install 'pixelwise[hdf5]'."
            raise BadImage("the package h5py, which reads MAT files of version 7.3", "none", hint, path) from error
        with open_hdf5(path) as arrays:
            yield _ReversedArrays(arrays)
        return
    if not head.startswith(b"MATLAB 5"):
        raise BadImage("a MAT file of version 5 to 7.3", "another file", "Save it with `save -v7`.", path)
    yield _read(path, head)


def main_mask(names: Mapping[str, Any], *, classes: bool = False) -> str | None:
    """Return the name of the array that is the mask of a file, if one has a telling name; `classes` prefers classes.

    >>> main_mask({"type_map": 1, "inst_map": 1}), main_mask({"truth/Segmentation": 1, "truth/Boundaries": 1})
    ('inst_map', 'truth/Segmentation')
    """
    last = {name.rpartition("/")[2].casefold(): name for name in names}
    return next((last[name] for name in (*CLASS_ARRAYS * classes, *MASK_ARRAYS) if name in last), None)


def _read(path: Path, head: bytes) -> dict[str, Any]:
    from scipy.io import loadmat

    try:
        _check_size(path, head)
        content = loadmat(io.BytesIO(path.read_bytes()), chars_as_strings=False)
    except BadImage:
        raise
    except Exception as error:  # ValueError, TypeError, zlib.error, NotImplementedError and others
        hint = "The file is damaged; export it again."
        raise BadImage("a complete MAT file", f"one that cannot be read ({str(error)[:120]})", hint, path) from error
    arrays: dict[str, Any] = {}
    for name, value in content.items():
        if not name.startswith("__"):
            _collect(name, value, 0, arrays)
    return arrays


def _collect(name: str, value: Any, depth: int, arrays: dict[str, Any]) -> None:
    """Add an array of numbers, or those of a single structure."""
    if not isinstance(value, np.ndarray) or depth > MAX_DEPTH:
        return
    array = cast(Any, value)
    if array.dtype.names is not None and array.size == 1:
        record = array.ravel()[0]
        for field in array.dtype.names:
            _collect(f"{name}/{field}", record[field], depth + 1, arrays)
    elif array.dtype.kind in "buif" and array.ndim >= 2:
        arrays[name] = array


def _check_size(path: Path, head: bytes) -> None:
    """Raise `BadImage` if the elements of a file are larger than the limit when they are decompressed."""
    order = "<" if head[126:128] == b"IM" else ">"
    total = 0
    with path.open("rb") as file:
        file.seek(_HEADER)
        while len(tag := file.read(8)) == 8:
            kind, count = struct.unpack(f"{order}II", tag)
            start = file.tell()
            total += count if kind != _COMPRESSED else _decompressed(file, count, MAX_BYTES - total, path)
            if total > MAX_BYTES:
                hint = "Save the images and masks as files of their own."
                raise BadImage(f"at most {MAX_BYTES} bytes of arrays in a file", "more", hint, path)
            file.seek(start)
            _check_containers(file, kind, count, order, path)
            file.seek(start + count)


def _decompressed(file: Any, count: int, most: int, path: Path) -> int:
    """Return the number of bytes that an element becomes, counted up to `most`."""
    stream, size = zlib.decompressobj(), 0
    try:
        while count > 0 and (block := file.read(min(_CHUNK, count))):
            count -= len(block)
            size += len(stream.decompress(block, _CHUNK))
            while stream.unconsumed_tail and size <= most:
                size += len(stream.decompress(stream.unconsumed_tail, _CHUNK))
            if size > most:
                break
    except zlib.error as error:
        hint = "The file is damaged; export it again."
        raise BadImage("a complete MAT file", "one that cannot be decompressed", hint, path) from error
    return size


def _check_containers(file: Any, kind: int, count: int, order: str, path: Path) -> None:
    """Check a cell array or a structure: what is in it, and in that, fills it exactly and is not nested too deeply."""
    stream = zlib.decompressobj()
    shift = 8 if kind == _COMPRESSED else 0  # its content has a tag of its own
    start = file.read(min(count, _HEAD))
    head = stream.decompress(start, _HEAD) if shift else start
    flags = struct.unpack_from(f"{order}I", head, shift + 8)[0] if len(head) >= shift + 12 else 0
    hint = "Save the images and masks as plain arrays."
    if kind in (_MATRIX, _COMPRESSED) and not _are_known(head, shift, order, numbers=flags & 0xFF in _NUMBERS):
        raise BadImage("a complete MAT file", "an array of an unknown type of data", hint, path)
    if kind not in (_MATRIX, _COMPRESSED) or (flags & 0xFF not in (_CELL, _STRUCT, _OBJECT) and not flags & _COMPLEX):
        return
    content = start + file.read(count - len(start))
    content = zlib.decompress(content) if shift else content
    waiting = [(shift, len(content), 0)]
    while waiting:
        first, end, depth = waiting.pop()
        inner = _inner_arrays(content, first, end, order) if depth <= MAX_NESTING else None
        if inner is None:
            raise BadImage("a complete MAT file", "damaged or deeply nested cell arrays or structures", hint, path)
        waiting += [(place, place + size, depth + 1) for place, size in inner]


def _are_known(head: bytes, at: int, order: str, *, numbers: bool) -> bool:
    """Return whether the elements that begin in the start of an array have types that exist, and all of an array.

    SciPy looks up others, or what follows, in a table of types without its end, which ends the process.
    """
    kinds: list[int] = []
    while at + 8 <= len(head):
        kind, size = struct.unpack_from(f"{order}II", head, at)
        small = kind >> 16
        if (kind & 0xFFFF) not in _TYPES or small > 4:
            return False
        kinds.append(kind & 0xFFFF)
        at += 8 if small else 8 + size + -size % 8
    return not numbers or (kinds[:3] == [6, 5, 1] and len(kinds) > 3 and kinds[3] <= _LAST_NUMBER)


def _inner_arrays(content: bytes, at: int, end: int, order: str) -> list[tuple[int, int]] | None:
    """Return the places and sizes of the arrays in an array; None if its elements do not fill it, or are too few."""
    parts: list[tuple[int, int, int]] = []
    while at < end:
        if end - at < 8:
            return None
        kind, size = struct.unpack_from(f"{order}II", content, at)
        if kind >> 16:  # a small element: size and type in four bytes
            parts.append((kind & 0xFFFF, at + 4, kind >> 16))
            at += 8
        else:
            parts.append((kind, at + 8, size))
            at += 8 + size + -size % 8
    inner = [(place, size) for kind, place, size in parts if kind == _MATRIX]
    if not parts:
        return []  # an empty array
    kinds, *_ = zip(*parts, strict=True)
    if not _TYPES.issuperset(kinds) or at != end or len(parts) < 3 or parts[0][0] != 6 or parts[0][2] != 8:
        return None
    flags = struct.unpack_from(f"{order}I", content, parts[0][1])[0]
    kind = flags & 0xFF
    if kind >= _FUNCTION:
        return inner if len(inner) == 1 else None
    if kind not in (_CELL, _STRUCT, _OBJECT):
        return None if inner or len(parts) < 4 + (flags & _COMPLEX > 0) else []
    count = math.prod(struct.unpack_from(f"{order}{parts[1][2] // 4}i", content, parts[1][1]))
    before = {_CELL: 3, _STRUCT: 5, _OBJECT: 6}[kind]  # elements before the arrays
    if kind != _CELL:  # an array for each field; their names have one length
        if len(parts) < before or parts[before - 2][2] != 4:
            return None
        count *= parts[before - 1][2] // max(struct.unpack_from(f"{order}i", content, parts[before - 2][1])[0], 1)
    return inner if len(inner) == len(parts) - before == count else None
