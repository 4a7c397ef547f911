"""Group the tiles of maps by place: neighbours look alike, and tiles that overlap share pixels.

A random split puts the neighbours of validation tiles into training, and its score is too good (Roberts et al. 2017,
doi 10.1111/ecog.02881, "Cross-validation strategies for data with temporal, spatial, hierarchical, or phylogenetic
structure"). Tiles are therefore divided into blocks of neighbours; separate scenes are blocks of their own.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from pixelwise.io.georeference import Georeference
from pixelwise.labels.disjoint_sets import first_linked

BLOCKS = 8  # at least, if there are so many tiles
MIN_OVERLAP = 0.01  # of the smaller tile: less is rounding of coordinates
_TOUCHING = 0.02  # of the side of a tile: a smaller gap separates no scenes


# (box of a tile, boxes of others) -> whether each is related
Related = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """The place of an image on a map: its CRS (equal bytes, equal CRS), and its box (left, low, right, high)."""

    crs: bytes
    box: tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class MapBlocks:
    """The block of each tile, and the first of the tiles that it overlaps with; blocks keep these together."""

    blocks: Int64[np.ndarray, " tiles"]
    overlapping: Int64[np.ndarray, " tiles"]
    scenes: int


def footprint_of(georeference: Georeference | None, size: Sequence[int]) -> Footprint | None:
    """Return the place of an image of (height, width); None if it is unknown.

    Examples
    --------
    >>> place = Georeference(crs=(), grid=(), transform=(2.0, 0.0, 100.0, 0.0, -2.0, 50.0))
    >>> footprint_of(place, (10, 20)).box
    (100.0, 30.0, 140.0, 50.0)
    """
    if georeference is None or georeference.transform is None:
        return None
    height, width = size[0], size[1]
    corners = georeference.locate(np.array([(0, 0), (width, 0), (0, height), (width, height)], np.float64))
    low, high = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
    return Footprint(crs=b"".join(tag.data for tag in georeference.crs), box=(low[0], low[1], high[0], high[1]))


def find_blocks(footprints: Sequence[Footprint]) -> MapBlocks:
    """Divide the tiles of maps into blocks of neighbours.

    Tiles that overlap stay together. Scenes, whose tiles touch, are divided along their longer side at the median until
    no block has more than an eighth of all tiles, or is one tile.
    """
    boxes = np.array([one.box for one in footprints], np.float64)
    systems = np.unique([one.crs.hex() for one in footprints], return_inverse=True)[1]
    overlapping = first_linked(len(boxes), _links(boxes, systems, _overlap))
    scene = first_linked(len(boxes), _links(boxes, systems, _touch))
    blocks, limit = np.zeros(len(boxes), np.int64), math.ceil(len(boxes) / BLOCKS)
    scenes = np.unique(scene).tolist()
    number = 0
    for first in scenes:
        for block in _divide(np.flatnonzero(scene == first), boxes, overlapping, limit):
            blocks[block] = number
            number += 1
    return MapBlocks(blocks=blocks, overlapping=overlapping, scenes=len(scenes))


def _links(
    boxes: Float64[np.ndarray, "tiles 4"], systems: Int64[np.ndarray, " tiles"], related: Related
) -> Int64[np.ndarray, "links 2"]:
    """Return pairs of tiles in the same CRS that are related; equal boxes are linked in a row."""
    places, first, place_of = np.unique(
        np.column_stack([systems, boxes]), axis=0, return_index=True, return_inverse=True
    )
    links = [np.column_stack([np.arange(len(boxes)), first[place_of.ravel()]])]
    left = places[:, 1]  # within a CRS in ascending order
    for index, (system, *box) in enumerate(places):
        one = np.array(box)
        end = int(np.searchsorted(places[:, 0], system, "right"))
        reach = one[2] + _TOUCHING * (one[2] - one[0])
        near = slice(index + 1, index + 1 + int(np.searchsorted(left[index + 1 : end], reach, "right")))
        found = index + 1 + np.flatnonzero(related(one, places[near, 1:]))
        links.append(np.column_stack([np.full(len(found), first[index]), first[found]]))
    return np.concatenate(links)


def _overlap(one: Float64[np.ndarray, "4"], others: Float64[np.ndarray, "tiles 4"]) -> Bool[np.ndarray, " tiles"]:
    shared = np.minimum(one[2:], others[:, 2:]) - np.maximum(one[:2], others[:, :2])
    smaller = np.minimum((one[2:] - one[:2]).prod(), (others[:, 2:] - others[:, :2]).prod(axis=1))
    return (shared > 0).all(axis=1) & (shared.prod(axis=1) > MIN_OVERLAP * smaller)


def _touch(one: Float64[np.ndarray, "4"], others: Float64[np.ndarray, "tiles 4"]) -> Bool[np.ndarray, " tiles"]:
    gap = np.maximum(one[:2], others[:, :2]) - np.minimum(one[2:], others[:, 2:])
    found: np.ndarray = np.all(gap <= _TOUCHING * (one[2:] - one[:2]), axis=1)
    return found


def _divide(
    tiles: Int64[np.ndarray, " tiles"],
    boxes: Float64[np.ndarray, "all 4"],
    overlapping: Int64[np.ndarray, " all"],
    limit: int,
) -> list[Int64[np.ndarray, " some"]]:
    """Return the blocks of a scene; what overlaps is placed by the middle of all of it."""
    units, unit_of = np.unique(overlapping[tiles], return_inverse=True)
    if len(tiles) <= limit or len(units) < 2:
        return [tiles]
    middles = (boxes[tiles, :2] + boxes[tiles, 2:]) / 2
    sizes = np.bincount(unit_of)
    places = np.stack([np.bincount(unit_of, middles[:, axis]) / sizes for axis in (0, 1)], axis=1)
    axis = int(np.ptp(places, axis=0).argmax())
    order = np.argsort(places[:, axis], kind="stable")
    half = int(np.searchsorted(np.cumsum(sizes[order]), len(tiles) / 2)) + 1
    chosen = order[: min(half, len(units) - 1)]
    first = np.isin(unit_of, chosen)
    return [block for part in (tiles[first], tiles[~first]) for block in _divide(part, boxes, overlapping, limit)]
