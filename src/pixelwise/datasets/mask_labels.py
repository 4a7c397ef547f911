"""Determine task and classes from the class table of the data set, else from the values in the masks.

Two values are binary. Values that are one connected component each, numbered from 1 to a number that differs between
files, are objects. A few values shared between files are classes. Values are ignored only if the class table or the
user sets an ignore index.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pixelwise.datasets.class_list import COLOURS, MAX_CLASSES, list_classes
from pixelwise.datasets.class_table import ClassTable, Entry
from pixelwise.datasets.mask_checks import describe_image_like, is_anti_aliased
from pixelwise.datasets.mask_values import MAX_SHARED_VALUES, MaskValueTable, coded_values, name_of, packed
from pixelwise.datasets.options import DataOptions
from pixelwise.datasets.problems import Problem
from pixelwise.datasets.records import Labelling, Task
from pixelwise.datasets.scan import MaskValues
from pixelwise.text import pluralise

_CONNECTED = 0.8  # minimum fraction of values with one connected component in instance masks


@dataclass(frozen=True, kw_only=True)
class MaskInterpretation:
    """A labelling, with messages about automatic decisions and problems."""

    labelling: Labelling
    messages: tuple[str, ...]
    problems: tuple[Problem, ...]


def interpret_masks(masks: dict[str, MaskValues], class_table: ClassTable, options: DataOptions) -> MaskInterpretation:
    """Determine the task and the classes.

    Parameters
    ----------
    masks : dict
        Mask values by file name.
    class_table : ClassTable
    options : DataOptions
        `task`, `classes`, `ignore_index` and `foreground` are used; they override the data.
    """
    in_colour = [name for name, mask in masks.items() if mask.coloured]
    # a minority of RGB masks is a problem of these files, not the coding of the set
    strays = in_colour if 2 * len(in_colour) < len(masks) and not class_table.has_colours else []
    masks = {name: mask for name, mask in masks.items() if name not in strays}
    coloured = len(in_colour) > len(strays)
    counts = {name: coded_values(mask, coloured) for name, mask in masks.items()}
    table = MaskValueTable(masks, counts, coloured, class_table, options)
    for name in strays:
        table.add_problem("mixed mask kinds", "colours, but most masks contain numbers", name)
    ignore = _ignore_value(table)
    if coloured and not class_table.has_colours and _colours_are_classes(table):
        entries: tuple[Entry, ...] = ()
        table.messages.append(f"Each of the {len(table.values)} colours is used as a class (--task).")
    elif coloured and not class_table.has_colours:
        colours = ", ".join(name_of(value, True) for value in table.values[:12])
        more = f" and {len(table.values) - 12} more" if len(table.values) > 12 else ""
        table.add_problem("colours without classes", f"{len(table.values)} colours in the masks: {colours}{more}")
        entries = ()
    else:
        entries = _usable_entries(table)
    task = _task(table, entries, ignore)
    labelling = _instance_labelling(table, ignore) if task == "instance" else list_classes(table, task, entries, ignore)
    return MaskInterpretation(labelling=labelling, messages=tuple(table.messages), problems=tuple(table.problems))


def _colours_are_classes(table: MaskValueTable) -> bool:
    """Return whether the user's task makes every colour a class, and there are few enough colours."""
    return table.options.task in ("binary", "multiclass") and len(table.values) <= MAX_SHARED_VALUES


def _ignore_value(table: MaskValueTable) -> int | None:
    """Return the ignore index: the user's, else that of the class table."""
    given, class_table = table.options.ignore_index, table.class_table
    if given is not None:
        return given if given >= 0 else None
    value = class_table.ignore_value
    if value is None:
        if 255 in table.values and 3 <= len(table.values) <= MAX_SHARED_VALUES and max(table.values[:-1]) < 128:
            table.messages.append("255 is used as a class; if it means unknown, use --ignore-index 255.")
        return None
    entry = next((entry for entry in class_table.entries if entry.value == value), None)
    table.messages.append(f"Pixels of value {value} are ignored ({class_table.ignore_source}; --ignore-index).")
    if table.coloured:
        colour = entry.colour if entry is not None else None
        return None if colour is None else packed(colour)
    return value


