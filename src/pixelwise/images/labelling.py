"""What the values in masks mean: the task and its classes, from the data's own description, else from the masks.

Told apart by values and geometry: two values are binary; values that are each one connected area and run from
1 to a number that differs between files are objects; a few values shared between files are classes. A value is
ignored only where the data or the user say so.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from pixelwise.images.legend import Entry, Legend
from pixelwise.images.mask_faults import smoothed, unexpected
from pixelwise.images.records import Colour, DataOptions, Labelling, Problem, Task
from pixelwise.images.survey import Values

MOST_CLASSES = 254  # 255 is "ignore" in every class map inside
MOST_GUESSED = 40  # more values shared between files are taken for classes only where the data say so
_CONNECTED = 0.8  # share of values that are one area, from which on they are objects
# Okabe and Ito 2008, "Color universal design": eight colours that colour-blind people can tell apart
_COLOURS: tuple[Colour, ...] = (
    (0, 0, 0), (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0),
    (204, 121, 167), (153, 153, 153),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Understood:
    """A labelling, with what was guessed and what does not fit."""

    labelling: Labelling
    told: tuple[str, ...]
    problems: tuple[Problem, ...]


@dataclass
class _Table:
    """Masks by file, in one coding, and everything said about them."""

    masks: dict[str, Values]
    counts: dict[str, dict[int, int]]
    coloured: bool
    legend: Legend
    options: DataOptions
    told: list[str] = field(default_factory=list[str])
    problems: list[Problem] = field(default_factory=list[Problem])

    @property
    def values(self) -> list[int]:
        """Every value that occurs, rising."""
        return sorted({value for counts in self.counts.values() for value in counts})

    def fault(self, kind: str, text: str, file: str = "", fatal: bool = True) -> None:
        """Note a problem."""
        self.problems.append(Problem(file=file, kind=kind, text=text, fatal=fatal))


def read_meaning(masks: dict[str, Values], legend: Legend, options: DataOptions) -> Understood:
    """Find the task and the classes.

    Parameters
    ----------
    masks : dict
        Measured values by file name as problems should show it.
    legend : Legend
    options : DataOptions
        `task`, `classes`, `ignore_index` and `foreground` are used; they win over the data.
    """
    coloured = any(mask.coloured for mask in masks.values())
    counts = {name: _counts(mask, coloured) for name, mask in masks.items()}
    table = _Table(masks, counts, coloured, legend, options)
    ignore = _ignore_value(table)
    if coloured and not legend.has_colours:
        colours = ", ".join(name_of(value, True) for value in table.values[:12])
        more = f" and {len(table.values) - 12} more" if len(table.values) > 12 else ""
        table.fault("colours without classes", f"{len(table.values)} colours in the masks: {colours}{more}")
        entries: tuple[Entry, ...] = ()
    else:
        entries = _usable_entries(table)
    task = _task(table, entries, ignore)
    if task == "instance":
        labelling = _instances(table, ignore)
    else:
        labelling = _classes(table, task, entries, ignore)
    return Understood(labelling=labelling, told=tuple(table.told), problems=tuple(table.problems))


def name_of(value: int, coloured: bool) -> str:
    """Write a value as people see it in their files."""
    return f"{value >> 16},{value >> 8 & 255},{value & 255}" if coloured else str(value)


def _counts(mask: Values, coloured: bool) -> dict[int, int]:
    """Return pixels by value; in a set coded by colour an indexed or gray file means its colours."""
    if mask.coloured or not coloured:
        return dict(zip(mask.values, mask.counts, strict=True))
    palette = dict(mask.palette)
    counts: Counter[int] = Counter()
    for value, count in zip(mask.values, mask.counts, strict=True):
        red, green, blue = palette.get(value, (value & 255,) * 3)
        counts[red << 16 | green << 8 | blue] += count
    return dict(counts)


def _ignore_value(table: _Table) -> int | None:
    """Return the file value to leave out: the user's, else the data's."""
    given, legend = table.options.ignore_index, table.legend
    if given is not None:
        return given if given >= 0 else None
    value = legend.ignore_value
    if value is None:
        if 255 in table.values and 3 <= len(table.values) <= MOST_GUESSED and max(table.values[:-1]) < 128:
            table.told.append("255 is taken as a class; if it means unknown, say --ignore-index 255.")
        return None
    entry = next((entry for entry in legend.entries if entry.value == value), None)
    table.told.append(f"Pixels of value {value} are ignored ({legend.ignore_source}; --ignore-index).")
    if table.coloured:
        colour = entry.colour if entry is not None else None
        return None if colour is None else _packed(colour)
    return value


def _usable_entries(table: _Table) -> tuple[Entry, ...]:
    """Give every entry of the description the file value it stands for."""
    entries, values = table.legend.entries, table.values
    if table.coloured:
        return tuple(
            Entry(name=e.name, value=_packed(e.colour), colour=e.colour) for e in entries if e.colour is not None
        )
    if not entries or all(entry.value is not None for entry in entries):
        return entries
    if any(entry.value is not None for entry in entries):
        return ()
    # Names alone: in the order of the values that occur, else counted from 0, or from 1 beside a background.
    if len(entries) == len(values):
        numbers = values
    elif len(entries) + 1 == len(values) and values[0] == 0:
        numbers = values[1:]
    else:
        numbers = list(range(len(entries)))
    return tuple(Entry(name=e.name, value=v, colour=e.colour) for e, v in zip(entries, numbers, strict=True))


def _task(table: _Table, entries: Sequence[Entry], ignore: int | None) -> Task:
    if table.options.task != "auto":
        return table.options.task
    if table.legend.task is not None:
        return table.legend.task  # type: ignore[return-value]
    values = [value for value in table.values if value != ignore]
    known = {entry.value for entry in entries}
    if entries and (known >= set(values) or table.coloured):
        return "binary" if len(known - {ignore}) <= 2 else "multiclass"
    if table.options.classes and len(table.options.classes) in (len(values), len(values) - 1):
        return "binary" if len(values) <= 2 else "multiclass"
    if len(values) <= 2 or _is_smoothed(table):
        return "binary"
    text = f"The masks hold {len(values)} values"
    if not table.coloured and _are_objects(table, ignore):
        table.told.append(f"{text}, one per connected object: taken as objects, task instance (--task).")
        return "instance"
    table.told.append(f"{text}, shared between files: taken as classes, task multiclass (--task).")
    return "multiclass"


def _is_smoothed(table: _Table) -> bool:
    """Say whether most masks are two values with something between, which `_classes` then reports."""
    several = [mask for mask in table.masks.values() if len(mask.values) > 2]
    return bool(several) and 2 * sum(smoothed(mask) for mask in several) > len(several)


def _are_objects(table: _Table, ignore: int | None) -> bool:
    """Decide by geometry and numbering; see the module's first lines."""
    connected = total = 0
    runs: list[bool] = []
    largest: list[int] = []
    for mask in table.masks.values():
        found = [(v, r) for v, r in zip(mask.values, mask.regions, strict=True) if v not in (0, ignore)]
        if not found:
            continue
        if len(found) > 1:
            total += len(found)
            connected += sum(regions <= 1 for _, regions in found)
        largest.append(len(found))
        runs.append([value for value, _ in found] == list(range(1, len(found) + 1)))
    if not total or connected < _CONNECTED * total:
        return False
    if len(table.values) > MOST_GUESSED:
        return True
    numbered = sum(runs) >= _CONNECTED * len(runs)
    return numbered and len(set(largest)) > 1 and max(largest) >= 3


