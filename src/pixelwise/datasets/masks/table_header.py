"""The columns of a class table as its header names them: ``name,r,g,b``, ``r, g, b, Class``, ``id;name;color``."""

import csv
import re
from dataclasses import dataclass

from pixelwise.datasets.records import Colour

_NAMES: dict[str, str] = {
    **dict.fromkeys(
        ("name", "class", "class_name", "classname", "label", "label_name", "category", "title", "class_names"), "name"
    ),
    **dict.fromkeys(
        (
            "value",
            "pixel_value",
            "id",
            "index",
            "class_id",
            "label_id",
            "idx",
            "pixel",
            "class_index",
            "code",
            "gt_code",
        ),
        "value",
    ),
    **dict.fromkeys(("color", "colour", "rgb", "color_rgb", "hex", "rgb_values", "hexcode"), "colour"),
    **dict.fromkeys(("r", "red"), "red"),
    **dict.fromkeys(("g", "green"), "green"),
    **dict.fromkeys(("b", "blue"), "blue"),
}
_SEPARATORS = "\t;,"


@dataclass(frozen=True, kw_only=True)
class Columns:
    """The position of each known column, and the separator."""

    separator: str
    at: dict[str, int]

    def read(self, line: str) -> tuple[str, int | None, Colour | None]:
        """Return name, value and colour of a row; no name if the row is not one.

        Examples
        --------
        >>> columns = read_header("r, g, b, Name")
        >>> columns.read("255, 0,0, road")
        ('road', None, (255, 0, 0))
        """
        cells = [cell.strip() for cell in _cells(line, self.separator)]
        if len(cells) <= max(self.at.values()):
            return "", None, None
        value = cells[self.at["value"]] if "value" in self.at else ""
        if "red" in self.at:
            colour = parse_colour(" ".join(cells[self.at[key]] for key in ("red", "green", "blue")))
        else:
            colour = parse_colour(cells[self.at["colour"]]) if "colour" in self.at else None
        if colour is None and ("red" in self.at or "colour" in self.at):
            return "", None, None
        number = int(value) if re.fullmatch(r"-?\d{1,9}", value) else None
        return cells[self.at["name"]], number, colour


def read_header(line: str) -> Columns | None:
    """Return the columns that a header names; None if the line is no header of a class table.

    >>> read_header("Name,R,G,B").at
    {'name': 0, 'red': 1, 'green': 2, 'blue': 3}
    >>> read_header("road") is None, read_header("name,weight") is None
    (True, True)
    """
    separator = next((mark for mark in _SEPARATORS if mark in line), None)
    if separator is None:
        return None
    words = [re.sub(r"[\s-]+", "_", cell.strip().casefold()) for cell in _cells(line, separator)]
    at: dict[str, int] = {}
    for position, word in enumerate(words):
        if word in _NAMES:
            at.setdefault(_NAMES[word], position)
    colours = {"red", "green", "blue"} <= set(at) or "colour" in at
    if "name" not in at or not (colours or "value" in at):
        return None
    return Columns(separator=separator, at=at)


def parse_colour(given: object) -> Colour | None:
    """Return a colour from ``r g b``, ``(r, g, b)``, ``#rrggbb`` or a list of numbers; None if it is none.

    >>> parse_colour("#E2A929"), parse_colour("(1, 2, 3)"), parse_colour([1, 2, 300])
    ((226, 169, 41), (1, 2, 3), None)
    """
    if isinstance(given, str) and (match := re.fullmatch(r"\s*(?:#|0x)?([0-9a-fA-F]{6})\s*", given)):
        number = int(match[1], 16)
        return number >> 16, number >> 8 & 255, number & 255
    found = re.findall(r"\d+", given) if isinstance(given, str) else given
    if not isinstance(found, list | tuple) or len(found) != 3:
        return None
    try:
        red, green, blue = (int(part) for part in found)
    except (TypeError, ValueError, OverflowError):
        return None
    return (red, green, blue) if min(red, green, blue) >= 0 and max(red, green, blue) < 256 else None


def _cells(line: str, separator: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])
    except csv.Error:
        return []
