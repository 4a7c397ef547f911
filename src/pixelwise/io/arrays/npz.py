"""Open NPY and NPZ files without unpickling, and without reading what is not asked for.

Of uncompressed arrays only what is indexed is read. A compressed array can only be read as a whole: the last ones are
kept, so that the images of a stack are not decompressed one by one. Source: NumPy, "numpy.lib.format".
"""

import io
import math
import threading
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO, NamedTuple, cast

import numpy as np

from pixelwise.errors import BadImage, PixelwiseError, printable

MAX_BYTES = 4 << 30  # of one compressed array, which must fit in memory
MAX_ARRAYS = 100_000  # in one file
_BLOCK = 1 << 26  # bytes read at a time of a stack whose images are not one after the other
MAX_HEAD = 10_000  # bytes of the header of an array, as in NumPy
_KEPT_BYTES = 1 << 30  # of decompressed arrays in memory; the last one is kept whatever its size
_LOCAL_HEADER, _ENCRYPTED = 30, 1  # bytes before the name of a member; a flag (APPNOTE 4.3.7 and 4.4.4)
_DEFLATE = 1032  # largest compression ratio of deflate (zlib technical notes)
_kept: "OrderedDict[tuple[str, int, int, str], np.ndarray]" = OrderedDict()
_lock = threading.Lock()


