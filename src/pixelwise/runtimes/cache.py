"""The folder for what can be made or fetched again: $PIXELWISE_CACHE, else $XDG_CACHE_HOME/pixelwise, else ~/.cache."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pixelwise.parallel import usable_threads

PACKAGES = {"torch": "torch", "onnx": "onnxruntime", "openvino": "openvino"}  # what computes, and where it comes from
LIMITS = ("ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY")  # variables that keep libraries from instructions


def cache_folder() -> Path:
    """Return the folder for what can be made or fetched again."""
    own, shared = os.environ.get("PIXELWISE_CACHE"), os.environ.get("XDG_CACHE_HOME")
    if own:
        return Path(own)
    return (Path(shared) if shared else Path.home() / ".cache") / "pixelwise"


def machine_facts() -> dict[str, Any]:
    """Return what a measured speed depends on: the machine, its threads, and the versions of what computes."""
    return {
        "node": platform.node(),
        "processor": platform.processor() or platform.machine(),
        "limits": {name: os.environ[name] for name in LIMITS if name in os.environ},
        "threads": usable_threads(),
        "versions": {name: _version(package) for name, package in PACKAGES.items()},
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
