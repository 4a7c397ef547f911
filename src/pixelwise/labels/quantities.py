"""How much of each class a mask shows: objects, and pixels or voxels."""

import numpy as np
from jaxtyping import Int64, Integer

from pixelwise.labels.label_image import components
from pixelwise.labels.run_lengths import areas
from pixelwise.labels.stitching import StripLabels


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


class StripCounter:
    """`count_class_regions` of a mask that is passed in strips of rows or planes, from the first to the last.

    Parameters
    ----------
    classes : range
        As for `count_class_regions`.

    Examples
    --------
    >>> counter = StripCounter(range(1, 3))
    >>> for strip in np.array([[1, 1, 0, 2], [0, 0, 0, 2], [1, 255, 0, 0]])[:, None]:
    ...     counter.add(strip)
    >>> counter.counts().tolist()
    [[2, 3], [1, 2]]
    """

    def __init__(self, classes: range) -> None:
        self._regions = {index: StripLabels() for index in classes}
        self._pixels = dict.fromkeys(classes, 0)

    def add(self, strip: Integer[np.ndarray, " rows *row"]) -> None:
        """Count the next strip."""
        for index, regions in self._regions.items():
            mask = strip == index
            regions.add(mask)
            self._pixels[index] += int(np.count_nonzero(mask))

    def counts(self) -> Int64[np.ndarray, "classes 2"]:
        """Return the number of regions and of pixels of each class so far."""
        rows = [(_distinct(regions.joined()), self._pixels[index]) for index, regions in self._regions.items()]
        return np.array(rows, np.int64).reshape(-1, 2)


def _distinct(joined: Int64[np.ndarray, " numbers"]) -> int:
    return int(np.count_nonzero(joined[1:] == np.arange(1, len(joined))))