class CompressedArray:
    """An array of a compressed NPZ file, decompressed when it is first indexed."""

    def __init__(self, file: Path, member: zipfile.ZipInfo, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self.shape, self.dtype, self.ndim = shape, dtype, len(shape)
        self._file, self._member = file, member

    def __getitem__(self, index: Any) -> np.ndarray:
        return self._decompressed()[index]

    def _decompressed(self) -> np.ndarray:
        status = self._file.stat()
        key = str(self._file.resolve()), status.st_mtime_ns, status.st_size, self._member.filename
        with _lock:
            array = _kept.pop(key, None)
            if array is None:
                with zipfile.ZipFile(self._file) as archive, archive.open(self._member) as stream:
                    array = np.lib.format.read_array(stream, allow_pickle=False)
            _kept[key] = array
            while len(_kept) > 1 and sum(kept.nbytes for kept in _kept.values()) > _KEPT_BYTES:
                _kept.popitem(last=False)
        return array


class StoredAsIs:
    """An array whose values are in the file as they are: what is indexed is read.

    It is not mapped into memory: a map holds the file open, and ends the process if the file becomes shorter.
    """

    def __init__(self, file: Path, head: "_Head", start: int) -> None:
        self.shape, self.dtype, self.ndim = head.shape, head.dtype, len(head.shape)
        self._file, self._start, self._fortran = file, start, head.fortran

    def __getitem__(self, index: Any) -> np.ndarray:
        stored = self.shape[::-1] if self._fortran else self.shape
        last = isinstance(index, tuple) and len(index) == 2 and index[0] is ... and isinstance(index[1], int)
        if not last and not isinstance(index, int):
            whole = self._read(stored, 0)
            return (whole.T if self._fortran else whole)[index]
        each, number = math.prod(stored[1:]), cast(int, index[1] if isinstance(index, tuple) else index)
        if last == self._fortran:  # an image of a stack whose images are one after the other
            part = self._read(stored[1:], each * number)
        else:
            rows = max(1, _BLOCK // max(1, each * self.dtype.itemsize))
            starts = range(0, stored[0], rows)
            sizes = (min(rows, stored[0] - start) for start in starts)
            blocks = (self._read((size, *stored[1:]), each * at) for at, size in zip(starts, sizes, strict=True))
            part = np.concatenate([block[..., number] for block in blocks])
        return part.T if self._fortran else part

    def _read(self, shape: tuple[int, ...], first: int) -> np.ndarray:
        place = self._start + first * self.dtype.itemsize
        with _reading(self._file, "NumPy"):
            return np.fromfile(self._file, self.dtype, math.prod(shape), offset=place).reshape(shape)


def open_npy(path: Path) -> StoredAsIs:
    """Return the array of an NPY file, without reading it.

    Raises
    ------
    BadImage
        It is damaged, or contains Python objects.
    """
    with _reading(path, "NPY"), path.open("rb") as file:
        head = _read_head(file, path.name, path)
        if head.needed > path.stat().st_size - head.length:
            raise _damaged(path, "NPY")
        return StoredAsIs(path, head, head.length)


class _Arrays(Mapping[str, Any]):
    """The arrays of an NPZ file by name, each opened when it is asked for: a file may hold thousands, each an image."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with _reading(path, "NPZ"), zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if member.filename.endswith(".npy")]
        if len(members) > MAX_ARRAYS:
            raise BadImage(f"at most {MAX_ARRAYS} arrays in a file", str(len(members)), "Split the file.", path)
        self._members = {member.filename.removesuffix(".npy"): member for member in members}

    def __getitem__(self, name: str) -> Any:
        member = self._members[name]
        with _reading(self._path, "NPZ"):
            return _open_member(self._path, member)

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)


def open_npz(path: Path) -> Mapping[str, Any]:
    """Return the arrays of an NPZ file by name; each is opened when it is asked for.

    Raises
    ------
    BadImage
        It is damaged, contains Python objects, or is larger than the limits.
    """
    return _Arrays(path)


def _open_member(path: Path, member: zipfile.ZipInfo) -> Any:
    stored = member.compress_type == zipfile.ZIP_STORED
    if not stored and member.compress_type != zipfile.ZIP_DEFLATED:  # others decompress without a limit
        raise BadImage("arrays as NumPy stores them", "another compression", "Save it with numpy.savez.", path)
    if member.file_size > max(member.compress_size, 1) * (1 if stored else _DEFLATE):
        raise _damaged(path, "NPZ")
    with path.open("rb") as file:
        start = _start_of(file, member, path)
        file.seek(start)
        content = file.read(MAX_HEAD)
        if not stored:
            content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, MAX_HEAD)
        head = _read_head(io.BytesIO(content), member.filename, path)
    if head.needed > member.file_size - head.length:
        raise _damaged(path, "NPZ")
    if stored:
        if start + member.file_size > path.stat().st_size:
            raise _damaged(path, "NPZ")
        return StoredAsIs(path, head, start + head.length)
    if head.needed > MAX_BYTES:
        got = f"{head.needed} bytes in {printable(member.filename)}"
        hint = "Save it uncompressed (numpy.savez) or as HDF5."
        raise BadImage(f"compressed arrays of at most {MAX_BYTES} bytes", got, hint, path)
    return CompressedArray(path, member, head.shape, head.dtype)


class _Head(NamedTuple):
    """The header of an array: its own length and the bytes that follow it, too."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype
    length: int
    needed: int


def _read_head(stream: IO[bytes], name: str, path: Path) -> _Head:
    """Read the header of an array from the start of a stream; NumPy would read one of any length."""
    start = io.BytesIO(stream.read(MAX_HEAD))
    version = np.lib.format.read_magic(start)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
    if read is None:
        raise BadImage("arrays of numbers", "arrays of records", "Save plain arrays.", path)
    shape, fortran, dtype = read(start)
    if dtype.hasobject:
        got = f"Python objects in {printable(name)}, which can execute code"
        raise BadImage("arrays of numbers", got, "Save plain arrays, of one size each.", path)
    if min(shape, default=0) < 0:
        raise _damaged(path, "array")
    return _Head(shape, fortran, dtype, start.tell(), math.prod(shape) * dtype.itemsize)


def _damaged(path: Path, kind: str) -> BadImage:
    return BadImage(f"a complete {kind} file", "a damaged one", "Download or export the file again.", path)


def _start_of(file: BinaryIO, member: zipfile.ZipInfo, path: Path) -> int:
    """Return where the content of a member begins: after its header, a name and further fields (APPNOTE 4.3.7)."""
    file.seek(member.header_offset)
    header = file.read(_LOCAL_HEADER)
    if not header.startswith(b"PK\3\4") or len(header) < _LOCAL_HEADER or member.flag_bits & _ENCRYPTED:
        raise _damaged(path, "NPZ")
    return member.header_offset + _LOCAL_HEADER + int(np.frombuffer(header, "<u2", 2, 26).sum())


@contextmanager
def _reading(path: Path, kind: str) -> Generator[None]:
    """Raise whatever a damaged file makes NumPy raise as one `BadImage`."""
    try:
        yield
    except PixelwiseError:
        raise
    except Exception as error:
        if "object" in str(error).lower():
            got, hint = "Python objects, which can execute code", "Save plain arrays, of one size each."
            raise BadImage("arrays of numbers", got, hint, path) from error
        reason = printable(str(error))[:160] or type(error).__name__
        hint = "The file is damaged; download or export it again."
        raise BadImage(f"a complete {kind} file", f"one that cannot be read ({reason})", hint, path) from error
