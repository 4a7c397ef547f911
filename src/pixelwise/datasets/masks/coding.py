"""Decide over the whole set where the values of masks are: in the numbers, the colours shown, or the alpha channel."""

from collections import Counter
from collections.abc import Mapping
from typing import Literal, NamedTuple

from pixelwise.datasets.masks.measure import MaskValues
from pixelwise.datasets.masks.smoothing import is_smoothed
from pixelwise.text import pluralise

BLACK, WHITE = 0, 0xFFFFFF
_IMAGE_COLOURS = 40  # more colours are the pixels of an image that was cut out
_ALPHA_CLASSES = 40  # values of an alpha channel: of more it is an image
_MOSTLY = 0.8  # fraction of the masks in which the background is the largest value
_LAST = (0xFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)  # programs that number objects from 0 mark the rest so
Source = Literal["auto", "numbers", "colours", "alpha"]


class Coding(NamedTuple):
    """The masks in one coding, whether that is colours, and what was decided."""

    masks: dict[str, MaskValues]
    coloured: bool
    messages: tuple[str, ...]


def choose_alpha(masks: Mapping[str, MaskValues], source: Source) -> Coding | None:
    """Return the alpha channels as masks if the colours mean nothing; None if they do not, or there are none.

    Colours mean nothing if each file has a single one, or those of a photograph, or if the lighter of two is
    transparent.
    """
    alphas = {name: mask.alpha for name, mask in masks.items() if mask.alpha is not None}
    if len(alphas) < len(masks) or not alphas:
        return None
    if source == "auto":
        drawn = [1 < len(alpha.values) <= _ALPHA_CLASSES or is_smoothed(alpha) for alpha in alphas.values()]
        empty = [len(alpha.values) == 1 for alpha in alphas.values()]
        plain = all(len(mask.values) == 1 for mask in masks.values())
        photographs = all(len(mask.values) > _IMAGE_COLOURS for mask in masks.values())
        light = all(_is_transparent_when_light(mask) for mask in masks.values())
        if (
            not (plain or photographs or light)
            or not any(drawn)
            or not all(a or b for a, b in zip(drawn, empty, strict=True))
        ):
            return None
    elif source != "alpha":
        return None
    text = "The mask is the alpha channel (transparency): the colours of each file "
    text += "are one and the same" if all(len(mask.values) == 1 for mask in masks.values()) else "are not used"
    return Coding(alphas, False, (f"{text} (--mask-values).",))


def _is_transparent_when_light(mask: MaskValues) -> bool:
    """Return whether the lighter of two values is transparent, and the darker one opaque: dark strokes on nothing."""
    alpha = mask.alpha
    if alpha is None or len(mask.values) != 2 or len(alpha.values) != 2:
        return False
    return alpha.values[0] == 0 and alpha.counts == mask.counts[::-1] and mask.counts[0] != mask.counts[1]


def choose_colours(masks: Mapping[str, MaskValues], source: Source, *, table_has_colours: bool) -> Coding:
    """Decide between numbers and the colours that a viewer shows; masks in RGB are always colours.

    Palette indices are the values unless palettes contradict them: the same colour has different indices, as in masks
    from a program that numbers its colours anew in each file, or black is not the lower of two indices.
    """
    given, coloured = dict(masks), any(mask.coloured for mask in masks.values())
    with_palette = [mask for mask in masks.values() if mask.palette or mask.bilevel]
    if coloured or not with_palette or source in ("numbers", "colours"):
        return Coding(given, coloured or (source == "colours" and bool(with_palette)), ())
    numbers: dict[int, set[int]] = {}
    colours: dict[int, set[int]] = {}
    for mask in masks.values():
        if len({shown_colour(mask, value) for value in mask.values}) < len(mask.values):
            return Coding(given, False, ())  # values of one colour in one file: only the numbers tell them apart
        for value in mask.values:
            colour = shown_colour(mask, value)
            numbers.setdefault(value, set()).add(colour)
            colours.setdefault(colour, set()).add(value)
    found = pluralise(sum(bool(mask.palette) for mask in masks.values()), "mask has a palette", "masks have a palette")
    if all(len(both) == 1 for both in (*numbers.values(), *colours.values())):
        if len(colours) == 2 and BLACK in colours and min(colours[BLACK]) == max(numbers):
            text = f"{found} with black as the second colour: black, as shown, is the background (--mask-values)."
            return Coding(given, True, (text,))
        return Coding(given, False, ())
    several = any(len(values) > 1 for values in colours.values())
    if several and (len(colours) <= len(numbers) or table_has_colours or _are_shared(masks)):
        text = f"{found}, not the same in all files: the colours shown are the values, not the indices (--mask-values)."
        return Coding(given, True, (text,))
    text = f"{found}, not the same in all files: the indices are the values, not the colours shown (--mask-values)."
    return Coding(given, False, (text,))


def shown_colour(mask: MaskValues, value: int) -> int:
    """Return the colour that a viewer shows for a value, as one number."""
    palette = dict(mask.palette)
    if value in palette:
        red, green, blue = palette[value]
        return red << 16 | green << 8 | blue
    if value == 1 and (mask.bilevel or mask.values[-1] == 1):
        return WHITE  # of files with the values 0 and 1: white, whether or not a viewer shows it
    return (value & 255) * 0x010101


def _are_shared(masks: Mapping[str, MaskValues]) -> bool:
    """Return whether each colour is in several masks: a program that colours objects anew in each has many colours."""
    files = Counter(colour for mask in masks.values() for colour in {shown_colour(mask, v) for v in mask.values})
    return len(masks) > 2 and min(files.values()) > 1


def background_of(masks: Mapping[str, MaskValues], ignore: int | None = None) -> tuple[int | None, str]:
    """Return the background of numbered objects, and a message if it is not 0.

    0, unless no mask has it, or a negative value or the last number of an integer type is the largest area in nearly
    all masks, and 0 in none. None if no value is the largest in nearly all masks. The ignored value is no background.
    """
    counts = [
        {value: count for value, count in zip(mask.values, mask.counts, strict=True) if value != ignore}
        for mask in masks.values()
    ]
    largest = [max((count, value) for value, count in mask.items())[1] for mask in counts if mask]
    values = {value for mask in counts for value in mask}
    common = max(set(largest), key=largest.count, default=0)
    mostly = largest.count(common) >= _MOSTLY * len(largest) and all(common in mask.values for mask in masks.values())
    if 0 in values and not ((common < 0 or common in _LAST) and mostly and 0 not in largest):
        return 0, ""
    if not mostly:
        return None, ""
    rest = "0 is an object" if 0 in values else "no mask contains 0"
    return common, f"{common} is the largest area in the masks, and {rest}: {common} is the background (--background)."


def mixed_whites(masks: Mapping[str, MaskValues]) -> tuple[int, ...]:
    """Return the values of the foreground if masks are binary with 1 in some files and 255 or 65535 in others.

    Never both in one file: then they are two classes, or 255 is ignored.
    """
    whites = {mask.values[-1] for mask in masks.values() if mask.values and mask.values != (0,)}
    binary = all(not mask.coloured and len({*mask.values, 0}) <= 2 for mask in masks.values())
    return tuple(sorted(whites)) if binary and len(whites) > 1 and whites <= {1, 255, 65535} else ()
