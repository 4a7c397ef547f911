"""Thresholds of binary masks with values in between, and class colours of masks with blended colours."""

from collections import Counter
from collections.abc import Sequence

from pixelwise.datasets.masks.class_table import Entry
from pixelwise.datasets.masks.coding import mixed_whites
from pixelwise.datasets.masks.measure import MaskValues
from pixelwise.datasets.masks.smoothing import Blends, blended_pixels, is_smoothed, share_between, smoothed_numbers
from pixelwise.datasets.masks.values import MaskValueTable
from pixelwise.text import pluralise


def find_threshold(table: MaskValueTable, entries: Sequence[Entry], ignore: int | None) -> float | None:
    """Return the threshold of binary masks of numbers; None if the task is not binary or the values are clear.

    The user's; else the middle between background and foreground if masks are smoothed; else 0.5 if the foreground is 1
    in some files and 255 in others.
    """
    options = table.options
    if options.task not in ("auto", "binary"):
        return None
    if options.mask_threshold is not None:
        table.messages.append(f"Values above {options.mask_threshold:g} are foreground (--mask-threshold).")
        return options.mask_threshold
    known = {entry.value for entry in entries if entry.value is not None} - {ignore}
    if len(known) > 2 or len(options.classes) > 2 or table.class_table.task not in (None, "binary"):
        return None
    whites = mixed_whites(table.masks) if not known and ignore is None else ()
    if whites:
        last = [mask.values[-1] for mask in table.masks.values()]
        shown = ", ".join(f"{value} in {last.count(value)}" for value in whites)
        text = f"The masks have one value besides 0, but not the same: {shown} files. "
        table.messages.append(f"{text}Each is the foreground (--mask-threshold, --ignore-index).")
        return 0.5
    several = [mask for mask in table.masks.values() if len(mask.values) > 2]
    smoothed = [mask for mask in several if is_smoothed(mask)]
    if not smoothed or 2 * len(smoothed) <= len(several):
        return None
    low, high = sorted(known) if len(known) == 2 else ends_of(table)
    shares = [share_between(mask, low, high) for mask in smoothed]
    cause = " and the lossy format (JPEG)" if any(mask.lossy for mask in smoothed) else ""
    threshold = (low + high) / 2
    files = pluralise(len(table.masks), "mask has", "masks have")
    table.messages.append(
        f"{len(smoothed)} of {files} values between {low} and {high}, in {100 * sum(shares) / len(shares):.2g} % of "
        f"their pixels, left by anti-aliasing{cause}: values above {threshold:g} count as {high} (--mask-threshold)."
    )
    return threshold


def report_smoothed(table: MaskValueTable) -> None:
    """Report masks whose numbers were interpolated: those in between stand for nothing, and cannot be separated."""
    for name, share in smoothed_numbers(table.masks).items():
        if not table.masks[name].lossy:  # reported as such
            text = f"{100 * share:.0f} % of its edges pass through numbers in between, as resizing leaves them"
            table.add_problem("anti-aliased mask", text, name)


def ends_of(table: MaskValueTable) -> tuple[int, int]:
    """Return the values of background and foreground: those of masks with two values, else the most frequent ones.

    With smoothed masks the most frequent ones of the darkest and the brightest quarter.
    """
    clean = {v for mask in table.masks.values() if len(mask.values) <= 2 for v in mask.values}
    if len(clean) == 2:
        return min(clean), max(clean)
    total: Counter[int] = Counter()
    for counts in table.counts.values():
        total.update(counts)
    low, high = min(total), max(total)
    if any(is_smoothed(mask) for mask in table.masks.values()):
        quarter = (high - low) / 4
        dark = [value for value in total if value <= low + quarter]
        bright = [value for value in total if value >= high - quarter]
        return max(dark, key=total.__getitem__), max(bright, key=total.__getitem__)
    found = sorted(value for value, _ in total.most_common(2))
    return found[0], found[-1]


def can_be_split(mask: MaskValues) -> bool:
    """Return whether a threshold divides a mask into two classes without hiding a third."""
    return len(mask.values) <= 2 or is_smoothed(mask)


def find_blends(table: MaskValueTable, entries: Sequence[Entry]) -> None:
    """Set `blended` if colours of no class are blends of class colours in all masks that have some."""
    classes = [entry.value for entry in entries if entry.value is not None]
    if not classes:
        return
    black = [0] if 0 in table.values and 0 not in classes else []  # the background, see `class_list`
    found: list[Blends] = []
    shifted = False  # colours near that of a class, which lossy compression leaves
    for name, mask in table.masks.items():
        blends = blended_pixels(mask, table.counts[name], [*classes, *black])
        if blends is None:
            return  # reported as unknown colours
        found += [blends] if blends.pixels else []
        shifted |= any(value not in (*classes, *black) for value in table.counts[name])
    if not found and not shifted:
        return
    table.blended = True
    if not found:
        table.messages.append("Lossy compression has shifted the colours of masks: each gets the nearest class colour.")
        return
    pixels = sum(sum(counts.values()) for counts in table.counts.values())
    blended, ignored = (100 * sum(part) / pixels for part in zip(*found, strict=True))
    lossy = " or lossy compression (JPEG)" if any(mask.lossy for mask in table.masks.values()) else ""
    files = pluralise(len(table.masks), "mask has", "masks have")
    unclear = f", except {ignored:.2g} % that are as near to another class and are ignored" if ignored else ""
    table.messages.append(
        f"{len(found)} of {files} colours between those of the classes, left by smoothing{lossy}: {blended:.2g} % "
        f"of the pixels get the nearest class colour{unclear}. Export without anti-aliasing to avoid this."
    )
