"""Determine task and classes from the class table of the data set, else from the values in the masks.

Two values are binary, and so are smoothed masks. Values that are one connected component each are objects, unless each
has its own brightness, size or place in all files (`masks.evidence`); if that is unclear, the user is asked. Other
values shared between files are classes. Values are ignored only if the class table or the user sets an ignore index.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pixelwise.datasets.masks.checks import describe_image_like
from pixelwise.datasets.masks.class_list import COLOURS, MAX_CLASSES, is_background_unlisted, list_classes
from pixelwise.datasets.masks.class_table import ClassTable, Entry
from pixelwise.datasets.masks.coding import BLACK, background_of, choose_alpha, choose_colours, shown_colour
from pixelwise.datasets.masks.coloured_objects import background_of_colours, colours_are_classes
from pixelwise.datasets.masks.evidence import objects_or_classes
from pixelwise.datasets.masks.measure import MaskValues
from pixelwise.datasets.masks.smoothing import painted_colours, shared_colours
from pixelwise.datasets.masks.thresholds import find_blends, find_threshold, report_smoothed
from pixelwise.datasets.masks.values import MAX_SHARED_VALUES, MaskValueTable, coded_values, name_of, packed
from pixelwise.datasets.options import DataOptions
from pixelwise.datasets.problems import Problem
from pixelwise.datasets.records import Labelling, Task
from pixelwise.errors import printable
from pixelwise.io.sample_values import MISSING
from pixelwise.text import pluralise

_DARK = 48  # no colour of a class is darker than this in all masks
_VOLUMES = 4  # with the same numbers, from which these are classes
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
    options : DataOptions
        `task`, `classes`, `ignore_index`, `foreground`, `background`, `mask_threshold` and `mask_values` are used; they
        override the data.
    """
    alpha = choose_alpha(masks, options.mask_values)
    masks = masks if alpha is None else alpha.masks
    in_colour = [name for name, mask in masks.items() if mask.coloured]
    # a minority of RGB masks is a problem of these files, not the coding of the set
    strays = in_colour if 2 * len(in_colour) < len(masks) and not class_table.has_colours else []
    masks = {name: mask for name, mask in masks.items() if name not in strays}
    source = "numbers" if options.task == "instance" else options.mask_values
    if class_table.is_legend:
        class_table = _fitting(class_table, masks)
    named = {} if class_table.entries or options.classes else _segment_names(masks)
    class_table = _with_segments(class_table, named)
    coding = choose_colours(masks, source, table_has_colours=class_table.has_colours)
    counts = {name: coded_values(mask, coding.coloured) for name, mask in masks.items()}
    table = MaskValueTable(masks, counts, coding.coloured, class_table, options)
    table.messages += [*(alpha.messages if alpha is not None else ()), *coding.messages]
    for name in strays:
        table.add_problem("mixed mask kinds", "colours, but most masks contain numbers", name)
    for text in (f"{value} is {' and '.join(sorted(names)[:4])}" for value, names in named.items() if len(names) > 1):
        table.add_problem("segments differ", printable(text))
    ignore = _ignore_value(table)
    by_colour = _background_of_objects(table)
    entries = () if by_colour is not None else _entries(table)
    if by_colour is not None:
        table.background = by_colour
    elif coding.coloured:
        find_blends(table, entries)
    else:
        table.threshold = find_threshold(table, entries, ignore)
        given = options.background
        table.background = background_of(table.masks, ignore)[0] if given is None else given
    negative = _negative_value(table, entries) if ignore is None else ignore
    task = "instance" if by_colour is not None else _task(table, entries, negative)
    if task != "instance" and ignore is None:
        ignore = _ignored_negative(table, entries)
    if table.threshold is None:
        report_smoothed(table)
    if task == "instance":
        labelling = _instance_labelling(table, ignore, coded_by_colour=by_colour is not None)
    else:
        labelling = list_classes(table, task, entries, ignore)
    labelling = replace(labelling, alpha=alpha is not None)
    return MaskInterpretation(labelling=labelling, messages=tuple(table.messages), problems=tuple(table.problems))


def _fitting(legend: ClassTable, masks: Mapping[str, MaskValues]) -> ClassTable:
    """Return a legend if most pixels of coloured masks have its colours, several of which occur; else no classes.

    Black is the background if it has no name.
    """
    known = {packed(entry.colour) for entry in legend.entries if entry.colour is not None}
    counts: Counter[int | None] = Counter()
    for mask in masks.values():
        for value, count in zip(mask.values, mask.counts, strict=True):
            counts[value if mask.coloured else shown_colour(mask, value) if mask.palette else None] += count
    black = counts.pop(BLACK, 0) if BLACK not in known else 0
    fitting = sum(count for colour, count in counts.items() if colour in known)
    several = sum(colour in known for colour in counts) + (black > 0)
    if several < 2 or 2 * fitting < counts.total():
        return replace(legend, entries=(), source="")
    background = (Entry(name="background", colour=(0, 0, 0)),) if black else ()
    return replace(legend, entries=(*background, *legend.entries))


