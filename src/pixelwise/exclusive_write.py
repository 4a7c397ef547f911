"""Exclusive writing of files: of several processes that write the same name, the first one wins.

The content is written to a temporary file, flushed to disk and given its final name by `link(2)`, which is atomic and
refuses a name that exists, also on network file systems (RFC 8881, section 18.9).
"""

import ctypes
import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, BinaryIO

from pixelwise.atomic_write import sync_folder, temporary_path, write_error
from pixelwise.errors import OutputFailed

_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
_AT_FDCWD, _RENAME_NOREPLACE = -100, 1  # of <fcntl.h> and <linux/fs.h>


def write_new(path: Path, write: Callable[[BinaryIO], object], *, durable: bool = True) -> bool:
    """Let `write` fill a file that gets the name `path` unless that exists.

    Parameters
    ----------
    path : Path
        The final name; its folder is created if missing.
    write : callable
        Called with the open binary file.
    durable : bool
        Flush file and folder to disk. A claim that a power failure may lose needs none of it.

    Returns
    -------
    bool
        False: the name existed, and is unchanged.

    Raises
    ------
    OutputFailed
        `path` cannot be written, the disk is full, or the file system cannot refuse a second name.
    """
    temporary = temporary_path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:
            write(file)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        new = link_new(temporary, path)
        if durable:
            sync_folder(path.parent)
    except OSError as error:
        raise write_error(path, error) from error
    finally:
        _remove(temporary)
    return new


def write_new_bytes(path: Path, content: bytes, *, durable: bool = True) -> bool:
    """Write `content` to `path` unless that exists; return whether it did not. See `write_new`."""
    return write_new(path, lambda file: file.write(content), durable=durable)


def lock_file(file: IO[Any]) -> bool:
    """Lock an open file against other processes until it is closed; return False if one of them has locked it.

    Without effect on Windows, which has no `fcntl`.
    """
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def link_new(source: Path, target: Path) -> bool:
    """Give a complete file a final name on the same file system; return False if another file has that name.

    The name `source` may be gone afterwards. Repeating the call is harmless.

    Raises
    ------
    OSError
        The name cannot be given.
    OutputFailed
        The file system has neither hard links nor a rename that refuses an existing name.
    """
    try:
        os.link(source, target)
    except FileExistsError:
        # of a network file system: the answer to a link that was made may be lost, and the call be repeated
        return _is_same(source, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return rename_new(source, target)
    return True


def rename_new(source: Path, target: Path) -> bool:
    """Rename a file unless the name exists; return whether it did not.

    Raises
    ------
    OSError
        The file cannot be renamed.
    OutputFailed
        The file system has no such rename.
    """
    try:
        if sys.platform == "win32":
            source.rename(target)  # refuses an existing name there
        else:
            _rename_linux(source, target)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EINVAL, *_NO_LINKS):
            raise
        hint = "Use a folder on a local disk, NFS, Lustre or another POSIX file system."
        raise OutputFailed("a file system with hard links", "one without", hint, target.parent) from error
    return True


def _rename_linux(source: Path, target: Path) -> None:
    """Call `renameat2(2)` with RENAME_NOREPLACE."""
    function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if function is None:  # not Linux, or an old C library
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if function(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), _RENAME_NOREPLACE):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(source), None, str(target))


def _is_same(source: Path, target: Path) -> bool:
    try:
        return source.samefile(target)
    except OSError:  # one of them is gone
        return False


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return  # must not hide the error that led here
