"""What this machine can do, measured rather than looked up in lists of names."""

import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from pixelwise.errors import BadOption
from pixelwise.parallel import usable_threads


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where the network runs: `device` is "cpu", "cuda" or "mps"; `memory` is in bytes."""

    device: str
    threads: int
    memory: int


def look_at_machine(device: str = "auto") -> Machine:
    """Find the device, its memory and the threads that this process really has.

    Raises
    ------
    BadOption
        The device asked for is not there.
    """
    name = choose_device(device)
    threads = usable_threads()
    if name == "cpu":
        torch.set_num_threads(threads)
    return Machine(device=name, threads=threads, memory=_memory(name))


def choose_device(device: str) -> str:
    """Return "cpu", "cuda" or "mps" for "auto" or a name."""
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device == "auto":
        return next(name for name in ("cuda", "mps", "cpu") if there[name])
    if not there.get(device, False):
        known = ", ".join(name for name, found in there.items() if found)
        raise BadOption("a device of this machine", f"`{device}`", f"Here there is: {known}.")
    return device


@contextmanager
def use_threads(count: int) -> Generator[None, None, None]:
    """Let torch compute with so many threads while the block runs; 0 leaves the number as it is."""
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
    """Tell whether a device computes in bfloat16 by itself; processors without units for it emulate it slowly.

    oneDNN's limit on instructions (`ONEDNN_MAX_CPU_ISA`) counts too.
    """
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    known: Mapping[str, Any] = torch.cpu.get_capabilities()
    if known.get("architecture") not in ("x86_64", "amd64"):
        return bool(known.get("bf16", known.get("arm_bf16", False)))
    units = bool(known.get("avx512_bf16") or known.get("amx_bf16"))
    return units and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _memory(device: str) -> int:
    if device == "cuda":
        return int(torch.cuda.get_device_properties(0).total_memory)
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return 8 * 2**30  # no such question on this system; a common laptop
