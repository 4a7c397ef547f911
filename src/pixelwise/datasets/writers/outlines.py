"""Outlines of the objects of a label image, as polygons with holes along pixel edges."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int32
from scipy import ndimage

from pixelwise.datasets.shapes.trace import signed_area, trace
from pixelwise.labels.label_image import components

Ring = np.ndarray  # (points, 2) float64
Polygon = tuple[Ring, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Outline:
    """The outline of an object: its number, and polygons of an outer ring and its holes, as (x, y) and not closed."""

    number: int
    polygons: tuple[Polygon, ...]

    @property
    def rings(self) -> tuple[Ring, ...]:
        """All rings; combined by the even-odd rule they cover the pixels of the object."""
        return tuple(ring for polygon in self.polygons for ring in polygon)


def find_outlines(labels: Int32[np.ndarray, "height width"]) -> list[Outline]:
    """Outline every object of a label image.

    Parameters
    ----------
    labels : (height, width) int32 array
        Object numbers; 0 and negative values are background.

    Returns
    -------
    list of Outline
        In the order of the numbers. Parts of an object that touch only diagonally are polygons of their own.

    Examples
    --------
    >>> labels = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], np.int32)
    >>> [[len(polygon) for polygon in outline.polygons] for outline in find_outlines(labels)]
    [[2]]
    """
    boxes = ndimage.find_objects(np.maximum(labels, 0))
    return [
        Outline(number=number, polygons=_polygons(labels[box] == number, box[0].start, box[1].start))
        for number, box in enumerate(boxes, 1)
        if box is not None
    ]


def outline_region(mask: Bool[np.ndarray, "height width"]) -> tuple[Polygon, ...]:
    """Return the polygons of a region."""
    return _polygons(mask, 0, 0)


def _polygons(mask: Bool[np.ndarray, "height width"], top: int, left: int) -> tuple[Polygon, ...]:
    """Return polygons, moved by the place of the mask in its image."""
    rings = [ring + np.array([left, top], float) for ring in trace(mask)]
    if all(map(_is_outer, rings)):
        return tuple((ring,) for ring in rings)
    if sum(map(_is_outer, rings)) == 1:
        return (tuple(sorted(rings, key=_is_outer, reverse=True)),)
    # the pixels of one polygon are connected by edges: its rings are those of this component
    parts = components(mask, corners=False)
    boxes = ndimage.find_objects(parts)
    return tuple(
        _polygons(parts[box] == index, top + box[0].start, left + box[1].start)[0] for index, box in enumerate(boxes, 1)
    )


def _is_outer(ring: Ring) -> bool:
    """Return whether a ring encloses a region; holes run the other way."""
    return signed_area(ring) > 0
