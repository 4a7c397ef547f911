"""Read class tables: ``classes.txt`` and similar files, and ``dataset.json``.

Supported lines in ``classes.txt``, ``labels.txt``, ``labelmap.txt``, ``class_dict.csv`` and ``classes.csv``:
``index name r,g,b``; ``index name``; ``name``; ``name:r,g,b::`` (CVAT); those of ITK-SNAP; the columns that a header
names, in any order (`table_header`); and, as in ``label_colors.txt``, ``r g b name`` (CamVid). The tables may lie up
to two folders below.
Files with other words for classes or colours in their names, such as ``RUGD_annotation-colormap.txt`` and
``legend.txt``, are tables if they name colours; lines without one are skipped in them.
"""

import csv
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pixelwise.datasets.masks.table_header import Columns, parse_colour, read_header
from pixelwise.datasets.problems import Problem
from pixelwise.datasets.records import Colour, Task

TABLES = ("classes.txt", "labelmap.txt", "label_map.txt", "labels.txt", "class_dict.csv", "classes.csv",
          "label_colors.txt", "class_dict_seg.csv", "label_class_dict.csv", "class_dict.txt", "class-descriptions.csv",
          "label_colors.csv", "colors.csv", "color_map.csv", "colormap.csv", "classes.json", "class_dict.json",
          "class_names.txt", "label_names.txt", "codes.txt", "classes.tsv", "gtruth_codes.tsv")  # fmt: skip
