"""An append-only journal: one JSON record per line with a checksum. Incomplete or damaged lines are ignored."""

import json
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from pixelwise.errors import OutputFailed
from pixelwise.exclusive_write import lock_file


class Journal:
    """Records (JSON objects) that survive the end of the process.

    Parameters
    ----------
    path : Path
        Created if missing.
    result : Path
        The file that the journal is for; used in the error message.

    Raises
    ------
    OutputFailed
        Another process has locked this journal.
    OSError
        The file cannot be written.
    """

    def __init__(self, path: Path, result: Path) -> None:
        self.path = path
        self._file = open_for_update(path)
        if not lock_file(self._file):
            self._file.close()
            hint = "Wait until it has finished, or choose another --out."
            raise OutputFailed("a result that no other process writes", "another process writing it", hint, result)

    def records(self) -> Iterator[tuple[dict[str, Any], int]]:
        """Yield the valid records up to the first damaged one, each with its end offset in the file."""
        self._file.seek(0)
        end = 0
        for line in self._file:
            record = _checked(line)
            if record is None:
                return
            end += len(line)
            yield record, end

    def cut(self, end: int) -> None:
        """Truncate the file at offset `end`; the next record is written there."""
        self._file.truncate(end)
        self._file.seek(end)

    def append(self, record: dict[str, Any]) -> None:
        """Append a record and flush it to the operating system."""
        text = json.dumps(record, separators=(",", ":"))
        self._file.write(f"{zlib.crc32(text.encode()):08x} {text}\n".encode())
        self._file.flush()

    def sync(self) -> None:
        """Sync the file to disk, so that it survives a power failure."""
        sync(self._file)

    def close(self) -> None:
        """Close the file and release its lock."""
        self._file.close()


def read_records(file: BinaryIO) -> Iterator[dict[str, Any]]:
    """Yield the valid records of a journal that nobody writes, up to the first damaged one."""
    for line in file:
        record = _checked(line)
        if record is None:
            return
        yield record


def open_for_update(path: Path) -> BinaryIO:
    """Open a file for reading and writing; create it if missing, never truncate it."""
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644), "r+b")


def sync(file: BinaryIO) -> None:
    """Flush a file and sync it to disk."""
    file.flush()
    os.fsync(file.fileno())


def _checked(line: bytes) -> dict[str, Any] | None:
    """Return the record of a journal line; None if it is incomplete or damaged."""
    checksum, _, text = line.rstrip(b"\n").partition(b" ")
    if not line.endswith(b"\n") or checksum != f"{zlib.crc32(text):08x}".encode():
        return None
    return json.loads(text)
