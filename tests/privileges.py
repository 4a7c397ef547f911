"""Run as a user whom the permissions of files bind: they do not bind root, as whom containers run their tests."""

import ctypes
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager

_VERSION = 0x20080522  # of the calls, for 64 capabilities (linux/capability.h)
_OVERRIDE, _SEARCH = 1, 2  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH


@contextmanager
def bound_by_permissions() -> Generator[bool]:
    """Take from this thread, and those it starts, what makes permissions void; yield whether they bind it now."""
    if not hasattr(os, "geteuid") or os.geteuid() or sys.platform != "linux":
        yield hasattr(os, "geteuid") and os.geteuid() != 0
        return
    library = ctypes.CDLL(None, use_errno=True)
    header, sets = (ctypes.c_uint32 * 2)(_VERSION, 0), (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable
    if library.capget(header, sets):
        yield False
        return
    effective = sets[0]
    sets[0] = effective & ~(1 << _OVERRIDE | 1 << _SEARCH)
    bound = not library.capset(header, sets)
    try:
        yield bound
    finally:
        sets[0] = effective
        library.capset(header, sets)