NAMES_OF_IGNORE = frozenset(["ignore", "ignored", "void", "unlabelled", "unlabeled", "unlabled"])
_DESCRIPTION = "dataset.json"
_DEPTH, _FOLDERS = 2, 20  # folders below, in which tables are looked for
_MAX_BYTES = 1 << 20  # larger files are not class tables
_LEGEND = re.compile(r"(class|label|colou?r|palette|legend|ontology|category).*\.(txt|csv|json)$|^legend\.md$")
_LEGENDS = 3  # such files in one folder, at most: of more, each belongs to an image
_HEX = re.compile(r"^(?P<name>[^#]*?)[\s:=,;-]*#(?P<colour>[0-9a-fA-F]{6})\b[\s:=,;-]*(?P<after>.*)$")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A class in a class table; unspecified fields are None."""

    name: str
    value: int | None = None
    colour: Colour | None = None


@dataclass(frozen=True, kw_only=True)
class ClassTable:
    """The content of the class tables in a folder; a legend is one that counts only if masks have its colours."""

    entries: tuple[Entry, ...] = ()
    source: str = ""
    task: Task | None = None
    ignore_value: int | None = None
    ignore_source: str = ""
    foreground: int | None = None
    is_legend: bool = False
    problems: tuple[Problem, ...] = ()

    @property
    def has_colours(self) -> bool:
        """Whether every class has a colour."""
        return bool(self.entries) and all(entry.colour is not None for entry in self.entries)


def read_class_table(root: Path) -> ClassTable:
    """Read the class tables in `root`; an unreadable file is reported as a problem."""
    problems: list[Problem] = []
    by_name = _files_by_name(root)
    entries, source = _read_tables(by_name, problems)
    description = _read_json(by_name.get(_DESCRIPTION), problems)
    task = description.get("task")
    if not entries:
        entries = _entries_of_json(description)
        source = "dataset.json" if entries else ""
    ignore_value, ignore_source = _whole(description.get("ignore_index")), "dataset.json"
    if ignore_value is None:
        named = [e for e in entries if e.name.casefold() in NAMES_OF_IGNORE and e.value is not None]
        ignore_value, ignore_source = (named[0].value, source) if len(named) == 1 else (None, "")
    return ClassTable(
        entries=entries,
        source=source,
        task=task if task in ("binary", "multiclass", "instance") else None,
        ignore_value=ignore_value,
        ignore_source=ignore_source,
        foreground=_whole(description.get("foreground_value")),
        is_legend=bool(entries) and source.casefold() not in (*TABLES, _DESCRIPTION),
        problems=tuple(problems),
    )


def _files_by_name(root: Path) -> dict[str, Path]:
    """Return the tables of a folder by name, with those of the folders below it, of which there is one of a kind."""
    found: dict[str, Path] = {}
    legends: dict[str, Path] = {}
    level = [root]
    for _ in range(_DEPTH + 1):
        files: dict[str, list[Path]] = {}
        folders: list[Path] = []
        for entry in (entry for folder in level for entry in sorted(os.scandir(folder), key=lambda one: one.name)):
            name = entry.name.casefold()
            if name in TABLES or name == _DESCRIPTION or _LEGEND.search(name):
                files.setdefault(name, []).append(Path(entry.path))
            elif entry.is_dir() and not name.startswith("."):
                folders.append(Path(entry.path))
        single = {name: paths[0] for name, paths in files.items() if _are_equal(paths)}
        known = {name: path for name, path in single.items() if name in TABLES or name == _DESCRIPTION}
        others = {name: path for name, path in single.items() if name not in known}
        found = {**known, **found}
        legends = {**legends, **others} if len(others) <= _LEGENDS else legends
        level = folders[:_FOLDERS]
    return {**legends, **found}


def _are_equal(paths: list[Path]) -> bool:
    """Return whether files of one name are one table: a single file, or copies of it beside each image (Labelme)."""
    try:
        first, *others = (path.stat().st_size for path in paths if path.is_file())
        same = len(others) + 1 == len(paths) and all(size == first <= _MAX_BYTES for size in others)
        return same and (not others or len({path.read_bytes() for path in paths}) == 1)
    except (OSError, ValueError):
        return False


def _read_tables(by_name: dict[str, Path], problems: list[Problem]) -> tuple[tuple[Entry, ...], str]:
    for name in TABLES:
        if (path := by_name.get(name)) is None:
            continue
        try:
            entries = parse_json(_text(path)) if name.endswith(".json") else parse_table(_text(path))
        except ValueError as error:
            problems.append(Problem(file=path.name, kind="unreadable description", text=str(error), fatal=False))
            continue
        if entries:
            return entries, path.name
    for name, path in by_name.items():
        if name not in TABLES and name != _DESCRIPTION and (entries := _read_legend(path)):
            return entries, path.name
    return (), ""


def _read_legend(path: Path) -> tuple[Entry, ...]:
    """Return the classes of a file that may name colours; none unless several lines, or all of JSON, do."""
    try:
        text = _text(path)
        if path.suffix.casefold() == ".json":
            entries = parse_json(text)
            return entries if len(entries) > 1 and all(entry.colour is not None for entry in entries) else ()
        found = [_parse_legend(line.strip(" \t*-|")) for line in text.splitlines()]
        return _checked([e for e in found if e is not None]) if sum(e is not None for e in found) > 1 else ()
    except ValueError:
        return ()


def _parse_legend(line: str) -> Entry | None:
    """Return a class with a colour in a line of text; None for other lines.

    >>> _parse_legend("water: #0000FF").colour, _parse_legend("Tiles of 2021") is None
    ((0, 0, 255), True)
    """
    if match := _HEX.match(line):
        name = match["name"].strip() or match["after"].strip()
        return Entry(name=name, colour=parse_colour(match["colour"])) if name else None
    entry = _parse_line(line) if line else None
    return entry if entry is not None and entry.colour is not None else None


def parse_table(text: str) -> tuple[Entry, ...]:
    """Parse a class table.

    Raises
    ------
    ValueError
        An invalid line, or a duplicate name, value or colour.
    """
    entries: list[Entry] = []
    columns: Columns | None = None
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if not entries and columns is None and (columns := read_header(line)) is not None:
            continue
        if _is_header(line):
            continue
        entry = _parse_line(line) if columns is None else _entry_of_row(columns, line)
        if entry is None:
            raise ValueError(f"line {number} is invalid: {line[:60]!r}")
        entries.append(entry)
    return _checked(entries)


def parse_json(text: str) -> tuple[Entry, ...]:
    """Parse a class table in JSON: classes with name and colour as a list, perhaps in ``classes``, or name -> colour.

    Raises
    ------
    ValueError
        Not JSON, or a duplicate name, value or colour.
    """
    try:
        given: Any = json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if isinstance(given, dict):
        content = cast(dict[str, Any], given)
        records: Any = content.get("classes", content.get("labels"))
        given = records if isinstance(records, list) else [_named_colour(k, v) for k, v in content.items()]
    entries: list[Entry] = []
    for record in cast(list[Any], given) if isinstance(given, list) else []:
        fields = cast(dict[str, Any], record) if isinstance(record, dict) else {"name": record}
        name = next(
            (fields[key] for key in ("name", "title", "label", "class") if isinstance(fields.get(key), str)), ""
        )
        colour = parse_colour(next((fields[key] for key in ("color", "colour", "rgb") if fields.get(key)), None))
        if name:
            entries.append(Entry(name=name, value=None if colour else _whole(fields.get("id")), colour=colour))
    return _checked(entries)


def _named_colour(key: str, value: Any) -> dict[str, Any]:
    """Return name and colour of an item of an object, name -> colour or ``#rrggbb`` -> name."""
    turned = key.startswith("#") and isinstance(value, str)
    return {"name": value, "color": key} if turned else {"name": key, "color": value}


