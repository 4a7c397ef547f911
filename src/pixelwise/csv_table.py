"""CSV tables: written atomically, without cells that a spreadsheet would compute."""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from pixelwise.atomic_write import atomic_write

_FORMULA = re.compile(r"'*[=+\-@＝＋－＠\t\r\n]")  # wide signs count for spreadsheets


def atomic_write_csv(path: Path, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table to `path` as `atomic_write` does, row by row; `read_csv` reads it.

    Spreadsheets compute cells that start with one of `=+-@`, such as names of files: a quote comes before it (OWASP,
    "CSV Injection"). Numbers stay as they are.
    """

    def write(file: BinaryIO) -> None:
        text = io.TextIOWrapper(file, "utf-8", "surrogateescape", newline="")
        usual, quoted = (
            csv.writer(text, lineterminator="\n", quoting=how) for how in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL)
        )
        for row in chain((head,), rows):
            cells = [_as_text(cell) for cell in row]
            # before Python 3.13 a carriage return alone is not quoted, and ends the row where it is read
            (quoted if any(isinstance(cell, str) and "\r" in cell for cell in cells) else usual).writerow(cells)
        text.detach()  # flushes without closing the file

    atomic_write(path, write)


def read_csv(path: Path) -> list[dict[str, str]]:
    """Return the rows of a table that `atomic_write_csv` wrote, with the cells that it was given."""
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        head, *rows = ([_without_quote(cell) for cell in row] for row in csv.reader(file))
    return [dict(zip(head, row, strict=False)) for row in rows]


def _as_text(cell: object) -> object:
    if not isinstance(cell, str) or not _FORMULA.match(cell):
        return cell
    try:
        float(cell)
    except ValueError:
        return f"'{cell}"
    return cell


def _without_quote(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
