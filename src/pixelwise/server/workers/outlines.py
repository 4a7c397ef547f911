"""Outlines of objects as GeoJSON polygons that follow the borders of pixels exactly.

Coordinates are (x, y) in pixels from the top left corner of the image, so that a single pixel at the origin is the
square from (0, 0) to (1, 1). Rings are closed, exteriors have a positive area, holes a negative one (RFC 7946, section
3.1.6).
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Bool, Integer
from scipy import ndimage

from pixelwise.labels.label_image import components

Point = tuple[int, int]
Ring = list[Point]

_CLOCKWISE = {(1, 0): (0, 1), (0, 1): (-1, 0), (-1, 0): (0, -1), (0, -1): (1, 0)}


def features(
    labels: Integer[np.ndarray, "height width"], classes: Sequence[str], *, objects: bool
) -> Iterator[dict[str, Any]]:
    """Yield a GeoJSON feature for each object, or for each connected region of a class mask.

    Parameters
    ----------
    labels : (height, width) integers
        Object numbers, or class indices; 0 is background.
    classes : sequence of str
        Names by class index; objects have the last one.
    objects : bool
        Whether `labels` are object numbers.

    Examples
    --------
    >>> (feature,) = features(np.eye(1, dtype=int), ("background", "cell"), objects=True)
    >>> feature["geometry"]["coordinates"]
    [[[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]]
    """
    for number, place in enumerate(ndimage.find_objects(labels), start=1):
        if place is None:
            continue
        index = (len(classes) - 1) if objects else number
        name = classes[index] if 0 <= index < len(classes) else str(index)
        rows, columns = place
        regions = polygons(labels[place] == number, (columns.start, rows.start))
        properties = {"id": number, "classification": {"name": name}} if objects else {"classification": {"name": name}}
        if objects:
            yield _feature(regions, properties)
        else:
            for region in regions:
                yield _feature([region], properties)


def polygons(mask: Bool[np.ndarray, "height width"], origin: Point = (0, 0)) -> list[list[list[list[int]]]]:
    """Return a polygon, exterior first and then holes, for each region of a mask (4 neighbours)."""
    regions = components(mask, corners=False)
    found: list[list[list[list[int]]]] = []
    for number, (rows, columns) in enumerate(ndimage.find_objects(regions), start=1):
        corner = origin[0] + columns.start, origin[1] + rows.start
        rings = trace_rings(regions[rows, columns] == number)
        rings.sort(key=signed_area, reverse=True)
        found.append([[[x + corner[0], y + corner[1]] for x, y in ring] for ring in rings])
    return found


def trace_rings(mask: Bool[np.ndarray, "height width"]) -> list[Ring]:
    """Return the closed rings around the pixels of a mask; the mask is on the right hand, with y pointing down."""
    padded = np.pad(mask, 1)
    inside = padded[1:-1, 1:-1]
    starts: dict[Point, list[Point]] = {}
    for neighbour, (dx, dy), step in (
        (padded[:-2, 1:-1], (0, 0), (1, 0)),
        (padded[1:-1, 2:], (1, 0), (0, 1)),
        (padded[2:, 1:-1], (1, 1), (-1, 0)),
        (padded[1:-1, :-2], (0, 1), (0, -1)),
    ):
        for y, x in np.argwhere(inside & ~neighbour).tolist():
            starts.setdefault((x + dx, y + dy), []).append(step)
    rings: list[Ring] = []
    while starts:
        rings.append(_follow(starts))
    return rings


def signed_area(ring: Ring) -> float:
    """Return the area of a closed ring, positive for an exterior (shoelace formula)."""
    return sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in pairwise(ring)) / 2


def _follow(starts: dict[Point, list[Point]]) -> Ring:
    """Take one ring out of the edges, without the points on straight lines."""
    first = point = next(iter(starts))
    step, ring = starts[point][0], list[Point]()
    while True:
        steps = starts[point]
        turn = _CLOCKWISE[step]
        # where two pixels touch at a corner, the clockwise turn stays with the same pixel
        following = turn if ring and turn in steps else steps[0] if step not in steps else step
        steps.remove(following)
        if not steps:
            del starts[point]
        if not ring or following != step:
            ring.append(point)
        step = following
        point = point[0] + step[0], point[1] + step[1]
        if point == first:
            break
    return [*ring, first]


def _feature(regions: list[list[list[list[int]]]], properties: dict[str, Any]) -> dict[str, Any]:
    geometry = (
        {"type": "Polygon", "coordinates": regions[0]}
        if len(regions) == 1
        else {"type": "MultiPolygon", "coordinates": regions}
    )
    return {"type": "Feature", "geometry": geometry, "properties": {"objectType": "annotation", **properties}}
