"""Masks in which each object has a colour of its own, as programs save label images for people to look at."""

from collections import Counter
from collections.abc import Sequence

from pixelwise.datasets.masks.measure import MaskValues

_CONNECTED = 0.9  # minimum fraction of colours with one connected component
_REPEATED = 0.2  # fraction of colours in at least two masks from which colours may be classes
_SEVERAL = 5  # fewer colours than this may be classes that happen to be connected
_SHARED = 0.5  # fraction of the colours of classes that are in at least two masks
_DIVIDED = 0.1  # fraction of their colours per mask that are in several regions
_MOSTLY = 0.8  # fraction of the masks in which the background is the largest area


def background_of_colours(masks: Sequence[MaskValues], *, evident: bool) -> int | None:
    """Return the colour of the background (packed) if all other colours are objects; None if they are not.

    Each colour is then one connected region, none of a smoothed edge or a lossy format, and the largest area of nearly
    all masks has one and the same colour.

    Parameters
    ----------
    masks : sequence of MaskValues
        In RGB.
    evident : bool
        Whether colours also have to differ between masks, so that they cannot be classes.
    """
    masks = [mask for mask in masks if mask.coloured]
    largest = [max(zip(mask.counts, mask.values, strict=True))[1] for mask in masks]
    if not masks or any(mask.lossy for mask in masks):
        return None
    background, count = Counter(largest).most_common(1)[0]
    if count < _MOSTLY * len(masks):
        return None
    objects = [
        (value, regions)
        for mask in masks
        for value, regions in zip(mask.values, mask.regions, strict=True)
        if value != background
    ]
    if not objects or sum(regions <= 1 for _, regions in objects) < _CONNECTED * len(objects):
        return None
    occurrences = Counter(value for value, _ in objects)
    repeated = sum(times > 1 for times in occurrences.values())
    if evident and (len(occurrences) < _SEVERAL or repeated >= _REPEATED * len(occurrences)):
        return None
    return background


def colours_are_classes(masks: Sequence[MaskValues]) -> bool:
    """Return whether colours of sharp masks are classes: most occur in several masks, and some in several regions.

    Parameters
    ----------
    masks : sequence of MaskValues
        In RGB; colours of which each is one region in every mask may be objects.
    """
    if len(masks) < 2 or any(mask.lossy for mask in masks):
        return False
    occurrences = Counter(value for mask in masks for value in mask.values)
    shared = sum(times > 1 for times in occurrences.values()) >= _SHARED * len(occurrences)
    regions = [count for mask in masks for count in mask.regions]
    return shared and sum(count > 1 for count in regions) >= _DIVIDED * len(regions)
