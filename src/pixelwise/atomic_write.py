"""Atomic writing of files and folders: write to a temporary file, flush it to disk, rename it.

A reader sees the old file or the new one, never an incomplete one. POSIX `rename(2)` is atomic within one
file system, so the temporary file is in the destination folder. Its name contains the host, the process and a random
part: on a shared file system two hosts, or two containers, may have processes of the same number. The next process that
writes into the folder removes what a killed one left there.
"""

import contextlib
import errno
import json
import os
import shutil
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from secrets import token_hex
from typing import Any, BinaryIO

from pixelwise.errors import DiskFull, OutputFailed
from pixelwise.process_name import is_running_here, process_name

TEMPORARY = ".part"
ABANDONED = 24 * 3600.0  # seconds after which a temporary file of another host is removed
PROBE = ".writable"  # start of the name of a file that is written to see whether a folder can be
_flushing = ContextVar("flushing", default=True)


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
    temporary = temporary_path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(path, error) from error
    _remove_leftovers_once(path.parent)
    try:
        with temporary.open("wb") as file:
            write(file)
            if _flushing.get():
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
        if _flushing.get():
            sync_folder(path.parent)
    except OSError as error:
        _remove(temporary)
        raise write_error(path, error) from error
    except BaseException:
        _remove(temporary)
        raise


@contextmanager
def without_flushing() -> Generator[None, None, None]:
    """Leave it to the system when files reach the disk: for folders that do not outlive a request.

    Files still appear only when they are complete. The block and what it writes are of one thread.
    """
    token = _flushing.set(False)
    try:
        yield
    finally:
        _flushing.reset(token)


@contextmanager
def new_folder(out: Path) -> Generator[Path, None, None]:
    """Give a folder to fill, which becomes `out` when the block ends, and vanishes if it fails.

    What a killed process left of it is removed first.

    Raises
    ------
    OutputFailed
        `out` exists and is not an empty folder, or cannot be written.
    """
    temporary = temporary_path(out)
    try:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise OutputFailed("a new folder", "one that is not empty", "Choose another folder with --out.", out)
        remove_leftovers(out.parent)
        temporary.mkdir(parents=True)
    except OSError as error:
        raise write_error(out, error) from error
    try:
        yield temporary
        if out.exists():
            out.rmdir()
        temporary.rename(out)
    except OSError as error:
        raise write_error(out, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def check_writable(folder: Path) -> None:
    """Create a folder, unless it exists, and a file in it, which is removed again.

    Raises
    ------
    OSError
        It cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    probe = folder / f"{PROBE}.{process_name()}-{token_hex(4)}{TEMPORARY}"
    probe.touch()
    probe.unlink(missing_ok=True)


def remove_leftovers(folder: Path, name: str = "") -> None:
    """Remove temporary files and folders whose process no longer runs.

    Parameters
    ----------
    name : str
        Of the file that they were for; by default any.

    Notes
    -----
    Processes of other hosts cannot be asked: what they left is removed after `ABANDONED` seconds.
    """
    for leftover in folder.glob(f".*{TEMPORARY}"):
        wanted, _, process = leftover.name.removesuffix(TEMPORARY)[1:].rpartition(".")
        if (name and wanted != name) or process.count("-") != 2:
            continue
        running = is_running_here(process.rpartition("-")[0])
        if running is False or (running is None and _is_abandoned(leftover)):
            _remove(leftover)


@lru_cache(maxsize=256)
def _remove_leftovers_once(folder: Path) -> None:
    """Remove them when this process first writes into a folder: listing it before every file would be slow."""
    remove_leftovers(folder)


def temporary_path(path: Path) -> Path:
    """Return a new temporary name beside `path`; at most 255 bytes, the limit of most file systems."""
    suffix = f".{process_name()}-{token_hex(4)}{TEMPORARY}"
    kept = os.fsencode(path.name)[: 255 - 1 - len(suffix)]
    return path.with_name(f".{kept.decode('utf-8', 'ignore')}{suffix}")


def move_file(source: Path, path: Path) -> None:
    """Move a file to `path` atomically, also from another file system, such as that of temporary files."""
    working = temporary_path(path)
    try:
        shutil.move(source, working)
        working.replace(path)
    except BaseException:
        _remove(working)
        raise


def _is_abandoned(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime > ABANDONED
    except OSError:
        return False


def _remove(path: Path) -> None:
    """Remove a file or folder if it exists; a failure must not hide the error that led here."""
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def atomic_write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path` atomically."""
    atomic_write(path, lambda file: file.write(content))


def atomic_write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 to `path` atomically."""
    atomic_write_bytes(path, text.encode("utf-8", "surrogateescape"))


def atomic_write_json(path: Path, value: Any) -> None:
    r"""Write `value` as indented JSON to `path` atomically. NaN raises ValueError: JSON has none.

    Bytes of file names that are no UTF-8 become escapes such as ``\udcff``, which `json.loads` reads as they were.
    """
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    atomic_write_bytes(path, text.encode("utf-8", "backslashreplace"))


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
