"""Records with arrays as one file that is read without running anything: a safetensors file with JSON in its header.

A value comes back with its types, and an array with the order of its axes in memory, so that what is computed from it
has the same bits as in one process.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from pixelwise.atomic_write import atomic_write_bytes
from pixelwise.errors import BadRun

_HEADER = "records"
_SEQUENCES: dict[str, Callable[[list[Any]], Any]] = {"list": list, "tuple": tuple, "frozenset": frozenset}


def write_records(path: Path, value: Any) -> None:
    """Write a value of records, arrays and plain types.

    Parameters
    ----------
    value : any
        Dataclasses, numpy arrays and scalars, paths, bytes, lists, tuples, frozensets, and dictionaries of these.

    Raises
    ------
    OutputFailed
        The file cannot be written.
    TypeError
        A value of another type.
    """
    arrays: dict[str, np.ndarray] = {}
    text = json.dumps(_encode(value, arrays))
    atomic_write_bytes(path, save(arrays, {_HEADER: text}))


def read_records(path: Path, types: Sequence[type]) -> Any:
    """Return the value that `write_records` wrote.

    Parameters
    ----------
    types : sequence of type
        The dataclasses that it may contain.

    Raises
    ------
    BadRun
        The file is missing or damaged, or has a record of another type.
    """
    known = {each.__name__: each for each in types}
    try:
        with safe_open(path, "np") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, not a mapping
            return _decode(json.loads((file.metadata() or {})[_HEADER]), arrays, known)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        hint = "Remove the folder of the job, and run again."
        raise BadRun("the records of a unit", str(error) or "a damaged file", hint, path) from error


def _encode(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """Return a value as JSON; a list begins with the name of a type, and all others are plain."""

    def inner(each: Any) -> Any:
        return _encode(each, arrays)

    if isinstance(value, np.generic | np.ndarray | bytes):  # before float, of which a scalar may be one
        return _encode_numbers(value, arrays)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Path):
        return ["path", str(value)]
    if isinstance(value, Mapping):
        return ["dict", *([inner(key), inner(each)] for key, each in value.items())]
    if type(value).__name__ in _SEQUENCES:
        return [type(value).__name__, *map(inner, value)]
    if is_dataclass(value):
        return ["record", type(value).__name__, {each.name: inner(getattr(value, each.name)) for each in fields(value)}]
    raise TypeError(f"a value of type {type(value).__name__}")


def _encode_numbers(value: np.generic | np.ndarray | bytes, arrays: dict[str, np.ndarray]) -> list[Any]:
    """Return a scalar, or the name under which an array is put in `arrays`."""
    if isinstance(value, np.generic):
        return ["scalar", value.dtype.str, value.item()]
    name, array = str(len(arrays)), np.frombuffer(value, np.uint8) if isinstance(value, bytes) else value
    axes = sorted(range(array.ndim), key=lambda axis: -abs(array.strides[axis]))
    arrays[name] = np.ascontiguousarray(array.transpose(axes))
    return ["bytes", name] if isinstance(value, bytes) else ["array", name, axes]


def _decode(value: Any, arrays: Mapping[str, np.ndarray], known: Mapping[str, type]) -> Any:
    """Return the value of `_encode`."""
    if not isinstance(value, list):
        return value
    match value:
        case ["scalar", kind, number]:
            return np.dtype(kind).type(number)
        case ["array", number, axes]:
            return arrays[number].transpose(np.argsort(axes).tolist())
        case ["bytes", number]:
            return arrays[number].tobytes()
        case ["path", text]:
            return Path(text)
        case ["dict", *items]:
            return {_decode(key, arrays, known): _decode(each, arrays, known) for key, each in items}
        case ["record", name, content]:
            return known[name](**{key: _decode(each, arrays, known) for key, each in content.items()})
        case [name, *items]:
            return _SEQUENCES[name]([_decode(each, arrays, known) for each in items])
        case _:
            raise ValueError("a list without a type")