def _usable_entries(table: MaskValueTable) -> tuple[Entry, ...]:
    """Return the entries of the class table with their file values."""
    entries, values = table.class_table.entries, table.values
    if table.coloured:
        return tuple(
            Entry(name=e.name, value=packed(e.colour), colour=e.colour) for e in entries if e.colour is not None
        )
    if not entries or all(entry.value is not None for entry in entries):
        return entries
    if any(entry.value is not None for entry in entries):
        return ()
    # Names only: in the order of the values in the masks (with or without 0), else numbered from 0.
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
    if table.class_table.task is not None:
        table.messages.append(f"Task {table.class_table.task} (dataset.json; --task).")
        return table.class_table.task
    values = [value for value in table.values if value != ignore]
    known = {entry.value for entry in entries}
    if entries and (known >= set(values) or table.coloured):
        task: Task = "binary" if len(known - {ignore}) <= 2 else "multiclass"
        table.messages.append(
            f"{len(known - {ignore})} classes ({table.class_table.source}): task {task} (--task, --classes)."
        )
        return task
    if table.options.classes and len(table.options.classes) in (len(values), len(values) - 1):
        return "binary" if len(values) <= 2 else "multiclass"
    if len(values) <= 2 or _mostly_anti_aliased(table):
        shown = " and ".join(name_of(value, table.coloured) for value in values[:2])
        table.messages.append(f"The masks contain {shown}: task binary (--task).")
        return "binary"
    text = f"The masks contain {pluralise(len(values), 'value')}"
    if not table.coloured and _look_like_objects(table, ignore):
        table.messages.append(f"{text}, one connected component each: task instance (--task).")
        return "instance"
    table.messages.append(f"{text}, shared between files: task multiclass (--task).")
    return "multiclass"


def _mostly_anti_aliased(table: MaskValueTable) -> bool:
    """Return whether most masks are binary with anti-aliased or lossy edges, as `class_list` then reports."""
    several = [mask for mask in table.masks.values() if len(mask.values) > 2]
    return bool(several) and 2 * sum(mask.lossy or is_anti_aliased(mask) for mask in several) > len(several)


def _look_like_objects(table: MaskValueTable, ignore: int | None) -> bool:
    """Return whether the values are objects, by connected components and numbering; see the module docstring."""
    connected = total = 0
    consecutive: list[bool] = []
    numbers: list[int] = []
    for mask in table.masks.values():
        components = [(v, r) for v, r in zip(mask.values, mask.regions, strict=True) if v not in (0, ignore)]
        if not components:
            continue
        if len(components) > 1:
            total += len(components)
            connected += sum(regions <= 1 for _, regions in components)
        numbers.append(len(components))
        consecutive.append([value for value, _ in components] == list(range(1, len(components) + 1)))
    if not total or connected < _CONNECTED * total:
        return False
    if len(table.values) > MAX_SHARED_VALUES or max(table.values) > MAX_CLASSES + 1:
        return True
    numbered = sum(consecutive) >= _CONNECTED * len(consecutive)
    return numbered and len(set(numbers)) > 1 and max(numbers) >= 3


def _instance_labelling(table: MaskValueTable, ignore: int | None) -> Labelling:
    names = table.options.classes or tuple(entry.name for entry in table.class_table.entries)
    if len(names) not in (1, 2):
        if table.options.classes:
            table.add_problem("names do not fit", f"{pluralise(len(names), 'name')} for background and object")
        names = ("object",)
    classes = ("background", names[0]) if len(names) == 1 else (names[0], names[1])
    if not any(value not in (0, ignore) for value in table.values):
        table.add_problem("all background", "every mask is empty")
    for name, mask in table.masks.items():
        if mask.coloured:
            table.add_problem("unknown values", "colours; each object needs a number", name)
        elif mask.lossy:
            table.add_problem("lossy mask", f"{len(mask.values)} values in a lossy format", name)
        elif (text := describe_image_like(mask, None)) is not None:
            table.add_problem("too many values", text, name)
    return Labelling(task="instance", classes=classes, values=(), colours=COLOURS[:2], ignore_value=ignore)
