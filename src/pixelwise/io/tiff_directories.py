"""Open TIFF files with tifffile after their directories are checked: tifffile follows links without limits.

The check follows the same links as tifffile: the chain of directories, and SubIFDs at any depth. Then what tifffile
does takes time and memory in proportion to the size of the file. Sources: TIFF 6.0 (Adobe, 1992), section 2; TIFF
technical note 1 (SubIFDs); BigTIFF; OME-TIFF specification 6.
"""

import io
import math
import struct
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from xml.etree import ElementTree

import tifffile

from pixelwise.errors import BadImage
from pixelwise.io.headers import truncated_error

MAX_DIRECTORIES = 100_000  # no microscope writes more pages into one file; reading each takes time
MAX_MIXED = 5_000  # directories of a file without a known layout: tifffile compares each with all others
MAX_PLANES = 4_000_000  # of all images that OME metadata describe: tifffile makes a list of them
MAX_LABELS = 1_000_000  # along one axis, that OME annotations number
MAX_VALUE = 2**25  # bytes of a value other than the places of strips or tiles: a text takes four times its bytes
_PLACES = (273, 279, 324, 325)
_MAX_TAGS = 4096  # where a directory has more, tifffile ends the chain
_SHARED = 16 * 2**20  # bytes of values that several directories may have in common
_SUBIFDS = 330
_SIDES = {256: "ImageWidth", 257: "ImageLength", 277: "SamplesPerPixel", 278: "RowsPerStrip", 322: "TileWidth",
          323: "TileLength", 32997: "ImageDepth", 32998: "TileDepth"}  # fmt: skip
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_INTEGERS = {1: "B", 2: "B", 3: "H", 4: "I", 6: "b", 7: "B", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
_ALONG = (("Start", "0"), ("End", "0"), ("Step", "1"))  # attributes of an axis, and what they are without
_DAMAGED = "The file is damaged; export it again."
CIRCULAR = "the chain of TIFF directories is damaged (circular): only its first pages are used"


class Directories(NamedTuple):
    """The directories of a file; `closing` is the position and size of the link that makes a chain circular."""

    number: int
    smallest: int  # pixels of the smallest page of the chain
    closing: tuple[int, int] | None


def open_tiff(file: BinaryIO, path: Path) -> tuple[tifffile.TiffFile, tuple[str, ...]]:
    """Return an open TIFF and warnings; the caller closes `file`.

    A circular chain of directories ends where it comes back, with a warning. Other files of the same image, which OME
    metadata name, are not opened.

    Raises
    ------
    BadImage
        Directories that are empty, overlap or are linked twice, too many, or OME metadata of too many planes.
    """
    directories = check_directories(file, path)
    file.seek(0)
    checked: Any = file if directories.closing is None else _EndedChain(file, *directories.closing)
    tiff: Any = tifffile.TiffFile(checked, name="image", _multifile=False)
    if directories.number > MAX_MIXED:
        tiff._series_generic = lambda: _refuse_mixed(path)  # its way for all layouts that it does not know
    if tiff.is_ome:
        _check_ome(tiff.ome_metadata or "", directories, path)
    return tiff, () if directories.closing is None else (CIRCULAR,)


def _refuse_mixed(path: Path) -> None:
    raise _too_many(MAX_MIXED, "directories of an unknown layout", path)


def check_directories(file: BinaryIO, path: Path) -> Directories:
    """Follow the links from directory to directory, without decoding their values.

    A directory without entries, which TIFF 6.0 does not allow, is refused. So are directories that overlap or whose
    values do, beyond `_SHARED`: a few bytes would be read many times.
    """
    walk = _Walk(file, path)
    closing, smallest = None, 0
    at, link = walk.first()
    while 0 < at < walk.length:
        if at in walk.seen:
            closing = link
            break
        found = walk.read(at)
        if found is None:
            break
        if found.entries == 0:
            raise BadImage("TIFF directories with entries", f"an empty one at byte {at}", _DAMAGED, path)
        smallest = min(smallest or found.pixels, found.pixels)
        walk.read_below(found.below)
        at, link = found.following, found.link
    if not walk.seen:
        raise truncated_error(path, "TIFF", f"{walk.length} bytes without a directory")
    return Directories(len(walk.seen), max(smallest, 1), closing)


class _Found(NamedTuple):
    """A directory: its number of entries, the size of its page, its SubIFDs, and the link to the next one."""

    entries: int
    pixels: int
    below: list[int]
    following: int
    link: tuple[int, int]


class _Walk:
    """The directories of a file, each read once, and how many of their bytes are read again."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file, self._path = file, path
        self.length = file.seek(0, 2)
        file.seek(0)
        self._head = file.read(16)
        self._order = "<" if self._head[:2] == b"II" else ">"
        big = self._head[2:4] in (b"+\0", b"\0+")
        self._start = 8 if big else 4
        self._number, self._offset = (struct.Struct(self._order + code) for code in ("QQ" if big else "HI"))
        self._entry = struct.Struct(f"{self._order}HH{'Q8s' if big else 'I4s'}")
        self._left = {"directories": self.length, "values": 2 * self.length + _SHARED}
        self.seen: set[int] = set()

    def first(self) -> tuple[int, tuple[int, int]]:
        """Return the position of the first directory, and the position and size of the link to it."""
        end = self._start + self._offset.size
        at = self._offset.unpack(self._head[self._start : end])[0] if len(self._head) >= end else 0
        return at, (self._start, self._offset.size)

    def read(self, at: int) -> _Found | None:
        """Read a directory; None where tifffile ends the chain."""
        self.seen.add(at)
        if len(self.seen) > MAX_DIRECTORIES:
            raise _too_many(MAX_DIRECTORIES, "directories", self._path)
        self._file.seek(at)
        number = self._file.read(self._number.size)
        entries = self._number.unpack(number)[0] if len(number) == self._number.size else _MAX_TAGS + 1
        if entries > _MAX_TAGS:
            return None
        # As tifffile reads it: in a truncated file the link is the last bytes.
        content = self._file.read(entries * self._entry.size + self._offset.size)
        if len(content) < self._offset.size:
            return None
        self._take("directories", len(number) + len(content))
        sides, below = {256: 1, 257: 1}, list[int]()
        for place in range(0, len(content) - self._entry.size + 1, self._entry.size):
            code, kind, count, value = self._entry.unpack_from(content, place)
            if count > 1 and code in _SIDES:  # tifffile multiplies them, and a tuple with a number is a long tuple
                raise BadImage(f"one value of {_SIDES[code]}", f"{count}", _DAMAGED, self._path)
            size = count * _SIZES.get(kind, 0)
            if size > len(value) and code in tifffile.TIFF.TAG_LOAD:
                self._take("values", size if size <= self.length else 0)  # tifffile reads no others
                if MAX_VALUE < size <= self.length and code not in _PLACES:
                    got = f"{size:,} bytes in the tag {tifffile.TIFF.TAGS.get(code, code)}"
                    raise BadImage(
                        f"TIFF tags of at most {MAX_VALUE:,} bytes", got, "Save the image without it.", self._path
                    )
            if code in sides and 0 < size <= len(value):
                sides[code] = self._integers(kind, value[: _SIZES[kind]])[0]
            elif code == _SUBIFDS:
                below += self._integers(kind, value[:size] if size <= len(value) else self._value(value, size))
        link = at + len(number) + len(content) - self._offset.size, self._offset.size
        pixels = max(1, sides[256] * sides[257])
        return _Found(entries, pixels, below, self._offset.unpack(content[-self._offset.size :])[0], link)

    def read_below(self, below: list[int]) -> None:
        """Read SubIFDs and theirs."""
        waiting = list(below)
        while waiting:
            at = waiting.pop()
            if not 8 <= at < self.length:
                continue
            if at in self.seen:
                raise BadImage("TIFF directories that are linked once", f"two links to byte {at}", _DAMAGED, self._path)
            found = self.read(at)
            waiting += [] if found is None else found.below

    def _take(self, what: str, size: int) -> None:
        self._left[what] -= size
        if self._left[what] < 0:
            raise BadImage("TIFF directories side by side", f"{what} that overlap", _DAMAGED, self._path)

    def _value(self, value: bytes, size: int) -> bytes:
        self._file.seek(self._offset.unpack(value)[0])
        return self._file.read(size) if size <= self.length else b""

    def _integers(self, kind: int, content: bytes) -> list[int]:
        if kind not in _INTEGERS:
            return [0] * bool(content)
        count = len(content) // _SIZES[kind]
        return list(struct.unpack(f"{self._order}{count}{_INTEGERS[kind]}", content[: count * _SIZES[kind]]))


class _EndedChain(io.RawIOBase):
    """A file in which one link is 0: the chain of directories ends there."""

    def __init__(self, file: BinaryIO, at: int, size: int) -> None:
        self._file, self._span = file, (at, at + size)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer: Any) -> int:
        start = self._file.tell()
        view = memoryview(buffer).cast("B")
        content = self._file.read(len(view))
        view[: len(content)] = content
        low, high = max(start, self._span[0]), min(start + len(content), self._span[1])
        if low < high:
            view[low - start : high - start] = bytes(high - low)
        return len(content)


def _check_ome(text: str, directories: Directories, path: Path) -> None:
    """Limit the numbers of OME metadata of which tifffile makes lists.

    What is no XML, and numbers that are none, are left to tifffile, which then reads the pages without the metadata.
    """
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError):
        return
    planes = 0.0
    for element in root.iter():
        kind, stated = element.tag.rpartition("}")[2], element.attrib
        if kind.endswith("Pixels"):
            planes += math.prod(_number(stated.get(f"Size{axis}")) for axis in stated.get("DimensionOrder", ""))
        elif kind.endswith("TiffData"):
            count = _number(stated.get("PlaneCount", stated.get("NumPlanes", "1" if "IFD" in stated else None)))
            planes += directories.smallest * (count or directories.number)
        elif kind[:-1].endswith("Along"):
            start, end, step = (_number(stated.get(name, standard)) for name, standard in _ALONG)
            if step and (end - start) / step > MAX_LABELS:
                raise _too_many(MAX_LABELS, "labels along an axis", path)
    if planes / directories.smallest > MAX_PLANES:
        raise _too_many(MAX_PLANES, "planes in OME metadata", path)


def _number(text: str | None) -> float:
    try:
        number = float(text or 0)
    except ValueError:
        return 0
    return 0 if math.isnan(number) else number


def _too_many(limit: int, what: str, path: Path) -> BadImage:
    return BadImage("a TIFF of few pages", f"more than {limit} {what}", _DAMAGED, path)
