"""Memory that an exported graph takes for a batch, estimated from the shapes of its values before it runs.

A graph states what it computes, and a damaged or hostile one may ask for any amount. The values that are alive at once
while its operations run in order are a lower bound of what a runtime allocates, which reuses memory no better.
"""

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pixelwise.errors import BadModel

GIB = 2**30
MAX_CONSTANTS = 2**28  # bytes of what a graph computes without inputs; exports of pixelwise compute sizes


class GraphOperation(NamedTuple):
    """Names of the values that an operation reads and writes."""

    inputs: Sequence[str]
    outputs: Sequence[str]


Estimate = Callable[[Mapping[str, Sequence[int]]], int]  # shapes of the inputs -> bytes


class MemoryCheck:
    """Refuses batches for which a graph would take more memory than this machine has.

    Parameters
    ----------
    path : Path
        Of the exported file, for the message.
    estimate : callable
        Shapes of the inputs by name -> bytes.
    limit : int, optional
        In bytes; by default `available_memory`.
    """

    def __init__(self, path: Path, estimate: Estimate, limit: int | None = None) -> None:
        self._path, self._estimate, self._limit = path, estimate, limit
        self._largest = -1  # values of the largest inputs that were checked

    def __call__(self, shapes: Mapping[str, Sequence[int]]) -> None:
        """Check inputs of these shapes, unless larger ones have been checked; without any, what has one size only.

        Libraries compute constants of a graph while they load it.

        Raises
        ------
        BadModel
            They would take too much memory.
        """
        values = sum(math.prod(map(int, shape)) for shape in shapes.values())
        if values <= self._largest:
            return
        limit = (self._limit or available_memory()) if shapes else MAX_CONSTANTS
        needed = self._estimate(shapes)
        if limit is not None and needed > limit:
            sides = " x ".join(str(side) for side in next(iter(shapes.values()), ()))
            batch = f" for a batch of {sides}" if sides else ""
            kept = "of free memory" if shapes else "that constants may take"
            expected = f"a graph that takes at most the {limit / GIB:,.2f} GiB {kept}{batch}"
            hint = "Choose smaller tiles with --tile, or free memory; if the model is small, its file is damaged."
            raise BadModel(expected, f"one that takes {needed / GIB:,.1f} GiB", hint, self._path)
        self._largest = values


def peak_bytes(
    operations: Iterable[GraphOperation], sizes: Mapping[str, int], inputs: Iterable[str], outputs: Iterable[str]
) -> int:
    """Return the most bytes alive at once while operations run in order.

    Parameters
    ----------
    sizes : mapping of str to int
        Bytes of each value; those without an entry count nothing.
    inputs, outputs : iterable of str
        Values that are alive at the start, and at the end.

    Examples
    --------
    >>> operations = [GraphOperation(["a"], ["b"]), GraphOperation(["b"], ["c"]), GraphOperation(["c"], ["d"])]
    >>> peak_bytes(operations, {"a": 1, "b": 10, "c": 10, "d": 1}, ["a"], ["d"])
    20
    """
    operations = list(operations)
    last_use = {name: number for number, operation in enumerate(operations) for name in operation.inputs}
    last_use |= dict.fromkeys(outputs, len(operations))
    alive = {name: sizes.get(name, 0) for name in inputs}
    total = sum(alive.values())
    peak = total
    for number, operation in enumerate(operations):
        for name in operation.outputs:
            if name not in alive:
                alive[name] = sizes.get(name, 0)
                total += alive[name]
        peak = max(peak, total)
        for name in (*operation.inputs, *operation.outputs):
            if last_use.get(name, -1) <= number:
                total -= alive.pop(name, 0)
    return peak


def available_memory(root: Path = Path("/")) -> int | None:
    """Return the bytes that this process can still allocate; None if the system does not tell.

    Parameters
    ----------
    root : Path
        The folder that contains `proc` and `sys`.

    Notes
    -----
    On Linux `MemAvailable` of `/proc/meminfo`, and what is left of the limit of the control group (version 2); on other
    systems the physical memory.
    """
    found = [size for size in (_available(root), _group_rest(root / "sys/fs/cgroup")) if size is not None]
    if found:
        return min(found)
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None


def _available(root: Path) -> int | None:
    try:
        lines = (root / "proc/meminfo").read_text("utf-8").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, ValueError, IndexError, StopIteration):
        return None


def _group_rest(group: Path) -> int | None:
    try:
        limit, used = ((group / f"memory.{name}").read_text("utf-8") for name in ("max", "current"))
        return max(0, int(limit) - int(used))
    except (OSError, ValueError):  # no such file; "max"
        return None