def _checked(entries: list[Entry]) -> tuple[Entry, ...]:
    for key in ("name", "value", "colour"):
        given = [getattr(entry, key) for entry in entries if getattr(entry, key) is not None]
        if len(set(given)) != len(given):
            raise ValueError(f"duplicate {key} in two lines")
    return tuple(entries)


def _entry_of_row(columns: Columns, line: str) -> Entry | None:
    name, value, colour = columns.read(line)
    return Entry(name=name, value=value, colour=colour) if name else None


def _is_header(line: str) -> bool:
    words = [word.strip().casefold() for word in re.split(r"[,:;\s]+", line)]
    return (
        words[0] in ("name", "index", "label", "id", "class", "class_name")
        and len(words) > 1
        and not any(word.isdecimal() for word in words)
    )


def _parse_line(line: str) -> Entry | None:
    if match := re.match(r"^(\d+)[\s,]+(\d+)[\s,]+(\d+)[\s,]+(\D.*)$", line):
        colour = (int(match[1]), int(match[2]), int(match[3]))
        return Entry(name=match[4].strip(), colour=colour) if max(colour) < 256 else None
    value, rest = None, line
    if match := re.match(r"^(-?\d+)\s*[\s,:;=]\s*(\D.*)$", line):
        value, rest = int(match[1]), match[2]
    if match := re.match(r'^(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s+[\d.]+\s+[01]\s+[01]\s+"(.+)"$', line):  # ITK-SNAP
        colour = (int(match[2]), int(match[3]), int(match[4]))
        return Entry(name=match[5], value=int(match[1]), colour=colour) if max(colour) < 256 else None
    cvat = re.match(r"^(.+?):(\d+),(\d+),(\d+):", rest)
    plain = re.match(r"^(.+?)[\s,;:]+\(?(\d+)\s*[,;\s]\s*(\d+)\s*[,;\s]\s*(\d+)\)?$", rest)
    if match := cvat or plain:
        colour = (int(match[2]), int(match[3]), int(match[4]))
        return Entry(name=match[1].strip(), value=value, colour=colour) if max(colour) < 256 else None
    if value is None and (match := re.match(r"^(\D.*?)\s*[,:;=]\s*(\d+)$", rest)):
        return Entry(name=match[1].strip(), value=int(match[2]))
    name = next(iter(next(csv.reader([rest]), [])), "").strip()
    return Entry(name=name, value=value) if name and not name.isdecimal() else None


def _read_json(path: Path | None, problems: list[Problem]) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        read: Any = json.loads(_text(path))
    except (ValueError, RecursionError) as error:
        problems.append(Problem(file=path.name, kind="unreadable description", text=str(error), fatal=False))
        return {}
    return cast(dict[str, Any], read) if isinstance(read, dict) else {}


def _entries_of_json(description: dict[str, Any]) -> tuple[Entry, ...]:
    """Read ``classes`` as a list of names, or ``classes`` or ``labels`` as name -> value or value -> name."""
    given: Any = description.get("classes", description.get("labels"))
    entries: list[Entry] = []
    if isinstance(given, list):
        entries = [Entry(name=str(name)) for name in cast(list[Any], given)]
    elif isinstance(given, dict):
        for key, other in cast(dict[str, Any], given).items():
            by_value = key.isdecimal() and isinstance(other, str)
            name, value = (str(other), int(key)) if by_value else (key, _whole(other))
            if value is not None:
                entries.append(Entry(name=name, value=value))
    return tuple(entries) if len({entry.name for entry in entries}) == len(entries) else ()


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ValueError("larger than 1 MB")
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from error
