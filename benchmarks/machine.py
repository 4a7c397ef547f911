"""The machine that a bench runs on: processor, instruction sets, cores, versions; and how to use no more than AVX2."""

import os
import platform
import subprocess
import time
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

LIBRARIES = ("torch", "onnxruntime", "openvino", "numpy")
AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}  # what oneDNN and torch read when they start


def use_avx2_only() -> None:
    """Keep oneDNN and torch in every process that is started from now on to AVX2.

    Libraries that read neither variable (onnxruntime, numpy, MKL) are not limited.
    """
    os.environ.update(AVX2)


def limited_to() -> str:
    """Return the limit on instruction sets in this environment: "avx2", or "" without one."""
    return "avx2" if all(os.environ.get(name) == value for name, value in AVX2.items()) else ""


def machine() -> dict[str, object]:
    """Return processor, instruction sets, cores that may be used, and versions."""
    versions: dict[str, str] = {}
    for name in LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    sets = instruction_sets(_fact("flags").split())
    if limited_to():
        sets += " limited to AVX2 by " + " ".join(f"{name}={value}" for name, value in AVX2.items())
    processor = _fact("model name") or platform.processor()
    return {"processor": processor, "with": sets, "cores": cores, "python": platform.python_version(), **versions}


def instruction_sets(flags: Iterable[str]) -> str:
    """Return the widest vectors and the bfloat16 units that flags of /proc/cpuinfo name.

    Examples
    --------
    >>> instruction_sets(["avx", "avx2"])
    'AVX2, no bfloat16 units'
    >>> instruction_sets(["avx2", "avx512f", "avx512_bf16", "amx_bf16"])
    'AVX-512, bfloat16 units (AVX-512, AMX)'
    """
    flags = set(flags)
    widest = next((name for flag, name in (("avx512f", "AVX-512"), ("avx2", "AVX2")) if flag in flags), "no AVX2")
    units = [name for flag, name in (("avx512_bf16", "AVX-512"), ("amx_bf16", "AMX")) if flag in flags]
    return f"{widest}, " + (f"bfloat16 units ({', '.join(units)})" if units else "no bfloat16 units")


def in_words() -> str:
    """Return the machine in one line."""
    return ", ".join(f"{name} {value}" for name, value in machine().items())


def code_version() -> str:
    """Return the commit of the code, with `-dirty` where it was changed since; empty where git cannot say."""
    command = ["git", "--no-optional-locks", "describe", "--always", "--dirty"]
    try:
        said = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return said.stdout.decode().strip()


class Patience:
    """A limit on the seconds in which processes could have worked: time in which they wait for a processor is free.

    On a busy machine a process may be kept from working for minutes, which says nothing about it; one that neither
    works nor waits for a processor is stuck. Without /proc all seconds count.

    Parameters
    ----------
    seconds : float
    processes : callable
        Returns the ids of those that are waited for; one that ended is ignored.
    waited : callable, optional
        Returns how long each thread of these processes has waited for a processor, in seconds; for tests.
    """

    def __init__(
        self,
        seconds: float,
        processes: Callable[[], Iterable[int]],
        waited: Callable[[Iterable[int]], dict[str, float]] | None = None,
    ) -> None:
        self._seconds, self._processes, self._waited = seconds, processes, waited or waiting_seconds
        self._since, self._before = time.monotonic(), self._waited(processes())

    @property
    def over(self) -> bool:
        """Whether the seconds are used up; to be asked again and again."""
        now, waits = time.monotonic(), self._waited(self._processes())
        starved = max((value - self._before.get(thread, value) for thread, value in waits.items()), default=0.0)
        self._seconds -= max(0.0, now - self._since - starved)
        self._since, self._before = now, waits
        return self._seconds < 0


def waiting_seconds(processes: Iterable[int]) -> dict[str, float]:
    """Return how long each thread of processes has waited for a processor (second field of its schedstat)."""
    found: dict[str, float] = {}
    for process in processes:
        for path in Path(f"/proc/{process}/task").glob("*/schedstat"):
            try:
                found[path.parent.name] = int(path.read_text("utf-8").split()[1]) / 1e9
            except (OSError, IndexError):  # it has just ended
                continue
    return found


def with_children(process: int) -> list[int]:
    """Return a process and all its descendants."""
    found = [process]
    for one in found:
        for path in Path(f"/proc/{one}/task").glob("*/children"):
            try:
                found += [int(child) for child in path.read_text("utf-8").split()]
            except OSError:
                continue
    return found


def _fact(name: str) -> str:
    """Return the first line of /proc/cpuinfo with this name; empty where there is none."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(name)), "")
