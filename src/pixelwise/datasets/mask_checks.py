"""Detect implausible masks: anti-aliased edges, images instead of masks, and swapped masks."""

from collections.abc import Sequence

from pixelwise.datasets.scan import MIN_IMAGE_VALUES, MaskValues

_MIXED = 0.4  # largest fraction of intermediate pixels in an anti-aliased mask
_SHADES = 4  # least number of intermediate values along anti-aliased edges
_INTERIOR = 0.02  # fraction of intermediate pixels that may be inside regions, where edges meet
_SPECKLE = 4  # pixels: a smaller mean region size indicates image noise or anti-aliasing


def is_anti_aliased(mask: MaskValues) -> bool:
    """Return whether a mask is binary with anti-aliased edges.

    Anti-aliasing produces values over the whole range between the two, in a band of a few pixels along the edges; real
    classes and objects are wider, or have consecutive numbers.
    """
    if len(mask.values) <= 2 or mask.coloured:
        return False
    low, high = mask.values[0], mask.values[-1]
    shades = mask.values[1:-1]
    pixels = sum(mask.counts[1:-1])
    thin = pixels < _SPECKLE * sum(mask.regions[1:-1]) or (
        len(shades) >= _SHADES and mask.interior <= _INTERIOR * pixels
    )
    spread = any(3 * low + high <= 4 * shade <= low + 3 * high for shade in shades)
    far = high - low > max(len(shades), 16)
    return thin and spread and far and pixels <= _MIXED * sum(mask.counts)


def describe_image_like(mask: MaskValues, max_values: int | None) -> str | None:
    """Return a text if a mask looks like an image (many values in small regions), else None.

    Parameters
    ----------
    mask : Values
    most : int or None
        Largest number of values that may be classes; None if every value may be an object.
    """
    count = len(mask.values)
    regions = sum(mask.regions)
    areas = [c for v, c in zip(mask.values, mask.counts, strict=True) if v != 0]
    if count <= max(MIN_IMAGE_VALUES, max_values or 0) or not regions:
        return None
    if regions < 3 * count or sum(areas) > 16 * regions:
        return None
    return f"{count} values in {regions} regions: an image rather than a mask"


def find_exchanged(sizes: Sequence[tuple[tuple[int, int] | None, tuple[int, int] | None]]) -> dict[int, int]:
    """Find pairs of images with swapped masks: each mask has the size of the other image, and no third one matches.

    Parameters
    ----------
    sizes : sequence of (size, size)
        Of each image and its mask, (height, width); None if unreadable.

    Returns
    -------
    dict
        Index of an image -> index of the image that its mask belongs to.

    Examples
    --------
    >>> find_exchanged([((10, 20), (30, 40)), ((5, 5), (5, 5)), ((30, 40), (10, 20))])
    {0: 2, 2: 0}
    """
    mismatched = [index for index, (image, mask) in enumerate(sizes) if image and mask and image != mask]
    exchanged: dict[int, int] = {}
    for one in mismatched:
        others = [other for other in mismatched if sizes[other] == sizes[one][::-1]]
        if len(others) == 1 and sum(sizes[other] == sizes[one] for other in mismatched) == 1:
            exchanged[one] = others[0]
    return exchanged
