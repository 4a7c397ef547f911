"""Whether the alpha channel of an image, or of a mask with the colours of the image, is the mask.

Programs that cut out objects store the mask as transparency. As a channel of the image it would give the answer away.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Num

from pixelwise.errors import BadImage
from pixelwise.io.read import Image, MaskImage, read_image

_ROW_STEP = 16  # every so many rows are compared first
_VALUES = 256  # of a mask that is compared; more are objects


def alpha_is_mask(image: Image, mask: MaskImage) -> bool:
    """Return whether a dropped alpha channel has one value for each value of the mask, and another for each.

    Examples
    --------
    >>> drawn = np.array([[0, 0, 1, 1]], np.uint8)
    >>> gray = np.arange(4, dtype=np.uint8).reshape(1, 1, 4)
    >>> alpha_is_mask(Image(gray, alpha_values=80 + 90 * drawn), MaskImage(drawn, None, False))
    True
    >>> alpha_is_mask(Image(gray, alpha_values=gray[0]), MaskImage(drawn, None, False))
    False
    """
    alpha, values = image.alpha_values, mask.values
    if alpha is None or mask.grid is not None or alpha.shape != mask.size:
        return False
    for some in (np.s_[::_ROW_STEP], np.s_[:]):
        if not _same_areas(alpha[some], values[some]):
            return False
    return not is_constant(alpha)


def is_cut_out(image: Image, mask: MaskImage) -> bool:
    """Return whether a mask with the pixels of its image has the mask as its alpha channel.

    It has if the image is opaque. If both are transparent, what is hidden tells: behind the mask of a program are the
    pixels of the image, and behind pixels without a measurement is one value.
    """
    if mask.alpha is None or is_constant(mask.alpha):
        return False
    if not image.alpha:
        return True
    hidden = mask.values[mask.alpha == mask.alpha.min()]
    return mask.alpha.shape == mask.size and bool((hidden != hidden[:1]).any())


def describe_transparency(path: Path) -> str:
    """Return a sentence on the transparency of an image of a set without masks, with the flag; empty without any."""
    try:
        alpha = read_image(path).alpha
    except BadImage:
        return ""
    if alpha not in ("transparency", "data"):
        return ""
    return "the images have an alpha channel (transparency): if it is the mask, use --mask-values alpha."


def is_constant(alpha: Num[np.ndarray, "height width"]) -> bool:
    """Return whether a channel has one value."""
    return bool((alpha == alpha.flat[0]).all())


def _same_areas(alpha: Num[np.ndarray, "rows width"], values: Num[np.ndarray, "rows width *colours"]) -> bool:
    """Return whether two channels have the same areas: each value of one goes with one of the other."""
    if values.ndim == 3:
        values = values.astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])
    first, one = np.unique(alpha, return_inverse=True)
    second, other = np.unique(values, return_inverse=True)
    if len(first) != len(second) or len(first) > _VALUES:
        return False
    return len(np.unique(one.ravel() * len(second) + other.ravel())) == len(first)
