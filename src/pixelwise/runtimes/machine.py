"""Capabilities of this machine: device, memory, threads and bfloat16 support."""

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
    name = choose_device(device)
    threads = usable_threads()
    if name == "cpu":
        torch.set_num_threads(threads)
    return Machine(device=name, threads=threads, memory=_memory(name))


def choose_device(device: str) -> str:
    """Return "cpu", "cuda" or "mps" for "auto" or a name."""
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device == "auto":
        return next(name for name in ("cuda", "mps", "cpu") if available[name])
    if not available.get(device, False):
        names = ", ".join(name for name, present in available.items() if present)
        raise BadOption("a device of this machine", f"`{device}`", f"Available: {names}.")
    return device


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
    """Return whether a device has bfloat16 hardware; other processors emulate it slowly.

    Respects the instruction limit of oneDNN (`ONEDNN_MAX_CPU_ISA`).
    """
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    cpu: Mapping[str, Any] = torch.cpu.get_capabilities()
    if cpu.get("architecture") not in ("x86_64", "amd64"):
        return bool(cpu.get("bf16", cpu.get("arm_bf16", False)))
    units = bool(cpu.get("avx512_bf16") or cpu.get("amx_bf16"))
    return units and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _memory(device: str) -> int:
    if device == "cuda":
        return int(torch.cuda.get_device_properties(0).total_memory)
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return 8 * 2**30  # unknown on this system; the size of a common laptop