def _segment_names(masks: Mapping[str, MaskValues]) -> dict[int, set[str]]:
    """Return the names of each value if every mask file names its values; else none."""
    if not all(mask.names for mask in masks.values()):
        return {}
    found: dict[int, set[str]] = {}
    for value, name in (pair for mask in masks.values() for pair in mask.names):
        found.setdefault(value, set()).add(name)
    return found


def _with_segments(class_table: ClassTable, named: Mapping[int, set[str]]) -> ClassTable:
    """Return the class table with the names of segments, if each value has one."""
    if not named or any(len(names) > 1 for names in named.values()):
        return class_table
    entries = tuple(Entry(name=min(names), value=value) for value, names in sorted(named.items()))
    return replace(class_table, entries=(Entry(name="background", value=0), *entries), source="3D Slicer")


def _background_of_objects(table: MaskValueTable) -> int | None:
    """Return the colour of the background if each object has a colour of its own; else None."""
    options = table.options
    if not table.coloured or table.class_table.has_colours or options.task not in ("auto", "instance"):
        return None
    if options.task == "auto" and (options.classes or table.class_table.task not in (None, "instance")):
        return None
    found = background_of_colours(list(table.masks.values()), evident=options.task == "auto")
    if found is not None:
        shown = name_of(found, True)
        table.messages.append(
            f"Each colour is one connected region, and other colours are in each file: task instance, {shown} is the "
            "background (--task)."
        )
    return found


def _entries(table: MaskValueTable) -> tuple[Entry, ...]:
    """Return the entries of the class table with their file values; reports colours without a table."""
    if not table.coloured or table.class_table.has_colours:
        return _usable_entries(table)
    painted = painted_colours(list(table.masks.values())) if len(table.values) > 2 else table.values
    colours = sorted(painted) if 2 <= len(painted) < len(table.values) else table.values
    smoothed = len(table.values) - len(colours)
    if all(not mask.coloured for mask in table.masks.values()):
        return ()  # the colours of palettes: each was chosen by a person, and none is a blend
    shared = shared_colours(list(table.masks.values()), colours) if smoothed and table.options.task == "auto" else []
    colours = shared or colours
    numbers = _are_numbers(colours)
    sharp = table.options.task == "auto" and not smoothed and not numbers
    evident = bool(shared) and not numbers
    evident |= sharp and (len(colours) == 2 or colours_are_classes(list(table.masks.values())))
    if (evident or table.options.task in ("binary", "multiclass")) and len(colours) <= MAX_SHARED_VALUES:
        listed = "; ".join(name_of(value, True) for value in colours[:8]) + ("; ..." if len(colours) > 8 else "")
        named = "a line `index name R,G,B` each in classes.txt names them"
        table.messages.append(f"Each of the {len(colours)} colours ({listed}) is used as a class (--task; {named}).")
        return tuple(Entry(name=f"class_{name_of(v, True)}" if v else "background", value=v) for v in colours)
    shown = "; ".join(name_of(value, True) for value in colours[:8])
    more = f"; and {len(colours) - 8} more" if len(colours) > 8 else ""
    text = f"{len(colours)} colours in the masks (as red,green,blue: {shown}{more}), and no list of what each means"
    if numbers:
        text += "; they are too dark for colours: probably class numbers in one channel and object numbers in another. "
        text += "Save the channel of the classes alone"
    elif smoothed:
        text += f"; the {smoothed} other colours are blends of these, left by smoothing or lossy compression"
    # more colours, or numbers in several channels, are no classes that --task could decide
    few = len(colours) <= MAX_SHARED_VALUES and not numbers
    table.add_problem("colours without classes" if few else "too many colours", text)
    return ()


def _are_numbers(colours: Sequence[int]) -> bool:
    """Return whether colours are numbers in several channels, as those of SYNTHIA: people choose brighter ones."""
    parts = [[(colour >> shift) & 255 for colour in colours] for shift in (16, 8, 0)]
    return max(map(max, parts)) < _DARK and sum(max(part) > 0 for part in parts) > 1


def _negative_value(table: MaskValueTable, entries: Sequence[Entry]) -> int | None:
    """Return the negative value beside two others, unless it is the background or a class; None for none or several."""
    negative = [value for value in table.values if value < 0]
    named = {entry.value for entry in entries} | {table.options.foreground, table.background}
    one = len(negative) == 1 and len(table.values) > 2
    return negative[0] if one and negative[0] not in named else None


