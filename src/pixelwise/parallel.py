"""Parallel map in threads, and the number of processor cores.

Threads, not processes: decoding, numpy and scipy release Python's global interpreter lock, nothing has to be pickled,
and a user's script needs no `if __name__ == "__main__"`.
"""

import math
import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def cores() -> int:
    """Return the number of processor cores available to this process: its CPU affinity, limited by its cgroup quota.

    A fractional quota is rounded up: 1.5 cores count as two.
    """
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    quota = cpu_quota()
    return available if quota is None else max(1, min(available, math.ceil(quota - 0.01)))


def usable_threads() -> int:
    """Return the number of threads for a computation: one per core, or the limit of `OMP_NUM_THREADS`.

    Of a list in `OMP_NUM_THREADS` the first number counts (OpenMP 5.2, section 21.1.2). As in OpenMP, other values are
    ignored.
    """
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(first) if first.isdecimal() and int(first) else cores()


def cpu_quota(root: Path = Path("/")) -> float | None:
    """Return the CPU quota of this process in cores, from the Linux control groups; None without a limit.

    Parameters
    ----------
    root : Path
        The folder that contains `proc` and `sys`.

    Notes
    -----
    Version 2 writes "quota period" or "max period" to `cpu.max`; version 1 has `cpu.cfs_quota_us` (-1: no limit) and
    `cpu.cfs_period_us`. A group cannot exceed its parents, so the smallest quota counts. Inside a container the path in
    `/proc/self/cgroup` may be that of the host, of which only the top is visible: missing groups are ignored.
    Source: the kernel's Documentation/admin-guide/cgroup-v2.rst and scheduler/sched-bwc.rst.
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
                limits = (_quota(mount / group) for group in (within, *within.parents))
                quotas += [quota for quota in limits if quota is not None]
    return min(quotas, default=None)


def _mounts(top: Path, controllers: str) -> tuple[Path, ...]:
    """Return the possible mount points of a hierarchy; the one without controllers is version 2."""
    return (top / controllers, top / "cpu") if controllers else (top, top / "unified")


def _quota(group: Path) -> float | None:
    """Return the quota of one group in cores; None if it has no limit or does not exist."""
    try:
        if (group / "cpu.max").is_file():
            quota, period = (group / "cpu.max").read_text("utf-8").split()
        else:
            quota, period = ((group / f"cpu.cfs_{name}_us").read_text("utf-8") for name in ("quota", "period"))
        limit = int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):  # no such file; "max"
        return None
    return limit if limit > 0 else None


def parallel_map(
    function: Callable[[Item], Result], items: Sequence[Item], threads: int | None = None
) -> Iterator[Result]:
    """Yield `function(item)` for each item, in order.

    Parameters
    ----------
    function : callable
        Pure, with most of its time in code that releases the global interpreter lock.
    threads : int, optional
        1 runs in the calling thread; by default one per core.
    """
    count = threads or cores()
    if count == 1 or len(items) < 2:
        yield from map(function, items)
        return
    from concurrent.futures import ThreadPoolExecutor  # a local import keeps `pixelwise COMMAND --help` fast

    with ThreadPoolExecutor(count) as pool:
        yield from pool.map(function, items)


@contextmanager
def one_blas_thread() -> Generator[None]:
    """Let each product of matrices run in the thread that calls it, until the end of the block.

    For many small products in `parallel_map`: the threads of OpenBLAS wait for one another by spinning, which took ten
    times as long as the products. The command line is never in this state, see `let_idle_threads_sleep`, but numpy may
    have been imported before by who calls a function of pixelwise.
    """
    from threadpoolctl import threadpool_limits  # a local import keeps `pixelwise COMMAND --help` fast

    with threadpool_limits(1, "blas"):
        yield


def let_idle_threads_sleep() -> None:
    """Make idle OpenMP threads sleep instead of spinning, and OpenBLAS single-threaded; call before importing torch.

    On a busy machine a spinning thread blocks the thread that it waits for: with two trainings on two cores a step took
    1.6 to 4.0 s spinning and 0.5 s sleeping. Threads of OpenBLAS (numpy) always spin, for longer than small products
    take: the scale of a 256 x 256 image took 6 ms of processor time on two cores, of which 0.1 ms was work. Environment
    variables that the user has set are kept.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
