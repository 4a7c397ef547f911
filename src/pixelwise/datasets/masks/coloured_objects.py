"""Masks in which each object has a colour of its own, as programs save label images for people to look at."""

from collections import Counter
from collections.abc import Sequence

from pixelwise.datasets.masks.measure import MaskValues

_CONNECTED = 0.9  # minimum fraction of colours with one connected component
_REPEATED = 0.2  # fraction of colours in at least two masks from which colours may be classes
_SEVERAL = 5  # fewer colours than this may be classes that happen to be connected
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