def _ignored_negative(table: MaskValueTable, entries: Sequence[Entry]) -> int | None:
    """Return a negative value that is ignored beside classes: it is no class number."""
    table.background = 0 if table.options.background is None else table.options.background
    value = _negative_value(table, entries)
    if value is None or table.options.ignore_index is not None:
        return None
    text = f"{value} is no class number: its pixels are ignored (--ignore-index; -1 ignores nothing)."
    table.messages += [] if _is_undeclared(table, value) else [text]
    return value


def _is_undeclared(table: MaskValueTable, value: int) -> bool:
    """Return whether a value is that of NaN which nothing declares: a problem of its masks says what to do."""
    return value == MISSING and any(mask.undeclared for mask in table.masks.values())


def _ignore_value(table: MaskValueTable) -> int | None:
    """Return the ignore index: the user's, else that of the class table."""
    given, class_table = table.options.ignore_index, table.class_table
    if given is not None:
        return given if given >= 0 else None
    value = class_table.ignore_value
    if value is None and (value := _stated_nodata(table)) is not None:
        background = value == MISSING and 0 not in table.values  # of objects it may be that
        stated = f"NaN, read as {value}," if value == MISSING else str(value)
        text = f"{stated} stands for no data in the masks: ignored (--ignore-index)."
        if background:
            text = f"NaN in the masks is read as {value}; no mask contains 0."
        table.messages += [] if _is_undeclared(table, value) else [text]
        return None if background else value
    if value is None:
        if (
            not table.coloured
            and 255 in table.values
            and 3 <= len(table.values) <= MAX_SHARED_VALUES
            and max(table.values[:-1]) < 128
        ):
            table.messages.append("255 is used as a class; if it means unknown, use --ignore-index 255.")
        return None
    entry = next((entry for entry in class_table.entries if entry.value == value), None)
    table.messages.append(f"Pixels of value {value} are ignored ({class_table.ignore_source}; --ignore-index).")
    if table.coloured:
        colour = entry.colour if entry is not None else None
        return None if colour is None else packed(colour)
    return value


def _stated_nodata(table: MaskValueTable) -> int | None:
    """Return the value that the masks state for pixels without data; None if they state none, several, or 0.

    It is a class if other masks contain it. Programs for maps state 0 for what they burn no polygon into, which is the
    background.
    """
    stated = {mask.nodata for mask in table.masks.values() if mask.nodata in mask.values}
    value = stated.pop() if len(stated) == 1 else None
    if not value or table.coloured:
        return None
    return int(value) if all(mask.nodata == value for mask in table.masks.values() if value in mask.values) else None


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
    if (gray := _gray_entries(entries, values)) is not None:
        return gray
    # Names only: in the order of the values in the masks (with or without 0), else numbered from 0.
    if len(entries) == len(values):
        numbers = values
    elif len(entries) + 1 == len(values) and values[0] == 0:
        numbers = values[1:]
    else:
        numbers = list(range(len(entries)))
    return tuple(Entry(name=e.name, value=v, colour=e.colour) for e, v in zip(entries, numbers, strict=True))


def _gray_entries(entries: Sequence[Entry], values: Sequence[int]) -> tuple[Entry, ...] | None:
    """Return the entries of gray colours with these as values, if all values of the masks are among them; else None.

    0 and 1 are black and white.
    """
    scale = 255 if tuple(values) == (0, 1) else 1
    gray = {e.colour[0]: e for e in entries if e.colour is not None and len(set(e.colour)) == 1}
    if len(values) < 2 or not {value * scale for value in values} <= set(gray):
        return None
    found = {value: gray[value * scale] for value in values}
    return tuple(Entry(name=e.name, value=value, colour=e.colour) for value, e in found.items())


def _task(table: MaskValueTable, entries: Sequence[Entry], ignore: int | None) -> Task:
    if table.options.task != "auto":
        return table.options.task
    if table.class_table.task is not None:
        table.messages.append(f"Task {table.class_table.task} (dataset.json; --task).")
        return table.class_table.task
    values = [value for value in table.values if value != ignore]
    known = {entry.value for entry in entries}
    if entries and (known >= set(values) or table.coloured):
        count = len(known - {ignore})
        task: Task = "binary" if count + is_background_unlisted(table, entries, ignore) <= 2 else "multiclass"
        source = table.class_table.source or "a colour each"
        table.messages.append(f"{pluralise(count, 'class', 'classes')} ({source}): task {task} (--task, --classes).")
        return task
    if table.options.classes and len(table.options.classes) in (len(values), len(values) - 1):
        return "binary" if len(values) <= 2 else "multiclass"
    if len(values) <= 2 or table.threshold is not None:
        shown = " and ".join(name_of(value, table.coloured) for value in (values[0], values[-1]))
        table.messages.append(f"The masks contain {shown}: task binary (--task).")
        return "binary"
    return "multiclass" if table.coloured else _objects_or_classes(table, ignore)


