"""Masks that cannot be meant: smoothed edges, pictures in the place of masks, and two masks that were exchanged."""

from collections.abc import Sequence

from pixelwise.datasets.scan import MANY, Values

_MIXED = 0.4  # largest share of pixels that smoothing leaves between the two values
_SHADES = 4  # values that smoothing leaves at least along straight edges
_CORE = 0.02  # share of in-between pixels that may lie deep inside, where smoothed edges meet
_SPECKS = 4  # mean pixels of an area, below which values are the noise of a picture or of smoothing


def smoothed(mask: Values) -> bool:
    """Say whether a mask is two values with a thin mix of others between them.

    Smoothing leaves values over the whole range between the two, in a band of a few pixels along the edges; true
    classes and objects are wider, or numbered close together.
    """
    if len(mask.values) <= 2 or mask.coloured:
        return False
    low, high = mask.values[0], mask.values[-1]
    shades = mask.values[1:-1]
    pixels = sum(mask.counts[1:-1])
    thin = pixels < _SPECKS * sum(mask.regions[1:-1]) or (len(shades) >= _SHADES and mask.core <= _CORE * pixels)
    spread = any(3 * low + high <= 4 * shade <= low + 3 * high for shade in shades)
    far = high - low > max(len(shades), 16)
    return thin and spread and far and pixels <= _MIXED * sum(mask.counts)


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
    if regions < 3 * count or sum(areas) > 16 * regions:
        return None
    return f"{count} values in {regions} areas: a picture rather than a mask"


def find_exchanged(sizes: Sequence[tuple[tuple[int, int] | None, tuple[int, int] | None]]) -> dict[int, int]:
    """Find pairs of images whose masks were exchanged: each mask has the size of the other image, and no third fits.

    Parameters
    ----------
    sizes : sequence of (size, size)
        Of each image and of its mask, (height, width); None where it could not be read.

    Returns
    -------
    dict
        Index of an image -> index of the image whose mask is its own.

    Examples
    --------
    >>> find_exchanged([((10, 20), (30, 40)), ((5, 5), (5, 5)), ((30, 40), (10, 20))])
    {0: 2, 2: 0}
    """
    wrong = [index for index, (image, mask) in enumerate(sizes) if image and mask and image != mask]
    found: dict[int, int] = {}
    for one in wrong:
        others = [other for other in wrong if sizes[other] == sizes[one][::-1]]
        if len(others) == 1 and sum(sizes[other] == sizes[one] for other in wrong) == 1:
            found[one] = others[0]
    return found
