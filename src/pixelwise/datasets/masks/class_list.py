"""Determine the classes of masks: values, names and colours; check every mask against them."""

from collections.abc import Sequence

from pixelwise.datasets.masks.checks import describe_image_like
from pixelwise.datasets.masks.class_table import Entry
from pixelwise.datasets.masks.smoothing import is_smoothed
from pixelwise.datasets.masks.thresholds import can_be_split, ends_of
from pixelwise.datasets.masks.values import MAX_SHARED_VALUES, MaskValueTable, name_of
from pixelwise.datasets.records import BACKGROUND_NAMES, Colour, Labelling, Task
from pixelwise.text import pluralise

MAX_CLASSES = 254  # 255 is the ignore index of class maps
# Okabe and Ito 2008, "Color universal design": eight colours that colour-blind people can distinguish
COLOURS: tuple[Colour, ...] = (
    (0, 0, 0), (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0),
    (204, 121, 167), (153, 153, 153),
)  # fmt: skip
UNNAMED = ("background", "foreground")  # the classes of binary masks that nothing names


def list_classes(table: MaskValueTable, task: Task, entries: Sequence[Entry], ignore: int | None) -> Labelling:
    """List the classes, background first, and check every mask against them."""
    known = {entry.value: entry for entry in entries if entry.value is not None and entry.value != ignore}
    values = sorted(known) if known else [value for value in table.values if value != ignore]
    values = _checked_values(table, task, values, known, ignore)
    if task == "binary" and len(values) == 2:
        values = _foreground_last(table, values, known)
    if len(values) < 2:
        kind = "all background" if values == [0] else "one class only"
        only = name_of(values[0], table.coloured) if values else "nothing"
        table.add_problem(kind, f"every mask contains only {only}")
        values = sorted({*values, 0, 1})[:2]
    names = _names(table, task, values, known)
    return Labelling(
        task=task,
        classes=names,
        values=tuple(values),
        colours=_colours(table, values, known),
        coded_by_colour=table.coloured,
        ignore_value=ignore,
        threshold=table.threshold if task == "binary" else None,
        blended=table.blended,
    )


def _checked_values(
    table: MaskValueTable, task: Task, values: list[int], known: dict[int, Entry], ignore: int | None
) -> list[int]:
    """Report masks with values of no class; return the values of the classes."""
    if table.coloured and not known and task != "binary":
        return values[:MAX_CLASSES]
    if table.blended or (table.threshold is not None and table.options.mask_threshold is not None):
        return values if known else [table.values[0], table.values[-1]]
    values = _with_background(table, values, known, ignore) if known else _plain_values(table, task, values)
    allowed = {*values, ignore}
    for name, counts in table.counts.items():
        unknown = {value: count for value, count in counts.items() if value not in allowed}
        if unknown and not (table.threshold is not None and can_be_split(table.masks[name])):
            _report_unknown(table, name, unknown, len(values))
    if not known and task == "multiclass":
        for name, mask in table.masks.items():
            if mask.lossy:
                text = f"{pluralise(len(mask.values), 'value')} in a lossy format"
                table.add_problem("lossy mask", text, name)
            elif (text := describe_image_like(mask, MAX_SHARED_VALUES)) is not None:
                table.add_problem("too many values", text, name)
        if len(values) > MAX_CLASSES and not table.problems:
            table.add_problem("too many values", f"{len(values)} values, not one connected component each")
        return values[:MAX_CLASSES]
    return values


def _with_background(
    table: MaskValueTable, values: list[int], known: dict[int, Entry], ignore: int | None
) -> list[int]:
    """Add 0 as the background if masks contain it and the class table lists neither 0 nor a background."""
    if not is_background_unlisted(table, list(known.values()), ignore):
        return values
    table.messages.append(f"{'Black' if table.coloured else '0'} is not in the class table: used as background.")
    return [0, *values]


