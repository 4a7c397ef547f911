"""Capabilities of this machine: device, memory, threads and bfloat16 support."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from pixelwise.device import find_device
from pixelwise.parallel import usable_threads


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Hardware that runs the network: `device` is "cpu", "cuda" or "mps"; `memory` is in bytes."""

    device: str
    threads: int
    memory: int


def detect_machine(device: str = "auto") -> Machine:
    """Return the device, its memory and the number of threads available to this process.

    Raises
    ------
    BadOption
        The requested device is not available.
    """
    found, threads = find_device(device), usable_threads()
    if found.name == "cpu":
        torch.set_num_threads(threads)
    return Machine(device=found.name, threads=threads, memory=found.memory)


def choose_device(device: str) -> str:
    """Return "cpu", "cuda" or "mps" for "auto" or a name."""
    return find_device(device).name


@contextmanager
def use_threads(count: int) -> Generator[None, None, None]:
    """Set the number of CPU threads of torch within the block; 0 does not change it."""
    before = torch.get_num_threads()
    if not count or count == before:
        yield
        return
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def has_bfloat16_units(device: str) -> bool:
    """Return whether a device has bfloat16 hardware; other processors emulate it slowly."""
    return find_device(device).bfloat16
