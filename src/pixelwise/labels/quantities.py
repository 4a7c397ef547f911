"""How much of each class a mask shows: objects, and pixels or voxels."""

import numpy as np
from jaxtyping import Int64, Integer

from pixelwise.labels.label_image import components
from pixelwise.labels.run_lengths import areas


def count_objects(labels: Integer[np.ndarray, "*size"]) -> Int64[np.ndarray, "1 2"]:
    """Return the number of objects of a label image or volume, and of their pixels.

    Parameters
    ----------
    labels : integer array (height, width) or (depth, height, width)
        Object numbers, which may have gaps; 0 and negative numbers are background.

    Examples
    --------
    >>> count_objects(np.array([[4, 4, 0], [0, -1, 7]])).tolist()
    [[2, 3]]
    """
    sizes = areas(labels)[1:]
    return np.array([(np.count_nonzero(sizes), sizes.sum())], np.int64)


def count_class_regions(labels: Integer[np.ndarray, "*size"], classes: range) -> Int64[np.ndarray, "classes 2"]:
    """Return for each class the number of its connected regions, and of its pixels.

    Parameters
    ----------
    labels : integer array (height, width) or (depth, height, width)
        Class indices; pixels of a region touch at sides or corners.
    classes : range
        Which indices are counted: from 1 on if class 0 is a background.

    Examples
    --------
    >>> count_class_regions(np.array([[1, 1, 0, 2], [0, 0, 0, 2], [1, 255, 0, 0]]), range(1, 3)).tolist()
    [[2, 3], [1, 2]]
    """
    counts = np.bincount(labels.ravel(), minlength=classes.stop)
    return np.array(
        [
            (int(components(labels == index).max(initial=0)) if counts[index] else 0, int(counts[index]))
            for index in classes
        ],
        np.int64,
    ).reshape(-1, 2)