def _instances(table: _Table, ignore: int | None) -> Labelling:
    names = table.options.classes or tuple(entry.name for entry in table.legend.entries)
    if len(names) not in (1, 2):
        if table.options.classes:
            table.fault("names do not fit", f"{len(names)} names for background and object")
        names = ("object",)
    classes = ("background", names[0]) if len(names) == 1 else (names[0], names[1])
    if not any(value not in (0, ignore) for value in table.values):
        table.fault("all background", "every mask is empty")
    for name, mask in table.masks.items():
        if mask.coloured:
            table.fault("unknown values", "colours; objects need one number each", name)
        elif mask.lossy:
            table.fault("lossy mask", f"{len(mask.values)} values in a format that smears them", name)
        elif (text := unexpected(mask, None)) is not None:
            table.fault("too many values", text, name)
    return Labelling(
        task="instance", classes=classes, values=(), colours=_COLOURS[:2], ignore_value=ignore
    )


def _classes(table: _Table, task: Task, entries: Sequence[Entry], ignore: int | None) -> Labelling:
    """List the classes, background first, and check every mask against them."""
    known = {entry.value: entry for entry in entries if entry.value is not None and entry.value != ignore}
    values = sorted(known) if known else [value for value in table.values if value != ignore]
    values = _checked_values(table, task, values, known, ignore)
    if task == "binary" and len(values) == 2:
        values = _foreground_last(table, values)
    if len(values) < 2:
        kind = "all background" if values == [0] else "one class only"
        only = name_of(values[0], table.coloured) if values else "nothing"
        table.fault(kind, f"every mask holds {only} alone")
        values = sorted({*values, 0, 1})[:2]
    names = _names(table, task, values, known)
    return Labelling(
        task=task,
        classes=names,
        values=tuple(values),
        colours=_colours(table, values, known),
        coded_by_colour=table.coloured,
        ignore_value=ignore,
    )