def _objects_or_classes(table: MaskValueTable, ignore: int | None) -> Task:
    """Return the task of masks with several numbers; see the module docstring."""
    text = f"The masks contain {pluralise(len([v for v in table.values if v != ignore]), 'value')}"
    connected, numbers, consecutive = _count_components(table, ignore)
    if not connected:
        table.messages.append(f"{text}, shared between files: task multiclass (--task).")
        return "multiclass"
    many = len(table.values) > MAX_SHARED_VALUES
    found = "objects" if many else objects_or_classes(list(table.masks.values()), table.background, ignore)
    numbered = consecutive or max(table.values) > MAX_CLASSES + 1
    if found == "unknown" and numbered and len(set(numbers)) > 1 and max(numbers) >= 3:
        found = "objects"
    if found in ("unknown", "contradictory") and _has_same_structures(table, ignore):
        table.messages.append(f"{text}, the same numbers in every volume: task multiclass (--task).")
        return "multiclass"
    if found == "objects":
        table.messages.append(f"{text}, one connected component each, different in each file: task instance (--task).")
        return "instance"
    if found == "classes":
        same = "the same brightness, size or place in all files"
        table.messages.append(f"{text}, each with {same}: task multiclass (--task).")
    else:
        table.add_problem("objects or classes", f"{len(table.values)} values, one connected region each")
    return "multiclass"


def _has_same_structures(table: MaskValueTable, ignore: int | None) -> bool:
    """Return whether every volume that shows something has the same few numbers, as those of organs are."""
    masks = list(table.masks.values())
    found = [frozenset(mask.values) - {table.background, ignore} for mask in masks]
    shown = [numbers for numbers in found if numbers]
    same = len(shown) >= _VOLUMES and len(set(shown)) == 1 and len(shown[0]) <= MAX_SHARED_VALUES
    return same and all(mask.volume for mask in masks)


def _count_components(table: MaskValueTable, ignore: int | None) -> tuple[bool, list[int], bool]:
    """Return whether values are connected, the number of values in each mask, and whether these are 1, 2, 3 ..."""
    connected = total = 0
    consecutive: list[bool] = []
    numbers: list[int] = []
    for mask in (mask for mask in table.masks.values() if mask.regions):  # of some masks they are not counted
        components = [
            (v, r) for v, r in zip(mask.values, mask.regions, strict=True) if v not in (table.background, ignore)
        ]
        if not components:
            continue
        if len(components) > 1:
            total += len(components)
            connected += sum(regions <= 1 for _, regions in components)
        numbers.append(len(components))
        consecutive.append([value for value, _ in components] == list(range(1, len(components) + 1)))
    is_connected = bool(total) and connected >= _CONNECTED * total
    return is_connected, numbers, sum(consecutive) >= _CONNECTED * len(consecutive)


def _instance_labelling(table: MaskValueTable, ignore: int | None, *, coded_by_colour: bool) -> Labelling:
    names = table.options.classes or tuple(entry.name for entry in table.class_table.entries)
    if len(names) not in (1, 2):
        if table.options.classes:
            table.add_problem("names do not fit", f"{pluralise(len(names), 'name')} for background and object")
        names = ("object",)
    classes = ("background", names[0]) if len(names) == 1 else (names[0], names[1])
    if table.options.background is None and not coded_by_colour:
        message = background_of(table.masks, ignore)[1]
        table.messages += [message] if message else []
        negative = [value for value in table.values if value < 0 and value not in (table.background, ignore)]
        if negative and not table.coloured:
            shown = ", ".join(map(str, negative[:3]))
            table.add_problem("negative values", f"{shown} beside the background {table.background}")
    if not any(value not in (table.background, ignore) for value in table.values):
        table.add_problem("all background", "every mask is empty")
    for name, mask in table.masks.items():
        if mask.coloured and not coded_by_colour:
            table.add_problem("unknown values", "colours; each object needs a number", name)
        elif mask.lossy:
            table.add_problem("lossy mask", f"{len(mask.values)} values in a lossy format", name)
        elif (text := describe_image_like(mask, None)) is not None:
            table.add_problem("too many values", text, name)
    return Labelling(
        task="instance",
        classes=classes,
        values=(),
        colours=COLOURS[:2],
        ignore_value=ignore,
        background=table.background,
        coded_by_colour=coded_by_colour,
    )
