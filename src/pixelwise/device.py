"""What a device can do: the only place that asks PyTorch about it.

Everything that depends on the device is decided from its `Device`, so that the decisions for a graphics card can be
tested without one: put another description into `DESCRIBE`.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

from pixelwise.errors import BadOption

_UNKNOWN_MEMORY = 8 * 2**30  # bytes of a common laptop, where the system does not tell


@dataclass(frozen=True, kw_only=True)
class Device:
    """A device that computes networks.

    Attributes
    ----------
    name : {"cpu", "cuda", "mps"}
    place : str
        Where PyTorch keeps the tensors of this device.
    memory : int
        In bytes.
    bfloat16 : bool
        It has units for bfloat16; other devices emulate it slowly.
    float64 : bool
        It computes in float64, which sums over whole images need.
    graphs : bool
        Kernels of a batch can be captured and replayed (see `runtimes.cuda_graphs`).
    near_memory : bool
        Its maps are in the memory of the process, so that a network that is cut does not move them to and fro.
    collective : {"nccl", "gloo"}
        How processes exchange gradients.
    """

    name: str
    place: str
    memory: int
    bfloat16: bool = False
    float64: bool = True
    graphs: bool = False
    near_memory: bool = False
    collective: str = "gloo"


def find_device(name: str) -> Device:
    """Return a device of this machine by its name; "auto" for the fastest.

    Raises
    ------
    BadOption
        This machine does not have it.

    Examples
    --------
    >>> find_device("cpu").place
    'cpu'
    """
    if name == "auto":
        return next(found for found in (describe() for describe in DESCRIBE.values()) if found is not None)
    found = DESCRIBE[name]() if name in DESCRIBE else None
    if found is None:
        names = ", ".join(known for known in reversed(DESCRIBE) if DESCRIBE[known]() is not None)
        raise BadOption("a device of this machine", f"`{name}`", f"Available: {names}.")
    return found


def _cuda() -> Device | None:
    if not torch.cuda.is_available():
        return None
    return Device(
        name="cuda",
        place="cuda",
        memory=int(torch.cuda.get_device_properties(0).total_memory),
        bfloat16=torch.cuda.is_bf16_supported(including_emulation=False),
        graphs=True,
        collective="nccl" if torch.distributed.is_nccl_available() else "gloo",
    )


def _mps() -> Device | None:
    if not torch.backends.mps.is_available():
        return None
    return Device(name="mps", place="mps", memory=_physical_memory(), float64=False)


def _cpu() -> Device:
    return Device(
        name="cpu", place="cpu", memory=_physical_memory(), bfloat16=_processor_has_bfloat16(), near_memory=True
    )


DESCRIBE: dict[str, Callable[[], Device | None]] = {"cuda": _cuda, "mps": _mps, "cpu": _cpu}
"""Description of each device in order of preference; None where it is missing."""


@cache
def _processor_has_bfloat16() -> bool:
    """Respects the instruction limit of oneDNN (`ONEDNN_MAX_CPU_ISA`)."""
    if not torch.backends.mkldnn.is_available():
        return False
    cpu: Mapping[str, Any] = torch.cpu.get_capabilities()
    if cpu.get("architecture") not in ("x86_64", "amd64"):
        return bool(cpu.get("bf16", cpu.get("arm_bf16", False)))
    units = bool(cpu.get("avx512_bf16") or cpu.get("amx_bf16"))
    return units and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _physical_memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return _UNKNOWN_MEMORY
