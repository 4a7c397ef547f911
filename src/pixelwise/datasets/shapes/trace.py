"""Outline pixels as rings along pixel edges, the opposite of `rasterise`."""

import numpy as np
from jaxtyping import Bool, Int64
from skimage.measure import approximate_polygon

Ring = np.ndarray
_EAST, _SOUTH, _WEST, _NORTH = range(4)


def trace(mask: Bool[np.ndarray, "height width"], tolerance: float = 0.0) -> tuple[Ring, ...]:
    """Outline the regions of a mask along pixel edges.

    Rings have corners alone, in pixels, (0, 0) being the top left corner of the first pixel. Combined by the even-odd
    rule they cover exactly the pixels of the mask. Regions that touch only diagonally get rings of their own, and
    no ring touches itself.

    Parameters
    ----------
    mask : (height, width) bool
    tolerance : float
        Largest distance in pixels by which a simplified outline may differ (Douglas and Peucker 1973); 0 is exact.

    Returns
    -------
    tuple of (points, 2) float64 arrays
        As (x, y), not closed: outer rings clockwise on the screen, holes counterclockwise.

    Examples
    --------
    >>> [ring.tolist() for ring in trace(np.array([[False, True, True]]))]
    [[[1.0, 0.0], [3.0, 0.0], [3.0, 1.0], [1.0, 1.0]]]
    """
    start, following = _find_segments(mask)
    corners, chain = start.astype(float), following.tolist()
    visited = bytearray(len(chain))
    rings: list[Ring] = []
    for first in range(len(chain)):
        members: list[int] = []
        current = first
        while not visited[current]:
            visited[current] = 1
            members.append(current)
            current = chain[current]
        if members:
            rings.append(_simplify(corners[members], tolerance))
    return tuple(rings)


def _find_segments(
    mask: Bool[np.ndarray, "height width"],
) -> tuple[Int64[np.ndarray, "segments 2"], Int64[np.ndarray, " segments"]]:
    """Return the start (x, y) of every straight piece of outline, and the index of the piece that follows it.

    Pieces are directed with the region on their right. Where four meet, the one on the right follows, which keeps
    diagonal neighbours apart.
    """
    padded = np.pad(mask, 1)
    down = np.diff(padded.astype(np.int8), axis=0)[:, 1:-1]  # (height + 1, width): 1 where a region begins below
    across = np.diff(padded.astype(np.int8), axis=1)[1:-1].T  # (width + 1, height): 1 where it begins to the right
    pieces = [_find_pieces(down == 1), _find_pieces(across == -1), _find_pieces(down == -1), _find_pieces(across == 1)]
    starts, ends = [], []
    for direction, (line, low, high) in enumerate(pieces):
        first, last = (low, high) if direction in (_EAST, _SOUTH) else (high, low)
        horizontal = direction in (_EAST, _WEST)
        starts.append(np.stack([first, line] if horizontal else [line, first], axis=1))
        ends.append(np.stack([last, line] if horizontal else [line, last], axis=1))
    offsets = np.cumsum([0, *(len(start) for start in starts)])
    width = mask.shape[1] + 1
    keys = [start[:, 0] + start[:, 1] * width for start in starts]
    orders = [np.argsort(key) for key in keys]
    following = []
    for direction, end in enumerate(ends):
        key = end[:, 0] + end[:, 1] * width
        chosen = np.full(len(key), -1)
        for turn in ((direction + 3) % 4, (direction + 1) % 4):  # left, then right where possible
            position = np.searchsorted(keys[turn], key, sorter=orders[turn])
            position = orders[turn][np.minimum(position, len(orders[turn]) - 1)] if len(keys[turn]) else position
            found = keys[turn][position] == key if len(keys[turn]) else np.zeros(len(key), bool)
            chosen[found] = position[found] + offsets[turn]
        following.append(chosen)
    return np.concatenate(starts), np.concatenate(following)


def _find_pieces(edges: Bool[np.ndarray, "lines length"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (line, first, last) of every run of edges along a line; `last` is exclusive."""
    line, position = np.nonzero(np.diff(np.pad(edges.astype(np.int8), ((0, 0), (1, 1))), axis=1))
    return line[::2], position[::2], position[1::2]


def _simplify(ring: Ring, tolerance: float) -> Ring:
    if tolerance <= 0:
        return ring
    simple = approximate_polygon(np.concatenate([ring, ring[:1]]), tolerance)[:-1]
    return simple if len(simple) > 2 else ring


def signed_area(ring: Ring) -> float:
    """Return the area of a ring in pixels; negative if it runs counterclockwise on the screen, as traced holes do."""
    following = np.roll(ring, -1, axis=0)
    return float((ring[:, 0] * following[:, 1] - following[:, 0] * ring[:, 1]).sum() / 2)
