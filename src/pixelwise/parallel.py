"""The same pure function over many items: here or in processes."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

# Starting a process imports numpy and scipy: about half a second, worth it from about this many items on.
WORTH_PROCESSES = 64


def cores() -> int:
    """Count the processor cores this process may really use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def parallel_map(
    function: Callable[[Item], Result], items: Sequence[Item], processes: int | None = None
) -> Iterator[Result]:
    """Yield `function(item)` for each item, in order.

    Parameters
    ----------
    function : callable
        Pure, and importable by name (no lambda, no local function).
    items : sequence
    processes : int, optional
        1 runs here. By default a process per core when there are at least `WORTH_PROCESSES` items.
    """
    count = processes or (cores() if len(items) >= WORTH_PROCESSES else 1)
    if count == 1:
        yield from map(function, items)
        return
    # spawn: forking a process that holds torch's or BLAS's threads can deadlock
    with ProcessPoolExecutor(count, mp_context=get_context("spawn")) as pool:
        yield from pool.map(function, items, chunksize=max(1, len(items) // (8 * count)))
