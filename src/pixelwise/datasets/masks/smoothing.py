"""Masks whose values were changed by anti-aliasing, by resizing with a smoothing filter, or by lossy compression."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int64

from pixelwise.datasets.masks.measure import WIDEST, MaskValues, unpack

_PASSING = 0.2  # fraction of the edges that pass through values in between in a smoothed mask
_RARE = 0.05  # least fraction of the pixels in between that have the second most frequent value
_MIXED = 0.4  # largest fraction of intermediate pixels in a smoothed mask
_SHADES = 4  # least number of intermediate values along smoothed edges
_PLATEAU = 0.05  # fraction of intermediate pixels that may be on plateaus, where edges meet
_SPECKLE = 4  # pixels: a smaller mean region size indicates image noise or anti-aliasing
_FAR = 16  # least difference between background and foreground with values in between

_SAME = 48.0  # distance in RGB up to which a colour is a class colour that compression has shifted
_FLAT = 9  # pixels inside regions from which a colour is one that somebody painted
_OFF_LINE = 40.0  # largest distance in RGB of a blended colour from the line between two class colours
_OFF_SHARE = 0.1  # fraction of the blended pixels that may be farther from all lines, where three classes meet
_MAX_LINES = 800  # pairs of class colours that are compared; with more classes the lines are everywhere
_MAX_SHARED = 40  # classes of masks without a class table
_SHIFTED = 16  # by which compression moves a channel from 0 or 255, at most
_MAX_COLOURS = 4000  # unknown colours of a mask that are compared, the most frequent ones
AMBIGUOUS = 0.7  # a colour is ignored if the nearest class colour is farther than this fraction of the second nearest


class Blends(NamedTuple):
    """Pixels of one mask with the colour of no class: all, and those too far from every class colour."""

    pixels: int
    ignored: int


def is_smoothed(mask: MaskValues) -> bool:
    """Return whether a gray mask is binary with smoothed edges.

    Smoothing produces values over the whole range between the two along the edges, each next to others; a class or an
    object has pixels whose neighbours have the same value, or consecutive numbers.
    """
    if len(mask.values) <= 2 or mask.coloured:
        return False
    low, high = mask.values[0], mask.values[-1]
    shades = mask.values[1:-1]
    if high - low > WIDEST:
        return False
    if high - low <= max(_FAR, 0 if mask.lossy else len(shades)):
        return False
    margin = (high - low) / 8
    between = [(v, c) for v, c in zip(mask.values, mask.counts, strict=True) if low + margin < v < high - margin]
    pixels = sum(count for _, count in between)
    if mask.lossy:  # an edge may lie on the border of a block, and leave nothing far from black and white
        return pixels <= _MIXED * sum(mask.counts) and mask.plateau <= max(_PLATEAU * pixels, _FLAT)
    speckled = sum(mask.counts[1:-1]) < _SPECKLE * sum(mask.regions[1:-1])
    thin = (speckled or len(shades) >= _SHADES) and mask.plateau <= _PLATEAU * pixels
    spread = any(3 * low + high <= 4 * value <= low + 3 * high for value in shades) or (
        speckled and len(shades) >= _SHADES
    )
    return thin and spread and sum(mask.counts[1:-1]) <= _MIXED * sum(mask.counts)


def smoothed_numbers(masks: Mapping[str, MaskValues]) -> dict[str, float]:
    """Return the masks whose numbers were smoothed, with the fraction of their edges that pass through values between.

    From 0 to 5 by way of 2 and 3, as interpolation does: a number in between then stands for nothing. One and the same
    value in between may be a thin border between two classes.
    """
    between: Counter[int] = Counter()
    for mask in masks.values():
        between.update(dict(zip(mask.values, mask.ramps, strict=False)))
    frequent = [count for _, count in between.most_common(2)]
    if len(frequent) < 2 or frequent[1] < _RARE * between.total():
        return {}
    shares = {name: sum(mask.ramps) / max(1, mask.edges) for name, mask in masks.items()}
    return {name: share for name, share in shares.items() if share >= _PASSING}


def share_between(mask: MaskValues, low: int, high: int) -> float:
    """Return the fraction of pixels that are neither `low` nor `high`."""
    ends = sum(count for value, count in zip(mask.values, mask.counts, strict=True) if value in (low, high))
    return 1 - ends / max(1, sum(mask.counts))


def painted_colours(masks: Sequence[MaskValues]) -> list[int]:
    """Return the colours that fill regions, most frequent first: without those of smoothed edges."""
    flat: dict[int, int] = {}
    for mask in masks:
        # up to two colours are not measured, and are no blend
        inside = mask.flat or tuple(count * len(mask.values) for count in mask.counts)
        for value, count in zip(mask.values, inside, strict=True):
            flat[value] = flat.get(value, 0) + count
    total = sum(flat.values())
    chosen: list[int] = []
    for value in sorted((v for v, n in flat.items() if n >= max(_FLAT, total / 2000)), key=lambda v: -flat[v]):
        if all(_distance(value, other) > _SAME for other in chosen):
            chosen.append(value)
    return chosen


def shared_colours(masks: Sequence[MaskValues], painted: Sequence[int]) -> list[int]:
    """Return the painted colours of classes in masks that were smoothed or compressed; empty if they may be objects.

    Each colour is in two masks at least, and all other colours are blends of them. Only compression shifts colours:
    without it, a region of a colour near that of a class is an object of its own number.
    Channels that compression has moved from 0 or 255 are moved back.
    """
    if not 2 <= len(painted) <= _MAX_SHARED:
        return []
    palette = unpack(np.array(painted, np.int64))
    occurrences = np.zeros(len(painted), int)
    for mask in masks:
        own = painted_colours([mask])
        if not mask.lossy and not set(own) <= set(painted):
            return []
        colours = unpack(np.array(own, np.int64))
        occurrences += (np.linalg.norm(colours[:, None] - palette[None], axis=-1) <= _SAME).any(0)
    if occurrences.min() < min(2, len(masks)):
        return []
    if any(mask.lossy for mask in masks):
        palette = np.where(palette < _SHIFTED, 0, np.where(palette > 255 - _SHIFTED, 255, palette))
    pure = sorted({int(red) << 16 | int(green) << 8 | int(blue) for red, green, blue in palette})
    blends = (blended_pixels(mask, dict(zip(mask.values, mask.counts, strict=True)), pure) for mask in masks)
    return [] if any(blend is None for blend in blends) else pure


def blended_pixels(mask: MaskValues, counts: dict[int, int], classes: Sequence[int]) -> Blends | None:
    """Return the pixels of a colour mask that smoothing or compression has blended.

    Parameters
    ----------
    counts : dict
        Pixels of each packed colour in it.
    classes : sequence of int
        Packed colours of the classes.

    Returns
    -------
    Blends or None
        None if a colour is not a blend: it fills a region, or is far from the lines between all class colours.
    """
    known = set(classes)
    unknown = sorted((v for v in counts if v not in known), key=lambda v: -counts[v])[:_MAX_COLOURS]
    if not unknown:
        return Blends(0, 0)
    if not mask.coloured:
        return None
    colours, palette = np.array(unknown, np.int64), np.array(classes, np.int64)
    weights = np.array([counts[value] for value in unknown])
    nearest, second = _two_nearest(colours, palette)
    pixels = int(weights[nearest > _SAME].sum() if mask.lossy else weights.sum())
    if pixels > _MIXED * sum(counts.values()):
        return None
    flat = dict(zip(mask.values, mask.flat, strict=False))
    if any(flat.get(v, 0) >= _FLAT and away > _SAME for v, away in zip(unknown, nearest.tolist(), strict=True)):
        return None
    if not mask.lossy:
        off = (_distance_to_lines(colours, palette) > _OFF_LINE) & (nearest > _SAME)
        if weights[off].sum() > _OFF_SHARE * pixels:
            return None
    return Blends(pixels, int(weights[_ambiguous(nearest, second, len(classes))].sum()))


def nearest_classes(
    colours: Int64[np.ndarray, " colours"], classes: Sequence[int]
) -> tuple[Int64[np.ndarray, " colours"], Bool[np.ndarray, " colours"]]:
    """Return the index of the nearest class colour of each packed colour, and which ones are between classes.

    >>> nearest_classes(np.array([0x010000, 0xFF0000, 0x808000]), [0x000000, 0xFF0000, 0x00FF00])
    (array([0, 1, 1]), array([False, False,  True]))
    """
    palette = unpack(np.array(classes, np.int64))
    index = np.empty(len(colours), np.int64)
    nearest, second = np.empty(len(colours)), np.empty(len(colours))
    block = max(1, (1 << 22) // len(classes))
    for start in range(0, len(colours), block):
        part = slice(start, start + block)
        apart = np.linalg.norm(unpack(colours[part])[:, None] - palette[None], axis=-1)
        index[part] = apart.argmin(1)
        nearest[part], second[part] = (
            np.partition(apart, 1, axis=1)[:, :2].T if len(classes) > 1 else (apart[:, 0],) * 2
        )
    return index, _ambiguous(nearest, second, len(classes))


def shown_classes(colours: Collection[int], classes: Sequence[int]) -> frozenset[int]:
    """Return the packed class colours that are among some colours, also where compression has shifted them a little.

    >>> sorted(shown_classes([0xFFFFFF, 0xFE0000], [0xFFFFFF, 0xFF0000, 0x00FF00])) == [0xFF0000, 0xFFFFFF]
    True
    """
    apart, _ = _two_nearest(np.array(classes, np.int64), np.array(sorted(colours), np.int64))
    return frozenset(value for value, least in zip(classes, apart.tolist(), strict=True) if least <= _SAME / 2)


def _ambiguous(
    nearest: Float64[np.ndarray, " colours"], second: Float64[np.ndarray, " colours"], classes: int
) -> Bool[np.ndarray, " colours"]:
    # between two classes the nearer one is right; with more, a blend of two may be near a third
    return (nearest > AMBIGUOUS * second) & (classes > 2)


def _two_nearest(
    colours: Int64[np.ndarray, " colours"], palette: Int64[np.ndarray, " classes"]
) -> tuple[Float64[np.ndarray, " colours"], Float64[np.ndarray, " colours"]]:
    apart = np.sort(np.linalg.norm(unpack(colours)[:, None] - unpack(palette)[None], axis=-1), axis=1)
    return apart[:, 0], apart[:, min(1, len(palette) - 1)]


def _distance_to_lines(
    colours: Int64[np.ndarray, " colours"], palette: Int64[np.ndarray, " classes"]
) -> Float64[np.ndarray, " colours"]:
    """Return the distance of each colour to the nearest line between two of the palette."""
    points, ends = unpack(colours).astype(np.float64), unpack(palette).astype(np.float64)
    pairs = list(combinations(range(len(ends)), 2))
    if not pairs or len(pairs) > _MAX_LINES:
        return np.zeros(len(points))
    least = np.full(len(points), np.inf)
    for first, last in pairs:
        along = ends[last] - ends[first]
        fraction = np.clip((points - ends[first]) @ along / max(float(along @ along), 1.0), 0, 1)
        least = np.minimum(least, np.linalg.norm(points - ends[first] - fraction[:, None] * along, axis=1))
    return least


def _distance(one: int, other: int) -> float:
    return float(np.linalg.norm(unpack(np.array([one])) - unpack(np.array([other]))))
