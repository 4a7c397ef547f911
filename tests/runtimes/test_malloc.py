"""What a process keeps of the memory that a command has used."""

import platform
import subprocess
import sys

import pytest

# blocks of 8 MiB that are freed while one allocated after them is still used, so that the heap cannot shrink by itself
PROGRAM = """
import resource, sys
from pathlib import Path
import numpy as np
from pixelwise.runtimes.malloc import keep_large_blocks, large_blocks

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

def work():
    blocks = [np.ones(2**20) for _ in range(20)]
    last = np.ones(2**10)
    return last

before = resident()
if sys.argv[1] == "process":
    keep_large_blocks()
    last = work()
else:
    with large_blocks():
        with large_blocks():
            last = work()
        nested = resident() - before
        assert nested > 100 * 2**20, "the outer one still needs its blocks"
print(resident() - before)
"""


def grown(how: str) -> int:
    """Return the bytes by which a process has grown."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="settings of glibc")
def test_memory_is_returned_when_the_last_command_ends() -> None:
    assert grown("command") < 40 * 2**20
    assert grown("process") > 100 * 2**20, "control"
