"""Atomic file writing: write to a temporary file, flush it to disk, rename it.

A reader sees the old file or the new one, never an incomplete one. POSIX `rename(2)` is atomic within one
file system, so the temporary file is in the destination folder.
"""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from pixelwise.errors import DiskFull, OutputFailed

TEMPORARY = ".part"


def atomic_write(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let `write` fill a file that appears at `path` only when it is complete.

    Parameters
    ----------
    path : Path
        The final name; its folder is created if missing. An existing file is replaced.
    write : callable
        Called with the open binary file.

    Raises
    ------
    OutputFailed
        `path` cannot be written or the disk is full. An existing file is unchanged.
    """
    temporary = path.with_name(f".{path.name[:200]}.{os.getpid()}{TEMPORARY}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(path, error) from error
    try:
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise write_error(path, error) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def atomic_write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path` atomically."""
    atomic_write(path, lambda file: file.write(content))


def atomic_write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 to `path` atomically."""
    atomic_write_bytes(path, text.encode("utf-8", "surrogateescape"))


def atomic_write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON to `path` atomically. NaN raises ValueError: JSON has none."""
    atomic_write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def write_error(path: Path, error: OSError) -> OutputFailed:
    """Return the error for a `path` that could not be written, in one line."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull("free disk space", "a full disk", "Free some space and run the same command again.", path)
    reason = error.strerror or str(error)
    return OutputFailed("a writable path", reason.lower(), "Choose another folder with --out.", path)


def sync_folder(folder: Path) -> None:
    """Make the rename durable; do nothing where folders cannot be opened (Windows)."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
