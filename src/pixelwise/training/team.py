"""The processes of one training, and sums over them that do not depend on their number.

A batch is divided into slots. The gradient of each slot is computed alone, and gradients are added in one fixed binary
tree over the slots: neighbours first, then pairs of neighbours. A process has a complete subtree, and the rest of the
tree is the exchange between processes that is known as recursive doubling. Because a + b equals b + a bit by bit, every
process, and every number of processes, gets the same sum. Thakur, Rabenseifner, Gropp 2005, "Optimization of collective
communication operations in MPICH", section 4.
"""

import json
import os
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from jaxtyping import Int64
from torch import Tensor

from pixelwise.device import find_device
from pixelwise.errors import BadOption, Interrupted

LOST_SECONDS = 60.0  # without an answer, after which a process counts as lost
_START_SECONDS = 3600.0  # until all processes have read their data
TIMEOUT, STORE = "PIXELWISE_LOST_SECONDS", "PIXELWISE_STORE"  # environment variables


class Team:
    """The processes of a training; this one alone by default.

    Parameters
    ----------
    rank, size : int
        Of this process, and the number of processes, a power of two.
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size

    @property
    def leads(self) -> bool:
        """Whether this process decides and writes."""
        return self.rank == 0

    def own_slots(self, slots: int) -> range:
        """Return the slots of this process.

        Raises
        ------
        BadOption
            The number of processes does not divide that of the slots.

        Examples
        --------
        >>> [list(Team(rank, 2).own_slots(4)) for rank in (0, 1)]
        [[0, 1], [2, 3]]
        """
        if slots % self.size:
            hint = f"Set training.slots={self.size} or a larger power of two, or start fewer processes."
            raise BadOption(f"slots for {self.size} processes", f"training.slots={slots}", hint)
        each = slots // self.size
        return range(self.rank * each, (self.rank + 1) * each)

    def total(self, own: Iterable[Tensor]) -> Tensor:
        """Return the sum over the slots of all processes, added in the fixed tree.

        Parameters
        ----------
        own : iterable of Tensor
            One per slot of this process, in order; a power of two of them.
        """
        return self._exchange(tree_sum(own))

    def count(self, own: Int64[np.ndarray, "*shape"]) -> Int64[np.ndarray, "*shape"]:
        """Return the sum of integers over all processes, which is exact in any order."""
        return own

    def any(self, flag: bool) -> bool:
        """Return whether the flag is set in any process."""
        return flag

    def tell(self, value: Any) -> Any:
        """Return the JSON-ready value that the leading process has."""
        return value

    def leave(self) -> None:
        """End the connections."""

    def _exchange(self, value: Tensor) -> Tensor:
        return value


class TorchTeam(Team):
    """Processes started by `torchrun`, connected by gloo, or by NCCL where each has a graphics card.

    Parameters
    ----------
    device : str
        Of the network.
    seconds : float
        Without an answer, after which a process counts as lost.

    Raises
    ------
    Interrupted
        By every method: a process is lost.
    """

    def __init__(self, device: str = "cpu", seconds: float = LOST_SECONDS) -> None:
        found = find_device(device)
        backend = found.collective
        if not dist.is_initialized():
            store = os.environ.get(STORE)  # a file where the processes meet; by default at the address of torchrun
            dist.init_process_group(
                backend,
                init_method="env://" if store is None else f"file://{store}",
                rank=rank_of_process(),
                world_size=world_size(),
                timeout=timedelta(seconds=_START_SECONDS),
            )
        super().__init__(dist.get_rank(), dist.get_world_size())
        self._device = torch.device(found.place if backend == "nccl" else "cpu")
        limit = timedelta(seconds=seconds)
        self._all: Any = dist.new_group(backend=backend, timeout=limit)
        # every process makes every group, in the same order
        self._pairs: list[Any] = []
        for level in range(self.size.bit_length() - 1):
            step = 1 << level
            for low in (rank for rank in range(self.size) if not rank & step):
                pair = dist.new_group([low, low | step], backend=backend, timeout=limit)
                if self.rank in (low, low | step):
                    self._pairs.append(pair)

    def count(self, own: Int64[np.ndarray, "*shape"]) -> Int64[np.ndarray, "*shape"]:
        """Return the sum of integers over all processes, which is exact in any order."""
        value = torch.from_numpy(own).to(self._device, copy=True)
        with _lost_is_an_interruption():
            dist.all_reduce(value, group=self._all)
        return value.cpu().numpy()

    def any(self, flag: bool) -> bool:
        """Return whether the flag is set in any process."""
        value = torch.tensor([int(flag)], device=self._device)
        with _lost_is_an_interruption():
            dist.all_reduce(value, dist.ReduceOp.MAX, group=self._all)
        return bool(value.item())

    def tell(self, value: Any) -> Any:
        """Return the JSON-ready value that the leading process has."""
        content = torch.tensor(list(json.dumps(value).encode()), dtype=torch.uint8, device=self._device)
        length = torch.tensor([len(content)], device=self._device)
        with _lost_is_an_interruption():
            dist.broadcast(length, 0, group=self._all)
            if not self.leads:
                content = torch.empty(int(length.item()), dtype=torch.uint8, device=self._device)
            dist.broadcast(content, 0, group=self._all)
        return json.loads(bytes(content.tolist()))

    def leave(self) -> None:
        """End the connections."""
        dist.destroy_process_group()

    def _exchange(self, value: Tensor) -> Tensor:
        home = value.device
        value = value.to(self._device)
        with _lost_is_an_interruption():
            for pair in self._pairs:
                dist.all_reduce(value, group=pair)
        return value.to(home)


@contextmanager
def _lost_is_an_interruption() -> Generator[None, None, None]:
    """Turn the error of a collective operation of which the other side is lost into an interruption."""
    try:
        yield
    except RuntimeError as error:  # gloo has no class of its own
        hint = "Start it again with --resume, on any number of processes that divides training.slots."
        raise Interrupted("all processes of the training", "a process of the training was lost", hint) from error


def tree_sum(values: Iterable[Tensor]) -> Tensor:
    """Return the sum of a power of two of tensors, added as a binary tree; holds log2(n) + 1 of them at a time.

    Examples
    --------
    >>> tree_sum(torch.tensor([float(n)]) for n in (1, 2, 3, 4)).item()
    10.0
    """
    stack: list[tuple[int, Tensor]] = []
    for value in values:
        level = 0
        while stack and stack[-1][0] == level:
            value = stack.pop()[1] + value
            level += 1
        stack.append((level, value))
    if len(stack) != 1:
        raise BadOption(
            "a power of two of values", f"{sum(1 << level for level, _ in stack)}", "Change training.slots."
        )
    return stack[0][1]


def world_size() -> int:
    """Return the number of processes that `torchrun` has started with this one; 1 without it.

    Raises
    ------
    BadOption
        It is not a power of two.
    """
    text = os.environ.get("WORLD_SIZE", "1")
    size = int(text) if text.isdecimal() else 1
    if size < 1 or size & (size - 1):
        raise BadOption("1, 2, 4, 8, ... processes", f"{size}", "Change --nnodes or --nproc-per-node of torchrun.")
    return size


def rank_of_process() -> int:
    """Return the rank that `torchrun` gave to this process; 0 without it."""
    text = os.environ.get("RANK", "0")
    return int(text) if text.isdecimal() and world_size() > 1 else 0


def join_team(device: str) -> Team:
    """Return the processes of this training, connected; this one alone without `torchrun`."""
    if world_size() == 1:
        return Team()
    seconds = os.environ.get(TIMEOUT, "")
    return TorchTeam(device, float(seconds) if seconds.replace(".", "", 1).isdecimal() else LOST_SECONDS)