def _checked_values(
    table: _Table, task: Task, values: list[int], known: dict[int, Entry], ignore: int | None
) -> list[int]:
    """Report masks with values that no class has; return the values of the classes."""
    if 0 in table.values and known and 0 not in values and ignore != 0:
        if any(entry.name.casefold() == "background" for entry in known.values()):
            pass  # the background has another value, so 0 is reported as unknown
        else:
            table.told.append(f"{'Black' if table.coloured else '0'} is not described: taken as background.")
            values = [0, *values]
    if table.coloured and not known:
        return values[:MOST_CLASSES]
    if not known:
        values = _plain_values(table, task, values)
    allowed = {*values, ignore}
    for name, counts in table.counts.items():
        strange = {value: count for value, count in counts.items() if value not in allowed}
        if strange:
            _report(table, name, strange, len(values))
    if not known and task == "multiclass" and len(values) > MOST_CLASSES:
        for name, mask in table.masks.items():
            if (text := unexpected(mask, MOST_GUESSED)) is not None:
                table.fault("too many values", text, name)
        if not table.problems:
            table.fault("too many values", f"{len(values)} values, not one connected area each")
        return values[:MOST_CLASSES]
    return values


def _plain_values(table: _Table, task: Task, values: list[int]) -> list[int]:
    """Without a description: in a binary set the two values that most pixels hold are the classes."""
    if task != "binary" or len(values) <= 2:
        return values
    clean = {v for mask in table.masks.values() if len(mask.values) <= 2 for v in mask.values}
    if len(clean) == 2:
        return sorted(clean)
    total: Counter[int] = Counter()
    for counts in table.counts.values():
        total.update(counts)
    return sorted(value for value, _ in total.most_common(2))


def _report(table: _Table, name: str, strange: dict[int, int], expected: int) -> None:
    """Say which values of a mask are unknown, and the cause where it can be seen."""
    mask = table.masks[name]
    most = sorted(strange, key=lambda value: -strange[value])[:8]
    listed = ", ".join(f"{name_of(value, table.coloured)} ({strange[value]} px)" for value in most)
    more = f" and {len(strange) - 8} more" if len(strange) > 8 else ""
    if mask.lossy:
        text = f"{len(mask.values)} values, {expected} expected, in a lossy format"
        table.fault("lossy mask", text, name)
    elif table.coloured:
        table.fault("unknown colours", listed + more, name)
    elif (text := unexpected(mask, MOST_GUESSED)) is not None and not smoothed(mask):
        table.fault("too many values", text, name)
    else:
        kind = "anti-aliased mask" if smoothed(mask) else "unknown values"
        table.fault(kind, f"unexpected values {listed}{more}", name)


def _foreground_last(table: _Table, values: list[int]) -> list[int]:
    """Put the foreground of a binary mask second."""
    given = table.options.foreground if table.options.foreground is not None else table.legend.foreground
    if given is not None and given in values:
        return [value for value in values if value != given] + [given]
    if table.options.foreground is not None:
        shown = " and ".join(map(str, values))
        table.fault("unknown values", f"--foreground {given}, but the masks hold {shown}")
    shown = name_of(values[1], table.coloured)
    table.told.append(f"{shown} is taken as the foreground (--foreground).")
    return values


def _names(table: _Table, task: Task, values: list[int], known: dict[int, Entry]) -> tuple[str, ...]:
    """Name the classes: as the user says, else the description, else by value."""
    given = table.options.classes
    if len(given) == len(values):
        return given
    if given and len(given) == len(values) - 1:
        return ("background", *given)
    if given:
        shown = ", ".join(name_of(value, table.coloured) for value in values[:20])
        table.fault("names do not fit", f"{len(given)} names for {len(values)} values ({shown})")
    if known:
        return tuple(known[v].name if v in known else "background" for v in values)
    if task == "binary":
        return ("background", "foreground")
    table.told.append("The classes have no names: they are named by their values (--classes).")
    return tuple("background" if value == 0 else f"class_{name_of(value, table.coloured)}" for value in values)


def _colours(table: _Table, values: list[int], known: dict[int, Entry]) -> tuple[Colour, ...]:
    """Colour the classes: as described, else by the masks' own palette, else by a fixed one."""
    if table.coloured:
        return tuple((value >> 16, value >> 8 & 255, value & 255) for value in values)
    palette = {v: colour for mask in table.masks.values() for v, colour in mask.palette}
    described = {value: entry.colour for value, entry in known.items() if entry.colour is not None}
    for source in (described, palette):
        colours = [source[value] for value in values if value in source]
        if len(set(colours)) == len(values):
            return tuple(colours)
    return tuple(_colour(index) for index in range(len(values)))


def _colour(index: int) -> Colour:
    """Return the fixed colour of a class: nine hand-picked ones, then steps that never repeat soon."""
    if index < len(_COLOURS):
        return _COLOURS[index]
    return (37 * index % 206 + 50, 91 * index % 206 + 50, 151 * index % 206 + 50)


def _packed(colour: Colour) -> int:
    return colour[0] << 16 | colour[1] << 8 | colour[2]
