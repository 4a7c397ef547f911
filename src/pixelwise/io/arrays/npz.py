"""Open NPY and NPZ files without unpickling, and without reading what is not asked for.

Uncompressed arrays are mapped into memory. A compressed array can only be read as a whole: the last ones are kept, so
that the images of a stack are not decompressed one by one. Source: NumPy, "numpy.lib.format".
"""

import threading
import zipfile
from collections import OrderedDict
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from pixelwise.errors import BadImage, PixelwiseError, printable

MAX_BYTES = 4 << 30  # of one compressed array, which must fit in memory
MAX_ARRAYS = 100_000  # in one file
_KEPT_BYTES = 1 << 30  # of decompressed arrays in memory; the last one is kept whatever its size
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


def open_npy(path: Path) -> Any:
    """Map an NPY file into memory.

    Raises
    ------
    BadImage
        It is damaged, or contains Python objects.
    """
    with _reading(path, "NPY"):
        return np.lib.format.open_memmap(path, mode="r")


@contextmanager
def open_npz(path: Path) -> Generator[dict[str, Any]]:
    """Yield the arrays of an NPZ file by name.

    Raises
    ------
    BadImage
        It is damaged, contains Python objects, or is larger than the limits.
    """
    with _reading(path, "NPZ"), zipfile.ZipFile(path) as archive:
        members = [member for member in archive.infolist() if member.filename.endswith(".npy")]
        if len(members) > MAX_ARRAYS:
            hint = "Split the file."
            raise BadImage(f"at most {MAX_ARRAYS} arrays in a file", str(len(members)), hint, path)
        arrays = {member.filename.removesuffix(".npy"): _open_member(path, archive, member) for member in members}
    yield arrays


def _open_member(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Any:
    with archive.open(member) as stream:
        version = np.lib.format.read_magic(stream)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
        if read is None:
            raise BadImage("arrays of numbers", "arrays of records", "Save plain arrays.", path)
        shape, fortran, dtype = read(stream)
        offset = stream.tell()
    needed = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if dtype.hasobject:
        got = f"Python objects in {printable(member.filename)}, which can execute code"
        raise BadImage("arrays of numbers", got, "Save plain arrays, of one size each.", path)
    if needed > member.file_size - offset or member.file_size > max(member.compress_size, 1) * _DEFLATE:
        raise BadImage("a complete NPZ file", "a damaged one", "Download or export the file again.", path)
    if member.compress_type == zipfile.ZIP_STORED and needed:
        with path.open("rb") as file:
            start = _start_of(file, member) + offset
        order = "F" if fortran else "C"
        return np.memmap(path, dtype, "r", start, shape, order)
    if needed > MAX_BYTES:
        got = f"{needed} bytes in {printable(member.filename)}"
        hint = "Save it uncompressed (numpy.savez) or as HDF5."
        raise BadImage(f"compressed arrays of at most {MAX_BYTES} bytes", got, hint, path)
    return CompressedArray(path, member, shape, dtype)


def _start_of(file: BinaryIO, member: zipfile.ZipInfo) -> int:
    """Return where the content of a member begins: after its header, a name and further fields (APPNOTE 4.3.7)."""
    file.seek(member.header_offset + 26)
    lengths = np.frombuffer(file.read(4), "<u2")
    return member.header_offset + 30 + int(lengths.sum())


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
