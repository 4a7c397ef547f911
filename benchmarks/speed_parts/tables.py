"""Tables of the speed bench: Markdown on standard output as rows come, and all of them as JSON at the end."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from machine import machine

from pixelwise.atomic_write import atomic_write_json


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
    messages = [{"title": table.title, "rows": table.rows} for table in tables]
    atomic_write_json(path, {"command": list(command), "machine": machine(), "tables": messages})


def spread(values: Sequence[float]) -> str:
    """Return median, and in brackets least and most."""
    median = f"{statistics.median(values):.2f}"
    return f"{median} ({min(values):.2f} - {max(values):.2f})" if len(values) > 1 else median
