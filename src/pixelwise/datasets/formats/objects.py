"""Decide whether the shapes of a set are objects or areas of classes."""

import itertools
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import ndimage

from pixelwise.datasets.annotations import Shape

_EXAMINED = 200  # bitmaps; counting the parts of thousands takes seconds


def are_objects(images: Sequence[Sequence[Shape]]) -> bool | None:
    """Return whether shapes are objects: two of one class in an image prove it, one class in several parts is an area.

    Parameters
    ----------
    images : sequence of sequences of Shape
        The shapes of every image.

    Returns
    -------
    bool or None
        None: every image has at most one shape per class, in one part.
    """
    several_parts = False
    for shapes in images:
        members = [shape for shape in shapes if not shape.ignore]
        keys = {(s.class_name, i if s.object_id is None else (s.object_id,)) for i, s in enumerate(members)}
        if max(Counter(name for name, _ in keys).values(), default=0) > 1:
            return True
        several_parts |= len(keys) < len(members)
    bitmaps = (shape.bitmap.pixels for shapes in images for shape in shapes if shape.bitmap and not shape.ignore)
    several_parts |= any(map(_has_parts, itertools.islice(bitmaps, _EXAMINED)))
    return False if several_parts else None


def _has_parts(pixels: np.ndarray) -> bool:
    labelled: Any = ndimage.label(pixels, np.ones((3, 3), bool))
    return labelled[1] > 1
