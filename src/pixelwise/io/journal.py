"""A journal: one line per record, each with a checksum of itself; what a killed process left torn is not read."""

import json
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from pixelwise.errors import OutputFailed


class Journal:
    """Records (JSON objects) that survive their process.

    Parameters
    ----------
    path : Path
        Is made where it is missing.
    result : Path
        What it is kept for; named when another process is writing it.

    Raises
    ------
    OutputFailed
        Another process holds this journal.
    OSError
        The place cannot be written.
    """

    def __init__(self, path: Path, result: Path) -> None:
        self.path = path
        self._file = open_for_update(path)
        _lock(self._file, result)

    def records(self) -> Iterator[tuple[dict[str, Any], int]]:
        """Yield the records that are whole, from the first on, each with where it ends in the file."""
        self._file.seek(0)
        end = 0
        for line in self._file:
            record = _checked(line)
            if record is None:
                return
            end += len(line)
            yield record, end

    def cut(self, end: int) -> None:
        """Forget what stands behind `end`; the next record goes there."""
        self._file.truncate(end)
        self._file.seek(end)

    def append(self, record: dict[str, Any]) -> None:
        """Add a record; from then on it survives this process."""
        text = json.dumps(record, separators=(",", ":"))
        self._file.write(f"{zlib.crc32(text.encode()):08x} {text}\n".encode())
        self._file.flush()

    def sync(self) -> None:
        """Bring it to the disk: from then on it survives a power cut."""
        sync(self._file)

    def close(self) -> None:
        """Let others have it."""
        self._file.close()


def open_for_update(path: Path) -> BinaryIO:
    """Open a file for reading and writing, made where it is missing, never emptied."""
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644), "r+b")


def sync(file: BinaryIO) -> None:
    """Bring a file to the disk."""
    file.flush()
    os.fsync(file.fileno())


def _checked(line: bytes) -> dict[str, Any] | None:
    """Return the record of a line of the journal, None where it is torn or damaged."""
    checksum, _, text = line.rstrip(b"\n").partition(b" ")
    if not line.endswith(b"\n") or checksum != f"{zlib.crc32(text):08x}".encode():
        return None
    return json.loads(text)


def _lock(file: BinaryIO, path: Path) -> None:
    """Refuse a second writer; where files cannot be locked (Windows) nothing holds it off."""
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        hint = "Wait until it is done, or choose another --out."
        raise OutputFailed("a result that nobody else writes", "another process at work on it", hint, path) from error
