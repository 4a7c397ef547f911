"""Decide whether the numbers in masks stand for objects or for classes, by what they have in common over the set.

A class shows the same thing wherever it occurs: its number has its own brightness, size or place in all images. An
object is different in each image, and so its number is arbitrary. The measure is the intraclass correlation of each
property between images: the fraction of its variance that the number explains. Source: Shrout and Fleiss 1979,
"Intraclass correlations", case 1.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from pixelwise.datasets.masks.measure import MaskValues, Place

Meaning = Literal["objects", "classes", "contradictory", "unknown"]

_CONSISTENT = 0.9  # intraclass correlation from which a number explains a property
_ARBITRARY = 0.6  # below it the number does not; order along an axis alone reaches about 0.7 with few objects
_REPEATED = 0.2  # fraction of numbers in at least two images below which numbers are never meant to agree
_ALIGNED = 0.01  # standard deviation of a coordinate, as a fraction of the image, of regions in one row or column
_ORDERED = 0.9  # fraction of images in which numbers follow the rows from which they are numbered in that order


class _Region(NamedTuple):
    """One number in one image."""

    value: int
    area: float
    place: Place


def objects_or_classes(masks: Sequence[MaskValues], background: int | None, ignore: int | None) -> Meaning:
    """Return what the numbers in masks stand for, each of which is one connected region in an image.

    Parameters
    ----------
    masks : sequence of MaskValues
        With places.
    ignore : int or None
        Neither object nor class.

    Returns
    -------
    {"objects", "classes", "contradictory", "unknown"}
        "unknown" if there is nothing to compare, or what numbers have in common may be the order of numbering.
    """
    images = [_regions(mask, background, ignore) for mask in masks if mask.places]
    images = [regions for regions in images if regions]
    occurrences: dict[int, int] = {}
    for regions in images:
        for region in regions:
            occurrences[region.value] = occurrences.get(region.value, 0) + 1
    if len(images) < 2 or not occurrences:
        return "unknown"
    repeated = {value for value, count in occurrences.items() if count > 1}
    if len(repeated) < _REPEATED * len(occurrences):
        return "objects"
    if len(repeated) < 2:
        return "unknown"
    found = [region for regions in images for region in regions if region.value in repeated]
    numbers = np.array([region.value for region in found])

    def explained(values: list[float]) -> float:
        return intraclass_correlation(numbers, np.array(values))

    # a position counts only if both coordinates agree, unless all regions are in one row or one column
    positions = [[r.place.row for r in found], [r.place.column for r in found]]
    placed = [explained(values) for values in positions if np.std(values) > _ALIGNED]
    place = min(placed, default=0.0)
    ordered = _numbered_in_order(images)
    look = max(
        explained([r.place.brightness for r in found]),
        explained([r.place.contrast for r in found]),
        -1.0 if _sorted_by_area(images) else explained([float(np.log(r.area)) for r in found]),
    )
    if look >= _CONSISTENT and (place >= _CONSISTENT or not ordered):
        return "classes"
    if place >= _CONSISTENT:
        return "unknown" if ordered else "contradictory"
    # one coordinate alone makes no class, but numbers that follow it are not arbitrary
    arbitrary = place < _ARBITRARY and max(placed, default=0.0) < _CONSISTENT
    return "objects" if look < _ARBITRARY and (arbitrary or ordered) else "contradictory"


def intraclass_correlation(groups: np.ndarray, values: np.ndarray) -> float:
    """Return the one-way intraclass correlation ICC(1) of `values` in `groups`; 0 if nothing varies.

    >>> round(intraclass_correlation(np.array([1, 1, 2, 2]), np.array([5.0, 5.1, 9.0, 9.1])), 2)
    1.0
    >>> round(intraclass_correlation(np.array([1, 1, 2, 2]), np.array([5.0, 9.0, 9.0, 5.0])), 2)
    -1.0
    """
    _, index, counts = np.unique(groups, return_inverse=True, return_counts=True)
    means = np.bincount(index, values) / counts
    within = float(((values - means[index]) ** 2).sum() / max(1, len(values) - len(counts)))
    between = float((counts * (means - values.mean()) ** 2).sum() / max(1, len(counts) - 1))
    size = float((len(values) - (counts**2).sum() / len(values)) / max(1, len(counts) - 1))
    total = between + (size - 1) * within
    return 0.0 if total <= 1e-12 * (1 + float(np.abs(values).max()) ** 2) else (between - within) / total


def _regions(mask: MaskValues, background: int | None, ignore: int | None) -> list[_Region]:
    size = sum(mask.counts)
    rows = zip(mask.values, mask.counts, mask.places, strict=True)
    return [_Region(v, count / size, place) for v, count, place in rows if v not in (background, ignore)]


def _numbered_in_order(images: Sequence[list[_Region]]) -> bool:
    """Return whether numbers follow the first row of each region, as connected-component labelling numbers them."""
    several = [regions for regions in images if len(regions) > 1]
    ordered = sum([r.place.top for r in regions] == sorted(r.place.top for r in regions) for regions in several)
    return bool(several) and ordered >= _ORDERED * len(several)


def _sorted_by_area(images: Sequence[list[_Region]]) -> bool:
    """Return whether numbers follow the areas, as some programs sort their objects."""
    several = [[region.area for region in regions] for regions in images if len(regions) > 2]
    ordered = sum(areas in (sorted(areas), sorted(areas)[::-1]) for areas in several)
    return bool(several) and ordered >= _ORDERED * len(several)
