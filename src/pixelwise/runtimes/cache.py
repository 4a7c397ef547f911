"""The cache folder: $PIXELWISE_CACHE, else $XDG_CACHE_HOME/pixelwise, else ~/.cache/pixelwise."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pixelwise.parallel import usable_threads

PACKAGES = {"torch": "torch", "onnx": "onnxruntime", "openvino": "openvino"}  # runtime -> its package
ISA_VARIABLES = ("ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY")  # they restrict the CPU instructions of libraries


def cache_folder() -> Path:
    """Return the cache folder, whose contents can be created or downloaded again."""
    folder, xdg = os.environ.get("PIXELWISE_CACHE"), os.environ.get("XDG_CACHE_HOME")
    if folder:
        return Path(folder)
    return (Path(xdg) if xdg else Path.home() / ".cache") / "pixelwise"


def machine_facts() -> dict[str, Any]:
    """Return what measured speeds depend on: the machine, its threads, and the versions of the runtimes."""
    return {
        "node": platform.node(),
        "processor": platform.processor() or platform.machine(),
        "limits": {name: os.environ[name] for name in ISA_VARIABLES if name in os.environ},
        "threads": usable_threads(),
        "versions": {name: _version(package) for name, package in PACKAGES.items()},
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
