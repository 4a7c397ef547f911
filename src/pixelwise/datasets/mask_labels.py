"""What the values in masks mean: the task and its classes, from the data's own description, else from the masks.

Told apart by values and geometry: two values are binary; values that are each one connected area and run from
1 to a number that differs between files are objects; a few values shared between files are classes. A value is
ignored only where the data or the user say so.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pixelwise.datasets.class_list import COLOURS, MOST_CLASSES, list_classes
from pixelwise.datasets.class_table import ClassTable, Entry
from pixelwise.datasets.mask_checks import smoothed, unexpected
from pixelwise.datasets.mask_values import MOST_GUESSED, MaskValueTable, coded_values, name_of, packed
from pixelwise.datasets.options import DataOptions
from pixelwise.datasets.problems import Problem
from pixelwise.datasets.records import Labelling, Task
from pixelwise.datasets.scan import Values
from pixelwise.text import pluralise

_CONNECTED = 0.8  # share of values that are one area, from which on they are objects


@dataclass(frozen=True, kw_only=True)
class MaskInterpretation:
    """A labelling, with what was guessed and what does not fit."""

    labelling: Labelling
    messages: tuple[str, ...]
    problems: tuple[Problem, ...]


def read_meaning(masks: dict[str, Values], legend: ClassTable, options: DataOptions) -> MaskInterpretation:
    """Find the task and the classes.

    Parameters
    ----------
    masks : dict
        Measured values by file name as problems should show it.
    legend : Legend
    options : DataOptions
        `task`, `classes`, `ignore_index` and `foreground` are used; they win over the data.
    """
    in_colour = [name for name, mask in masks.items() if mask.coloured]
    # a few masks in colour among numbers are faults of theirs, not what the set is coded by
    strays = in_colour if 2 * len(in_colour) < len(masks) and not legend.has_colours else []
    masks = {name: mask for name, mask in masks.items() if name not in strays}
    coloured = len(in_colour) > len(strays)
    counts = {name: coded_values(mask, coloured) for name, mask in masks.items()}
    table = MaskValueTable(masks, counts, coloured, legend, options)
    for name in strays:
        table.fault("mixed mask kinds", "colours, where most masks hold numbers", name)
    ignore = _ignore_value(table)
    if coloured and not legend.has_colours and _colours_are_classes(table):
        entries: tuple[Entry, ...] = ()
        table.messages.append(f"Each of the {len(table.values)} colours is taken as a class, as you said (--task).")
    elif coloured and not legend.has_colours:
        colours = ", ".join(name_of(value, True) for value in table.values[:12])
        more = f" and {len(table.values) - 12} more" if len(table.values) > 12 else ""
        table.fault("colours without classes", f"{len(table.values)} colours in the masks: {colours}{more}")
        entries = ()
    else:
        entries = _usable_entries(table)
    task = _task(table, entries, ignore)
    labelling = _instances(table, ignore) if task == "instance" else list_classes(table, task, entries, ignore)
    return MaskInterpretation(labelling=labelling, messages=tuple(table.messages), problems=tuple(table.problems))


def _colours_are_classes(table: MaskValueTable) -> bool:
    """Say whether the user wants every colour as a class, and there are few enough for that."""
    return table.options.task in ("binary", "multiclass") and len(table.values) <= MOST_GUESSED


def _ignore_value(table: MaskValueTable) -> int | None:
    """Return the file value to leave out: the user's, else the data's."""
    given, legend = table.options.ignore_index, table.legend
    if given is not None:
        return given if given >= 0 else None
    value = legend.ignore_value
    if value is None:
        if 255 in table.values and 3 <= len(table.values) <= MOST_GUESSED and max(table.values[:-1]) < 128:
            table.messages.append("255 is taken as a class; if it means unknown, say --ignore-index 255.")
        return None
    entry = next((entry for entry in legend.entries if entry.value == value), None)
    table.messages.append(f"Pixels of value {value} are ignored ({legend.ignore_source}; --ignore-index).")
    if table.coloured:
        colour = entry.colour if entry is not None else None
        return None if colour is None else packed(colour)
    return value


def _usable_entries(table: MaskValueTable) -> tuple[Entry, ...]:
    """Give every entry of the description the file value it stands for."""
    entries, values = table.legend.entries, table.values
    if table.coloured:
        return tuple(
            Entry(name=e.name, value=packed(e.colour), colour=e.colour) for e in entries if e.colour is not None
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


def _task(table: MaskValueTable, entries: Sequence[Entry], ignore: int | None) -> Task:
    if table.options.task != "auto":
        return table.options.task
    if table.legend.task is not None:
        table.messages.append(f"Task {table.legend.task} (dataset.json; --task).")
        return table.legend.task
    values = [value for value in table.values if value != ignore]
    known = {entry.value for entry in entries}
    if entries and (known >= set(values) or table.coloured):
        messages: Task = "binary" if len(known - {ignore}) <= 2 else "multiclass"
        table.messages.append(
            f"{len(known - {ignore})} classes ({table.legend.source}): task {messages} (--task, --classes)."
        )
        return messages
    if table.options.classes and len(table.options.classes) in (len(values), len(values) - 1):
        return "binary" if len(values) <= 2 else "multiclass"
    if len(values) <= 2 or _is_smoothed(table):
        shown = " and ".join(name_of(value, table.coloured) for value in values[:2])
        table.messages.append(f"The masks hold {shown}: task binary (--task).")
        return "binary"
    text = f"The masks hold {pluralise(len(values), 'value')}"
    if not table.coloured and _are_objects(table, ignore):
        table.messages.append(f"{text}, one per connected object: taken as objects, task instance (--task).")
        return "instance"
    table.messages.append(f"{text}, shared between files: taken as classes, task multiclass (--task).")
    return "multiclass"


def _is_smoothed(table: MaskValueTable) -> bool:
    """Say whether most masks are two values with smoothed or smeared ones between, as `class_list` then reports."""
    several = [mask for mask in table.masks.values() if len(mask.values) > 2]
    return bool(several) and 2 * sum(mask.lossy or smoothed(mask) for mask in several) > len(several)


def _are_objects(table: MaskValueTable, ignore: int | None) -> bool:
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
    if len(table.values) > MOST_GUESSED or max(table.values) > MOST_CLASSES + 1:
        return True
    numbered = sum(runs) >= _CONNECTED * len(runs)
    return numbered and len(set(largest)) > 1 and max(largest) >= 3


def _instances(table: MaskValueTable, ignore: int | None) -> Labelling:
    names = table.options.classes or tuple(entry.name for entry in table.legend.entries)
    if len(names) not in (1, 2):
        if table.options.classes:
            table.fault("names do not fit", f"{pluralise(len(names), 'name')} for background and object")
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
    return Labelling(task="instance", classes=classes, values=(), colours=COLOURS[:2], ignore_value=ignore)
