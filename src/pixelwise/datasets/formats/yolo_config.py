"""The data.yaml of a YOLO data set, or obj.data of Darknet: names of classes, and paths of the splits."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from pixelwise.datasets.formats.image_index import is_below
from pixelwise.datasets.formats.json_content import find_files, read_ends
from pixelwise.datasets.options import DataOptions
from pixelwise.datasets.records import Split
from pixelwise.errors import BadDataset, printable

_KEYS: dict[str, Split] = {"train": "train", "val": "val", "valid": "val", "test": "test"}
_NAMES_FILES = ("classes.txt", "labels/classes.txt", "obj.names", "names.txt")
MAX_BYTES = 1 << 18  # of a data.yaml; parsing as much takes seconds
_MAX_LIST = 256 << 20  # bytes of a list of images


def find_yaml(root: Path) -> Path | None:
    """Return the data.yaml of the set: a YAML file, or one of Darknet, with names and with images of a split."""
    files = [path for ending in (".yaml", ".yml", ".data") for path in find_files(root, ending, some=20)]
    for path in sorted(files, key=lambda path: len(path.parts)):
        text = read_ends(path)
        if re.search(r"^names\s*[:=]", text, re.MULTILINE) and re.search(r"^(train|val)\s*[:=]", text, re.MULTILINE):
            return path
    return None


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the content of a data.yaml.

    Raises
    ------
    BadDataset
        The file cannot be read, or is not YAML with names and paths.
    """
    hint = "Correct it: `names` and the paths `train` and `val` are needed."
    try:
        if path.stat().st_size > MAX_BYTES:
            raise BadDataset(f"a data.yaml of at most {MAX_BYTES:,} bytes", f"{path.stat().st_size:,}", hint, path)
        text = path.read_text("utf-8-sig")
        document = _read_darknet(path, text) if path.suffix.casefold() == ".data" else yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, KeyError, IndexError, TypeError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        raise BadDataset("valid YAML in UTF-8", f"an error{where}", hint, path) from error
    except OSError as error:
        raise BadDataset("a readable file", (error.strerror or str(error)).lower(), hint, path) from error
    if not isinstance(document, dict):
        raise BadDataset("names and paths", "something else", hint, path)
    return document


def _read_darknet(path: Path, text: str) -> dict[str, Any]:
    """Return the content of a file of Darknet, lines such as ``names = data/obj.names``, as that of a data.yaml."""
    lines = (line.partition("=") for line in text.splitlines())
    found: dict[str, Any] = {key.strip(): value.strip() for key, _, value in lines}
    names = _resolve(path.parent, found.pop("names", ""), "")
    if names is not None and names.is_file() and names.stat().st_size < MAX_BYTES:
        found["names"] = [line.strip() for line in names.read_text("utf-8-sig", "replace").splitlines() if line.strip()]
    return found


def read_names(root: Path, file: Path | None, description: dict[str, Any], options: DataOptions) -> dict[int, str]:
    """Return the names of classes by number: of --classes, data.yaml or a file of names; empty if unknown."""
    if options.classes:
        return dict(enumerate(options.classes))
    given = description.get("names")
    if isinstance(given, str):
        given = [given]
    if isinstance(given, list):
        given = dict(enumerate(given))
    if isinstance(given, dict):
        return {_class_number(key, name, file): str(name) for key, name in given.items()}
    for name in _NAMES_FILES:
        path = root / name
        if path.is_file() and path.stat().st_size < MAX_BYTES:
            lines = path.read_text("utf-8-sig", "replace").splitlines()
            return {number: line.strip() for number, line in enumerate(lines) if line.strip()}
    return {}


def _class_number(key: object, name: object, file: Path | None) -> int:
    if not isinstance(name, str | int | float) or not isinstance(key, str | int) or not str(key).isdecimal():
        got = printable(str(key)[:40]) if isinstance(key, str | int) else "other things"
        raise BadDataset("class numbers from 0, each with a name, in `names`", got, "Use `0: name`.", file)
    return int(key)


def read_splits(root: Path, description: dict[str, Any]) -> dict[Path, Split]:
    """Return the split of folders and images that data.yaml names; paths of other computers match by their end."""
    splits: dict[Path, Split] = {}
    base = description.get("path")
    for key, split in _KEYS.items():
        given = description.get(key)
        for entry in given if isinstance(given, list) else [given]:
            if not isinstance(entry, str) or not entry.strip():
                continue
            path = _resolve(root, entry, base if isinstance(base, str) else "")
            if path is None or (path.is_file() and path.stat().st_size > _MAX_LIST):
                continue
            if path.suffix.casefold() != ".txt":
                splits.setdefault(path, split)
                continue
            for line in path.read_text("utf-8-sig", "replace").splitlines():
                image = _resolve(root, line.strip(), "") if line.strip() else None
                if image is not None:
                    splits.setdefault(image, split)
    counts = Counter(splits.values())
    return {} if len(counts) < 2 else splits  # the same folder for all of them is no split


def _resolve(root: Path, entry: str, base: str) -> Path | None:
    """Return the existing path below `root` that matches the longest end of `entry`."""
    parts = [part for part in f"{base}/{entry}".replace("\\", "/").split("/") if part not in ("", ".", "..")]
    for first in range(len(parts)):
        path = root.joinpath(*parts[first:])
        if path.exists() and is_below(path, root):
            return path
    return None
