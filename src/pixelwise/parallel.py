"""The same pure function over many items: here, or in threads.

Threads, not processes: decoding, numpy and scipy release Python's lock, nothing has to be sent between processes, and
a user's script needs no `if __name__ == "__main__"`.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def cores() -> int:
    """Count the processor cores this process may really use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def usable_threads() -> int:
    """Return how many threads a computation should take: one per core, or the limit the user has set for OpenMP."""
    return int(os.environ.get("OMP_NUM_THREADS", "") or cores())


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
    with ThreadPoolExecutor(count) as pool:
        yield from pool.map(function, items)


def let_idle_threads_sleep() -> None:
    """Ask OpenMP, before torch loads it, that threads which wait sleep instead of spinning.

    On a machine with other work a spinning thread keeps the processor from the very thread it waits for: with two
    trainings on two cores a step took 1.6 to 4.0 s spinning and 0.5 s sleeping. A wish that the user has set is kept.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
