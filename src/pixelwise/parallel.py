"""The same pure function over many items: here, or in threads.

Threads, not processes: decoding, numpy and scipy release Python's lock, nothing has to be sent between processes, and
a user's script needs no `if __name__ == "__main__"`.
"""

import math
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def cores() -> int:
    """Count the processor cores this process may really use: those it may run on, within the quota of its container.

    A quota of one and a half cores counts as two: the half one would stand still otherwise.
    """
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    quota = cpu_quota()
    return there if quota is None else max(1, min(there, math.ceil(quota - 0.01)))


def usable_threads() -> int:
    """Return how many threads a computation should take: one per core, or the limit the user has set for OpenMP.

    `OMP_NUM_THREADS` may be a list, whose first number counts (OpenMP 5.2, section 21.1.2); what is no number is passed
    over, as OpenMP does.
    """
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(first) if first.isdecimal() and int(first) else cores()


def cpu_quota(root: Path = Path("/")) -> float | None:
    """Return the processor time per second that control groups of Linux leave this process; None without a limit.

    Parameters
    ----------
    root : Path
        Where `proc` and `sys` lie.

    Notes
    -----
    Version 2 writes "quota period" or "max period" into `cpu.max`; version 1 has `cpu.cfs_quota_us` (-1: no limit) and
    `cpu.cfs_period_us`. A group cannot have more than those above it, so the least of them counts. Inside a container
    the path in `/proc/self/cgroup` may be that of the host, of which only the top is to be seen here: what is missing
    is passed over. Source: the kernel's Documentation/admin-guide/cgroup-v2.rst and scheduler/sched-bwc.rst.
    """
    try:
        groups = (root / "proc/self/cgroup").read_text("utf-8").splitlines()
    except (OSError, ValueError):  # not Linux
        return None
    quotas: list[float] = []
    for line in groups:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers or "cpu" in controllers.split(","):
            within = Path(path.lstrip("/"))
            for mount in _mounts(root / "sys/fs/cgroup", controllers):
                found = (_quota(mount / group) for group in (within, *within.parents))
                quotas += [quota for quota in found if quota is not None]
    return min(quotas, default=None)


def _mounts(top: Path, controllers: str) -> tuple[Path, ...]:
    """Return where a hierarchy may be mounted; the one without controllers is version 2."""
    return (top / controllers, top / "cpu") if controllers else (top, top / "unified")


def _quota(group: Path) -> float | None:
    """Return the cores that one group may use; None where it has no limit, or is not there."""
    try:
        if (group / "cpu.max").is_file():
            quota, period = (group / "cpu.max").read_text("utf-8").split()
        else:
            quota, period = ((group / f"cpu.cfs_{name}_us").read_text("utf-8") for name in ("quota", "period"))
        cores_of = int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):  # no such file; "max"
        return None
    return cores_of if cores_of > 0 else None


def parallel_map(
    function: Callable[[Item], Result], items: Sequence[Item], threads: int | None = None
) -> Iterator[Result]:
    """Yield `function(item)` for each item, in order.

    Parameters
    ----------
    function : callable
        Pure, and slow in code that releases Python's lock.
    items : sequence
    threads : int, optional
        1 runs here; by default one per core.
    """
    count = threads or cores()
    if count == 1 or len(items) < 2:
        yield from map(function, items)
        return
    from concurrent.futures import ThreadPoolExecutor  # here: `pixelwise COMMAND --help` needs no threads

    with ThreadPoolExecutor(count) as pool:
        yield from pool.map(function, items)


def let_idle_threads_sleep() -> None:
    """Ask OpenMP, before torch loads it, that threads which wait sleep instead of spinning, and numpy for no threads.

    On a machine with other work a spinning thread keeps the processor from the very thread it waits for: with two
    trainings on two cores a step took 1.6 to 4.0 s spinning and 0.5 s sleeping. Those of OpenBLAS behind numpy always
    spin, for longer than the small products take that are computed with it: the scale of a picture of 256 x 256 took
    6 ms of processor time on two cores, of which 0.1 ms was work. Wishes that the user has set are kept.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
