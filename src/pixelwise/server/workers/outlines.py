"""Outlines of objects as GeoJSON polygons that follow the borders of pixels exactly, band by band.

Coordinates are (x, y) in pixels from the top left corner of the image, so that a single pixel at the origin is the
square from (0, 0) to (1, 1). Rings are closed, exteriors have a positive area, holes a negative one (RFC 7946, section
3.1.6). Regions that touch only at corners of their pixels are polygons of their own.

A ring is a cycle of corners: points of the grid of pixels at which the border of a region bends. Two corners that
follow each other share a straight line, so that corners sorted by lines find their neighbours. Horizontal lines are
whole within a band of rows; the end of a vertical one may come with a later band. Memory is that of one band and of
the outlines that are still open.
"""

import json
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from jaxtyping import Bool, Int64, Integer
from skimage.measure import label

from pixelwise.errors import BadOption
from pixelwise.labels.disjoint_sets import first_linked
from pixelwise.server.workers.label_tiles import Labels

Ring = np.ndarray  # (points, 2) int32: x, y
Point = tuple[int, int]

BAND = 4 * 2**20
"""Pixels of a band of rows."""

MAX_OPEN = 8 * 2**20
"""Corners of outlines that are still open: more would need gigabytes."""

_CHUNK = 2**16  # points that are written at once

_CORNER = np.dtype(
    [
        ("y", np.int32),
        ("x", np.int32),
        ("below", bool),  # the horizontal line has its pixel below, not above
        ("right", bool),  # the vertical line has its pixel on the right, not on the left
        ("goes_right", bool),  # the horizontal line goes to the right from here
        ("goes_down", bool),  # the vertical line goes down from here
        ("hangs", bool),  # the other end of the vertical line is not known yet
        ("number", np.int64),
        ("region", np.int64),
        ("next", np.int64),  # the corner that follows on the ring
    ]
)


@dataclass(frozen=True)
class Feature:
    """An object, or a connected region of a class: its number or class, and its polygons, exterior first."""

    number: int
    polygons: list[list[Ring]]


def features(
    labels: Labels, *, objects: bool, report: Callable[[float], object] = lambda share: None
) -> Iterator[Feature]:
    """Yield each object, or each connected region of a class mask (4 neighbours), in the order of their lowest rows.

    Parameters
    ----------
    labels : Labels
        Object numbers, or class indices; 0 is background.
    objects : bool
        Whether `labels` are object numbers: all regions of a number are one feature.
    report : callable
        Receives the share of the work that is done.

    Raises
    ------
    BadOption
        The outlines need too much memory.

    Examples
    --------
    >>> (feature,) = features(Labels(np.eye(1, dtype=int)), objects=True)
    >>> feature.polygons[0][0].tolist()
    [[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]
    """
    bands = _bands(labels)
    last = _last_rows(labels, bands, lambda share: report(share / 4)) if objects else np.empty(0, np.int64)
    corners = np.empty(0, _CORNER)
    above = np.zeros((2, labels.width), np.int64)  # numbers and regions of the row above the band
    for top, bottom in bands:
        rows = np.maximum(labels.read((top, bottom), (0, labels.width), 1), 0)
        regions = np.asarray(label(rows, background=0, connectivity=1), np.int64)
        count = int(regions.max())
        met = (above[0] == rows[0]) & (rows[0] > 0)
        above[1][above[1] > 0] += count
        corners["region"] += count
        size = 1 + max(int(above[1].max()), int(corners["region"].max(initial=0)), count)
        joined = first_linked(size, np.stack([regions[0][met], above[1][met]], axis=1))
        whole = bottom == labels.height
        end = np.zeros((int(whole), labels.width), np.int64)
        new = _find_corners(np.concatenate([above[:1], rows, end]), np.concatenate([above[1:], regions, end]), top)
        corners = np.concatenate([corners, new])
        corners["region"] = joined[corners["region"]]
        _link(corners, len(new))
        if whole:
            done = np.ones(len(corners), bool)
        elif objects:
            done = last[corners["number"]] < bottom - 1
        else:
            open_regions = np.zeros(size, bool)
            open_regions[joined[regions[-1]]] = True
            done = ~open_regions[corners["region"]]
        yield from _features(_take(corners, done), "number" if objects else "region")
        corners = _take(corners, ~done)
        if len(corners) > MAX_OPEN:
            got = f"more than {MAX_OPEN:,} of those that are not closed after {bottom:,} rows"
            raise BadOption("outlines with fewer corners", got, "Take the mask away instead.")
        below = joined[regions[-1]]
        kept, numbers = np.unique(np.concatenate([[0], below, corners["region"]]), return_inverse=True)
        del kept
        above = np.stack([rows[-1].astype(np.int64), numbers[1 : 1 + labels.width]])
        corners["region"] = numbers[1 + labels.width :]
        report(((1 + 3 * bottom / labels.height) / 4) if objects else bottom / labels.height)


