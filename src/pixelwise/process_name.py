"""A name for this process that is unique among all processes that share a file system."""

import hashlib
import os
import platform
from functools import cache
from pathlib import Path


@cache
def host_name() -> str:
    """Return eight hexadecimal digits for the host; containers with process numbers of their own are other hosts.

    So is this machine after a restart, and another one of the same name: the kernel draws a number when it starts.
    """
    try:
        processes = str(Path("/proc/self/ns/pid").readlink())  # of the namespace that numbers the processes
        kernel = Path("/proc/sys/kernel/random/boot_id").read_text("ascii")
    except OSError:  # not Linux
        processes = kernel = ""
    return hashlib.sha256(f"{platform.node()} {processes} {kernel}".encode()).hexdigest()[:8]


def process_name() -> str:
    """Return the host and the number of this process.

    Examples
    --------
    >>> process_name().split("-") == [host_name(), str(os.getpid())]
    True
    """
    return f"{host_name()}-{os.getpid()}"


def is_running_here(name: str) -> bool | None:
    """Return whether the process of this name runs; None if it is one of another host, which cannot be asked.

    Examples
    --------
    >>> is_running_here(process_name())
    True
    """
    host, _, number = name.rpartition("-")
    if host != host_name() or not number.isdecimal():
        return None
    try:
        os.kill(int(number), 0)
    except PermissionError:
        return True  # of another user
    except (OSError, OverflowError):
        return False
    return not _has_ended(number)


def _has_ended(number: str) -> bool:
    """Return whether a process has ended, and its parent has not asked for its exit code yet (Linux)."""
    try:
        stat = Path("/proc", number, "stat").read_bytes()
    except OSError:
        return False
    return stat.rpartition(b")")[2].split()[:1] in ([b"Z"], [b"X"])  # the name before it may contain anything
