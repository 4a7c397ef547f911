"""Tables of the speed bench: Markdown on standard output as rows come, and all of them as JSON at the end."""

import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pixelwise.commit import commit_json

LIBRARIES = ("torch", "onnxruntime", "openvino", "numpy")


@dataclass
class Table:
    """A table that is printed row by row; `details` of a row go into the JSON alone."""

    title: str
    columns: Sequence[str]
    rows: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def head(self) -> None:
        """Print title and columns."""
        print(f"\n{self.title}\n\n| {' | '.join(self.columns)} |\n" + "|---" * len(self.columns) + "|", flush=True)

    def add(self, *cells: str, **details: object) -> None:
        """Print a row."""
        print(f"| {' | '.join(cells)} |", flush=True)
        self.rows.append(dict(zip(self.columns, cells, strict=True)) | details)

    def note(self, sentence: str) -> None:
        """Print a sentence below the table."""
        print(f"\n{sentence}", flush=True)


def write_json(path: Path, command: Sequence[str], tables: Sequence[Table]) -> None:
    """Write all tables, with the machine they were measured on."""
    told = [{"title": table.title, "rows": table.rows} for table in tables]
    commit_json(path, {"command": list(command), "machine": machine(), "tables": told})


def machine() -> dict[str, object]:
    """Return processor, cores that may be used, and versions."""
    versions: dict[str, str] = {}
    for name in LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"processor": _processor(), "cores": cores, "python": platform.python_version(), **versions}


def spread(values: Sequence[float]) -> str:
    """Return median, and in brackets least and most."""
    median = f"{statistics.median(values):.2f}"
    return f"{median} ({min(values):.2f} - {max(values):.2f})" if len(values) > 1 else median


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
