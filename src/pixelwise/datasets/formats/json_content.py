"""Read JSON that other programs wrote: bounded, with errors that name the file and the place in it."""

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from pixelwise.datasets.naming.folder_names import is_hidden_folder
from pixelwise.datasets.shapes.rasterise import MAX_COORDINATE
from pixelwise.errors import BadDataset, printable

MAX_BYTES = 2 << 30  # the largest public annotation files have half of it
_HEAD = 1 << 16
_DEPTH, _FOLDERS = 3, 10  # examined to recognise a format
REQUIRED: Any = object()  # no default
_NAMES = {
    dict: "an object",
    list: "a list",
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
}


def read_json(path: Path) -> Any:
    """Return the content of a JSON file.

    Raises
    ------
    BadDataset
        The file cannot be read, is larger than 2 GB, is not JSON in UTF-8, or is nested too deeply.
    """
    try:
        if not path.is_file():
            raise BadDataset("a JSON file", "something else", "Check the path.", path)
        size = path.stat().st_size
        if size > MAX_BYTES:
            hint = "Split it into several files."
            raise BadDataset(f"a JSON file of at most {MAX_BYTES:,} bytes", f"{size:,} bytes", hint, path)
        return json.loads(path.read_bytes())
    except json.JSONDecodeError as error:
        got = f"an error in line {error.lineno}, column {error.colno} ({error.msg.lower()})"
        raise BadDataset("valid JSON", got, "The file may be truncated; export it again.", path) from error
    except RecursionError as error:
        raise BadDataset("JSON of usual depth", "one nested too deeply", "Export it again.", path) from error
    except ValueError as error:
        reason = printable(str(error))[:120]
        raise BadDataset("JSON in UTF-8", f"a file that is not ({reason})", "Save it as UTF-8.", path) from error
    except OSError as error:
        got = (error.strerror or str(error)).lower()
        raise BadDataset("a readable JSON file", got, "Check the path and the permissions.", path) from error


def find_files(root: Path, suffix: str, *, some: int | None = None) -> Iterator[Path]:
    """Yield the files with a suffix below `root`, folder by folder.

    Parameters
    ----------
    suffix : str
        In lower case.
    some : int, optional
        Yield at most so many files of a folder, and only of a few folders: enough to recognise a format.
    """
    found = 0
    for here, inner, names in os.walk(root):
        level = len(Path(here).relative_to(root).parts)
        inner[:] = sorted(name for name in inner if not is_hidden_folder(name))
        if some is not None and level >= _DEPTH:
            inner.clear()
        chosen = sorted(name for name in names if name.casefold().endswith(suffix) and not name.startswith("."))[:some]
        yield from (Path(here, name) for name in chosen)
        found += len(chosen)
        if some is not None and found >= _FOLDERS * some:
            return


def read_ends(path: Path) -> str:
    """Return the beginning and the end of a text file, 64 kB each; empty if it cannot be read."""
    try:
        if not path.is_file():
            return ""
        with path.open("rb") as file:
            head = file.read(_HEAD)
            length = file.seek(0, os.SEEK_END)
            file.seek(max(len(head), length - _HEAD))
            return (head + file.read(_HEAD)).decode("utf-8", "replace").lstrip("\ufeff \t\r\n")
    except OSError:
        return ""


def field(record: Any, key: str, kind: type | tuple[type, ...], where: str, file: Path, default: Any = REQUIRED) -> Any:
    """Return a value of an object; `default` if it is missing or null.

    Raises
    ------
    BadDataset
        `record` is not an object, the value is missing without a default, is not of type `kind`, or is infinite.
    """
    if not isinstance(record, dict):
        refuse("an object", record, where, file)
    value = record.get(key)
    if value is None and default is not REQUIRED:
        return default
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        refuse(f"`{key}` as {' or '.join(_NAMES[k] for k in kinds)}", value, where, file)
    if isinstance(value, float) and not math.isfinite(value):  # JSON of Python has such numbers
        refuse(f"`{key}` as a finite number", value, where, file)
    return value


def read_points(values: Any, where: str, file: Path) -> np.ndarray:
    """Return coordinates, ``[[x, y], ...]`` or ``[x, y, x, y, ...]``, as a (points, 2) float64 array.

    Raises
    ------
    BadDataset
        Not pairs of finite numbers in the range of pixels.
    """
    try:
        points = np.asarray(values, np.float64)
    except (TypeError, ValueError, OverflowError):
        refuse("numbers x, y, ...", values, where, file)
    if not points.size:
        return np.zeros((0, 2))
    flat = points.ndim == 1 and points.size % 2 == 0
    if not flat and (points.ndim != 2 or points.shape[1] != 2):
        got = f"{points.size} numbers" if points.ndim == 1 else f"an array of {points.shape}"
        raise BadDataset(f"pairs of x and y in {where}", got, "Correct the annotation, or remove it.", file)
    if not np.all(np.abs(points) <= MAX_COORDINATE):  # NaN too
        raise BadDataset(f"coordinates in {where}", "values out of range", "Correct the annotation.", file)
    return points.reshape(-1, 2)


def refuse(expected: str, value: Any, where: str, file: Path) -> NoReturn:
    """Raise `BadDataset` for a value in a JSON file."""
    got = "nothing" if value is None else _NAMES.get(type(value), type(value).__name__)
    if isinstance(value, str | int | float):
        got = f"{value!r}"[:60]
    raise BadDataset(f"{expected} in {where}", printable(got), "Correct the file, or export it again.", file)
