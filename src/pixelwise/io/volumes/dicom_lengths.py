"""Check the lengths of DICOM elements against the file before a library allocates memory for them.

A damaged file of a kilobyte can announce an element of four gigabytes. Source: DICOM PS3.5, chapter 7 (data set) and
annex A (transfer syntaxes).
"""

import math
import struct
from pathlib import Path
from typing import BinaryIO

from pixelwise.errors import BadImage

_META_END = 0x0002  # group of the file meta elements, always explicit and little-endian
_SYNTAX, _PIXELS = (0x0002, 0x0010), (0x7FE0, 0x0010)
_PHOTOMETRIC, _FRAMES, _BITS = (0x0028, 0x0004), (0x0028, 0x0008), (0x0028, 0x0100)
_SIZES = ((0x0028, 0x0002), (0x0028, 0x0010), (0x0028, 0x0011), _BITS)  # samples per pixel, rows, columns, bits
_IMPLICIT, _BIG_ENDIAN, _DEFLATED = b"1.2.840.10008.1.2", b"1.2.840.10008.1.2.2", b"1.2.840.10008.1.2.1.99"
_LONG = {b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"UN", b"UR", b"UT", b"UC", b"SQ", b"SV", b"UV"}
_SHORT = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())
_ITEM, _ITEM_END, _SEQUENCE_END = (0xFFFE, 0xE000), (0xFFFE, 0xE00D), (0xFFFE, 0xE0DD)
_UNDEFINED = 0xFFFFFFFF
_MAX_ELEMENTS, _MAX_DEPTH = 200_000, 16


def check_lengths(path: Path) -> None:
    """Check that every element of a DICOM file ends within it.

    Raises
    ------
    BadImage
        An element is longer than the rest of the file, or nested too deeply, or the pixels are fewer than the header
        states; or the whole data set is deflated.
    """
    with path.open("rb") as file:
        end = file.seek(0, 2)
        file.seek(132)
        _Walk(file, path).elements(end, 0)


class _Walk:
    """A walk through the elements of an open file."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file, self._path = file, path
        self._meta, self._explicit, self._order, self._count = True, True, "<", 0
        self._syntax = b""
        self._values: dict[tuple[int, int], bytes] = {}  # of the image, the first of each as the library takes it

    def elements(self, end: int, depth: int) -> None:
        """Walk through elements up to `end`, or to the end of the item."""
        while self._file.tell() + 8 <= end:
            tag, kind, length = self._head()
            if tag in (_ITEM_END, _SEQUENCE_END):
                return
            if length == _UNDEFINED:
                self._items(end, depth + 1, fragments=tag == _PIXELS)
                continue
            start = self._file.tell()
            if length > end - start:
                raise self._error(f"one of {length} bytes with {end - start} left")
            value = self._file.read(min(length, 64))
            if tag == _SYNTAX:
                self._syntax = value.strip(b"\0 ")
            if depth == 0 and tag in (*_SIZES, _FRAMES, _PHOTOMETRIC):
                self._values.setdefault(tag, value)
            if depth == 0 and tag == _PIXELS and length < (needed := self._needed()):
                raise self._error(f"{length} bytes of pixels that take {needed}")
            nested = kind == b"SQ" or value[:4] == struct.pack(f"{self._order}HH", *_ITEM)
            if nested and length >= 8:
                self._file.seek(start)
                self._items(start + length, depth + 1, fragments=False)
            self._file.seek(start + length)

    def _needed(self) -> int:
        """Return how many bytes the pixels take, 0 if that is not stated; decoders do not refuse fewer."""
        values = [self._values.get(tag, b"").ljust(2, b"\0")[:2] for tag in _SIZES]
        numbers = [struct.unpack(f"{self._order}H", value)[0] for value in values]
        frames = self._values.get(_FRAMES, b"1").strip(b"\0 ")
        if self._values.get(_PHOTOMETRIC, b"").startswith(b"YBR"):  # colours may be stored for every second pixel
            return 0
        return math.prod(numbers) * (int(frames) if frames.isdigit() else 1) // 8

    def _items(self, end: int, depth: int, *, fragments: bool) -> None:
        """Walk through the items of a sequence, or the fragments of compressed pixels."""
        if depth > _MAX_DEPTH:
            raise self._error("deeper nesting")
        while self._file.tell() + 8 <= end:
            group, element, length = self._unpack("HHI", 8)
            if (group, element) != _ITEM:
                return
            if length == _UNDEFINED:
                self.elements(end, depth)
                continue
            start = self._file.tell()
            if length > end - start:
                raise self._error(f"an item of {length} bytes with {end - start} left")
            if not fragments:
                self.elements(start + length, depth)
            self._file.seek(start + length)

    def _head(self) -> tuple[tuple[int, int], bytes, int]:
        """Return tag, value representation and length of the next element."""
        self._count += 1
        if self._count > _MAX_ELEMENTS:
            raise self._error(f"more than {_MAX_ELEMENTS} elements")
        start = self._file.tell()
        group, element = self._unpack("HH", 4)
        if self._meta and group != _META_END:
            self._leave_meta()
            self._file.seek(start)
            group, element = self._unpack("HH", 4)
        if group == _ITEM[0] or not self._explicit:
            return (group, element), b"", self._unpack("I", 4)[0]
        kind = self._file.read(2)
        if kind in _LONG:
            self._file.read(2)
            return (group, element), kind, self._unpack("I", 4)[0]
        rest = self._file.read(2)
        if kind not in _SHORT:  # readers may take the element for one without a value representation
            (length,) = struct.unpack("<I", (kind + rest).ljust(4, b"\0"))
            self._check_rest(length)
        return (group, element), kind, struct.unpack(f"{'<' if self._meta else self._order}H", rest.ljust(2, b"\0"))[0]

    def _check_rest(self, length: int) -> None:
        """Raise `BadImage` if an element of this length does not end within the file."""
        start = self._file.tell()
        left = self._file.seek(0, 2) - start
        self._file.seek(start)
        if length > left:
            raise self._error(f"one of {length} bytes with {left} left")

    def _leave_meta(self) -> None:
        self._meta = False
        if self._syntax == _DEFLATED:
            raise self._error("a deflated data set")
        self._explicit = self._syntax != _IMPLICIT
        self._order = ">" if self._syntax == _BIG_ENDIAN else "<"

    def _unpack(self, form: str, size: int) -> tuple[int, ...]:
        order = "<" if self._meta else self._order
        return struct.unpack(f"{order}{form}", self._file.read(size).ljust(size, b"\0"))

    def _error(self, got: str) -> BadImage:
        hint = "Export the series again, or save it as NIfTI."
        return BadImage("DICOM elements that end within the file", got, hint, self._path)
