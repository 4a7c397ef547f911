"""What this machine can do, measured rather than looked up in lists of names."""

import os
import time
from dataclasses import dataclass

import torch

from pixelwise.errors import BadOption
from pixelwise.parallel import cores


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where the network runs: `device` is "cpu", "cuda" or "mps"; `memory` is in bytes."""

    device: str
    threads: int
    memory: int
    bfloat16_gain: float

    @property
    def bfloat16(self) -> bool:
        """True where convolutions in bfloat16 were measured to be clearly faster than in float32."""
        return self.bfloat16_gain > 1.3


def look_at_machine(device: str = "auto") -> Machine:
    """Find the device, its memory, the threads that this process really has, and whether bfloat16 pays.

    Raises
    ------
    BadOption
        The device asked for is not there.
    """
    name = choose_device(device)
    threads = int(os.environ.get("OMP_NUM_THREADS", "") or cores())  # a limit the user has set is kept
    if name == "cpu":
        torch.set_num_threads(threads)
    return Machine(device=name, threads=threads, memory=_memory(name), bfloat16_gain=_bfloat16_gain(name))


def choose_device(device: str) -> str:
    """Return "cpu", "cuda" or "mps" for "auto" or a name."""
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device == "auto":
        return next(name for name in ("cuda", "mps", "cpu") if there[name])
    if not there.get(device, False):
        known = ", ".join(name for name, found in there.items() if found)
        raise BadOption("a device of this machine", f"`{device}`", f"Here there is: {known}.")
    return device


def _memory(device: str) -> int:
    if device == "cuda":
        return int(torch.cuda.get_device_properties(0).total_memory)
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return 8 * 2**30  # no such question on this system; a common laptop


def _bfloat16_gain(device: str) -> float:
    """Time forward and backward of a common convolution in float32 over the same in bfloat16.

    Processors without units for bfloat16 emulate it and come out several times slower.
    """
    if device == "mps":
        return 0.0
    seconds = [min(_convolution_seconds(device, kind) for _ in range(3)) for kind in (torch.float32, torch.bfloat16)]
    return seconds[0] / seconds[1]


def _convolution_seconds(device: str, kind: torch.dtype) -> float:
    layer = torch.nn.Conv2d(32, 32, 3, padding=1, device=device, dtype=kind).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    batch = torch.ones(2, 32, 96, 96, device=device, dtype=kind).to(memory_format=torch.channels_last)
    start = time.perf_counter()
    for _ in range(4):
        layer(batch).sum().backward()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start