def is_background_unlisted(table: MaskValueTable, entries: Sequence[Entry], ignore: int | None) -> bool:
    """Return whether masks contain 0, and the class table lists neither 0 nor a background."""
    listed = any(entry.value == 0 or entry.name.casefold() == "background" for entry in entries)
    return 0 in table.values and ignore != 0 and not listed


def _plain_values(table: MaskValueTable, task: Task, values: list[int]) -> list[int]:
    """Return the values of classes without a class table; for a binary task the two most frequent ones."""
    if task != "binary" or len(values) <= 2:
        return values
    return list(ends_of(table))


def _report_unknown(table: MaskValueTable, name: str, unknown: dict[int, int], expected: int) -> None:
    """Report the unknown values of a mask, with the probable cause."""
    mask = table.masks[name]
    frequent = sorted(unknown, key=lambda value: -unknown[value])[:8]
    listed = ", ".join(f"{name_of(value, table.coloured)} ({unknown[value]} px)" for value in frequent)
    more = f" and {len(unknown) - 8} more" if len(unknown) > 8 else ""
    if mask.lossy:
        text = f"{pluralise(len(mask.values), 'value')}, {expected} expected, in a lossy format"
        table.add_problem("lossy mask", text, name)
    elif table.coloured:
        table.add_problem("unknown colours", listed + more, name)
    elif (text := describe_image_like(mask, MAX_SHARED_VALUES)) is not None and not is_smoothed(mask):
        table.add_problem("too many values", text, name)
    else:
        kind = "anti-aliased mask" if is_smoothed(mask) else "unknown values"
        table.add_problem(kind, f"unexpected values {listed}{more}", name)


def _foreground_last(table: MaskValueTable, values: list[int], known: dict[int, Entry]) -> list[int]:
    """Put the foreground of a binary mask second."""
    given = table.options.foreground if table.options.foreground is not None else table.class_table.foreground
    if given is not None and given in values:
        return [value for value in values if value != given] + [given]
    if table.options.foreground is not None:
        shown = " and ".join(map(str, values))
        table.add_problem("unknown values", f"--foreground {given}, but the masks contain {shown}")
    if table.class_table.entries:
        values = sorted(values, key=lambda v: v in known and known[v].name.casefold() not in BACKGROUND_NAMES)
    elif table.coloured and 0 not in values:  # no black: the background is the larger area
        values = sorted(values, key=lambda v: -sum(counts.get(v, 0) for counts in table.counts.values()))
    elif values[0] < 0 == values[1] and table.background == 0:
        values = values[::-1]
    flag = "classes.txt" if table.coloured else "--foreground"
    table.messages.append(f"{name_of(values[1], table.coloured)} is used as the foreground ({flag}).")
    return values


def _names(table: MaskValueTable, task: Task, values: list[int], known: dict[int, Entry]) -> tuple[str, ...]:
    """Return the class names: from the user, else from the class table, else by value."""
    given = table.options.classes
    if len(given) == len(values):
        return given
    if given and len(given) == len(values) - 1:
        return ("background", *given)
    if given:
        shown = ", ".join(name_of(value, table.coloured) for value in values[:20])
        table.add_problem(
            "names do not fit", f"{pluralise(len(given), 'name')} for {pluralise(len(values), 'value')} ({shown})"
        )
    if known:
        return tuple(known[v].name if v in known else "background" for v in values)
    if task == "binary":
        return UNNAMED
    table.messages.append("The classes are named by their values (--classes).")
    return tuple("background" if value == 0 else f"class_{name_of(value, table.coloured)}" for value in values)


def _colours(table: MaskValueTable, values: list[int], known: dict[int, Entry]) -> tuple[Colour, ...]:
    """Return the class colours: from the class table, else from the masks' palette, else a fixed palette."""
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
    """Return the default colour of a class: a fixed palette, then generated colours."""
    if index < len(COLOURS):
        return COLOURS[index]
    return (37 * index % 206 + 50, 91 * index % 206 + 50, 151 * index % 206 + 50)
