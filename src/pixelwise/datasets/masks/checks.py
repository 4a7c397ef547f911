"""Detect implausible masks: images instead of masks, and swapped masks."""

from collections.abc import Sequence

from pixelwise.datasets.masks.measure import MaskValues

MIN_IMAGE_VALUES = 20  # a mask with more values may be an image


def describe_image_like(mask: MaskValues, max_values: int | None) -> str | None:
    """Return a text if a mask looks like an image (many values in small regions), else None.

    Parameters
    ----------
    max_values : int or None
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


def find_exchanged(sizes: Sequence[tuple[tuple[int, ...] | None, tuple[int, ...] | None]]) -> dict[int, int]:
    """Find pairs of images with swapped masks: each mask has the size of the other image, and no third one matches.

    Parameters
    ----------
    sizes : sequence of (size, size)
        Of each image and its mask, such as (height, width); None if unreadable.

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
