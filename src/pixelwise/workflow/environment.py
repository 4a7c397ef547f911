"""Record of the software and hardware of a run, and parsing of durations."""

import platform
import re
from importlib.metadata import version
from typing import Any

from pixelwise.errors import BadOption
from pixelwise.runtimes.machine import Machine

_PACKAGES = ("pixelwise", "torch", "numpy", "scipy", "scikit-image", "pillow", "tifffile")
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def describe_environment(machine: Machine, seed: int) -> dict[str, Any]:
    """Return versions, device, threads and seed, which are needed to reproduce the run."""
    return {
        "seed": seed,
        "device": machine.device,
        "threads": machine.threads,
        "python": platform.python_version(),
        "system": platform.system(),
        "processor": platform.machine(),
        "versions": {name: version(name) for name in _PACKAGES},
    }


def parse_duration(text: float | str | None) -> float | None:
    """Parse "90", "90s", "10m", "1.5h" or a number of seconds; return None for None.

    Raises
    ------
    BadOption
        The text is not a positive duration.
    """
    if text is None:
        return None
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|m|min|h|)\s*", str(text))
    if match is None or float(match[1]) <= 0:
        raise BadOption("a duration such as 90s, 10m or 2h", f"`{text}`", "For example --budget 10m.")
    return float(match[1]) * _UNITS[match[2]]