def write_geojson(
    path: Path,
    labels: Labels,
    classes: Sequence[str],
    *,
    objects: bool,
    report: Callable[[float], object] = lambda share: None,
) -> None:
    """Write the outlines of a result as a GeoJSON file, a feature per line.

    Parameters
    ----------
    labels, objects, report
        As of `features`.
    classes : sequence of str
        Names by class index; objects have the last one.
    """
    with path.open("w", encoding="utf-8") as file:
        file.write('{"type": "FeatureCollection", "features": [')
        between = "\n"
        for feature in features(labels, objects=objects, report=report):
            index = len(classes) - 1 if objects else feature.number
            name = classes[index] if 0 <= index < len(classes) else str(index)
            properties: dict[str, Any] = {"objectType": "annotation", "classification": {"name": name}}
            properties |= {"id": feature.number} if objects else {}
            one = len(feature.polygons) == 1
            file.write(f'{between}{{"type": "Feature", "properties": {json.dumps(properties)}, "geometry": ')
            file.write('{"type": "Polygon", "coordinates": ' if one else '{"type": "MultiPolygon", "coordinates": [')
            for number, polygon in enumerate(feature.polygons):
                file.write("," if number else "")
                _write_polygon(file, polygon)
            file.write("}}" if one else "]}}")
            between = ",\n"
        file.write("\n]}\n")


def trace_rings(mask: Bool[np.ndarray, "height width"]) -> list[list[Point]]:
    """Return the closed rings around the pixels of a mask; the mask is on the right hand, with y pointing down."""
    found = features(Labels(mask.astype(np.uint8)), objects=True)
    rings = (ring for feature in found for polygon in feature.polygons for ring in polygon)
    return [[(x, y) for x, y in ring.tolist()] for ring in rings]


def _write_polygon(file: TextIO, polygon: Sequence[Ring]) -> None:
    for number, ring in enumerate(polygon):
        file.write(",[" if number else "[[")
        for first in range(0, len(ring), _CHUNK):
            text = json.dumps(ring[first : first + _CHUNK].tolist(), separators=(",", ":"))
            file.write(("," if first else "") + text[1:-1])
        file.write("]")
    file.write("]")


