"""The one way a file gets its final name: written beside its place, flushed to disk, then renamed.

A reader sees the old file or the new one, never a part. Source of the order of steps: POSIX `rename(2)`
is atomic within one file system, so the temporary file lies in the destination folder.
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
    """Let `write` fill a file that appears at `path` only when it is whole.

    Parameters
    ----------
    path : Path
        The final name; its folder is made when it is missing. An existing file is replaced.
    write : callable
        Gets the open binary file.

    Raises
    ------
    OutputFailed
        The place cannot be written or the disk is full. A file that stood at `path` before stays as it was.
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
    """Write `content` to `path` whole or not at all."""
    atomic_write(path, lambda file: file.write(content))


def atomic_write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 to `path` whole or not at all."""
    atomic_write_bytes(path, text.encode("utf-8", "surrogateescape"))


def atomic_write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON to `path` whole or not at all. NaN is refused: JSON has none."""
    atomic_write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def write_error(path: Path, error: OSError) -> OutputFailed:
    """Say in one line why `path` could not be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull("room on the disk", "a full disk", "Free some space and run the same command again.", path)
    reason = error.strerror or str(error)
    return OutputFailed("a place that can be written", reason.lower(), "Choose another folder with --out.", path)


def sync_folder(folder: Path) -> None:
    """Make the rename itself durable; where folders cannot be opened (Windows) the rename alone has to do."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
