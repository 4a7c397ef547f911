"""Masks whose values cannot be meant: smoothed edges, and pictures in the place of masks."""

import numpy as np

from pixelwise.images.survey import MANY, Values

_DOMINANT = 0.75  # share of pixels that the two main values of a smoothed mask hold
_SPECKS = 4  # mean pixels of an area, below which values are the noise of a picture or of smoothing


def smoothed(mask: Values) -> bool:
    """Say whether a mask is two values with a thin mix of others between them.

    Smoothing leaves values strictly between the two main ones, in areas of a few pixels along the edges; true
    classes and objects are areas, and lie on either side.
    """
    if len(mask.values) <= 2 or mask.coloured:
        return False
    counts = np.array(mask.counts)
    main = np.argsort(counts, kind="stable")[-2:]
    low, high = sorted((mask.values[main[0]], mask.values[main[1]]))
    rest = [i for i in range(len(counts)) if i not in main]
    between = all(low < mask.values[i] < high for i in rest)
    regions = sum(mask.regions[i] for i in rest)
    pixels = int(counts[rest].sum())
    thin = regions > 0 and pixels < _SPECKS * regions
    far = high - low > max(len(rest), 16)
    return between and thin and far and bool(counts[main].sum() >= _DOMINANT * counts.sum())


def unexpected(mask: Values, most: int | None) -> str | None:
    """Say that a mask holds a picture: many values, in specks; None when it does not.

    Parameters
    ----------
    mask : Values
    most : int or None
        Values that are few enough to be classes; None where every value may be an object.
    """
    count = len(mask.values)
    regions = sum(mask.regions)
    areas = [c for v, c in zip(mask.values, mask.counts, strict=True) if v != 0]
    if count <= max(MANY, most or 0) or not regions:
        return None
    if regions < 5 * count or sum(areas) > 16 * regions:
        return None
    return f"{count} values in {regions} areas: a picture rather than a mask"