def _bands(labels: Labels) -> list[tuple[int, int]]:
    count = max(1, BAND // labels.width)
    labels.plan(count)
    return [(top, min(top + count, labels.height)) for top in range(0, labels.height, count)]


def _last_rows(
    labels: Labels, bands: Sequence[tuple[int, int]], report: Callable[[float], object]
) -> Int64[np.ndarray, " numbers"]:
    """Return the last row of each number."""
    last = np.full(1, -1, np.int64)
    for top, bottom in bands:
        rows = np.maximum(labels.read((top, bottom), (0, labels.width), 1), 0)
        last = np.pad(last, (0, max(0, int(rows.max()) + 1 - len(last))), constant_values=-1)
        for offset, row in enumerate(rows):
            last[row] = top + offset
        report(bottom / labels.height)
    return last


def _find_corners(
    numbers: Integer[np.ndarray, "rows columns"], regions: Int64[np.ndarray, "rows columns"], top: int
) -> np.ndarray:
    """Return the corners on the lines between the rows; the first of these lines is line `top` of the image."""
    numbers = np.pad(numbers, ((0, 0), (1, 1)))
    across, down = numbers[:, 1:] != numbers[:, :-1], numbers[1:] != numbers[:-1]
    y, x = np.nonzero((across[1:] | across[:-1]) & (down[:, 1:] | down[:, :-1]))
    four = {(below, right): numbers[y + below, x + right] for below in (0, 1) for right in (0, 1)}
    found = [np.empty(0, _CORNER)]
    for (below, right), own in four.items():
        beside, over = own == four[below, 1 - right], own == four[1 - below, right]
        opposite = own == four[1 - below, 1 - right]
        # a region of one of the four pixels bends around it, one of three around the fourth
        for bends, outer in ((~beside & ~over, True), (beside & over & ~opposite, False)):
            (place,) = np.nonzero(bends & (own > 0))
            part = np.zeros(len(place), _CORNER)
            part["y"], part["x"] = y[place] + top, x[place]
            part["below"], part["right"] = below, right
            part["goes_right"], part["goes_down"] = right == outer, below == outer
            part["hangs"], part["next"] = True, -1
            part["number"] = own[place]
            part["region"] = regions[y[place] + below, x[place] + right - 1]
            found.append(part)
    return np.concatenate(found)


def _link(corners: np.ndarray, new: int) -> None:
    """Set what follows each corner: on the horizontal lines of the `new` last ones, and on vertical lines."""
    # with the region on the right hand, y pointing down: along the upper edge of a pixel to the right
    rightward = corners["below"] == corners["goes_right"]
    fresh = np.arange(len(corners) - new, len(corners))
    _link_lines(corners, fresh, ("y", "below", "x", "goes_right"), rightward)
    (hanging,) = np.nonzero(corners["hangs"])
    met = _link_lines(corners, hanging, ("x", "right", "y", "goes_down"), ~rightward)
    corners["hangs"][met] = False


def _link_lines(
    corners: np.ndarray,
    chosen: Int64[np.ndarray, " chosen"],
    names: tuple[str, str, str, str],
    leaves: Bool[np.ndarray, " corners"],
) -> Int64[np.ndarray, " met"]:
    """Link the ends of straight pieces; return the corners that have their other end.

    `names` are those of the line, of the side of its pixel, of the place on it, and of the direction in which the piece
    goes from there.
    """
    line, side, _, goes = names
    order = chosen[np.lexsort([corners[name][chosen] for name in reversed(names)])]
    ends = np.ones(len(order), bool)  # whether the next corner is on another line or side
    ends[:-1] = (np.diff(corners[line][order]) != 0) | (corners[side][order[1:]] != corners[side][order[:-1]])
    order = order[~(ends & corners[goes][order])]
    for one, other in ((order[::2], order[1::2]), (order[1::2], order[::2])):
        out = leaves[one]
        corners["next"][one[out]] = other[out]
    return order


def _take(corners: np.ndarray, chosen: Bool[np.ndarray, " corners"]) -> np.ndarray:
    """Return some corners; those that follow them are among them, or not known yet."""
    places = np.cumsum(chosen) - 1
    taken = corners[chosen]
    known = taken["next"] >= 0
    taken["next"][known] = places[taken["next"][known]]
    return taken


def _features(corners: np.ndarray, key: str) -> Iterator[Feature]:
    """Yield the features of closed rings; those with an equal `key` are one."""
    if not len(corners):
        return
    sequence, first = _walk(corners)
    ordered = corners[sequence]
    points = np.stack([ordered["x"], ordered["y"]], axis=1)
    # rings are in the order of their first points, so that the first one of a region is its exterior
    rank = {name: _first_equal(ordered[name][first]) for name in ("region", key)}
    lowest = np.zeros(len(first), np.int64)
    np.maximum.at(lowest, rank[key], np.maximum.reduceat(ordered["y"], first))
    order = np.lexsort((rank["region"], rank[key], lowest[rank[key]]))
    bounds = np.append(first, len(sequence))
    polygons: list[list[Ring]] = []
    for place, ring in enumerate(order.tolist()):
        begin, end = bounds[ring], bounds[ring + 1]
        closed = np.concatenate([points[begin:end], points[begin : begin + 1]])
        if rank["region"][ring] == ring:
            polygons.append([closed])
        else:
            polygons[-1].append(closed)
        if place + 1 == len(order) or rank[key][order[place + 1]] != rank[key][ring]:
            yield Feature(int(ordered["number"][begin]), polygons)
            polygons = []


def _walk(corners: np.ndarray) -> tuple[Int64[np.ndarray, " corners"], Int64[np.ndarray, " rings"]]:
    """Return the corners ring by ring, and where each ring begins: at the left end of its uppermost line."""
    (starts,) = np.nonzero(corners["below"] & corners["goes_right"])
    starts = starts[np.lexsort((corners["x"][starts], corners["y"][starts]))]
    following, visited = array("q", corners["next"].tobytes()), bytearray(len(corners))
    sequence, first = array("q"), array("q")
    for start in starts.tolist():
        if visited[start]:
            continue
        first.append(len(sequence))
        place = start
        while not visited[place]:
            visited[place] = 1
            sequence.append(place)
            place = following[place]
    return np.frombuffer(sequence, np.int64), np.frombuffer(first, np.int64)


def _first_equal(values: Int64[np.ndarray, " values"]) -> Int64[np.ndarray, " values"]:
    """Return for each value the index of the first one that is equal."""
    _, index, inverse = np.unique(values, return_index=True, return_inverse=True)
    return index[inverse]
