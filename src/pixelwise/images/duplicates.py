"""Images that occur twice: in two parts, with two masks, or nearly the same."""

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from pixelwise.images.layouts import Pair
from pixelwise.images.records import DataOptions, Problem
from pixelwise.images.splits import join, near_pairs
from pixelwise.images.survey import SKETCH, Survey
from pixelwise.wording import counted

_NAMED = 5  # near-equal pairs named; the rest is counted


def find_copies(
    pairs: Sequence[Pair], surveys: Sequence[Survey], options: DataOptions
) -> tuple[list[int], list[Problem], list[str]]:
    """Find equal and near-equal images.

    Returns
    -------
    family : list of int
        For each pair, the index of the first pair of its family of copies.
    problems : list of Problem
        Equal images in two given parts or with two masks (fatal), near-equal ones in two parts (told once).
    told : list of str
    """
    problems: list[Problem] = []
    copies = _exact(pairs, surveys, options, problems)
    near = near_copies(surveys)
    problems += near_across([(pair.name, pair.part or "train") for pair in pairs], surveys, near)
    family = join(len(pairs), [*copies, *near])
    sizes = Counter(family)
    related = sum(size for size in sizes.values() if size > 1)
    told: list[str] = []
    if related and all(pair.part is None for pair in pairs):
        images = counted(related, "image is", "images are")
        told.append(f"{images} equal or nearly equal to another; copies stay in one part.")
    return family, problems, told


def _exact(
    pairs: Sequence[Pair], surveys: Sequence[Survey], options: DataOptions, problems: list[Problem]
) -> list[tuple[int, int]]:
    by_digest: dict[str, list[int]] = defaultdict(list)
    for index, survey in enumerate(surveys):
        if survey.digest:
            by_digest[survey.digest].append(index)
    links: list[tuple[int, int]] = []
    for same in (group for group in by_digest.values() if len(group) > 1):
        first = same[0]
        links += [(first, other) for other in same[1:]]
        names = [pairs[index].name for index in same]
        masks = {mask.digest for index in same if (mask := surveys[index].mask) is not None}
        parts = {pairs[index].part or "train" for index in same}
        text = f"the same pixels as {', '.join(names[1:4])}{' and more' if len(names) > 4 else ''}"
        if len(masks) > 1:
            problems.append(Problem(file=names[0], kind="conflicting masks", text=f"{text}, but other masks"))
        if len(parts) > 1:
            fatal = not options.allow_duplicates
            problems.append(Problem(file=names[0], kind="duplicate across parts", text=text, fatal=fatal))
        elif len(masks) <= 1:
            problems.append(Problem(file=names[0], kind="duplicate image", text=text, fatal=False))
    return links


def near_copies(surveys: Sequence[Survey], *, upright: bool = False) -> list[tuple[int, int]]:
    """Return the pairs of nearly equal images; with `upright` turned ones do not count."""
    blank = np.zeros(SKETCH * SKETCH, np.float32).tobytes()
    sketches = np.frombuffer(b"".join(s.sketch or blank for s in surveys), np.float32)
    return list(near_pairs(sketches.reshape(len(surveys), -1), upright=upright))


def near_across(
    items: Sequence[tuple[str, str]], surveys: Sequence[Survey], near: Sequence[tuple[int, int]]
) -> list[Problem]:
    """Warn once for each pairing of parts, however many pairs there are; `items` are (name, part)."""
    across: dict[tuple[str, str], list[str]] = defaultdict(list)
    for first, second in near:
        (name, part), (other_name, other_part) = items[first], items[second]
        if part != other_part and surveys[first].digest != surveys[second].digest:
            across[part, other_part].append(f"{name} ~ {other_name}")
    return [
        Problem(
            file=f"{one} and {other}",
            kind="near duplicate across parts",
            text=f"{counted(len(named), 'pair')} of nearly equal images: {', '.join(named[:_NAMED])}"
            + (f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""),
            fatal=False,
        )
        for (one, other), named in across.items()
    ]
