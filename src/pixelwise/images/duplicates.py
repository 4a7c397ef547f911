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
    near = _near(surveys)
    problems += _near_across(pairs, surveys, near)
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


def _near(surveys: Sequence[Survey]) -> list[tuple[int, int]]:
    blank = np.zeros(SKETCH * SKETCH, np.float32).tobytes()
    sketches = np.frombuffer(b"".join(s.sketch or blank for s in surveys), np.float32)
    return list(near_pairs(sketches.reshape(len(surveys), -1)))


def _near_across(pairs: Sequence[Pair], surveys: Sequence[Survey], near: Sequence[tuple[int, int]]) -> list[Problem]:
    """Warn once for each pairing of parts, however many pairs there are."""
    across: dict[tuple[str, str], list[str]] = defaultdict(list)
    for first, second in near:
        parts = pairs[first].part or "train", pairs[second].part or "train"
        if parts[0] != parts[1] and surveys[first].digest != surveys[second].digest:
            across[parts].append(f"{pairs[first].name} ~ {pairs[second].name}")
    return [
        Problem(
            file=f"{parts[0]} and {parts[1]}",
            kind="near duplicate across parts",
            text=f"{counted(len(named), 'pair')} of nearly equal images: {', '.join(named[:_NAMED])}"
            + (f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""),
            fatal=False,
        )
        for parts, named in across.items()
    ]
